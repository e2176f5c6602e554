"""Sessions in detail, as lists of other session stores show them: rows with their texts and usage.

All of a list is one statement. It asks for the texts beside the rows; and as it has the condition
in it that the tables are at the head of the log, no second one need ask that of the same snapshot.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, TypeAlias

import apsw
from msgspec import Struct

from eventstore import codec
from eventstore.log.engine import rows_of
from eventstore.log.redactions import BODY
from projections.queries.current import AT_HEAD
from projections.queries.texts import body_at

_LISTED = "(SELECT value FROM json_each(?))"
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
_BEGUN = "(SELECT position FROM events WHERE stream = p.stream AND version = 1)"
_USAGE = (
    "(SELECT json_array(count(*), sum(input), sum(cache_read), sum(cache_write), sum(output), "
    "sum(reasoning), sum(cost_nanos)) FROM usage WHERE stream = p.stream)"
)
_TEXTS = (
    body_at(_BEGUN), body_at("p.title_position"), body_at("p.prompt_position"),
    body_at("p.configuration_position"), body_at("x.position"),
)  # fmt: skip
#: A `DetailRow`.
_COLUMNS = (
    f"{', '.join(_TEXTS)}, {_USAGE}, "  # noqa: S608
    "p.stream, s.session_id, p.version, p.status, p.source, p.model, "
    "(SELECT session_id FROM streams WHERE id = p.parent), p.created_at, "
    f"{_TIME.format('x')}, p.active_messages, p.tool_calls"
)
_END = f"LEFT JOIN events AS x ON x.position = {_ENDED}"
#: In no order: SQLite would copy all texts to sort them.
_ROWS = (
    f"SELECT {_LAST_AT}, {body_at(_OPENING)}, {_COLUMNS} "  # noqa: S608
    "FROM ({page}) AS f CROSS JOIN sessions AS p ON p.stream = f.stream "
    f"CROSS JOIN streams AS s ON s.id = p.stream {_END}"
)
_ROW = (
    f"SELECT {_COLUMNS} FROM streams AS s "  # noqa: S608
    f"CROSS JOIN sessions AS p ON p.stream = s.id {_END} "
    f"WHERE s.session_id = ? AND p.status <> 'closed' AND {AT_HEAD}"
)
_PAGE = (
    "SELECT p.stream FROM sessions AS p WHERE {where} "
    "ORDER BY p.created_at DESC, p.stream DESC LIMIT ? OFFSET ?"
)
_COUNT = "SELECT count(*), coalesce(sum(p.active_messages), 0) FROM sessions AS p WHERE {where}"
_BRIEF = (
    "SELECT p.stream, p.source, p.model, p.created_at FROM sessions AS p "  # noqa: S608
    f"WHERE p.status <> 'closed' AND p.stream IN {_LISTED}"
)
_OPEN = (
    "SELECT p.stream FROM streams AS s CROSS JOIN sessions AS p ON p.stream = s.id "
    "WHERE s.session_id = ? AND p.status <> 'closed'"
)
_TITLED = (
    f"SELECT p.stream, s.session_id, {BODY} AS body FROM sessions AS p "  # noqa: S608
    "CROSS JOIN streams AS s ON s.id = p.stream "
    "CROSS JOIN contents AS c ON c.position = p.title_position "
    "WHERE p.status <> 'closed' AND body IS NOT NULL ORDER BY p.created_at DESC, p.stream DESC"
)


class Which(Struct, frozen=True, kw_only=True):
    """Which sessions are meant; None means that it does not matter. Closed ones never are.

    `prefix` is that of the id, in which the case of ASCII letters does not count.
    `ended_created_before` leaves only sessions that have ended and were created before that time
    (µs since 1970).
    """

    session_id: str | None = None
    prefix: str | None = None
    sources: tuple[str, ...] | None = None
    excluded_sources: tuple[str, ...] | None = None
    ended_created_before: int | None = None


#: The stored bodies of a session's beginning, title, prompt, configuration and end; the sums of its
#: usage as a JSON array in the order of `UsageTotals`; and stream, session_id, version, status,
#: source, model, parent, created_at, ended_at, active messages and tool calls.
DetailRow: TypeAlias = tuple[Any, ...]

#: The time of the last active message and the stored body of the opening one, and a `DetailRow`.
ListedRow: TypeAlias = tuple[Any, ...]


class BriefRow(NamedTuple):
    """What beside a message is shown of its session."""

    stream: int
    source: str | None
    model: str | None
    created_at: int


class TitledRow(NamedTuple):
    """An open session and the stored body with its title."""

    stream: int
    session_id: str
    body: str


def select(
    connection: apsw.Connection, which: Which, limit: int = -1, offset: int = 0
) -> list[ListedRow]:
    """Sessions that match, in no order; of a page those that began last.

    None when the tables are not at the head; whoever gets none has to find out which it is.
    """
    terms, values = _terms(which)
    return rows_of(connection, _selection(terms), (*values, limit, offset))


def one(connection: apsw.Connection, session_id: str) -> DetailRow | None:
    """The open session with this id; None also when the tables are not at the head."""
    found: DetailRow | None = connection.execute(_ROW, (session_id,)).get
    return found


@cache
def _selection(terms: tuple[str, ...]) -> str:
    return _ROWS.replace("{page}", _PAGE.format(where=" AND ".join((*terms, AT_HEAD))))


def count(connection: apsw.Connection, which: Which) -> tuple[int, int]:
    """How many sessions match, and how many active messages they have."""
    terms, values = _terms(which)
    [(sessions, messages)] = rows_of(connection, _COUNT.format(where=" AND ".join(terms)), values)
    return sessions, messages


def _terms(which: Which) -> tuple[tuple[str, ...], list[Any]]:
    terms, values = ["p.status <> 'closed'"], list[Any]()
    if which.session_id is not None:
        terms.append("p.stream IN (SELECT id FROM streams WHERE session_id = ?)")
        values.append(which.session_id)
    if which.prefix is not None:
        terms.append("p.stream IN (SELECT id FROM streams WHERE session_id LIKE ? ESCAPE '\\')")
        escaped = which.prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values.append(f"{escaped}%")
    for term, listed in (
        (f"p.source IN {_LISTED}", which.sources),
        (f"coalesce(p.source, '') NOT IN {_LISTED}", which.excluded_sources),
    ):
        if listed is not None:
            terms.append(term)
            values.append(codec.encode(listed).decode())
    if which.ended_created_before is not None:
        terms.append("p.status = 'ended' AND p.created_at < ?")
        values.append(which.ended_created_before)
    return tuple(terms), values


def stream_of(connection: apsw.Connection, session_id: str) -> int | None:
    """The stream of the open session with this id."""
    found: int | None = connection.execute(_OPEN, (session_id,)).get
    return found


def brief(connection: apsw.Connection, streams: list[int]) -> list[BriefRow]:
    """Rows of those of these sessions that are open, in no order."""
    values = (codec.encode(streams).decode(),)
    return [BriefRow._make(row) for row in rows_of(connection, _BRIEF, values)]


def titled(connection: apsw.Connection) -> list[TitledRow]:
    """The open sessions that have a title which was not erased, those that began last first."""
    return [TitledRow._make(row) for row in rows_of(connection, _TITLED)]
