"""Usage: tokens and cost of every model call, each counted once."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import apsw

from eventstore.events.catalogue import UsageRecorded
from eventstore.log.port import Recorded
from projections.base import Projection

_REPLACE = (
    "INSERT OR REPLACE INTO {usage} (stream, key, position, round, model, provider, input, "
    "cache_read, cache_write, output, reasoning, cost_nanos, currency, cost_source, recorded_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Usage(Projection):
    """The `usage` table."""

    name = "usage"
    tables = ("usage",)
    schema = (files("projections.builtin") / "usage.sql").read_text(encoding="utf-8")
    inline = True
    reads = frozenset({UsageRecorded})

    def prepare(self) -> None:
        """Fill in the table names."""
        self._replace = self.sql(_REPLACE)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Keep the newest event of each key."""
        rows = []
        for recorded in events:
            e = recorded.event
            if type(e) is UsageRecorded:
                rows.append(
                    (recorded.stream, e.key, recorded.position, e.round, e.model, e.provider,
                     e.input, e.cache_read, e.cache_write, e.output, e.reasoning, e.cost_nanos,
                     e.currency, e.cost_source, e.occurred_at or recorded.recorded_at)
                )  # fmt: skip
        if rows:
            connection.executemany(self._replace, rows)
