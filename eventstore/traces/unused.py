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

from collections.abc import Iterator
from typing import NamedTuple

from eventstore.errors import CorruptStoreError
from eventstore.log.pages import LOCKS_AT, Image, varint

_ROOT, _FREE, _OVERFLOW, _TREE = 1, 2, 3, 5
_INDEX_INNER, _TABLE_INNER, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13


class _Entry(NamedTuple):
    """What the pointer map says of a page."""

    number: int
    kind: int
    parent: int


def stretches(image: Image) -> Iterator[bytes]:
    """Every stretch of unused bytes that is not zero, without the zeros at its ends.

    The file must have a pointer map (`Image.is_mapped`). Raises `CorruptStoreError` for a page that
    cannot be read: what is not seen is not clean.
    """
    entries = list(_entries(image))
    spilling = {entry.parent for entry in entries if entry.kind == _OVERFLOW}
    trunks, schema = _trunks(image), _schema(entries)
    for number, kind, _ in entries:
        if kind not in (_ROOT, _FREE, _TREE) or number in schema:
            continue
        data = _page(image, number)
        if number in trunks:
            found = _of_trunk(image, data)
        elif kind == _FREE:
            found = iter((data,))
        else:
            found = _of_tree_page(image, number, data, number in spilling)
        for stretch in found:
            bare = stretch.strip(b"\0")
            if bare:
                yield bare


def _page(image: Image, number: int) -> bytes:
    data = image.page(number)
    if len(data) != image.page_size:
        raise CorruptStoreError(f"page {number} cannot be read, so it may hold what was erased")
    return data


def _entries(image: Image) -> Iterator[_Entry]:
    """The kind of every page, those of the map itself aside."""
    yield _Entry(1, _ROOT, 0)
    locks = LOCKS_AT // image.page_size + 1
    number, where, data = 3, 0, b""
    while number <= image.count:
        if number != locks:
            found = image.map_page(number)
            if found != where:
                where, data = found, _page(image, found)
            if found != number:
                at = (number - where - 1) * 5
                yield _Entry(number, data[at], int.from_bytes(data[at + 1 : at + 5], "big"))
        number += 1


def _schema(entries: list[_Entry]) -> set[int]:
    """The pages of the schema's tree, whose root is the first page."""
    pages, grown = {1}, True
    while grown:
        size = len(pages)
        pages |= {one.number for one in entries if one.kind == _TREE and one.parent in pages}
        grown = len(pages) > size
    return pages


# -- free pages --------------------------------------------------------------------------------


def _trunks(image: Image) -> set[int]:
    """The free pages that list the others."""
    found: set[int] = set()
    number = int.from_bytes(_page(image, 1)[32:36], "big")
    while 0 < number <= image.count and number not in found:
        found.add(number)
        number = int.from_bytes(_page(image, number)[:4], "big")
    return found


def _of_trunk(image: Image, data: bytes) -> Iterator[bytes]:
    """What lies behind the list; numbers of pages that were taken from it stay there."""
    leaves = int.from_bytes(data[4:8], "big")
    rest = data[8 + 4 * leaves :]
    words = (rest[at : at + 4] for at in range(0, len(rest), 4))
    yield b"".join(b"\0\0\0\0" if int.from_bytes(one, "big") <= image.count else one
                   for one in words)  # fmt: skip


# -- pages of trees ----------------------------------------------------------------------------


def _of_tree_page(image: Image, number: int, data: bytes, spills: bool) -> Iterator[bytes]:
    start = 100 if number == 1 else 0
    kind = data[start]
    pointers = start + (12 if kind in (_INDEX_INNER, _TABLE_INNER) else 8)
    cells = int.from_bytes(data[start + 3 : start + 5], "big")
    first = int.from_bytes(data[start + 5 : start + 7], "big") or 65536
    yield data[pointers + 2 * cells : first]
    block = int.from_bytes(data[start + 1 : start + 3], "big")
    while block:
        size = int.from_bytes(data[block + 2 : block + 4], "big")
        yield data[block + 4 : block + size]
        following = int.from_bytes(data[block : block + 2], "big")
        block = following if following > block else 0
    yield data[image.usable :]
    if spills and kind != _TABLE_INNER:
        for at in range(pointers, pointers + 2 * cells, 2):
            yield _behind(image, data, kind, int.from_bytes(data[at : at + 2], "big"))


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
        page = int.from_bytes(_page(image, page)[:4], "big")
        left -= room
    return _page(image, page)[4 + left :]


def _local(usable: int, kind: int, size: int) -> int:
    """How many bytes of a row of this size lie on the page of the tree itself."""
    most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    kept = least + (size - least) % (usable - 4)
    return kept if kept <= most else least
