"""Where entries and hashes go as events come: into tiles for a whole log, else into one file.

Of each level of tiles only the last one is held.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eventstore import merkle
from eventstore.merkle import TILE_WIDTH, Tile
from eventstore.merkle.tiles import ENTRIES

#: Entries that are held before they are written.
HELD = 1_000


class Tiling:
    """Entries 256 by 256, and the tiles of the tree over them."""

    def __init__(self, put: Callable[[str, bytes], None]) -> None:
        """`put` is given the name and the bytes of each file."""
        self._put = put
        self._records: list[bytes] = []
        self._open: list[list[bytes]] = [[]]
        self._full: list[int] = [0]

    def add(self, record: bytes, leaf: bytes) -> None:
        """Take in the next event: its entry with the length before it, and its leaf."""
        self._records.append(record)
        if len(self._records) == TILE_WIDTH:
            self._put_entries()
        self._add(0, leaf)

    def _put_entries(self) -> None:
        path = Tile(ENTRIES, self._full[0], len(self._records)).path
        self._put(path, b"".join(self._records))
        self._records.clear()

    def _add(self, level: int, hash_: bytes) -> None:
        if level == len(self._open):
            self._open.append([])
            self._full.append(0)
        tile = self._open[level]
        tile.append(hash_)
        if len(tile) == TILE_WIDTH:
            data = b"".join(tile)
            self._put(Tile(level, self._full[level]).path, data)
            self._full[level] += 1
            tile.clear()
            self._add(level + 1, merkle.subtree(data))

    def finish(self) -> None:
        """Write what is not full."""
        if self._records:
            self._put_entries()
        for level, tile in enumerate(self._open):
            if tile:
                self._put(Tile(level, self._full[level], len(tile)).path, b"".join(tile))


class OneFile:
    """Entries one after another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: list[bytes] = []
        path.touch()

    def add(self, record: bytes, leaf: bytes) -> None:
        """Take in the next event; its leaf is in the tiles already."""
        self._records.append(record)
        if len(self._records) == HELD:
            self.finish()

    def finish(self) -> None:
        """Write what is held."""
        with self._path.open("ab") as file:
            file.write(b"".join(self._records))
        self._records.clear()
