"""The list of sessions as it was: what `SessionStore.sessions` gives as of a position of the log.

Sessions whose last event is not newer have the row that they have now. Of those that began before
and went on after the position, the row is made from their state at the version they had then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from eventstore.log import reading
from eventstore.session import runs
from eventstore.session.state import SessionState
from eventstore.store.states import state_at
from projections.builtin.sessions import SessionRow
from projections.queries import points, sessions
from projections.queries.sessions import ListedSession


def listed(
    connection: apsw.Connection,
    position: int | None,
    *,
    limit: int,
    offset: int,
    **filters: Any,
) -> list[ListedSession]:
    """Sessions that match, those with the latest activity first; the present list if None.

    The filters are those of `projections.queries.sessions.select`.
    """
    if position is None:
        return sessions.select(connection, **filters, limit=limit, offset=offset)
    found = sessions.select(connection, **filters, upto=position)
    for now in sessions.select(connection, across=position):
        version = points.version_at(connection, now.row.stream, now.row.version, position)
        then = row_at(connection, now.row, version)
        if _matches(then, **filters):
            found.append(now._replace(row=then))
    found.sort(key=lambda one: (-one.row.updated_at, -one.row.stream))
    return found[offset:] if limit < 0 else found[offset : offset + limit]


def _matches(
    row: SessionRow,
    *,
    statuses: Sequence[str] | None,
    kind: str | None,
    source: str | None,
    parent: int | None,
) -> bool:
    wanted = ((kind, row.kind), (source, row.source), (parent, row.parent))
    return (statuses is None or row.status in statuses) and all(
        value is None or value == found for value, found in wanted
    )


def row_at(connection: apsw.Connection, now: SessionRow, version: int) -> SessionRow:
    """What the row of a session was at a version, from what it is now."""
    stream = now.stream
    state = state_at(connection, stream, version)
    position = points.position_of(connection, stream, version)
    shown = now.preview_position is not None and now.preview_position <= position
    return SessionRow(
        stream=stream,
        version=version,
        status=state.status,
        kind=state.kind,
        lifecycle=state.lifecycle,
        depth=state.depth,
        parent=state.parent,
        origin=state.origin,
        origin_version=state.origin_version,
        source=state.source,
        model=state.model,
        provider=state.provider,
        round=state.round,
        messages=state.messages,
        active_messages=runs.count(state.active),
        compactions=state.compactions,
        tool_calls=now.tool_calls - points.calls_from(connection, stream, state.next_seq),
        title_position=state.title_position,
        prompt_position=state.prompt_position,
        configuration_position=state.configuration_position,
        pending_position=state.pending_position,
        preview_position=now.preview_position if shown else None,
        created_at=state.created_at,
        updated_at=state.updated_at,
        last_message_at=_last_message_at(connection, stream, state),
    )


def _last_message_at(connection: apsw.Connection, stream: int, state: SessionState) -> int | None:
    """When the newest message was appended; None when the session only took some over."""
    position = points.own_message(connection, stream, state.next_seq - 1)
    if position is None:
        return None
    [recorded] = reading.by_positions(connection, [position], content=False)
    return recorded.event.occurred_at or recorded.recorded_at
