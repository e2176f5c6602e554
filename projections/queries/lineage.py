"""Who spawned and forked whom."""

from __future__ import annotations

import apsw

from eventstore.log.engine import rows_of

_CHILDREN = "SELECT stream FROM lineage WHERE source = ? AND relation = 'spawned' ORDER BY stream"
_FORKS = "SELECT stream FROM lineage WHERE source = ? AND relation = 'forked' ORDER BY stream"
_ORIGIN = "SELECT source, source_version FROM lineage WHERE stream = ? AND relation = 'forked'"
_FAMILY = (
    "WITH RECURSIVE family (stream) AS (SELECT ?1 UNION "
    "SELECT l.stream FROM lineage AS l JOIN family AS f ON l.source = f.stream) "
    "SELECT stream FROM family ORDER BY stream"
)


def children(connection: apsw.Connection, stream: int) -> list[int]:
    """The sessions that this one spawned, oldest first."""
    return [row[0] for row in rows_of(connection, _CHILDREN, (stream,))]


def forks(connection: apsw.Connection, stream: int) -> list[int]:
    """The sessions that were forked from this one, oldest first."""
    return [row[0] for row in rows_of(connection, _FORKS, (stream,))]


def origin(connection: apsw.Connection, stream: int) -> tuple[int, int] | None:
    """The session that this one was forked from, and at which of its versions; None for none."""
    row = connection.execute(_ORIGIN, (stream,)).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def family(connection: apsw.Connection, stream: int) -> list[int]:
    """The session and everything spawned or forked from it, at any distance."""
    return [row[0] for row in rows_of(connection, _FAMILY, (stream,))]
