"""What agents did beside the conversation: numbered by kind, and found by the words of its subject.

The index stands apart from that of messages, so that neither ranks by how common a word is in the
other. Nothing is written when an activity is appended: both tables are caught up before they are
read, from facts; content is fetched of activities alone, which are few among messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

import apsw

from eventstore.events.catalogue import (
    Activity,
    ContentErased,
    Event,
    FileTouched,
    IssueMoved,
    LoopMoved,
    ToolCalled,
    UserCorrected,
)
from eventstore.log import reading
from eventstore.log.port import Recorded
from projections.base import Projection, StaleError
from projections.search.text import INDEXER, set_apart

#: What each type of activity is called.
KINDS: dict[type[Event], str] = {
    ToolCalled: "tool",
    FileTouched: "file",
    IssueMoved: "issue",
    LoopMoved: "loop",
    UserCorrected: "correction",
}

_INSERT = (
    "INSERT INTO {activities} (position, stream, kind, number, at) "
    "VALUES (?1, ?2, ?3, coalesce((SELECT max(number) FROM {activities} WHERE kind = ?3), 0) + 1, "
    "?4)"
)
_INDEX = "INSERT INTO {activity_index} (rowid, content) VALUES (?, ?)"
_UNINDEX = "INSERT INTO {activity_index} (%s, rowid, content) VALUES ('delete', ?, ?)"
_OPTIMIZE = "INSERT INTO {activity_index} (%s) VALUES ('optimize')"
_ANY = "SELECT 1 FROM {activity_index} WHERE rowid BETWEEN ? AND ? LIMIT 1"


def indexed_text(recorded: Recorded) -> str | None:
    """The text that is indexed of an activity, None when it has no subject.

    An empty one counts: ranking knows how many subjects there are.
    """
    content = recorded.event.content
    if not isinstance(recorded.event, Activity) or content is None or content.subject is None:
        return None
    return set_apart(content.subject)


class Activities(Projection):
    """The tables `activities` and `activity_index`."""

    name = "activities"
    version = INDEXER  # whatever else changes here raises the version beyond it
    tables = ("activities", "activity_index")
    schema = (files("projections.activities") / "activities.sql").read_text(encoding="utf-8")

    def prepare(self) -> None:
        """Fill in the table names; FTS5 takes commands in a column named as the table."""
        column = self.names["activity_index"].rpartition(".")[2]
        self._insert = self.sql(_INSERT)
        self._index, self._any = self.sql(_INDEX), self.sql(_ANY)
        self._unindex = self.sql(_UNINDEX) % column
        self._optimize = self.sql(_OPTIMIZE) % column

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Number activities and index their subjects."""
        rows = [
            (one.position, one.stream, KINDS[type(event)], event.occurred_at or one.recorded_at)
            for one in events
            if type(event := one.event) in KINDS
        ]
        if rows:
            connection.executemany(self._insert, rows)
            whole = reading.by_positions(connection, [row[0] for row in rows], content=True)
            texts = ((one.position, indexed_text(one)) for one in whole)
            connection.executemany(self._index, [row for row in texts if row[1] is not None])
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
            if text is None:
                continue
            if connection.execute(self._any, (one.position, one.position)).fetchone():
                connection.execute(self._unindex, (one.position, text))
                found = True
        if found:
            connection.execute(self._optimize)

    def redact(
        self, connection: apsw.Connection, replaced: Sequence[tuple[Recorded, Recorded]]
    ) -> None:
        """Index the new subject in the place of the old; the rows stay."""
        found = False
        for before, after in replaced:
            old, new = indexed_text(before), indexed_text(after)
            at = before.position
            if old is None or new is None or old == new:
                continue
            if connection.execute(self._any, (at, at)).fetchone():
                connection.execute(self._unindex, (at, old))
                connection.execute(self._index, (at, new))
                found = True
        if found:
            connection.execute(self._optimize)

    def compared(self, connection: apsw.Connection, table: str, qualified: str) -> str:
        """The index is compared word by word: a contentless table shows nothing itself."""
        if table != "activity_index":
            return qualified
        schema, name = qualified.split(".")
        words = f"temp.words_of_{schema}_{name}"
        connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {words} "
            f"USING fts5vocab ('{schema}', '{name}', 'instance')"
        )
        return words
