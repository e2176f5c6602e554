"""The write-ahead log beside a damaged file: its frames up to the last commit that is whole.

A frame counts when its salts are the log's and its checksum, which is over everything before it as
well, holds. Frames of an earlier use of the log, which can hold what was erased since, never do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24

_header = struct.Struct(">IIIIIIII").unpack
_frame = struct.Struct(">IIIIII").unpack
_MAGIC = 0x377F0682
_MASK = 0xFFFFFFFF


class Frames(NamedTuple):
    """Where the newest committed content of pages is in the log, and how many pages there are.

    `pages` is None when the log has no commit.
    """

    offsets: dict[int, int]
    pages: int | None


def committed(read: Callable[[int, int], bytes], size: int, page_size: int) -> Frames:
    """The frames of a log of `size` bytes; `read(offset, bytes)` reads it."""
    if size < HEADER_BYTES:
        return Frames({}, None)
    data = read(0, HEADER_BYTES)
    magic, _, frame_page, _, salt_1, salt_2, sum_1, sum_2 = _header(data)
    order = ">" if magic & 1 else "<"
    sums = _checksum((0, 0), data[:24], order)
    if magic & ~1 != _MAGIC or frame_page != page_size or sums != (sum_1, sum_2):
        return Frames({}, None)
    offsets: dict[int, int] = {}
    waiting: dict[int, int] = {}
    pages: int | None = None
    offset = HEADER_BYTES
    while offset + FRAME_HEADER_BYTES + page_size <= size:
        head = read(offset, FRAME_HEADER_BYTES)
        body = read(offset + FRAME_HEADER_BYTES, page_size)
        number, end, one, two, sum_1, sum_2 = _frame(head)
        sums = _checksum(_checksum(sums, head[:8], order), body, order)
        if (one, two) != (salt_1, salt_2) or sums != (sum_1, sum_2):
            break
        waiting[number] = offset + FRAME_HEADER_BYTES
        if end:
            offsets.update(waiting)
            waiting, pages = {}, end
        offset += FRAME_HEADER_BYTES + page_size
    return Frames(offsets, pages)


def _checksum(sums: tuple[int, int], data: bytes, order: str) -> tuple[int, int]:
    """SQLite's checksum of a log, taken further over `data`."""
    one, two = sums
    words = chain(struct.unpack(f"{order}{len(data) // 4}I", data))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & _MASK
        two = (two + second + one) & _MASK
    return one, two
