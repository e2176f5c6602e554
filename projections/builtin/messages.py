"""Messages: which there are, where their text is, and which are active now."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import apsw

from eventstore.events import catalogue as ev
from eventstore.log.port import Recorded
from projections.base import Projection

_INSERT = (
    "INSERT INTO {messages} (stream, seq, position, place, role, state, kind, inherited, round, "
    "tokens) VALUES "
)
_ROW = "(?, ?, ?, ?, ?, 'active', 'message', 0, ?, ?)"
_ROW_VALUES = _ROW.count("?")
_INSERT_NOTE = (
    "INSERT INTO {messages} (stream, seq, position, place, role, state, kind, inherited, round, "
    "tokens) SELECT ?1, ?2, ?3, place, ?4, 'active', 'note', 0, ?5, ?6 FROM {messages} "
    "WHERE stream = ?1 AND seq = ?7"
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
    "UPDATE {messages} SET state = 'retracted', removed_version = ?1 WHERE stream = ?2 "
    "AND seq >= (SELECT place FROM {messages} WHERE stream = ?2 AND seq = ?3) "
    "AND place >= (SELECT place FROM {messages} WHERE stream = ?2 AND seq = ?3) "
    "AND state IN ('active', 'compacted', 'consolidated')"
)
_CLEAR = (
    "UPDATE {messages} SET state = 'cleared', removed_version = ? "
    "WHERE stream = ? AND state IN ('active', 'compacted', 'consolidated')"
)


#: Rows of one statement where there are so many: a statement costs more than a row.
_TOGETHER = 50


class Messages(Projection):
    """The `messages` table."""

    name = "messages"
    tables = ("messages",)
    schema = (files("projections.builtin") / "messages.sql").read_text(encoding="utf-8")
    inline = True

    def prepare(self) -> None:
        """Fill in the table names."""
        self._insert = self.sql(_INSERT + _ROW)
        self._insert_together = self.sql(_INSERT + ", ".join([_ROW] * _TOGETHER))
        self._note = self.sql(_INSERT_NOTE)
        self._inherit = self.sql(_INHERIT)
        self._fold = self.sql(_FOLD)
        self._retract = self.sql(_RETRACT)
        self._clear = self.sql(_CLEAR)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Insert appended messages together; everything else one by one, in order."""
        values: list[Any] = []
        for recorded in events:
            event = recorded.event
            if isinstance(event, ev.MessageAppended):
                seq = event.seq
                values += (recorded.stream, seq, recorded.position, seq, event.role, event.round,
                           event.tokens)  # fmt: skip
            elif type(event) in _OTHERS:
                self._insert_rows(connection, values)
                values = []
                self._apply_other(connection, recorded)
        self._insert_rows(connection, values)

    def _insert_rows(self, connection: apsw.Connection, values: list[Any]) -> None:
        """Insert the rows whose values follow each other here."""
        size = _TOGETHER * _ROW_VALUES
        whole = len(values) - len(values) % size
        for statement, step, first, last in (
            (self._insert_together, size, 0, whole),
            (self._insert, _ROW_VALUES, whole, len(values)),
        ):
            if first < last:
                connection.executemany(
                    statement, [values[at : at + step] for at in range(first, last, step)]
                )

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
                connection.execute(self._retract, (version, stream, e.from_seq))
            case ev.MessagesCleared():
                connection.execute(self._clear, (version, stream))
            case ev.SessionForked() as e:
                connection.executemany(
                    self._inherit,
                    [(stream, e.origin, first, first + size - 1) for first, size in e.active],
                )

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


_OTHERS = frozenset(
    {
        ev.ContextCompacted,
        ev.MessagesConsolidated,
        ev.MessagesRetracted,
        ev.MessagesCleared,
        ev.SessionForked,
    }
)
