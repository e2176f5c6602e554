"""A damaged SQLite file as pages: which leaves of tables are alive, and the cells on them.

Nothing here trusts the trees: a leaf is read wherever it lies, so it does not matter whether the
pages that led to it can be read. That a page is in use is told by the pointer map, which every
store has, and by the list of free pages; what they say is free is never read. The file is opened
through SQLite's own file layer, which keeps the locks that this process may hold on it.

Format: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import apsw

from eventstore.errors import StoreError, StoreMissingError
from eventstore.log import wal

MAGIC = b"SQLite format 3\0"
PAGE_SIZE = 4096

#: A page that SQLite never uses: the one that holds the bytes of its locks.
LOCKS_AT = 1 << 30

#: Pages that are read at once where all are looked at.
STRETCH = 256

_TABLE_LEAF = 0x0D
_ROOT, _FREE, _TREE = 1, 2, 5
_KINDS = frozenset(range(1, 6))


class Cell(NamedTuple):
    """A row as it lies on a leaf: its rowid, and the bytes of its record."""

    rowid: int
    payload: bytes


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, and the offset after it; raises `IndexError` at the end."""
    value = 0
    for step in range(8):
        byte = data[at + step]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


class Image:
    """The pages of a file, with those of its write-ahead log in their places."""

    def __init__(self, path: str) -> None:
        self._file = _opened(path, apsw.SQLITE_OPEN_MAIN_DB)
        self._log: apsw.VFSFile | None = None
        try:
            size = self._file.xFileSize()
            head = self._file.xRead(100, 0) if size >= 100 else b""
            #: Whether the header of the file can be read.
            self.has_header = head[:16] == MAGIC
            self.page_size = int.from_bytes(head[16:18], "big") if self.has_header else PAGE_SIZE
            self.page_size = 65536 if self.page_size == 1 else self.page_size
            if self.page_size not in {1 << power for power in range(9, 17)}:
                self.page_size = PAGE_SIZE
            self.usable = self.page_size - (head[20] if self.has_header else 0)
            #: Whether the file has a pointer map; taken for granted where that cannot be read.
            self.is_mapped = not self.has_header or any(head[52:56])
            self.count = size // self.page_size
            self._frames: dict[int, int] = {}
            if Path(f"{path}-wal").exists():
                self._read_log(f"{path}-wal")
            self._free = self._free_pages(head) if self.has_header else set()
        except BaseException as error:
            self.close()
            if isinstance(error, apsw.Error | struct.error):  # which is told of what is cut short
                raise StoreError(f"{path} cannot be read: {error}") from error
            raise
        self._maps: dict[int, bytes | None] = {}

    def _read_log(self, path: str) -> None:
        log = self._log = _opened(path, apsw.SQLITE_OPEN_WAL)
        frames = wal.committed(
            lambda offset, amount: log.xRead(amount, offset), log.xFileSize(), self.page_size
        )
        self._frames = frames.offsets
        self.count = self.count if frames.pages is None else frames.pages

    def close(self) -> None:
        """Close the files."""
        for file in (self._file, self._log):
            if file is not None:
                file.xClose()

    def page(self, number: int) -> bytes:
        """A page, empty when it cannot be read."""
        if not 0 < number <= self.count:
            return b""
        with suppress(apsw.IOError):
            if number in self._frames and self._log is not None:
                return self._log.xRead(self.page_size, self._frames[number])
            return self._file.xRead(self.page_size, (number - 1) * self.page_size)
        return b""

    def each(self) -> Iterator[tuple[int, bytes]]:
        """Every page with its number, in order; many are read at once."""
        for first in range(1, self.count + 1, STRETCH):
            last = min(first + STRETCH, self.count + 1)
            data = b""
            with suppress(apsw.IOError):
                amount = (last - first) * self.page_size
                data = self._file.xRead(amount, (first - 1) * self.page_size)
            for number in range(first, last):
                at = (number - first) * self.page_size
                page = data[at : at + self.page_size]
                if number in self._frames or len(page) < self.page_size:
                    page = self.page(number)
                yield number, page

    # -- which pages are in use --------------------------------------------------------------

    def _free_pages(self, head: bytes) -> set[int]:
        """The pages in the list of free ones, as far as it can be followed."""
        free: set[int] = set()
        first = self.page(1) or head
        trunk = int.from_bytes(first[32:36], "big")
        while 0 < trunk <= self.count and trunk not in free:
            data = self.page(trunk)
            leaves = int.from_bytes(data[4:8], "big")
            if not data or leaves > self.usable // 4 - 2:
                break
            free.add(trunk)
            for at in range(8, 8 + 4 * leaves, 4):
                free.add(int.from_bytes(data[at : at + 4], "big"))
            trunk = int.from_bytes(data[:4], "big")
        return free

    def map_page(self, number: int) -> int:
        """The page of the pointer map that tells of a page."""
        span = self.usable // 5 + 1
        found = (number - 2) // span * span + 2
        return found + 1 if found == LOCKS_AT // self.page_size + 1 else found

    def _map(self, number: int) -> bytes | None:
        """A page of the pointer map, None when it is damaged."""
        if number not in self._maps:
            data = self.page(number)
            entries = min(self.usable // 5, self.count - number)
            sound = len(data) == self.page_size and all(
                data[at] in _KINDS and int.from_bytes(data[at + 1 : at + 5], "big") <= self.count
                for at in range(0, entries * 5, 5)
                if number + at // 5 + 1 != LOCKS_AT // self.page_size + 1
            )
            self._maps[number] = data if sound else None
        return self._maps[number]

    def is_leaf_alive(self, number: int) -> bool:
        """Whether a page can be a leaf that is in use."""
        if number in self._free:
            return False
        if not self.is_mapped or number < 3:
            return True
        where = self.map_page(number)
        data = None if where == number else self._map(where)
        if data is None:
            return where != number
        return data[(number - where - 1) * 5] in (_ROOT, _TREE)

    # -- cells -------------------------------------------------------------------------------

    def cells(self, number: int) -> Iterator[Cell]:
        """The rows on a page, none when it is no leaf of a table; damaged ones are left out."""
        data = self.page(number)
        start = 100 if number == 1 else 0
        if len(data) < self.page_size or data[start] != _TABLE_LEAF:
            return
        count = int.from_bytes(data[start + 3 : start + 5], "big")
        if start + 8 + 2 * count > self.usable:
            return
        for at in range(start + 8, start + 8 + 2 * count, 2):
            offset = int.from_bytes(data[at : at + 2], "big")
            if start + 8 + 2 * count <= offset < self.usable:
                cell = self._cell(data, offset)
                if cell is not None:
                    yield cell

    def _cell(self, data: bytes, offset: int) -> Cell | None:
        try:
            size, at = varint(data, offset)
            rowid, at = varint(data, at)
        except IndexError:
            return None
        if not 0 <= size <= self.count * self.usable:
            return None
        local = self._local(size)
        if at + local + (4 if local < size else 0) > self.usable:
            return None
        payload = [data[at : at + local]]
        left, following = size - local, int.from_bytes(data[at + local : at + local + 4], "big")
        while left:
            page = self.page(following)
            if not page or following in self._free:
                return None
            payload.append(page[4 : 4 + min(left, self.usable - 4)])
            left -= len(payload[-1])
            following = int.from_bytes(page[:4], "big")
        return Cell(rowid, b"".join(payload))

    def _local(self, size: int) -> int:
        """How many bytes of a record of this size lie on the leaf itself."""
        most = self.usable - 35
        if size <= most:
            return size
        least = (self.usable - 12) * 32 // 255 - 23
        kept = least + (size - least) % (self.usable - 4)
        return kept if kept <= most else least


def _opened(path: str, kind: int) -> apsw.VFSFile:
    if not Path(path).is_file():
        raise StoreMissingError(f"there is no file {path}")
    try:
        return apsw.VFSFile("", str(Path(path).absolute()), [kind | apsw.SQLITE_OPEN_READONLY, 0])
    except apsw.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}") from error
