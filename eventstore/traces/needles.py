"""What to look for after an erasure, gathered in its transaction while it is still there.

Of each event: every string and long number of its content as its JSON has it, the salt, the digest
and the text of a blob, the digest of a title, and the words as the full-text indexes hold them. It
is kept in memory until the file was searched, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apsw

from eventstore import claims, codec
from eventstore.events.catalogue import TitleSet
from eventstore.log import blobs, reading
from projections.search.text import set_apart

#: Shorter texts are not looked for: they are in every file by chance.
BYTES_MIN = 4

#: A longer text is looked for by every stretch of this many bytes …
WINDOW = 16
#: … among stretches of the file that begin at each eighth byte, so no more than 22 in a row escape.
STEP = 8

#: Stretches that are looked at together.
HEAP = 5_000

#: Of a longer text only so much is kept: what unused bytes hold of a row is less than a page of it.
KEPT_MAX = 16 * 1024

#: Words of one text that are looked for; beyond that it is found by its stretches.
WORDS_MAX = 10_000

_CONTENTS = (
    "SELECT e.type, c.salt, c.body FROM events AS e JOIN contents AS c ON c.position = e.position "
    "WHERE e.position IN (SELECT value FROM json_each(?)) AND c.body IS NOT NULL"
)
_INDEXES = ("search_index", "activity_index")
_EXISTS = "SELECT 1 FROM sqlite_schema WHERE name = ?"
_VOCABULARY = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.words_in_{0} USING fts5vocab (main, {0}, row)"
)
_HAS = "SELECT 1 FROM temp.words_in_{0} WHERE term = ?"


class Needles:
    """Byte strings that must not be found: `texts`, and `words` unless an index still has them."""

    def __init__(self) -> None:
        self.texts: set[bytes] = set()
        self.words: set[str] = set()

    def add(self, other: Needles) -> None:
        """Look for what the other looks for, too."""
        self.texts |= other.texts
        self.words |= other.words


def gather(connection: apsw.Connection, positions: Sequence[int], names: Iterable[str]) -> Needles:
    """What to look for of these events, whose content is still there, and of session ids."""
    needles = Needles()
    fetch = reading.blob_fetcher(connection)
    split = _splitter(connection)
    listed = codec.encode(positions).decode()
    for name, salt, body in connection.execute(_CONTENTS, (listed,)):
        needles.texts.add(salt)
        data = body.encode()
        for digest in blobs.digests_in(data):
            blob = fetch(digest) or b""
            needles.texts |= {digest, blob[:KEPT_MAX]}
            needles.words.update(split(blob.decode("utf-8", "surrogatepass"))[:WORDS_MAX])
        for text in strings_in(codec.decode(data)):
            needles.texts.add(_as_stored(text))
            needles.words.update(split(text)[:WORDS_MAX])
            if name == TitleSet.type:
                needles.texts.add(claims.digest_of(text))
    for name in names:
        needles.texts.add(name.encode("utf-8", "surrogatepass"))
    needles.texts = {text for text in needles.texts if len(text) >= BYTES_MIN}
    needles.words = {word for word in needles.words if len(word.encode()) >= BYTES_MIN}
    return needles


def of_replaced(
    connection: apsw.Connection, texts: Iterable[str], before: Any, after: Any
) -> Needles:
    """What to look for when these texts were taken out of content; JSON `before` is now `after`."""
    needles = Needles()
    for text in texts:
        needles.texts.update((_as_stored(text), text[:KEPT_MAX].encode("utf-8", "surrogatepass")))
    split = _splitter(connection)
    left = {word for text in strings_in(after) for word in split(text)}
    gone = {word for text in strings_in(before) for word in split(text)} - left
    needles.words = {word for word in gone if len(word.encode()) >= BYTES_MIN}
    needles.texts = {text for text in needles.texts if len(text) >= BYTES_MIN}
    return needles


def strings_in(value: Any, *, keys: bool = False) -> Iterator[str]:
    """Every string in a JSON value and the numbers as they are written; with `keys` these too."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            waiting.extend(node.values())
            if keys:
                waiting.extend(node)
        elif isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, int | float) and not isinstance(node, bool):
            yield str(node)


def _as_stored(text: str) -> bytes:
    """A string as it stands in a stored body."""
    return codec.encode(text[:KEPT_MAX])[1:-1]


def _splitter(connection: apsw.Connection) -> Callable[[str], list[str]]:
    """A function that gives the words of a text as the indexes hold them."""
    tokenize = connection.fts5_tokenizer("unicode61", ["remove_diacritics", "2"])

    def split(text: str) -> list[str]:
        found = tokenize(
            set_apart(text).encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None,
            include_offsets=False, include_colocated=False,
        )  # fmt: skip
        return [word for word in found if isinstance(word, str)]

    return split


def known(connection: apsw.Connection, words: Iterable[str]) -> set[str]:
    """Those of the words that an index has."""
    there = [name for name in _INDEXES if connection.execute(_EXISTS, (name,)).get]
    for name in there:
        connection.execute(_VOCABULARY.format(name))
    return {
        word
        for word in words
        if any(connection.execute(_HAS.format(name), (word,)).get for name in there)
    }


def found_in(stretches: Iterable[bytes], wanted: Iterable[bytes]) -> set[bytes]:
    """Those of the wanted byte strings that are among these stretches, whole or in part."""
    wanted = set(wanted)
    found: set[bytes] = set()
    for heap in _heaps(stretches):
        places = range(len(heap) - BYTES_MIN + 1)
        beginnings = {heap[at : at + BYTES_MIN] for at in places}
        windows = {heap[at : at + WINDOW] for at in places[::STEP]}
        found |= {one for one in wanted if _is_in(one, heap, beginnings, windows)}
    return found


def _heaps(stretches: Iterable[bytes]) -> Iterator[bytes]:
    """The stretches, many at a time, so that memory stays small."""
    heap: list[bytes] = []
    for stretch in stretches:
        heap.append(stretch)
        if len(heap) >= HEAP:
            yield b"\0\0\0\0".join(heap)
            heap.clear()
    yield b"\0\0\0\0".join(heap)


def _is_in(needle: bytes, heap: bytes, beginnings: set[bytes], windows: set[bytes]) -> bool:
    if len(needle) < WINDOW + STEP:
        # Looking for the beginning first is a thousand times faster than looking through the heap.
        return needle[:BYTES_MIN] in beginnings and needle in heap
    return any(needle[at : at + WINDOW] in windows for at in range(len(needle) - WINDOW + 1))
