"""Compactions: which messages each note stands for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import apsw

from eventstore import codec
from eventstore.events.catalogue import ContextCompacted
from eventstore.log.port import Recorded
from projections.base import Projection

_INSERT = (
    "INSERT INTO {compactions} (stream, version, position, seq, from_seq, to_seq, runs, count, "
    "round, tokens_before, tokens_after, trigger, compacted_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Compactions(Projection):
    """The `compactions` table."""

    name = "compactions"
    tables = ("compactions",)
    schema = (files("projections.builtin") / "compactions.sql").read_text(encoding="utf-8")
    inline = True
    reads = frozenset({ContextCompacted})

    def prepare(self) -> None:
        """Fill in the table names."""
        self._insert = self.sql(_INSERT)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Insert one row a compaction."""
        for recorded in events:
            e = recorded.event
            if type(e) is ContextCompacted:
                connection.execute(
                    self._insert,
                    (
                        recorded.stream,
                        recorded.version,
                        recorded.position,
                        e.seq,
                        e.from_seq,
                        e.to_seq,
                        codec.encode(e.runs).decode(),
                        e.count,
                        e.round,
                        e.tokens_before,
                        e.tokens_after,
                        e.trigger,
                        e.occurred_at or recorded.recorded_at,
                    ),
                )
