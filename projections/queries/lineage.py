"""Who spawned and forked whom."""

from __future__ import annotations

import apsw

_CHILDREN = (
    "SELECT stream FROM lineage WHERE source = ? AND relation = 'spawned' ORDER BY stream"
)
_FORKS = "SELECT stream FROM lineage WHERE source = ? AND relation = 'forked' ORDER BY stream"
_FAMILY = (
    "WITH RECURSIVE family (stream) AS (SELECT ?1 UNION "
    "SELECT l.stream FROM lineage AS l JOIN family AS f ON l.source = f.stream) "
    "SELECT stream FROM family ORDER BY stream"
)


def children(connection: apsw.Connection, stream: int) -> list[int]:
    """The sessions that this one spawned, oldest first."""
    return [row[0] for row in connection.execute(_CHILDREN, (stream,)).fetchall()]


def forks(connection: apsw.Connection, stream: int) -> list[int]:
    """The sessions that were forked from this one, oldest first."""
    return [row[0] for row in connection.execute(_FORKS, (stream,)).fetchall()]


def family(connection: apsw.Connection, stream: int) -> list[int]:
    """This session and everything spawned or forked from it, at any distance."""
    return [row[0] for row in connection.execute(_FAMILY, (stream,)).fetchall()]
