"""Tool calls and their results, paired by call id."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import apsw

from eventstore.events.catalogue import MessageAppended, SessionForked
from eventstore.log.port import Recorded
from projections.base import Projection

_INSERT = (
    "INSERT OR IGNORE INTO {tool_calls} (stream, call_id, seq, ordinal, call_position, called_at) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_ANSWER = (
    "UPDATE {tool_calls} SET result_seq = ?3, result_position = ?4, failed = ?5, answered_at = ?6 "
    "WHERE stream = ?1 AND call_id = ?2 AND result_seq IS NULL AND seq = "
    "(SELECT max(seq) FROM {tool_calls} WHERE stream = ?1 AND call_id = ?2)"
)
_INHERIT = (
    "INSERT INTO {tool_calls} (stream, call_id, seq, ordinal, call_position, called_at) "
    "SELECT ?1, call_id, seq, ordinal, call_position, called_at FROM {tool_calls} "
    "WHERE stream = ?2 AND call_id = ?3 AND seq = (SELECT max(seq) FROM {tool_calls} "
    "WHERE stream = ?2 AND call_id = ?3 AND seq < ?4)"
)


class ToolCalls(Projection):
    """The `tool_calls` table. A fork has rows for the calls it took over unanswered."""

    name = "tool_calls"
    tables = ("tool_calls",)
    schema = (files("projections.builtin") / "tool_calls.sql").read_text(encoding="utf-8")
    inline = True
    reads = frozenset({MessageAppended, SessionForked})
    of_message = ()

    def prepare(self) -> None:
        """Fill in the table names."""
        self._insert = self.sql(_INSERT)
        self._answer = self.sql(_ANSWER)
        self._inherit = self.sql(_INHERIT)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Insert calls; give the newest unanswered call of an id its result."""
        for recorded in events:
            e = recorded.event
            if type(e) is MessageAppended:
                if e.call_ids or e.call_id is not None:
                    self._message(connection, recorded, e)
            elif type(e) is SessionForked and e.open_calls:
                connection.executemany(
                    self._inherit,
                    [(recorded.stream, e.origin, call, e.next_seq) for call in e.open_calls],
                )

    def _message(self, connection: apsw.Connection, recorded: Recorded, e: MessageAppended) -> None:
        at = e.occurred_at or recorded.recorded_at
        for ordinal, call in enumerate(e.call_ids):
            connection.execute(
                self._insert, (recorded.stream, call, e.seq, ordinal, recorded.position, at)
            )
        if e.call_id is not None:
            connection.execute(
                self._answer,
                (recorded.stream, e.call_id, e.seq, recorded.position, int(e.failed), at),
            )
