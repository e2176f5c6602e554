"""Queries on one session, each in one snapshot of the file.

Inline projections are at the head of the log unless another process ran older code; every read of
them checks that, because a silent hole is the one thing that must not happen. A point in the past
is turned into a version in the same snapshot (`eventstore.store.points`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TypeVar

import apsw

from eventstore.errors import UnknownSessionError
from eventstore.events.catalogue import (
    ConfigurationContent,
    MessageContent,
    PendingContent,
    PromptContent,
)
from eventstore.log import reading
from eventstore.log.port import StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.session.state import SessionState
from eventstore.store import past
from eventstore.store.current import require_current
from eventstore.store.points import At, Measure, Point, version_at
from eventstore.store.states import state_at
from eventstore.store.views import (
    AsOf,
    CompactionView,
    MessageView,
    SessionInfo,
    ToolCallView,
    message_views,
)
from projections.queries import calls, lineage, messages, points, sessions
from projections.queries import usage as usage_queries
from projections.queries.sessions import ListedSession
from projections.queries.usage import UsageTotals

T = TypeVar("T")

_ALL = 1 << 62


def version_of(log: SqliteLog, stream: int) -> int:
    """The version of a stream's last event."""
    head = log.stream_by_id(stream)
    if head is None:
        raise UnknownSessionError(f"there is no session with stream number {stream}")
    return head.version


def _head(connection: apsw.Connection, stream: int) -> StreamHead:
    head = reading.stream_by_id(connection, stream)
    if head is None:
        raise UnknownSessionError(f"there is no session with stream number {stream}")
    return head


def state_of(log: SqliteLog, stream: int, at: Point | None) -> SessionState:
    """The folded state at a point, the present one if None."""
    # Events never change: the present is one statement, and the fold up to it needs no snapshot.
    with log.reader() if at is None else log.snapshot() as connection:
        return _state(log, connection, stream, at)


def _state(
    log: SqliteLog, connection: apsw.Connection, stream: int, at: Point | None
) -> SessionState:
    head = _head(connection, stream)
    if at is None:
        return state_now(log, connection, head)
    return state_at(
        connection, stream, version_at(connection, head, at), log.recall(("state", stream))
    )


def state_now(log: SqliteLog, connection: apsw.Connection, head: StreamHead) -> SessionState:
    """The folded state at the head of a stream, from what the last transaction remembered."""
    known: SessionState | None = log.recall(("state", head.id))
    if known is not None and known.version == head.version:
        return known
    return state_at(connection, head.id, head.version, known)


def state_and_messages(
    log: SqliteLog, stream: int, at: Point | None
) -> tuple[SessionState, list[MessageView]]:
    """The state and the active messages, of one moment."""
    return state_and_each(log, stream, at, list)


def state_and_each(
    log: SqliteLog, stream: int, at: Point | None, read: Callable[[Iterator[MessageView]], T]
) -> tuple[SessionState, T]:
    """The state and what `read` makes of the active messages, of one moment.

    It is given them one by one; so who keeps something else of them need not have all at once.
    """
    with log.snapshot() as connection:
        state = _state(log, connection, stream, at)
        return state, _each_in(connection, stream, state, read)


def messages_in(connection: apsw.Connection, stream: int, state: SessionState) -> list[MessageView]:
    """The messages that are active in a state of a session, in active order."""
    return _each_in(connection, stream, state, list)


def _each_in(
    connection: apsw.Connection, stream: int, state: SessionState,
    read: Callable[[Iterator[MessageView]], T],
) -> T:  # fmt: skip
    require_current(connection)
    with closing(messages.each_in_runs(connection, stream, state.active)) as rows:
        return read(message_views(connection, rows, {}))


def active_messages(log: SqliteLog, stream: int, at: Point | None) -> list[MessageView]:
    """The active messages at a point, in active order."""
    return state_and_messages(log, stream, at)[1]


def as_of(log: SqliteLog, stream: int, at: Point | None, everything: bool) -> AsOf:
    """What is in force at a point, and the active messages, or all that there were."""
    with log.snapshot() as connection:
        state = _state(log, connection, stream, at)
        if everything:
            require_current(connection)
            rows = messages.in_range(connection, stream, 1, state.next_seq - 1)
            states = messages.states_at(connection, stream, state.version)
            views = list(message_views(connection, rows, states))
        else:
            views = messages_in(connection, stream, state)
    return AsOf(
        name=name_of(log, stream),
        version=state.version,
        status=state.status,
        title=title_of(log, state),
        prompt=prompt_of(log, state),
        model=state.model,
        provider=state.provider,
        configuration=configuration_of(log, state),
        messages=tuple(views),
    )


def history(log: SqliteLog, stream: int, after: int, limit: int | None) -> list[MessageView]:
    """All messages with a seq above `after`, in order."""
    with log.snapshot() as connection:
        require_current(connection)
        size = _ALL if limit is None else limit
        rows = messages.in_range(connection, stream, after + 1, _ALL, size)
        return list(message_views(connection, rows))


def name_of(log: SqliteLog, stream: int) -> str:
    """What finds a session: its id, or ``id~n`` when its id was created again."""
    with log.reader() as connection:
        name = sessions.name_of(connection, stream)
    if name is None:
        raise UnknownSessionError(f"there is no session with stream number {stream}")
    return name


def _text(log: SqliteLog, position: int | None) -> Any:
    with log.reader() as connection:
        return sessions.text_at(connection, position)


def title_of(log: SqliteLog, state: SessionState) -> str | None:
    """The title in force in this state, None when it was erased."""
    with log.reader() as connection:
        return sessions.title_at(connection, state.title_position)


def prompt_of(log: SqliteLog, state: SessionState) -> str | None:
    """The system prompt in force in this state."""
    content = _text(log, state.prompt_position)
    return content.prompt if isinstance(content, PromptContent) else None


def configuration_of(log: SqliteLog, state: SessionState) -> dict[str, Any] | None:
    """The configuration in force in this state."""
    content = _text(log, state.configuration_position)
    return content.configuration if isinstance(content, ConfigurationContent) else None


def pending_of(log: SqliteLog, state: SessionState) -> Any:
    """The payload of the pending tool calls in this state."""
    content = _text(log, state.pending_position)
    return content.payload if isinstance(content, PendingContent) else None


def info_of(log: SqliteLog, stream: int, at: Point | None) -> SessionInfo:
    """The list entry of one session as of a point."""
    with log.snapshot() as connection:
        require_current(connection)
        listed = sessions.select(connection, streams=[stream])[0]
        if at is not None:
            version = version_at(connection, _head(connection, stream), at)
            listed = listed._replace(row=past.row_at(connection, listed.row, version))
        return info(connection, listed)


def info(connection: apsw.Connection, listed: ListedSession) -> SessionInfo:
    """A list entry with its texts."""
    row = listed.row
    return SessionInfo(
        name=listed.name,
        session_id=listed.session_id,
        incarnation=listed.incarnation,
        title=sessions.title_at(connection, row.title_position),
        status=row.status,
        kind=row.kind,
        lifecycle=row.lifecycle,
        depth=row.depth,
        parent=sessions.name_of(connection, row.parent),
        origin=sessions.name_of(connection, row.origin),
        origin_version=row.origin_version,
        source=row.source,
        model=row.model,
        provider=row.provider,
        round=row.round,
        version=row.version,
        messages=row.messages,
        active_messages=row.active_messages,
        compactions=row.compactions,
        tool_calls=row.tool_calls,
        preview=sessions.preview_at(connection, row.preview_position),
        created_at=row.created_at,
        updated_at=row.updated_at,
        last_message_at=row.last_message_at,
    )


def compactions(log: SqliteLog, stream: int) -> list[CompactionView]:
    """Every compaction of a session, oldest first."""
    with log.snapshot() as connection:
        require_current(connection)
        views = []
        for number, row in enumerate(calls.compactions(connection, stream), 1):
            content = sessions.text_at(connection, row.pop("position"))
            note = content.text if isinstance(content, MessageContent) else None
            at = row.pop("compacted_at")
            views.append(CompactionView(number=number, note=note, at=at, **row))
        return views


def tool_calls(log: SqliteLog, stream: int) -> list[ToolCallView]:
    """Every tool call of a session, in order."""
    with log.snapshot() as connection:
        require_current(connection)
        return [tool_call_view(connection, row) for row in calls.tool_calls(connection, stream)]


def tool_call_view(connection: apsw.Connection, row: calls.CallRow) -> ToolCallView:
    """The view of a row of `tool_calls`, with the texts of the call and its result."""
    call_id, seq, ordinal, position, called_at, result_seq, result_position, failed, answered = row
    asked = sessions.text_at(connection, position)
    answer = sessions.text_at(connection, result_position)
    call = None
    if isinstance(asked, MessageContent):
        named = [one for one in asked.tool_calls or () if one.id is not None]
        call = named[ordinal]
    result = None
    if isinstance(answer, MessageContent):
        result = answer.text if answer.parts is None else answer.parts
    return ToolCallView(
        call_id=call_id,
        seq=seq,
        name=None if call is None else call.name,
        arguments=None if call is None else call.arguments,
        called_at=called_at,
        result_seq=result_seq,
        result=result,
        failed=None if failed is None else bool(failed),
        answered_at=answered,
    )


def version_of_point(log: SqliteLog, stream: int, at: Point) -> int:
    """The version that a point of a session is."""
    with log.snapshot() as connection:
        return version_at(connection, _head(connection, stream), at)


def _streams(connection: apsw.Connection, stream: int, family: bool) -> list[int]:
    require_current(connection)
    return lineage.family(connection, stream) if family else [stream]


def _upto(connection: apsw.Connection, stream: int, at: Point | None) -> int | None:
    """The position of the log that a point of a session is at, None for the present."""
    if at is None:
        return None
    version = version_at(connection, _head(connection, stream), at)
    if isinstance(at, At) and at.measure is Measure.POSITION:
        return at.value
    return points.position_of(connection, stream, version)


def usage(log: SqliteLog, stream: int, at: Point | None, family: bool) -> UsageTotals:
    """Tokens and cost of a session, or of its whole family, as of a point."""
    with log.snapshot() as connection:
        streams = _streams(connection, stream, family)
        return usage_queries.totals(connection, streams, _upto(connection, stream, at))


def usage_by(
    log: SqliteLog, stream: int, group: str, at: Point | None, family: bool
) -> dict[str | int | None, UsageTotals]:
    """Usage split by a column, as of a point."""
    with log.snapshot() as connection:
        streams = _streams(connection, stream, family)
        return usage_queries.by(connection, streams, group, _upto(connection, stream, at))


def children(log: SqliteLog, stream: int) -> list[int]:
    """The streams of a session's children."""
    with log.snapshot() as connection:
        require_current(connection)
        return lineage.children(connection, stream)


def forks(log: SqliteLog, stream: int) -> list[int]:
    """The streams of a session's forks."""
    with log.snapshot() as connection:
        require_current(connection)
        return lineage.forks(connection, stream)
