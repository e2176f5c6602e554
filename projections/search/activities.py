"""The full-text index of activities: which words are in the subject of which.

It stands apart from the index of messages, so that neither ranks by how common a word is in the
other. A row leaves it only by erasure, in the transaction that still has the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files

import apsw

from eventstore.events.catalogue import Activity, ContentErased
from eventstore.log import reading
from eventstore.log.port import Recorded
from projections.base import Projection, StaleError
from projections.builtin.activities import KINDS
from projections.search.text import INDEXER, set_apart

_INDEX = "INSERT INTO {activity_index} (rowid, content) VALUES (?, ?)"
_UNINDEX = "INSERT INTO {activity_index} (%s, rowid, content) VALUES ('delete', ?, ?)"
_OPTIMIZE = "INSERT INTO {activity_index} (%s) VALUES ('optimize')"
_ANY = "SELECT 1 FROM {activity_index} WHERE rowid BETWEEN ? AND ? LIMIT 1"

#: In an FTS5 expression: a string in quotes, or a word that needs none.
_STRING_OR_WORD = re.compile(r'"(?:[^"]|"")*"|[0-9A-Za-z_\x1a\x80-\U0010ffff]+')


def set_apart_in(expression: str) -> str:
    """An FTS5 expression whose words and strings are written as the index has them."""
    return _STRING_OR_WORD.sub(_as_indexed, expression)


def _as_indexed(match: re.Match[str]) -> str:
    found = match[0]
    if found.isascii():
        return found
    return '"' + set_apart(found.strip('"')).strip() + '"'


def indexed_text(recorded: Recorded) -> str:
    """The text that is indexed of an activity, empty when there is none."""
    content = recorded.event.content
    if not isinstance(recorded.event, Activity) or content is None:
        return ""
    return set_apart(content.subject or "")


class ActivitySearch(Projection):
    """The table `activity_index`."""

    name = "activity_search"
    version = INDEXER
    tables = ("activity_index",)
    schema = (files("projections.search") / "activities.sql").read_text(encoding="utf-8")

    def prepare(self) -> None:
        """Fill in the table name; FTS5 takes commands in a column named as the table."""
        column = self.names["activity_index"].rpartition(".")[2]
        self._index, self._any = self.sql(_INDEX), self.sql(_ANY)
        self._unindex = self.sql(_UNINDEX) % column
        self._optimize = self.sql(_OPTIMIZE) % column

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Index subjects. Content is read of activities alone, which are few among messages."""
        positions = [one.position for one in events if type(one.event) in KINDS]
        with_content = reading.by_positions(connection, positions, content=True)
        texts = ((one.position, indexed_text(one)) for one in with_content)
        connection.executemany(self._index, [row for row in texts if row[1]])
        for one in events:
            if isinstance(one.event, ContentErased):
                self._require_gone(connection, one.event)

    def _require_gone(self, connection: apsw.Connection, erased: ContentErased) -> None:
        """Whoever erased knew of this index and took the words out, or it is made anew."""
        for first, size in erased.positions:
            if connection.execute(self._any, (first, first + size - 1)).fetchone():
                raise StaleError("erased text is still in the index of activities")

    def erase(self, connection: apsw.Connection, events: Iterable[Recorded]) -> None:
        """Take the words of these events out of the index, without a trace in the file."""
        found = False
        for one in events:
            text = indexed_text(one)
            if text and connection.execute(self._any, (one.position, one.position)).fetchone():
                connection.execute(self._unindex, (one.position, text))
                found = True
        if found:
            connection.execute(self._optimize)

    def compared(self, connection: apsw.Connection, table: str, qualified: str) -> str:
        """The index is compared word by word: a contentless table shows nothing itself."""
        schema, name = qualified.split(".")
        words = f"temp.words_of_{schema}_{name}"
        connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {words} "
            f"USING fts5vocab ('{schema}', '{name}', 'instance')"
        )
        return words
