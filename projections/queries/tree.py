"""Reading the tree: the hash of any full subtree, from tiles where they are, else from the leaves.

What the tiles do not have yet, or all of it where there are none, is hashed from the log. So roots
and proofs are right wherever the tree has come to, and quick where it is near.
"""

from __future__ import annotations

from collections.abc import Iterator

import apsw

from eventstore.errors import CorruptStoreError
from eventstore.log.engine import rows_of
from eventstore.merkle import (
    HASH_BYTES,
    CompactRange,
    Tile,
    node_hash,
    subtree,
    tile_of,
    tiles_of,
)
from eventstore.merkle.tiles import TILE_HEIGHT, TILE_WIDTH

_TILE = "SELECT hashes FROM tiles WHERE level = ? AND number = ?"
_LEAVES = "SELECT leaf FROM events WHERE position BETWEEN ? AND ? ORDER BY position"

#: Leaves fetched by one statement.
PAGE = 10_000


class TileReader:
    """The hash of any full subtree; see `eventstore.merkle.HashReader`.

    `reached` is the position up to which the tiles may be believed, 0 for not at all. What was read
    and hashed is kept, so one serves for as long as the snapshot that it reads in.
    """

    def __init__(self, connection: apsw.Connection, reached: int) -> None:
        self._connection = connection
        self._reached = reached
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._made: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Raises `CorruptStoreError` when the log has no such leaves."""
        made = self._made.get((level, index))
        if made is None:
            made = self._made[level, index] = self._make(level, index)
        return made

    def _make(self, level: int, index: int) -> bytes:
        tile_level, number, first, count = tile_of(level, index)
        hashes = self._hashes(tile_level, number)[first * HASH_BYTES : (first + count) * HASH_BYTES]
        if len(hashes) == count * HASH_BYTES:
            return subtree(hashes)
        if level > TILE_HEIGHT:
            return node_hash(self(level - 1, 2 * index), self(level - 1, 2 * index + 1))
        begin = index << level
        return subtree(b"".join(leaves(self._connection, begin, begin + (1 << level))))

    def _hashes(self, level: int, number: int) -> bytes:
        """What the tiles have at this place, none if it is not there."""
        kept = self._tiles.get((level, number))
        if kept is None:
            kept = b""
            if number << TILE_HEIGHT * (level + 1) < self._reached:
                found = self._connection.execute(_TILE, (level, number)).get
                kept = found if isinstance(found, bytes) else b""
            self._tiles[level, number] = kept
        return kept

    def tiles(self, size: int) -> Iterator[tuple[Tile, bytes]]:
        """Every tile of the tree of the first `size` leaves, with its hashes one after another."""
        for tile in tiles_of(size):
            yield tile, self.tile(tile)

    def tile(self, tile: Tile) -> bytes:
        """The hashes of one tile, one after another."""
        found = self._hashes(tile.level, tile.number)[: tile.width * HASH_BYTES]
        if len(found) == tile.width * HASH_BYTES:
            return found
        begin = tile.number * TILE_WIDTH
        level = TILE_HEIGHT * tile.level
        return b"".join(self(level, at) for at in range(begin, begin + tile.width))


def leaves(connection: apsw.Connection, begin: int, end: int) -> Iterator[bytes]:
    """The leaves begin … end - 1 of the tree, from the log itself.

    Raises `CorruptStoreError` when one is not there.
    """
    while begin < end:
        upto = min(end, begin + PAGE)
        rows = rows_of(connection, _LEAVES, (begin + 1, upto))
        if len(rows) != upto - begin:
            raise CorruptStoreError(
                f"the log has {len(rows)} events at the positions {begin + 1} to {upto}"
            )
        for (leaf,) in rows:
            yield leaf
        begin = upto


def grow(tree: CompactRange, connection: apsw.Connection, size: int) -> None:
    """Let a tree grow to `size` leaves by those of the log itself, not of the tiles."""
    for leaf in leaves(connection, tree.size, size):
        tree.append(leaf)
