"""Anchors: where a checkpoint note is put so that whoever runs the store cannot take it back.

An anchor is anything with a name that takes a note for a receipt, and can tell later whether the
receipt still stands for the note. What an anchor proves is as good as its distance from whoever
could rewrite the log. A file is here, a git repository in `git_anchor`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from eventstore.checkpoints import checkpoint
from eventstore.errors import AnchorError, NoteError
from eventstore.files import sync_names


class Anchor(Protocol):
    """What takes notes. Both methods raise `AnchorError`, and may take seconds."""

    @property
    def name(self) -> str:
        """What the anchor is called in the store; it stays the same for the same place."""

    def submit(self, note: str) -> str:
        """Put a note there; the receipt. The same note may come twice."""

    def verify(self, note: str, receipt: str) -> None:
        """Make sure that the note is there as the receipt says."""


@runtime_checkable
class ReadableAnchor(Anchor, Protocol):
    """An anchor that gives back what it took, so that a log can be held against all of it."""

    def notes(self, origin: str) -> Iterator[str]:
        """Every note of a log that is there, oldest first."""


class _Line(msgspec.Struct):
    note: str


class FileAnchor:
    """A file that is only appended to: one note a line, as JSON. The receipt is the line's SHA-256.

    It proves as much as its place: on a volume that is only appended to, or of another owner.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()

    @property
    def name(self) -> str:
        """``file:`` and the path."""
        return f"file:{self.path}"

    def submit(self, note: str) -> str:
        """Append the note, and have the disk keep it."""
        line = msgspec.json.encode(_Line(note))
        try:
            number = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
            try:
                torn = False
                if os.lseek(number, 0, os.SEEK_END):
                    os.lseek(number, -1, os.SEEK_END)
                    torn = os.read(number, 1) != b"\n"
                os.write(number, (b"\n" if torn else b"") + line + b"\n")
                os.fsync(number)
            finally:
                os.close(number)
            sync_names(self.path.parent)
        except OSError as error:
            raise AnchorError(f"{self.path} did not take the note: {error.strerror}") from error
        return hashlib.sha256(line).hexdigest()

    def verify(self, note: str, receipt: str) -> None:
        """Make sure that the file has the line."""
        for line in self._lines():
            if hashlib.sha256(line).hexdigest() == receipt and _note_in(line) == note:
                return
        raise AnchorError(f"{self.path} does not have the note of the receipt {receipt}")

    def notes(self, origin: str) -> Iterator[str]:
        """Every note of a log; lines that hold none are passed over."""
        for line in self._lines():
            note = _note_in(line)
            if note is not None and _origin_of(note) == origin:
                yield note

    def _lines(self) -> list[bytes]:
        try:
            return self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise AnchorError(f"{self.path} cannot be read: {error.strerror}") from error


def _note_in(line: bytes) -> str | None:
    try:
        return msgspec.json.decode(line, type=_Line).note
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _origin_of(note: str) -> str | None:
    try:
        return checkpoint.read(note)[0].origin
    except NoteError:
        return None
