"""Signed notes, as C2SP's text signed-note has them: a text, a blank line, signature lines.

Everything that is read may be hostile. A note is read strictly and written in one way only.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from eventstore.errors import NoteError, UnverifiedNoteError

#: What a note may have at most; the text asks verifiers for a limit of at least 16 signatures.
SIGNATURES_MAX = 100
NOTE_BYTES_MAX = 1_000_000

KEY_ID_BYTES = 4

_DASH = "\u2014 "


class Signature(NamedTuple):
    """Who signed, by name and by the four bytes that identify the key, and the signature itself."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """The line of a note that says so, with its newline."""
        return f"{_DASH}{self.name} {encode(self.key_id + self.value)}\n"


class Note(Struct, frozen=True):
    """A text, which ends in a newline, and its signatures, of which nothing is verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        """The note as it is written."""
        return f"{self.text}\n{''.join(one.line for one in self.signatures)}"


class Verifier(Protocol):
    """A key that a reader trusts."""

    @property
    def name(self) -> str:
        """The key's name."""

    @property
    def key_id(self) -> bytes:
        """The four bytes that identify it."""

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether this is the key's signature of the text."""


def parse(data: bytes | str) -> Note:
    """Read a note; raises `NoteError` for one that is not written as the text asks for."""
    written = checked_text(data)
    text, gap, lines = written.rpartition("\n\n")
    if not gap:
        raise NoteError("a note has a blank line before its signatures, this has none")
    if not lines.endswith("\n"):
        raise NoteError("a note has a signature line at its end, which ends in a newline")
    signed = lines[:-1].split("\n")
    if len(signed) > SIGNATURES_MAX:
        raise NoteError(f"a note has at most {SIGNATURES_MAX} signatures, this has {len(signed)}")
    return Note(text + "\n", tuple(_signature(line) for line in signed))


def checked_text(data: bytes | str) -> str:
    """The text of a note or a part of one; raises `NoteError` for what no note can have."""
    try:
        written = data if isinstance(data, str) else data.decode()
        size = len(written.encode())
    except UnicodeError as error:
        raise NoteError(f"a note is UTF-8, this is not: {error}") from error
    if size > NOTE_BYTES_MAX:
        raise NoteError(f"a note has at most {NOTE_BYTES_MAX} bytes, this has {size}")
    check_characters(written)
    return written


def check_characters(text: str) -> None:
    """Raise `NoteError` for a text with a control character other than newline in it."""
    for one in text:
        if one < " " and one != "\n":
            raise NoteError(f"a note has no control characters but newlines, this has {one!r}")


def _signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise NoteError(f"a signature line begins with an em dash and a space, not {line[:20]!r}")
    name, _, coded = line[len(_DASH) :].partition(" ")
    check_name(name)
    value = decode(coded)
    if len(value) <= KEY_ID_BYTES:
        raise NoteError(f"the signature by {name!r} is too short: {len(value)} bytes")
    return Signature(name, value[:KEY_ID_BYTES], value[KEY_ID_BYTES:])


def check_name(name: str) -> None:
    """Raise `NoteError` for what cannot be a key's name: it is part of a line of words."""
    if not name or "+" in name or any(one.isspace() for one in name):
        raise NoteError(f"{name!r} is no name of a key: it is empty, or has a space or a plus")
    checked_text(name)


def encode(data: bytes) -> str:
    """Standard base64 (RFC 4648 §4)."""
    return base64.b64encode(data).decode()


def decode(text: str) -> bytes:
    """The bytes of standard base64, which has one spelling; raises `NoteError`."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{text[:60]!r} is not base64: {error}") from error
    if encode(data) != text:
        raise NoteError(f"{text[:60]!r} is not the one spelling of base64")
    return data


def verified(note: Note, trusted: Sequence[Verifier]) -> list[Signature]:
    """The signatures by trusted keys; those of other keys are passed over, even with a like name.

    Raises `UnverifiedNoteError` when there is none, or when one by a trusted key is wrong, and
    `NoteError` when two trusted keys have the same name and id.
    """
    known: dict[tuple[str, bytes], Verifier] = {}
    for one in trusted:
        if known.setdefault((one.name, one.key_id), one) is not one:
            raise NoteError(f"two keys are named {one.name} with the id {one.key_id.hex()}")
    text = note.text.encode()
    found: dict[tuple[str, bytes], Signature] = {}
    for signature in note.signatures:
        place = (signature.name, signature.key_id)
        key = known.get(place)
        if key is None or place in found:
            continue
        if not key.verifies(text, signature.value):
            raise UnverifiedNoteError(
                f"the signature by {key.name} ({key.key_id.hex()}) is wrong: the note was changed, "
                "or another key made it"
            )
        found[place] = signature
    if not found:
        by = ", ".join(f"{one.name} ({one.key_id.hex()})" for one in note.signatures) or "nobody"
        raise UnverifiedNoteError(f"the note is signed by no key that is trusted, but by {by}")
    return list(found.values())


def signed(text: str, signatures: Sequence[Signature]) -> Note:
    """A note of a text; a later signature by a key takes the place of an earlier one.

    Raises `NoteError` for a text that a note cannot have.
    """
    if not text.endswith("\n"):
        raise NoteError("the text of a note ends in a newline")
    kept = {(one.name, one.key_id): one for one in signatures}
    note = Note(text, tuple(kept.values()))
    if parse(str(note)) != note:
        raise NoteError("the text of a note cannot be told from its signatures")
    return note
