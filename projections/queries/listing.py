"""Sessions in detail, as lists of other session stores show them.

A few statements for a whole page: the texts of all rows are fetched together, not one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apsw
from msgspec import Struct

from eventstore import codec
from eventstore.errors import CorruptStoreError, EventFormatError
from eventstore.log import blobs, reading
from eventstore.log.engine import rows_of
from eventstore.log.redactions import BODY
from projections.queries.usage import UsageTotals

_LISTED = "(SELECT value FROM json_each(?))"
_FROM = " FROM sessions AS p JOIN streams AS s ON s.id = p.stream"
_TIME = "coalesce(json_extract({0}.facts, '$.occurred_at'), {0}.recorded_at)"
_ENDED = (
    "CASE WHEN p.status = 'ended' THEN (SELECT e.position FROM events AS e "
    "WHERE e.stream = p.stream AND e.type = 'session.ended' ORDER BY e.version DESC LIMIT 1) END"
)
#: The projection's columns count messages that were cleared or retracted since; then it is asked
#: which are active.
_LAST_AT = (
    "CASE WHEN p.active_messages = p.messages THEN p.last_message_at ELSE "  # noqa: S608
    f"(SELECT {_TIME.format('e')} FROM messages AS m JOIN events AS e ON e.position = m.position "
    "WHERE m.stream = p.stream AND m.state = 'active' ORDER BY m.seq DESC LIMIT 1) END"
)
_OPENING = (
    "CASE WHEN p.active_messages = p.messages THEN p.preview_position ELSE "
    "(SELECT m.position FROM messages AS m WHERE m.stream = p.stream AND m.state = 'active' "
    "AND m.role = 'user' ORDER BY m.seq LIMIT 1) END"
)
_ROWS = (
    "SELECT p.stream, s.session_id, p.version, p.status, p.source, p.model, q.session_id, "  # noqa: S608
    f"p.created_at, {_TIME.format('x')}, {_LAST_AT}, p.active_messages, p.tool_calls, "
    "(SELECT e.position FROM events AS e WHERE e.stream = p.stream AND e.version = 1), "
    "p.title_position, p.prompt_position, p.configuration_position, "
    f"x.position, {_OPENING} FROM ({{page}}) AS f CROSS JOIN sessions AS p ON p.stream = f.stream "
    "CROSS JOIN streams AS s ON s.id = p.stream LEFT JOIN streams AS q ON q.id = p.parent "
    f"LEFT JOIN events AS x ON x.position = {_ENDED} ORDER BY p.created_at DESC, p.stream DESC"
)
_TEXTS = (
    f"SELECT c.position, {BODY} AS found FROM json_each(?) AS j CROSS JOIN contents AS c "  # noqa: S608
    "ON c.position = j.value WHERE found IS NOT NULL"
)
_USAGE = (
    "SELECT stream, count(*), sum(input), sum(cache_read), sum(cache_write), sum(output), "  # noqa: S608
    f"sum(reasoning), sum(cost_nanos) FROM usage WHERE stream IN {_LISTED} GROUP BY stream"
)
_TITLED = (
    f"SELECT p.stream, s.session_id, p.created_at, p.title_position{_FROM} "
    "WHERE p.status <> 'closed' AND p.title_position IS NOT NULL "
    "ORDER BY p.created_at DESC, p.stream DESC"
)


class Which(Struct, frozen=True, kw_only=True):
    """Which sessions are meant; None means that it does not matter. Closed ones never are.

    `prefix` is that of the id, in which the case of ASCII letters does not count.
    `ended_created_before` leaves only sessions that have ended and were created before that time
    (µs since 1970).
    """

    session_id: str | None = None
    streams: tuple[int, ...] | None = None
    prefix: str | None = None
    sources: tuple[str, ...] | None = None
    excluded_sources: tuple[str, ...] | None = None
    ended_created_before: int | None = None


class DetailRow(NamedTuple):
    """A row of the list; the positions are those of the events that hold the texts."""

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
    created_position: int
    title_position: int | None
    prompt_position: int | None
    configuration_position: int | None
    ended_position: int | None
    opening_position: int | None

    def positions(self) -> Iterable[int]:
        """Where the texts of this row are."""
        return (position for position in self[12:] if position is not None)


class TitledRow(NamedTuple):
    """An open session that has a title, which is at a position."""

    stream: int
    session_id: str
    created_at: int
    position: int


def select(
    connection: apsw.Connection, which: Which, limit: int = -1, offset: int = 0
) -> list[DetailRow]:
    """Sessions that match, those that began last first."""
    where, values = _terms(which)
    page = (
        f"SELECT p.stream{_FROM}{where} ORDER BY p.created_at DESC, p.stream DESC LIMIT ? OFFSET ?"
    )
    sql = _ROWS.replace("{page}", page)
    return [DetailRow._make(row) for row in rows_of(connection, sql, (*values, limit, offset))]


def count(connection: apsw.Connection, which: Which) -> tuple[int, int]:
    """How many sessions match, and how many active messages they have."""
    where, values = _terms(which)
    sql = f"SELECT count(*), coalesce(sum(p.active_messages), 0){_FROM}{where}"
    [(sessions, messages)] = rows_of(connection, sql, tuple(values))
    return sessions, messages


def _terms(which: Which) -> tuple[str, list[Any]]:
    terms, values = ["p.status <> 'closed'"], list[Any]()
    if which.session_id is not None:
        terms.append("s.session_id = ?")
        values.append(which.session_id)
    if which.prefix is not None:
        terms.append("s.session_id LIKE ? ESCAPE '\\'")
        escaped = which.prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values.append(f"{escaped}%")
    for term, listed in (
        (f"p.stream IN {_LISTED}", which.streams),
        (f"p.source IN {_LISTED}", which.sources),
        (f"coalesce(p.source, '') NOT IN {_LISTED}", which.excluded_sources),
    ):
        if listed is not None:
            terms.append(term)
            values.append(codec.encode(listed).decode())
    if which.ended_created_before is not None:
        terms.append("p.status = 'ended' AND p.created_at < ?")
        values.append(which.ended_created_before)
    return f" WHERE {' AND '.join(terms)}", values


def titled(connection: apsw.Connection) -> list[TitledRow]:
    """The open sessions that have a title, those that began last first."""
    return [TitledRow._make(row) for row in rows_of(connection, _TITLED)]


def texts_at(connection: apsw.Connection, positions: Sequence[int]) -> dict[int | None, Any]:
    """The contents of the events at these positions, as plain JSON.

    What was erased or has none is left out.
    """
    fetch = reading.blob_fetcher(connection)
    found: dict[int | None, Any] = {}
    for position, body in rows_of(connection, _TEXTS, (_json(positions),)):
        try:
            if blobs.MARK in body:
                found[position] = blobs.read_content("", 1, body.encode(), fetch)
            else:
                found[position] = codec.decode(body)
        except (EventFormatError, CorruptStoreError) as error:
            raise CorruptStoreError(f"the text at {position} cannot be read: {error}") from error
    return found


def usage_of(connection: apsw.Connection, streams: Sequence[int]) -> dict[int, UsageTotals]:
    """The usage of each of these sessions that has any."""
    return {
        stream: UsageTotals(
            calls=calls, input=fresh, cache_read=read, cache_write=written, output=output,
            reasoning=reasoning, cost_nanos=cost,
        )
        for stream, calls, fresh, read, written, output, reasoning, cost
        in rows_of(connection, _USAGE, (_json(streams),))
    }  # fmt: skip


def _json(values: Sequence[int]) -> str:
    return codec.encode(values).decode()
