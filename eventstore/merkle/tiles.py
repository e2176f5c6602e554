"""Tiles: 256 consecutive hashes of every eighth level, and their paths (C2SP tlog-tiles).

The hash i of the tile ``(level, number)`` is over ``256 ** level`` leaves, from the leaf
``(number * 256 + i) * 256 ** level`` on. The last tile of a level may be partial. What lies between
two levels of tiles is hashed from the lower one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from eventstore.errors import InvalidValueError
from eventstore.merkle.hashing import HASH_BYTES

#: Hashes of a full tile, and how many levels of the tree it spans.
TILE_WIDTH = 256
TILE_HEIGHT = 8

#: In the place of a level: a bundle of the entries themselves, 256 of them at most.
ENTRIES = -1

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<number>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


class Tile(NamedTuple):
    """A tile's place, and how many hashes it has. `level` is `ENTRIES` for a bundle of entries."""

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """``tile/<level>/<number>``, with ``.p/<width>`` for a partial one: its file's name."""
        groups = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            groups.append(f"x{rest % 1000:03}")
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def parse_path(path: str) -> Tile:
    """The tile that a path names; each tile has one path only.

    Raises `InvalidValueError` for any other text.
    """
    found = _PATH.fullmatch(path)
    if found is not None:
        level = ENTRIES if found["level"] == "entries" else int(found["level"])
        number = int(found["number"].replace("x", "").replace("/", ""))
        width = TILE_WIDTH if found["width"] is None else int(found["width"])
        tile = Tile(level, number, width)
        if level < 64 and width <= TILE_WIDTH and tile.path == path:
            return tile
    raise InvalidValueError(f"{path!r} is no path of a tile")


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of the tree of `size` leaves, level by level from the leaves on."""
    level = 0
    while size:
        full, partial = divmod(size, TILE_WIDTH)
        for number in range(full):
            yield Tile(level, number)
        if partial:
            yield Tile(level, full, partial)
        level, size = level + 1, full


def tile_of(level: int, index: int) -> tuple[int, int, int, int]:
    """Where the hash at ``(level, index)`` of the tree comes from.

    That is ``(level of the tile, number of the tile, first hash in it, how many)``: hashing those
    together gives it; where it is one, that is it.
    """
    above = level % TILE_HEIGHT
    first = index << above
    return level // TILE_HEIGHT, first // TILE_WIDTH, first % TILE_WIDTH, 1 << above


def subtree(hashes: bytes) -> bytes:
    """The root over 1, 2, 4 … 256 hashes, given as one string of bytes."""
    while len(hashes) > HASH_BYTES:
        pairs = range(0, len(hashes), 2 * HASH_BYTES)
        hashes = b"".join(
            [sha256(b"\x01" + hashes[at : at + 2 * HASH_BYTES]).digest() for at in pairs]
        )
    return hashes
