"""Who spawned and forked whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
_LINEAGE = (
    "WITH RECURSIVE family (stream) AS (SELECT ?1 "
    "UNION SELECT l.stream FROM lineage AS l JOIN family AS f ON l.source = f.stream "
    "UNION SELECT n.id FROM family AS f JOIN streams AS s ON s.id = f.stream "
    "JOIN streams AS n ON n.session_id = s.session_id AND n.incarnation = s.incarnation + 1) "
    "SELECT stream FROM family ORDER BY stream"
)
_LINKS = (
    "SELECT stream, relation, source, source_version FROM lineage "
    "UNION ALL SELECT n.id, 'continued', s.id, NULL FROM streams AS s JOIN streams AS n "
    "ON n.session_id = s.session_id AND n.incarnation = s.incarnation + 1"
)


class Link(NamedTuple):
    """How a session came to be from another one: spawned, forked (at a version) or continued."""

    stream: int
    relation: str
    source: int
    source_version: int | None


def children(connection: apsw.Connection, stream: int) -> list[int]:
    """The sessions that this one spawned, oldest first."""
    return [row[0] for row in rows_of(connection, _CHILDREN, (stream,))]


def forks(connection: apsw.Connection, stream: int) -> list[int]:
    """The sessions that were forked from this one, oldest first."""
    return [row[0] for row in rows_of(connection, _FORKS, (stream,))]


def lineage_of(connection: apsw.Connection, stream: int) -> list[int]:
    """The session and everything spawned, forked or continued from it, at any distance."""
    return [row[0] for row in rows_of(connection, _LINEAGE, (stream,))]


def links(connection: apsw.Connection, streams: Sequence[int] | None) -> list[Link]:
    """How these sessions (all if None) came to be; an id that was created again continues."""
    found = [Link(*row) for row in rows_of(connection, _LINKS)]
    chosen = None if streams is None else set(streams)
    return found if chosen is None else [one for one in found if one.stream in chosen]


def origin(connection: apsw.Connection, stream: int) -> tuple[int, int] | None:
    """The session that this one was forked from, and at which of its versions; None for none."""
    row = connection.execute(_ORIGIN, (stream,)).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def family(connection: apsw.Connection, stream: int) -> list[int]:
    """The session and everything spawned or forked from it, at any distance."""
    return [row[0] for row in rows_of(connection, _FAMILY, (stream,))]
