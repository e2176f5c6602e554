"""Sessions in detail, page by page: what adapters of other session stores show of a session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from eventstore.log.sqlite import SqliteLog
from eventstore.store.current import require_current
from eventstore.store.views import MessageView, message_view
from projections.queries import listing, messages
from projections.queries.listing import DetailRow, Which
from projections.queries.usage import UsageTotals

#: States of messages that nobody is shown any more.
HIDDEN = ("retracted", "cleared")

_NOTHING: dict[str, Any] = {}
_UNUSED = UsageTotals()


class SessionDetails(Struct, frozen=True, kw_only=True):
    """An open session with its texts and its usage; what was erased is None.

    `messages` counts the active ones, `tool_calls` every call with an id that was ever made.
    `opening` is the text of the first active message of a user. Times are µs since
    1970; `ended_at` is None unless its status is ``ended``.
    """

    stream: int
    session_id: str
    version: int
    status: str
    source: str | None
    model: str | None
    parent: str | None
    created_at: int
    ended_at: int | None
    end_reason: str | None
    last_message_at: int | None
    messages: int
    tool_calls: int
    title: str | None
    prompt: str | None
    configuration: dict[str, Any]
    metadata: dict[str, Any]
    opening: str | None
    usage: UsageTotals


def sessions(
    log: SqliteLog, which: Which, *, limit: int = -1, offset: int = 0
) -> list[SessionDetails]:
    """Open sessions that match, those that began last first; a negative limit means all."""
    with log.snapshot() as connection:
        require_current(connection)
        rows = listing.select(connection, which, limit, offset)
        texts = listing.texts_at(connection, [at for row in rows for at in row.positions()])
        usage = listing.usage_of(connection, [row.stream for row in rows])
    return [_details(row, texts, usage.get(row.stream, _UNUSED)) for row in rows]


def session(log: SqliteLog, session_id: str) -> SessionDetails | None:
    """The open session with exactly this id."""
    found = sessions(log, Which(session_id=session_id))
    return found[0] if found else None


def rows(log: SqliteLog, streams: Iterable[int]) -> dict[int, DetailRow]:
    """The rows of these sessions, of those that are open, without their texts."""
    with log.snapshot() as connection:
        require_current(connection)
        found = listing.select(connection, Which(streams=tuple(set(streams))))
    return {row.stream: row for row in found}


def around(
    log: SqliteLog, places: Sequence[tuple[int, int]], count: int
) -> dict[tuple[int, int], list[MessageView]]:
    """For each ``(stream, seq)`` the message and so many before and after it, in order of seq.

    Messages that were retracted or cleared are left out.
    """
    found: dict[tuple[int, int], list[MessageView]] = {place: [] for place in places}
    with log.snapshot() as connection:
        require_current(connection)
        for index, row in messages.around(connection, places, count):
            if row.state not in HIDDEN:
                found[places[index]].append(message_view(row))
    return found


def stream_of(log: SqliteLog, session_id: str) -> int | None:
    """The stream number of the open session with exactly this id."""
    with log.snapshot() as connection:
        require_current(connection)
        rows = listing.select(connection, Which(session_id=session_id))
    return rows[0].stream if rows else None


def count(log: SqliteLog, which: Which) -> tuple[int, int]:
    """How many open sessions match, and how many active messages they have."""
    with log.snapshot() as connection:
        require_current(connection)
        return listing.count(connection, which)


def _details(row: DetailRow, texts: dict[int | None, Any], usage: UsageTotals) -> SessionDetails:
    text = texts.get
    return SessionDetails(
        stream=row.stream,
        session_id=row.session_id,
        version=row.version,
        status=row.status,
        source=row.source,
        model=row.model,
        parent=row.parent,
        created_at=row.created_at,
        ended_at=row.ended_at,
        end_reason=text(row.ended_position, _NOTHING).get("reason"),
        last_message_at=row.last_message_at,
        messages=row.messages,
        tool_calls=row.tool_calls,
        title=text(row.title_position, _NOTHING).get("title"),
        prompt=text(row.prompt_position, _NOTHING).get("prompt"),
        configuration=text(row.configuration_position, _NOTHING).get("configuration") or {},
        metadata=text(row.created_position, _NOTHING).get("metadata") or {},
        opening=text(row.opening_position, _NOTHING).get("text"),
        usage=usage,
    )
