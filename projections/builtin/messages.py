"""Messages: which there are, where their text is, and which are active now."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import chain, islice
from operator import itemgetter
from typing import Any

import apsw

from eventstore.events import catalogue as ev
from eventstore.events.catalogue import Event
from eventstore.log.port import Recorded
from projections.base import POSITION, ROLE, ROUND, SEQ, STREAM, TOKENS, OneRow, Projection

_INSERT = (
    "INSERT INTO {messages} (stream, seq, position, place, role, state, kind, inherited, round, "
    "tokens) VALUES "
)
_ROW = "(?, ?, ?, ?, ?, 'active', 'message', 0, ?, ?)"
_ONE = itemgetter(STREAM, SEQ, POSITION, SEQ, ROLE, ROUND, TOKENS)
_INSERT_NOTE = (
    "INSERT INTO {messages} (stream, seq, position, place, role, state, kind, inherited, round, "
    "tokens) SELECT ?1, ?2, ?3, coalesce((SELECT place FROM {messages} WHERE stream = ?1 "
    "AND seq = ?7), ?2), ?4, 'active', 'note', 0, ?5, ?6"
)
_INHERIT = (
    "INSERT INTO {messages} (stream, seq, position, place, role, state, kind, inherited, round, "
    "tokens) SELECT ?1, seq, position, place, role, 'active', kind, 1, round, tokens "
    "FROM {messages} WHERE stream = ?2 AND seq BETWEEN ?3 AND ?4"
)
_FOLD = (
    "UPDATE {messages} SET state = ?, folded_version = ? "
    "WHERE stream = ? AND seq BETWEEN ? AND ? AND state = 'active'"
)
_RETRACT = (
    "UPDATE {messages} SET state = 'retracted', removed_version = ? "
    "WHERE stream = ? AND seq BETWEEN ? AND ? AND state = 'active'"
)
#: What the notes being retracted stand for; none of it is older than the place of the first.
_RETRACT_FOLDED = (
    "UPDATE {messages} SET state = 'retracted', removed_version = ?1 WHERE stream = ?2 "
    "AND seq >= (SELECT place FROM {messages} WHERE stream = ?2 AND seq = ?3) "
    "AND state = 'compacted' AND folded_version IN (SELECT e.version FROM {messages} AS n "
    "JOIN events AS e ON e.position = n.position AND e.stream = n.stream "
    "WHERE n.stream = ?2 AND n.kind = 'note' AND n.removed_version = ?1)"
)
_CLEAR = (
    "UPDATE {messages} SET state = 'cleared', removed_version = ? "
    "WHERE stream = ? AND state IN ('active', 'compacted', 'consolidated')"
)


#: What changes rows that are there; `MessageAppended` inserts one.
_OTHERS: frozenset[type[Event]] = frozenset(
    {
        ev.ContextCompacted,
        ev.MessagesConsolidated,
        ev.MessagesRetracted,
        ev.MessagesCleared,
        ev.SessionForked,
    }
)

#: Rows of one statement where there are so many: a statement costs more than a row.
_TOGETHER = 50


class Messages(Projection):
    """The `messages` table."""

    name = "messages"
    tables = ("messages",)
    schema = (files("projections.builtin") / "messages.sql").read_text(encoding="utf-8")
    inline = True
    reads = _OTHERS | {ev.MessageAppended}

    def prepare(self) -> None:
        """Fill in the table names."""
        self._insert = self.sql(_INSERT + _ROW)
        self.of_message = (OneRow(self._insert, _ONE, must_change=False),)
        self._insert_together = self.sql(_INSERT + ", ".join([_ROW] * _TOGETHER))
        self._note = self.sql(_INSERT_NOTE)
        self._inherit = self.sql(_INHERIT)
        self._fold = self.sql(_FOLD)
        self._retract = self.sql(_RETRACT)
        self._retract_folded = self.sql(_RETRACT_FOLDED)
        self._clear = self.sql(_CLEAR)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Insert appended messages together; everything else one by one, in order."""
        rows: list[tuple[Any, ...]] = []
        for recorded in events:
            event = recorded.event
            kind = type(event)
            if kind is ev.MessageAppended:
                seq = event.seq  # type: ignore[attr-defined]
                rows.append(
                    (recorded.stream, seq, recorded.position, seq, event.role,  # type: ignore[attr-defined]
                     event.round, event.tokens)  # type: ignore[attr-defined]
                )  # fmt: skip
            elif kind in _OTHERS:
                if rows:
                    self._insert_rows(connection, rows)
                    rows = []
                self._apply_other(connection, recorded)
        if rows:
            self._insert_rows(connection, rows)

    def _insert_rows(self, connection: apsw.Connection, rows: list[tuple[Any, ...]]) -> None:
        whole = len(rows) - len(rows) % _TOGETHER
        if whole:
            values = chain.from_iterable(rows[:whole])
            size = _TOGETHER * len(rows[0])
            connection.executemany(
                self._insert_together,
                (tuple(islice(values, size)) for _ in range(whole // _TOGETHER)),
            )
            rows = rows[whole:]
        if rows:
            connection.executemany(self._insert, rows)

    def _apply_other(self, connection: apsw.Connection, recorded: Recorded) -> None:
        stream, version = recorded.stream, recorded.version
        match recorded.event:
            case ev.ContextCompacted() as e:
                connection.execute(
                    self._note,
                    (stream, e.seq, recorded.position, e.role, e.round, e.tokens, e.from_seq),
                )
                self._fold_runs(connection, "compacted", recorded, e.runs)
            case ev.MessagesConsolidated() as e:
                self._fold_runs(connection, "consolidated", recorded, e.runs)
            case ev.MessagesRetracted() as e:
                self._retract_runs(connection, recorded, e)
            case ev.MessagesCleared():
                connection.execute(self._clear, (version, stream))
            case ev.SessionForked() as e:
                connection.executemany(
                    self._inherit,
                    [(stream, e.origin, first, first + size - 1) for first, size in e.active],
                )

    def _retract_runs(
        self, connection: apsw.Connection, recorded: Recorded, e: ev.MessagesRetracted
    ) -> None:
        """Retract active messages and, level by level, what their notes stand for."""
        stream, version = recorded.stream, recorded.version
        connection.executemany(
            self._retract,
            [(version, stream, first, first + size - 1) for first, size in e.runs],
        )
        connection.execute(self._retract_folded, (version, stream, e.from_seq))
        while connection.changes():
            connection.execute(self._retract_folded, (version, stream, e.from_seq))

    def _fold_runs(
        self, connection: apsw.Connection, state: str, recorded: Recorded, runs: Sequence[ev.Run]
    ) -> None:
        connection.executemany(
            self._fold,
            [
                (state, recorded.version, recorded.stream, first, first + size - 1)
                for first, size in runs
            ],
        )
