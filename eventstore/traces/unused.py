"""The bytes of a SQLite file that no row uses, and that are not zero.

With ``secure_delete`` SQLite overwrites what it frees, but a page whose rows move to another one
keeps copies of them between its pointers and its first row. Such a stretch, a free page, and the
end of the last overflow page of a row are all that can hold text which no query finds. What a file
holds in rows is told by queries, not here. Not looked at are single stretches of at most three
bytes inside a page, which SQLite only counts, and the pages of the schema, whose rows are this
program's own words.

Pages are read through SQLite's own file layer (`eventstore.log.pages`), those of the write-ahead
log in their places. Format: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

from eventstore.log.pages import LOCKS_AT, Image, varint

_ROOT, _FREE, _OVERFLOW, _TREE = 1, 2, 3, 5
_INDEX_INNER, _TABLE_INNER, _TABLE_LEAF = 2, 5, 13

_map = struct.Struct(">BI").iter_unpack
#: Of a page of a tree: its kind, its first free block, its cells, where their content begins.
_head = struct.Struct(">BHHH").unpack_from
_block = struct.Struct(">HH").unpack_from


#: What the pointer map says of a page: its kind, and the page that refers to it.
_Entry: TypeAlias = tuple[int, int]


def stretches(image: Image) -> Iterator[bytes]:
    """Every stretch of unused bytes that is not zero, without the zeros at its ends.

    The file must have a pointer map (`Image.is_mapped`).
    """
    entries = _entries(image)
    spilling = {parent for kind, parent in entries.values() if kind == _OVERFLOW}
    trunks, schema = _trunks(image), _schema(entries)
    for number, data in image.each():
        kind = entries.get(number, (0, 0))[0]
        if kind == _FREE:
            found = [_of_trunk(image, data) if number in trunks else data]
        elif kind in (_ROOT, _TREE) and number not in schema:
            found = _of_tree_page(image, data, number in spilling)
        else:
            continue
        for stretch in found:
            bare = stretch.strip(b"\0")
            if bare:
                yield bare


def _entries(image: Image) -> dict[int, _Entry]:
    """What the pointer map says of every page but its own."""
    found: dict[int, _Entry] = {1: (_ROOT, 0)}
    locks = LOCKS_AT // image.page_size + 1
    number = 2
    while number < image.count:
        data = image.page(number)
        entries = min(image.usable // 5, image.count - number)
        for index, (kind, parent) in enumerate(_map(data[: entries * 5])):
            found[number + 1 + index] = (kind, parent)
        number = image.map_page(number + image.usable // 5 + 1)
    found.pop(locks, None)
    return found


def _schema(entries: dict[int, _Entry]) -> set[int]:
    """The pages of the schema's tree, whose root is the first page."""
    pages, grown = {1}, True
    while grown:
        size = len(pages)
        pages |= {
            one for one, (kind, parent) in entries.items() if kind == _TREE and parent in pages
        }
        grown = len(pages) > size
    return pages


# -- free pages --------------------------------------------------------------------------------


def _trunks(image: Image) -> set[int]:
    """The free pages that list the others."""
    found: set[int] = set()
    number = int.from_bytes(image.page(1)[32:36], "big")
    while 0 < number <= image.count and number not in found:
        found.add(number)
        number = int.from_bytes(image.page(number)[:4], "big")
    return found


def _of_trunk(image: Image, data: bytes) -> bytes:
    """What lies behind the list; numbers of pages that were taken from it stay there."""
    leaves = int.from_bytes(data[4:8], "big")
    rest = data[8 + 4 * leaves :]
    words = (rest[at : at + 4] for at in range(0, len(rest), 4))
    return b"".join(
        b"\0\0\0\0" if int.from_bytes(one, "big") <= image.count else one for one in words
    )


# -- pages of trees ----------------------------------------------------------------------------


def _of_tree_page(image: Image, data: bytes, spills: bool) -> list[bytes]:
    kind, block, cells, first = _head(data)
    pointers = 12 if kind in (_INDEX_INNER, _TABLE_INNER) else 8
    found = [data[pointers + 2 * cells : first or 65536], data[image.usable :]]
    while block:
        following, size = _block(data, block)
        found.append(data[block + 4 : block + size])
        block = following if following > block else 0
    if spills and kind != _TABLE_INNER:
        for at in range(pointers, pointers + 2 * cells, 2):
            found.append(_behind(image, data, kind, int.from_bytes(data[at : at + 2], "big")))
    return found


def _behind(image: Image, data: bytes, kind: int, at: int) -> bytes:
    """What lies behind the end of a row, in the last of its overflow pages."""
    size, at = varint(data, at + (4 if kind == _INDEX_INNER else 0))
    if kind == _TABLE_LEAF:
        at = varint(data, at)[1]
    local = _local(image.usable, kind, size)
    left, room = size - local, image.usable - 4
    if not left:
        return b""
    page = int.from_bytes(data[at + local : at + local + 4], "big")
    while left > room:
        page = int.from_bytes(image.page(page)[:4], "big")
        left -= room
    return image.page(page)[4 + left :]


def _local(usable: int, kind: int, size: int) -> int:
    """How many bytes of a row of this size lie on the page of the tree itself."""
    most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    kept = least + (size - least) % (usable - 4)
    return kept if kept <= most else least
