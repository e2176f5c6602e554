"""Sessions in detail, page by page: what adapters of other session stores show of a session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
from msgspec import Struct

from eventstore import codec
from eventstore.log.sqlite import SqliteLog
from eventstore.store.current import read_current, require_current
from eventstore.store.views import MessageView, message_views
from projections.queries import listing, messages
from projections.queries.listing import BriefRow, DetailRow, Which
from projections.queries.texts import content_in
from projections.queries.usage import UsageTotals

#: States of messages that nobody is shown any more.
HIDDEN = ("retracted", "cleared")

_UNUSED = UsageTotals()


class SessionDetails(Struct, frozen=True):
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
    last_message_at: int | None
    messages: int
    tool_calls: int
    usage: UsageTotals
    metadata: dict[str, Any]
    title: str | None
    prompt: str | None
    configuration: dict[str, Any]
    end_reason: str | None
    opening: str | None


def sessions(
    log: SqliteLog, which: Which, *, limit: int = -1, offset: int = 0
) -> list[SessionDetails]:
    """Open sessions that match, those that began last first; a negative limit means all."""

    def query(connection: apsw.Connection) -> list[SessionDetails]:
        rows = listing.select(connection, which, limit, offset)
        return [_details(connection, row) for row in rows]

    return read_current(log, query)


def session(log: SqliteLog, session_id: str) -> SessionDetails | None:
    """The open session with exactly this id."""

    def query(connection: apsw.Connection) -> SessionDetails | None:
        row = listing.one(connection, session_id)
        return None if row is None else _details(connection, row)

    return read_current(log, query)


def brief(log: SqliteLog, streams: Iterable[int]) -> dict[int, BriefRow]:
    """Brief rows of those of these sessions that are open, by stream number."""
    with log.snapshot() as connection:
        require_current(connection)
        return {row.stream: row for row in listing.brief(connection, sorted(set(streams)))}


def around(
    log: SqliteLog, places: Sequence[tuple[int, int]], count: int
) -> dict[tuple[int, int], list[MessageView]]:
    """For each ``(stream, seq)`` the message and so many before and after it, in order of seq.

    Messages that were retracted or cleared are left out.
    """
    found: dict[tuple[int, int], list[MessageView]] = {place: [] for place in places}
    with log.snapshot() as connection:
        require_current(connection)
        rows = messages.around(connection, places, count)
        views = message_views(connection, [row for _, row in rows])
    for (index, _), view in zip(rows, views, strict=True):
        if view.state not in HIDDEN:
            found[places[index]].append(view)
    return found


def stream_of(log: SqliteLog, session_id: str) -> int | None:
    """The stream number of the open session with exactly this id."""
    with log.snapshot() as connection:
        require_current(connection)
        return listing.stream_of(connection, session_id)


def count(log: SqliteLog, which: Which) -> tuple[int, int]:
    """How many open sessions match, and how many active messages they have."""
    with log.snapshot() as connection:
        require_current(connection)
        return listing.count(connection, which)


def _details(connection: apsw.Connection, row: DetailRow) -> SessionDetails:
    stream = row.stream
    begun, title, prompt, configuration, ended, opening = [
        None if body is None else content_in(connection, body, stream) for body in row[13:]
    ]
    # By place, as `message_views`: names would cost as much as all else.
    found: Sequence[Any] = (
        *row[:12],
        _usage(row.usage),
        (begun and begun.get("metadata")) or {},
        title and title.get("title"),
        prompt and prompt.get("prompt"),
        (configuration and configuration.get("configuration")) or {},
        ended and ended.get("reason"),
        opening and opening.get("text"),
    )
    return SessionDetails(*found)


def _usage(sums: str) -> UsageTotals:
    if sums.startswith("[0,"):  # no calls
        return _UNUSED
    calls, fresh, read, written, output, reasoning, cost = codec.decode(sums.encode())
    return UsageTotals(
        calls=calls, input=fresh, cache_read=read, cache_write=written, output=output,
        reasoning=reasoning, cost_nanos=cost,
    )  # fmt: skip
