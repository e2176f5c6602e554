"""Sessions with their texts, each in one row of one query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
from msgspec import Struct

from eventstore.log.engine import rows_of
from projections.queries.current import AT_HEAD
from projections.queries.texts import body_at, content_in

_TIME = "coalesce(json_extract({0}.facts, '$.occurred_at'), {0}.recorded_at)"
#: Whether an event's type is in the JSON array of types that is the first value.
_QUIET = "instr(?1, '\"' || {0}.type || '\"')"
#: The last event is asked first: it is nearly always the one.
_ACTIVE_AT = (
    f"CASE WHEN {_QUIET.format('l')} THEN (SELECT {_TIME.format('e')} FROM events AS e "  # noqa: S608
    f"WHERE e.stream = s.id AND NOT {_QUIET.format('e')} ORDER BY e.version DESC LIMIT 1) "
    f"ELSE {_TIME.format('l')} END"
)
_SELECT = (
    "SELECT s.id, s.session_id, p.status, p.kind, p.lifecycle, p.depth, "  # noqa: S608
    "(SELECT session_id FROM streams WHERE id = p.parent), p.model, "
    f"json_extract(b.facts, '$.spawn_call_id'), p.created_at, {_ACTIVE_AT}, "
    f"{body_at('b.position')}, {body_at('p.prompt_position')}, "
    f"{body_at('p.configuration_position')} "
    "FROM streams AS s CROSS JOIN sessions AS p ON p.stream = s.id "
    "CROSS JOIN events AS b ON b.stream = s.id AND b.version = 1 "
    "CROSS JOIN events AS l ON l.stream = s.id AND l.version = p.version "
)
_NEWEST = f"{_SELECT}WHERE s.session_id = ?2 AND {AT_HEAD} ORDER BY s.incarnation DESC LIMIT 1"
_CHILDREN = (
    _SELECT + "WHERE s.id IN (SELECT l.stream FROM lineage AS l WHERE l.relation = 'spawned' "  # noqa: S608
    "AND l.source IN (SELECT id FROM streams WHERE session_id = ?2)) "
    "AND p.status <> 'closed' ORDER BY p.created_at, s.id"
)


class SessionDetails(Struct, frozen=True):
    """A session and the texts in force. Times are µs since 1970.

    `parent` is the parent's id, whatever its incarnation; `active_at` the time of the last event
    that is not of the types left out.
    """

    stream: int
    session_id: str
    status: str
    kind: str
    lifecycle: str
    depth: int
    parent: str | None
    model: str | None
    spawn_call_id: str | None
    created_at: int
    active_at: int
    metadata: dict[str, Any] | None
    prompt: str | None
    configuration: dict[str, Any] | None


def newest(connection: apsw.Connection, session_id: str, quiet: str) -> SessionDetails | None:
    """The newest incarnation of an id; `quiet` is a JSON array of types left out of `active_at`.

    None also when the tables are not at the head of the log.
    """
    rows = rows_of(connection, _NEWEST, (quiet, session_id))
    return _details(connection, rows[0]) if rows else None


def children(connection: apsw.Connection, session_id: str, quiet: str) -> list[SessionDetails]:
    """What any incarnation of an id spawned and is not closed, oldest first."""
    return [
        _details(connection, row) for row in rows_of(connection, _CHILDREN, (quiet, session_id))
    ]


def _details(connection: apsw.Connection, row: Sequence[Any]) -> SessionDetails:
    stream = row[0]
    found: Sequence[Any] = (
        *row[:11],
        content_in(connection, row[11], stream).get("metadata"),
        content_in(connection, row[12], stream).get("prompt"),
        content_in(connection, row[13], stream).get("configuration"),
    )
    return SessionDetails(*found)
