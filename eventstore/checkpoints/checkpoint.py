"""The text of a checkpoint note, as C2SP's tlog-checkpoint has it: origin, size, root."""

from __future__ import annotations

import re

from msgspec import Struct

from eventstore.checkpoints import note
from eventstore.errors import NoteError
from eventstore.merkle import HASH_BYTES

_SIZE = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)
_SIZE_MAX = (1 << 63) - 1


class Checkpoint(Struct, frozen=True):
    """The root of the tree over the first `size` events of the log that `origin` names.

    `extensions` are further lines, which other programs may write. Nothing here does.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text that is signed."""
        lines = (self.origin, str(self.size), note.encode(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Checkpoint:
    """Read the text of a checkpoint note; raises `NoteError`."""
    if not text.endswith("\n"):
        raise NoteError("the text of a checkpoint ends in a newline")
    note.checked_text(text)
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise NoteError("a checkpoint is at least three lines, and none of them is empty")
    origin, size, root, *extensions = lines
    if not _SIZE.fullmatch(size) or int(size) > _SIZE_MAX:
        raise NoteError(f"{size[:30]!r} is no size: a decimal number without leading zeros")
    decoded = note.decode(root)
    if len(decoded) != HASH_BYTES:
        raise NoteError(f"a root has {HASH_BYTES} bytes, this has {len(decoded)}")
    return Checkpoint(origin, int(size), decoded, tuple(extensions))


def read(data: bytes | str) -> tuple[Checkpoint, note.Note]:
    """Read a checkpoint note, or the bare text of one that nobody signed; raises `NoteError`.

    No signature is verified.
    """
    written = data if isinstance(data, str) else _decoded(data)
    if "\n\n" not in written:
        return parse(written), note.Note(written, ())
    found = note.parse(written)
    return parse(found.text), found


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NoteError(f"a checkpoint is UTF-8, this is not: {error}") from error
