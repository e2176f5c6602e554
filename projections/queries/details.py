"""Sessions with their texts, each in one row of one query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
from msgspec import Struct

from eventstore.errors import CorruptStoreError, EventFormatError
from eventstore.events.catalogue import ConfigurationContent, PromptContent, SessionContent
from eventstore.log import blobs, reading
from eventstore.log.engine import rows_of
from eventstore.log.redactions import body

_AT = "coalesce(json_extract(e.facts, '$.occurred_at'), e.recorded_at)"
_SELECT = (
    "SELECT s.id, s.session_id, p.status, p.kind, p.lifecycle, p.depth, up.session_id, p.model, "  # noqa: S608
    "json_extract(b.facts, '$.spawn_call_id'), p.created_at, "
    f"(SELECT {_AT} FROM events AS e WHERE e.stream = s.id AND e.type NOT IN "
    "(SELECT value FROM json_each(?1)) ORDER BY e.version DESC LIMIT 1), "
    f"b.position, b.type, b.schema, {body('bc')}, pe.position, pe.type, pe.schema, {body('pc')}, "
    f"ce.position, ce.type, ce.schema, {body('cc')} "
    "FROM streams AS s JOIN sessions AS p ON p.stream = s.id "
    "JOIN events AS b ON b.stream = s.id AND b.version = 1 "
    "LEFT JOIN contents AS bc ON bc.position = b.position "
    "LEFT JOIN events AS pe ON pe.position = p.prompt_position "
    "LEFT JOIN contents AS pc ON pc.position = p.prompt_position "
    "LEFT JOIN events AS ce ON ce.position = p.configuration_position "
    "LEFT JOIN contents AS cc ON cc.position = p.configuration_position "
    "LEFT JOIN streams AS up ON up.id = p.parent "
)
#: `+?2`: SQLite would look at the value and plan the statement anew each time it is bound, which
#: takes ten times as long as running it.
_NEWEST = _SELECT + "WHERE s.session_id = +?2 ORDER BY s.incarnation DESC LIMIT 1"
_CHILDREN = (
    _SELECT + "WHERE s.id IN (SELECT l.stream FROM lineage AS l WHERE l.relation = 'spawned' "  # noqa: S608
    "AND l.source IN (SELECT id FROM streams WHERE session_id = +?2)) "
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
    """The newest incarnation of an id; `quiet` is a JSON array of types left out of `active_at`."""
    rows = rows_of(connection, _NEWEST, (quiet, session_id))
    return _details(connection, rows[0]) if rows else None


def children(connection: apsw.Connection, session_id: str, quiet: str) -> list[SessionDetails]:
    """What any incarnation of an id spawned and is not closed, oldest first."""
    return [
        _details(connection, row) for row in rows_of(connection, _CHILDREN, (quiet, session_id))
    ]


def _details(connection: apsw.Connection, row: Sequence[Any]) -> SessionDetails:
    begun = _content(connection, row[11:15])
    prompt = _content(connection, row[15:19])
    configuration = _content(connection, row[19:23])
    metadata = begun.metadata if isinstance(begun, SessionContent) else None
    text = prompt.prompt if isinstance(prompt, PromptContent) else None
    values = (
        configuration.configuration if isinstance(configuration, ConfigurationContent) else None
    )
    found: Sequence[Any] = (*row[:11], metadata, text, values)
    return SessionDetails(*found)


def _content(connection: apsw.Connection, found: Sequence[Any]) -> Any:
    position, name, schema, body = found
    if body is None:
        return None
    fetch = reading.blob_fetcher(connection)
    try:
        return blobs.read_content(name, schema, body.encode(), fetch)
    except (EventFormatError, CorruptStoreError) as error:
        raise CorruptStoreError(f"event {position} ({name}) cannot be read: {error}") from error
