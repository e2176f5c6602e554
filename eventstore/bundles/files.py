"""The files of a bundle: a folder, or one .tar that is not compressed.

A bundle comes from somebody else. Names are looked up in the short list of those that there can be,
so none leads out of the bundle; links and devices are refused; nothing is unpacked.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from eventstore.bundles import layout
from eventstore.errors import InvalidValueError
from eventstore.merkle import parse_path

FILES_MAX = 1 << 20

#: The largest part that is read into memory: what SQLite can hold in one value.
READ_MAX = 1 << 30

#: A .tar ends in fewer zeros than this.
END_MAX = 1 << 15

_NUMBERED = re.compile("(anchors|long)/[1-9][0-9]{0,17}", re.ASCII)
_BLOB = re.compile("blobs/[0-9a-f]{64}", re.ASCII)
_FIXED = (layout.CHECKPOINT, layout.README, layout.MANIFEST, layout.EVENTS, layout.ENTRIES)


class BundleError(Exception):
    """Something in a bundle that is not as it must be. It never leaves `eventstore.bundles`."""


class Part(NamedTuple):
    """Where a file of the bundle lies."""

    path: str
    offset: int
    size: int


class BundleFiles:
    """The files of a bundle by name; `used` are those that were asked for."""

    def __init__(self, path: Path) -> None:
        """Raises `BundleError` for what no bundle holds, and `OSError`."""
        self.parts: dict[str, Part] = {}
        self.used: set[str] = set()
        for name, part in _in_folder(path, "") if path.is_dir() else _in_tar(path):
            if not _is_name(name) or len(self.parts) == FILES_MAX:
                raise BundleError(f"{name!r} is no file of a bundle, or one too many")
            self.parts[name] = part

    def names(self, prefix: str) -> list[str]:
        """The names that begin with this."""
        return [name for name in self.parts if name.startswith(prefix)]

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """A stream that stands at the begin of a file, and where in it the file ends."""
        part = self.parts.get(name)
        if part is None:
            raise BundleError(f"{name} is missing")
        self.used.add(name)
        number = os.open(part.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        stream = open(number, "rb")  # noqa: SIM115
        stream.seek(part.offset)
        return stream, part.offset + part.size

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        stream, end = self.open(name)
        with stream:
            return stream.read(min(end - stream.tell(), READ_MAX))


def _is_name(name: str) -> bool:
    if name in _FIXED or _NUMBERED.fullmatch(name) or _BLOB.fullmatch(name):
        return True
    try:
        return parse_path(name).level < 10
    except InvalidValueError:
        return False


def _in_folder(folder: Path | str, prefix: str) -> Iterator[tuple[str, Part]]:
    for entry in list(os.scandir(folder)):  # one that is not read to its end stays open
        info = entry.stat(follow_symlinks=False)
        name = prefix + entry.name
        if stat.S_ISDIR(info.st_mode):
            yield from _in_folder(entry.path, f"{name}/")
        elif stat.S_ISREG(info.st_mode):
            yield name, Part(entry.path, 0, info.st_size)
        else:
            raise BundleError(f"{name!r} is no regular file")


def _in_tar(path: Path) -> Iterator[tuple[str, Part]]:
    """The files of a .tar, one after the other, and zeros at its end.

    Programs differ in what they make of anything else (extended and sparse headers, headers that
    are damaged, what follows the end), so that one could unpack what was not checked.
    """
    last, end = "", 0
    with path.open("rb") as file:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for one in tar:
                start = end + tarfile.BLOCKSIZE
                place = (one.type, one.offset, one.offset_data)
                if place != (tarfile.REGTYPE, end, start) or one.name <= last:
                    raise BundleError(f"{one.name!r} is no plain file, or out of order")
                yield one.name, Part(str(path), start, one.size)
                last, end = one.name, start + -(-one.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        file.seek(end)
        rest = file.read(END_MAX)
    if not rest or len(rest) == END_MAX or any(rest):
        raise BundleError("the .tar goes on after its end")


def write_tar(folder: Path, out: IO[bytes]) -> None:
    """Write the files of a folder as one .tar, which follows from their names and bytes alone."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            path = folder / name
            if path.is_file():
                head = tarfile.TarInfo(name)
                head.size = path.stat().st_size
                head.mode = 0o644
                with path.open("rb") as file:
                    tar.addfile(head, file)
