"""Lineage: parents and origins of sessions, indexed from both ends."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import apsw

from eventstore.events.catalogue import SessionCreated, SessionForked, SessionReparented
from eventstore.log.port import Recorded
from projections.base import Projection

_REPLACE = (
    "INSERT OR REPLACE INTO {lineage} (stream, relation, source, source_version) "
    "VALUES (?, ?, ?, ?)"
)
_DELETE = "DELETE FROM {lineage} WHERE stream = ? AND relation = 'spawned'"


class Lineage(Projection):
    """The `lineage` table."""

    name = "lineage"
    tables = ("lineage",)
    schema = (files("projections.builtin") / "lineage.sql").read_text(encoding="utf-8")
    indexes = "CREATE INDEX lineage_by_source ON {lineage} (source, relation, stream)"
    inline = True
    reads = frozenset({SessionCreated, SessionForked, SessionReparented})

    def prepare(self) -> None:
        """Fill in the table names."""
        self._replace = self.sql(_REPLACE)
        self._delete = self.sql(_DELETE)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Keep the present parent and the origin of each session."""
        for recorded in events:
            match recorded.event:
                case SessionCreated(parent=int() as parent):
                    self._put(connection, recorded.stream, "spawned", parent, None)
                case SessionForked() as e:
                    self._put(connection, recorded.stream, "forked", e.origin, e.origin_version)
                    if e.parent is not None:
                        self._put(connection, recorded.stream, "spawned", e.parent, None)
                case SessionReparented(parent=None):
                    connection.execute(self._delete, (recorded.stream,))
                case SessionReparented(parent=int() as parent):
                    self._put(connection, recorded.stream, "spawned", parent, None)

    def _put(
        self,
        connection: apsw.Connection,
        stream: int,
        relation: str,
        source: int,
        version: int | None,
    ) -> None:
        connection.execute(self._replace, (stream, relation, source, version))
