"""The full-text index: which words are in which message, and which sessions have it.

Rows that are retracted, cleared or closed stay in the index and are hidden when it is read, by a
join. A row leaves it only by erasure, in the transaction that still has the text: FTS5 needs
exactly the text that was indexed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

import apsw

from eventstore.events.catalogue import (
    ContentErased,
    ContextCompacted,
    MessageAppended,
    SessionForked,
)
from eventstore.log.port import Recorded
from projections.base import Projection, StaleError
from projections.search.text import INDEXER, readable_text, set_apart

_INDEX = "INSERT INTO {search_index} (rowid, text) VALUES (?, ?)"
_UNINDEX = "INSERT INTO {search_index} (%s, rowid, text) VALUES ('delete', ?, ?)"
_OPTIMIZE = "INSERT INTO {search_index} (%s) VALUES ('optimize')"
_INSERT = "INSERT INTO {search_rows} (stream, seq, position, at, indexer) VALUES (?, ?, ?, ?, ?)"
_INHERIT = (
    "INSERT INTO {search_rows} (stream, seq, position, at, indexer) "
    "SELECT ?1, seq, position, at, indexer FROM {search_rows} "
    "WHERE stream = ?2 AND seq BETWEEN ?3 AND ?4"
)
_FIND = "SELECT indexer FROM {search_rows} WHERE position = ? LIMIT 1"
_ANY = "SELECT 1 FROM {search_rows} WHERE position BETWEEN ? AND ? LIMIT 1"
_DELETE = "DELETE FROM {search_rows} WHERE position = ?"


def indexed_text(recorded: Recorded) -> str:
    """The text that is indexed of an event, empty when there is none."""
    event = recorded.event
    if type(event) not in (MessageAppended, ContextCompacted) or event.content is None:
        return ""
    return set_apart(readable_text(event.content, event.role))  # type: ignore[attr-defined]


class Search(Projection):
    """The tables `search_index` and `search_rows`."""

    name = "search"
    tables = ("search_index", "search_rows")
    schema = (files("projections.search") / "search.sql").read_text(encoding="utf-8")
    reads_content = True

    def prepare(self) -> None:
        """Fill in the table names; FTS5 takes commands in a column named as the table."""
        column = self.names["search_index"].rpartition(".")[2]
        self._index, self._insert = self.sql(_INDEX), self.sql(_INSERT)
        self._unindex = self.sql(_UNINDEX) % column
        self._optimize = self.sql(_OPTIMIZE) % column
        self._inherit, self._any = self.sql(_INHERIT), self.sql(_ANY)
        self._find, self._delete = self.sql(_FIND), self.sql(_DELETE)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Index messages and notes; give forks rows for what they took over."""
        texts: list[tuple[int, str]] = []
        rows: list[tuple[int, ...]] = []
        for recorded in events:
            match recorded.event:
                case MessageAppended() | ContextCompacted() as e:
                    text = indexed_text(recorded)
                    if text:
                        at = e.occurred_at or recorded.recorded_at
                        texts.append((recorded.position, text))
                        rows.append((recorded.stream, e.seq, recorded.position, at, INDEXER))
                case SessionForked() as e:
                    self._write(connection, texts, rows)  # it may take these over
                    for first, size in e.active:
                        span = (recorded.stream, e.origin, first, first + size - 1)
                        connection.execute(self._inherit, span)
                case ContentErased() as e:
                    self._write(connection, texts, rows)
                    self._require_gone(connection, e)
        self._write(connection, texts, rows)

    def _write(
        self, connection: apsw.Connection, texts: list[tuple[int, str]], rows: list[tuple[int, ...]]
    ) -> None:
        """Write what was gathered, in two statements: that is faster than row by row."""
        connection.executemany(self._index, texts)
        connection.executemany(self._insert, rows)
        texts.clear()
        rows.clear()

    def _require_gone(self, connection: apsw.Connection, erased: ContentErased) -> None:
        """Whoever erased knew of this index and took the words out, or it is made anew."""
        for first, size in erased.positions:
            if connection.execute(self._any, (first, first + size - 1)).fetchone():
                raise StaleError("erased text is still in the index")

    def erase(self, connection: apsw.Connection, events: Iterable[Recorded]) -> None:
        """Take the words of these events out of the index, without a trace in the file."""
        found = False
        for recorded in events:
            row = connection.execute(self._find, (recorded.position,)).fetchone()
            if row is None:
                continue
            if row[0] != INDEXER:
                raise StaleError("the index was made by other rules")
            connection.execute(self._unindex, (recorded.position, indexed_text(recorded)))
            connection.execute(self._delete, (recorded.position,))
            found = True
        if found:
            connection.execute(self._optimize)

    def redact(
        self, connection: apsw.Connection, replaced: Sequence[tuple[Recorded, Recorded]]
    ) -> None:
        """Index the new text in the place of the old; the rows stay."""
        found = False
        for before, after in replaced:
            row = connection.execute(self._find, (before.position,)).fetchone()
            old, new = indexed_text(before), indexed_text(after)
            if old == new:
                continue
            if not old or not new or (row is not None and row[0] != INDEXER):
                raise StaleError("a message's text came or went, or other rules indexed it")
            if row is not None:
                connection.execute(self._unindex, (before.position, old))
                connection.execute(self._index, (before.position, new))
                found = True
        if found:
            connection.execute(self._optimize)

    def compared(self, connection: apsw.Connection, table: str, qualified: str) -> str:
        """The index is compared word by word: a contentless table shows nothing itself."""
        if table != "search_index":
            return qualified
        schema, name = qualified.split(".")
        words = f"temp.words_of_{schema}_{name}"
        connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {words} "
            f"USING fts5vocab ('{schema}', '{name}', 'instance')"
        )
        return words
