"""The model of a disk: what of the writes since the last sync a power loss leaves.

Of each file there are two images: what programs read, which is the real file, and the *platter*,
the bytes at the last sync. In between lie the writes and truncations since, in order. A sync moves
them onto the platter. When the power goes, each of them is kept, lost or torn on its own, as the
seed says: a disk may write in any order. A torn write is made of whole sectors, each of which is
kept, lost or garbage.

A file's name is on the platter once its folder was synced. SQLite does that with the first sync of
a new journal or write-ahead log, which covers every name of the folder, and with the removal of a
file where it asks for it. Until then a new file may be missing and a removed one may be back.

What stands beside the bytes written is assumed to survive (``SQLITE_IOCAP_POWERSAFE_OVERWRITE``,
SQLite's default on unix).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

SECTOR = 512


class Mix(NamedTuple):
    """How likely an unsynced operation is kept or lost; the rest is torn. Of 1 in all."""

    kept: float = 0.4
    lost: float = 0.35


class Write(NamedTuple):
    """Bytes that were written at an offset."""

    offset: int
    data: bytes


class Truncate(NamedTuple):
    """The file was cut, or grown, to a size."""

    size: int


class _File:
    """One file: its platter, what is pending, and whether its name is on the platter."""

    def __init__(self, platter: bytes, *, named: bool) -> None:
        self.platter = bytearray(platter)
        self.pending: list[Write | Truncate] = []
        self.named = named

    def sync(self) -> None:
        for operation in self.pending:
            _apply(self.platter, operation)
        self.pending.clear()

    def after_power_loss(self, chance: random.Random, mix: Mix) -> bytes:
        image = bytearray(self.platter)
        for operation in self.pending:
            fate = chance.random()
            if fate < mix.kept:
                _apply(image, operation)
            elif fate >= mix.kept + mix.lost and isinstance(operation, Write):
                for sector in _torn(operation, chance):
                    _apply(image, sector)
        return bytes(image)


def _apply(image: bytearray, operation: Write | Truncate) -> None:
    if isinstance(operation, Truncate):
        del image[operation.size :]
        image.extend(bytes(operation.size - len(image)))
    else:
        image.extend(bytes(max(0, operation.offset - len(image))))
        image[operation.offset : operation.offset + len(operation.data)] = operation.data


def _torn(write: Write, chance: random.Random) -> Iterator[Write]:
    """What is left of a write, sector by sector."""
    begin, end = write.offset, write.offset + len(write.data)
    while begin < end:
        stop = min(end, (begin // SECTOR + 1) * SECTOR)
        fate = chance.random()
        if fate < 1 / 3:
            yield Write(begin, write.data[begin - write.offset : stop - write.offset])
        elif fate < 2 / 3:
            yield Write(begin, chance.randbytes(stop - begin))
        begin = stop


class Disk:
    """All files that were opened on it, by their absolute path."""

    def __init__(self, *, lies: bool = False) -> None:
        #: Whether it says that it synced and does not: what no store can survive.
        self.lies = lies
        self._files: dict[str, _File] = {}
        self._removed: dict[str, _File] = {}

    def open(self, path: str, content: Callable[[], bytes]) -> None:
        """Know a file from here on. One that is empty is new: its name may not survive."""
        if path not in self._files:
            platter = content()
            self._files[path] = _File(platter, named=bool(platter))

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Remember a write until the next sync."""
        self._files[path].pending.append(Write(offset, data))

    def truncate(self, path: str, size: int) -> None:
        """Remember a truncation until the next sync."""
        self._files[path].pending.append(Truncate(size))

    def sync(self, path: str, *, folder: bool) -> None:
        """Put a file's bytes, and with `folder` the names beside it, onto the platter."""
        if self.lies:
            return
        self._files[path].sync()
        if folder:
            self.sync_folder(os.path.dirname(path))

    def sync_folder(self, folder: str) -> None:
        """Put the names of a folder onto the platter: what was removed is gone for good."""
        if self.lies:
            return
        for path, file in self._files.items():
            if os.path.dirname(path) == folder:
                file.named = True
        self._removed = {
            path: file for path, file in self._removed.items() if os.path.dirname(path) != folder
        }

    def remove(self, path: str) -> None:
        """Remove a file; until its folder is synced it may come back."""
        file = self._files.pop(path, None)
        if file is not None and file.named:
            self._removed[path] = file

    def drop_pending(self, path: str) -> None:
        """Forget the unsynced writes of a file, as a kernel does after a sync that failed."""
        self._files[path].pending.clear()

    def after_power_loss(self, seed: int, folder: Path, mix: Mix | None = None) -> None:
        """Write the files that a power loss leaves into `folder`, under their own names.

        Memory that processes share (``-shm``) never survives.
        """
        chance = random.Random(seed)
        mix = mix or Mix()
        for path, file in sorted(self._files.items()):
            if file.named or chance.random() < 0.5:
                self._leave(path, file, folder, chance, mix)
        for path, file in sorted(self._removed.items()):
            if path not in self._files and chance.random() < 0.5:
                self._leave(path, file, folder, chance, mix)

    def _leave(self, path: str, file: _File, folder: Path, chance: random.Random, mix: Mix) -> None:
        content = file.after_power_loss(chance, mix)
        if not path.endswith("-shm"):
            (folder / os.path.basename(path)).write_bytes(content)
