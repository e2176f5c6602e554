"""Sessions in detail, page by page: what adapters of other session stores show of a session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from eventstore.log.sqlite import SqliteLog
from eventstore.store.current import read_current, require_current
from eventstore.store.views import MessageView, message_views
from projections.queries import listing, messages
from projections.queries.listing import BriefRow, DetailRow, ListedRow, Which
from projections.queries.texts import content_in
from projections.queries.usage import UsageTotals

#: States of messages that nobody is shown any more.
HIDDEN = ("retracted", "cleared")

_UNUSED = UsageTotals()
_decode_sums = msgspec.json.Decoder(list[Any]).decode


class SessionDetails(Struct, frozen=True):
    """An open session with its texts and its usage; what was erased is None.

    `messages` counts the active ones, `tool_calls` every call with an id that was ever made. Times
    are µs since 1970; `ended_at` is None unless its status is ``ended``.
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
    messages: int
    tool_calls: int
    usage: UsageTotals
    metadata: dict[str, Any]
    title: str | None
    prompt: str | None
    configuration: dict[str, Any]
    end_reason: str | None


class ListedDetails(SessionDetails, frozen=True):
    """With what a list shows of the conversation.

    `last_message_at` is the time of the last active message, `opening` the text of the first one of
    a user.
    """

    last_message_at: int | None
    opening: str | None


def sessions(
    log: SqliteLog, which: Which, *, limit: int = -1, offset: int = 0
) -> list[ListedDetails]:
    """Open sessions that match, those that began last first; a negative limit means all."""

    def query(connection: apsw.Connection) -> list[ListedDetails]:
        rows = listing.select(connection, which, limit, offset)
        return [_listed(connection, row) for row in rows]

    return sorted(read_current(log, query), key=attrgetter("created_at", "stream"), reverse=True)


def session(log: SqliteLog, session_id: str) -> SessionDetails | None:
    """The open session with exactly this id."""

    def query(connection: apsw.Connection) -> SessionDetails | None:
        row = listing.one(connection, session_id)
        return None if row is None else SessionDetails(*_fields(connection, row))

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
        views = list(message_views(connection, [row for _, row in rows]))
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


def _listed(connection: apsw.Connection, row: ListedRow) -> ListedDetails:
    last_message_at, opening = row[:2]
    fields = _fields(connection, row[2:])
    text = content_in(connection, opening, fields[0]).get("text")
    found: Sequence[Any] = (*fields, last_message_at, text)
    return ListedDetails(*found)


def _fields(connection: apsw.Connection, row: DetailRow) -> tuple[Any, ...]:
    """What a `SessionDetails` is made of, in order: names would cost as much as all else."""
    begun, title, prompt, configuration, ended, usage, *facts = row
    stream = facts[0]
    return (
        *facts,
        _usage(usage),
        content_in(connection, begun, stream).get("metadata") or {},
        None if title is None else content_in(connection, title, stream).get("title"),
        None if prompt is None else content_in(connection, prompt, stream).get("prompt"),
        content_in(connection, configuration, stream).get("configuration") or {},
        None if ended is None else content_in(connection, ended, stream).get("reason"),
    )


def _usage(sums: str) -> UsageTotals:
    if sums.startswith("[0,"):  # no calls
        return _UNUSED
    calls, fresh, read, written, output, reasoning, cost = _decode_sums(sums)
    return UsageTotals(
        calls=calls, input=fresh, cache_read=read, cache_write=written, output=output,
        reasoning=reasoning, cost_nanos=cost,
    )  # fmt: skip
