"""Activities: what agents did beside the conversation, numbered by kind."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import apsw

from eventstore.events.catalogue import (
    Event,
    FileTouched,
    IssueMoved,
    LoopMoved,
    ToolCalled,
    UserCorrected,
)
from eventstore.log.port import Recorded
from projections.base import Projection

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


class Activities(Projection):
    """The `activities` table."""

    name = "activities"
    tables = ("activities",)
    schema = (files("projections.builtin") / "activities.sql").read_text(encoding="utf-8")
    inline = True

    def prepare(self) -> None:
        """Fill in the table name."""
        self._insert = self.sql(_INSERT)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Insert a row for each activity; a page without one costs a look at its types."""
        rows = [
            (one.position, one.stream, KINDS[type(event)], event.occurred_at or one.recorded_at)
            for one in events
            if type(event := one.event) in KINDS
        ]
        if rows:
            connection.executemany(self._insert, rows)
