"""The tree of a bundle, read from its tiles.

All tiles above those of leaves are there. Of those of leaves a bundle of sessions has the ones that
it needs; what they must hash to stands above them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from eventstore import merkle
from eventstore.bundles.files import BundleError, BundleFiles
from eventstore.merkle import HASH_BYTES, TILE_WIDTH, Tile
from eventstore.merkle.tiles import TILE_HEIGHT

LEVELS_MAX = 8


class BundleTree:
    """The tree of the first `size` events of a log; `fault` is told what does not fit."""

    def __init__(
        self, files: BundleFiles, size: int, whole: bool, fault: Callable[[bool, str], None]
    ) -> None:
        """Raises `BundleError` when tiles are missing or have another size than they must have."""
        self.size = size
        self.whole = whole
        self._files = files
        self._fault = fault
        self._hashes = lru_cache(maxsize=1024)(self._read)
        for level in range(LEVELS_MAX - 1, 0, -1):
            for number in range(-(-self._count(level) // TILE_WIDTH)):
                self._check_above(level, number)

    def _count(self, level: int) -> int:
        """How many hashes a level has."""
        return self.size >> TILE_HEIGHT * level

    def tile(self, level: int, number: int) -> Tile:
        """A tile with the width that it has in this tree."""
        return Tile(level, number, min(TILE_WIDTH, self._count(level) - number * TILE_WIDTH))

    def _read(self, level: int, number: int) -> bytes:
        tile = self.tile(level, number)
        data = self._files.read(tile.path)
        if len(data) != tile.width * HASH_BYTES:
            raise BundleError(f"{tile.path} has not {tile.width} hashes")
        if level == 0 and tile.width == TILE_WIDTH:
            above = self._hashes(1, number // TILE_WIDTH)
            place = number % TILE_WIDTH * HASH_BYTES
            right = merkle.subtree(data) == above[place : place + HASH_BYTES]
            self._fault(right, f"{tile.path} is not what stands above it")
        return data

    def _check_above(self, level: int, number: int) -> None:
        """Compare a tile of an upper level with the tiles below it."""
        hashes = self._hashes(level, number)
        if level == 1:
            return
        for index in range(len(hashes) // HASH_BYTES):
            below = self._hashes(level - 1, number * TILE_WIDTH + index)
            if merkle.subtree(below) != hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]:
                raise BundleError(f"the tiles of level {level} are not those below")

    def leaf(self, position: int) -> bytes:
        """The leaf of an event."""
        number, index = divmod(position - 1, TILE_WIDTH)
        return self._hashes(0, number)[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    def has_end(self, size: int) -> bool:
        """Whether the tree as it was at this size can be computed."""
        if self.whole or size % TILE_WIDTH == 0:
            return True
        return self.tile(0, size // TILE_WIDTH).path in self._files.parts

    def root(self, size: int) -> bytes:
        """The root over the first events."""
        return merkle.root_of(size, self._hash)

    def _hash(self, level: int, index: int) -> bytes:
        tile_level, number, first, count = merkle.tile_of(level, index)
        hashes = self._hashes(tile_level, number)
        return merkle.subtree(hashes[first * HASH_BYTES : (first + count) * HASH_BYTES])
