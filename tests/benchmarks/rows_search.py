"""Full-text search: making the index, and finding, beside the same query written by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import apsw
from engines import ThisEngine
from harness import Context, Row, cycle, in_turns, result, results, seconds
from peer_sessions import Hermes

from eventstore import SessionStore
from eventstore.session.commands import Message
from projections.queries.search import RANKED_MAX
from projections.search.text import set_apart

HAND = "FTS5 by hand"
#: The texts are cut, as in the long histories.
CHARACTERS = 200
#: Messages of a session.
SESSION = 1_000
#: Messages that a peer can be given in the time of the benchmark.
PEER_SHARE = 20
#: What a row is called, what is typed, and of how many messages one has it.
TERMS = (
    ("a rare term", "zeppelin", 8_000),
    ("a common term", "harbour", 3),
    ("a phrase", '"lighthouse keeper"', 200),
)
CHINESE = ("a Chinese substring", "海灯塔", 2_000)
#: Of so many messages one is Chinese.
CHINESE_SHARE = 10
LIMIT = 20
#: Characters of the messages whose file is measured.
SIZED = 616


def measure(context: Context) -> Iterator[Row]:
    """Rows of making the index, of searches, and of the size of a file with its index."""
    count = context.scale.searched
    texts = searched_texts(context.texts, count)
    with ExitStack() as stack:
        stores = _filled(context, stack, texts, (ThisSearch, HandWritten), "search")
        label = f"index of {count:,} messages built"
        for name, store in stores.items():
            yield result(label, name, "messages/s", [count / seconds(store.index)])
        label = f"search of {count:,} messages, "
        for title, typed, _ in (*TERMS, CHINESE):
            yield from _searched(context, stores, label + title, typed, newest=False)
        yield from _searched(context, stores, label + "a common term, newest", "harbour", True)
    yield from _beside_hermes(context, texts)
    yield from _sizes(context)


def searched_texts(texts: Sequence[str], count: int) -> list[str]:
    """`count` texts, some of them Chinese, with each term in its share of them."""
    chance = random.Random(1)
    found = [text[:CHARACTERS] for text in cycle(texts, 0, count)]
    for index in range(0, count, CHINESE_SHARE):
        found[index] = "".join(chr(chance.randint(0x4E00, 0x4FFF)) for _ in range(60))
    for _, typed, share in (*TERMS, CHINESE):
        for index in chance.sample(range(count), max(1, count // share)):
            text = found[index]
            place = chance.randint(0, len(text))
            found[index] = f"{text[:place]} {typed.strip(chr(34))} {text[place:]}"
    return found


class ThisSearch:
    """agent-eventstore."""

    name = ThisEngine.name

    def __init__(self, path: Path) -> None:
        self.store = SessionStore.open(path, durability="normal")

    def fill(self, texts: Sequence[str]) -> None:
        """Append without indexing."""
        for start in range(0, len(texts), SESSION):
            part = texts[start : start + SESSION]
            session = self.store.create(f"s{start // SESSION}")
            session.append_many([Message(role="user", content=text) for text in part])

    def index(self) -> None:
        """Index what was appended."""
        self.store.catch_up("search")

    def search(self, typed: str, newest: bool) -> int:
        """The number of hits."""
        return len(self.store.search(typed, newest=newest, limit=LIMIT).hits)

    def close(self) -> None:
        """Close the store."""
        self.store.close()


class HandWritten:
    """A table of messages and an FTS5 table over it: what one writes without an engine.

    The same tokenizer and detail, the same bound on what is ranked, the same number of rows; the
    text is stored set apart, which lets FTS5 find Chinese and make the snippets itself.
    """

    name = HAND

    _TABLES = (
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, session TEXT NOT NULL, "
        "seq INTEGER NOT NULL, role TEXT NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL)",
        "CREATE VIRTUAL TABLE words USING fts5 (text, content = 'messages', content_rowid = 'id', "
        "tokenize = 'unicode61 remove_diacritics 2', detail = full, columnsize = 1)",
    )
    _FOUND = (
        "SELECT m.session, m.seq, m.role, m.at, {score}, "
        "snippet(words, 0, '>', '<', '…', 32) FROM words CROSS JOIN messages AS m "
        "ON m.id = words.rowid WHERE words MATCH ?1 "
    )
    _NEWEST = _FOUND.format(score="NULL") + f"ORDER BY words.rowid DESC LIMIT {LIMIT}"
    _RANKED = (
        f"SELECT id, score FROM (SELECT rowid AS id, bm25(words) AS score FROM words "
        f"WHERE words MATCH ?1 ORDER BY rowid DESC LIMIT {RANKED_MAX}) "
        f"ORDER BY score, id DESC LIMIT {LIMIT}"
    )
    _BEST = (
        "SELECT m.session, m.seq, m.role, m.at, r.score, "
        f"snippet(words, 0, '>', '<', '…', 32) FROM ({_RANKED}) AS r CROSS JOIN words "
        "CROSS JOIN messages AS m ON m.id = r.id WHERE words MATCH ?1 AND words.rowid = r.id"
    )

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -16000"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        for table in self._TABLES:
            self._connection.execute(table)

    def fill(self, texts: Sequence[str]) -> None:
        """Insert without indexing."""
        rows = (
            (index + 1, f"s{index // SESSION}", index % SESSION + 1, "user", index, set_apart(text))
            for index, text in enumerate(texts)
        )
        with self._connection:
            self._connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", rows)

    def index(self) -> None:
        """Index what was inserted."""
        with self._connection:
            self._connection.execute(
                "INSERT INTO words (rowid, text) SELECT id, text FROM messages"
            )

    def search(self, typed: str, newest: bool) -> int:
        """The number of rows."""
        expression = '"' + set_apart(typed.strip('"')).strip() + '"'
        query = self._NEWEST if newest else self._BEST
        return len(self._connection.execute(query, (expression,)).fetchall())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class HermesSearch:
    """Hermes Agent's session database, which indexes with each append."""

    name = Hermes.name

    def __init__(self, path: Path) -> None:
        self._store = Hermes(path, "normal")

    def fill(self, texts: Sequence[str]) -> None:
        """Append, which indexes too."""
        for index, text in enumerate(texts):
            self._store.append_one(text, index // SESSION)

    def search(self, typed: str, newest: bool) -> int:
        """The number of hits, best first: it knows no other order."""
        return self._store.search(typed, LIMIT)

    def close(self) -> None:
        """Close the database."""
        self._store.close()


def _filled(
    context: Context, stack: ExitStack, texts: Sequence[str], kinds: Sequence[Any], label: str
) -> dict[str, Any]:
    """A filled store of each kind, closed with the stack."""
    stores = {}
    for kind in kinds:
        store = kind(context.folder / f"{label}-{kind.name.replace(' ', '-')}.db")
        stack.callback(store.close)
        store.fill(texts)
        stores[kind.name] = store
    return stores


def _searched(
    context: Context, stores: dict[str, Any], row: str, typed: str, newest: bool
) -> Iterator[Row]:
    """A row for each store; all must find the same number."""

    def act(store: Any) -> Callable[[int], float]:
        return lambda _: 1000 * seconds(lambda: store.search(typed, newest))

    found = {store.search(typed, newest) for store in stores.values()}
    assert len(found) == 1, (row, found)
    acts = {name: act(store) for name, store in stores.items()}
    yield from results(row, "ms", in_turns(acts, context.scale.searches))


def _beside_hermes(context: Context, texts: Sequence[str]) -> Iterator[Row]:
    """The same searches of as many messages as Hermes can be given in the time."""
    if Hermes not in context.engines:
        return
    part = texts[: max(2, len(texts) // PEER_SHARE)]
    with ExitStack() as stack:
        stores = _filled(context, stack, part, (ThisSearch, HandWritten, HermesSearch), "peers")
        for store in (stores[ThisSearch.name], stores[HAND]):
            store.index()
        for title, typed, _ in TERMS:
            row = f"search of {len(part):,} messages, {title}"
            yield from _searched(context, stores, row, typed, newest=False)


def _sizes(context: Context) -> Iterator[Row]:
    """The file of messages of one length, their index included."""
    count = context.scale.stored
    texts = sized_texts(context.texts, count)
    label = f"file, a message of {SIZED} characters, search included"
    kinds = (ThisSearch, HandWritten) + ((HermesSearch,) if Hermes in context.engines else ())
    with ExitStack() as stack:
        stores = _filled(context, stack, texts, kinds, "searched-size")
        for store in (stores[ThisSearch.name], stores[HAND]):
            store.index()
    for name in stores:
        path = context.folder / f"searched-size-{name.replace(' ', '-')}.db"
        files = [path, path.with_name(path.name + "-wal")]
        size = sum(file.stat().st_size for file in files if file.exists())
        yield result(label, name, "bytes", [size / count])


def sized_texts(texts: Sequence[str], count: int) -> list[str]:
    """`count` texts of `SIZED` characters each, cut from all the texts one after the other."""
    whole = "\n".join(texts)
    whole *= count * SIZED // len(whole) + 1
    return [whole[start : start + SIZED] for start in range(0, count * SIZED, SIZED)]
