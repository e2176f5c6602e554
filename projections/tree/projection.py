"""The Merkle tree over the leaves of the log: leaf ``position - 1`` is that of the event there.

At position P, level l of the tiles has ``P // 256**l`` hashes: what is stored follows from the
leaves and the position alone, wherever pages ended. A tile is rewritten until it is full, and never
again. Appends pay nothing: the tree is caught up before it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import apsw

from eventstore.log.port import Recorded
from eventstore.merkle import HASH_BYTES, TILE_WIDTH, subtree
from projections.base import Projection

_SELECT = "SELECT hashes FROM {tiles} WHERE level = ? AND number = ?"
_UPSERT = (
    "INSERT INTO {tiles} (level, number, hashes) VALUES (?, ?, ?) "
    "ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes"
)

_TILE_BYTES = TILE_WIDTH * HASH_BYTES


class Tree(Projection):
    """The table `tiles`."""

    name = "tree"
    tables = ("tiles",)
    schema = (files("projections.tree") / "tree.sql").read_text(encoding="utf-8")

    def prepare(self) -> None:
        """Fill in the table names."""
        self._select, self._upsert = self.sql(_SELECT), self.sql(_UPSERT)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Add the leaves, and the hashes of the tiles that they fill to the level above."""
        size = events[0].position - 1
        if events[-1].position - size != len(events):
            raise ValueError("the log's positions have a gap")
        hashes = b"".join(recorded.leaf for recorded in events)
        level = 0
        while hashes:
            hashes = self._extend(connection, level, size, hashes)
            level, size = level + 1, size // TILE_WIDTH

    def _extend(self, connection: apsw.Connection, level: int, size: int, hashes: bytes) -> bytes:
        """Add hashes to a level that has `size` of them; those of the tiles that are full now."""
        number, width = divmod(size, TILE_WIDTH)
        if width:
            kept = connection.execute(self._select, (level, number)).get
            if not isinstance(kept, bytes) or len(kept) != width * HASH_BYTES:
                raise ValueError(f"tile {number} of level {level} does not have {width} hashes")
            hashes = kept + hashes
        tiles = [hashes[at : at + _TILE_BYTES] for at in range(0, len(hashes), _TILE_BYTES)]
        rows = [(level, number + at, tile) for at, tile in enumerate(tiles)]
        connection.executemany(self._upsert, rows)
        return b"".join(subtree(tile) for tile in tiles if len(tile) == _TILE_BYTES)
