"""Sums of usage: every model call once, its newest event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apsw
from msgspec import Struct

from eventstore import codec
from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import UsageRecorded
from eventstore.log import reading
from eventstore.log.engine import rows_of

_SUMS = (
    "count(*), coalesce(sum(input), 0), coalesce(sum(cache_read), 0), "
    "coalesce(sum(cache_write), 0), coalesce(sum(output), 0), coalesce(sum(reasoning), 0), "
    "sum(cost_nanos)"
)
_GROUPS = {
    "model": "model",
    "provider": "provider",
    "round": "round",
    "currency": "currency",
    "session": "stream",
    "key": "key",
}
#: The newest event of each key until a position. The bare columns are those of the row with the
#: maximum (https://sqlite.org/lang_select.html#bareagg).
_PAST_COLUMNS = ", ".join(
    f"json_extract(facts, '$.{name}') AS {name}"
    for name in (
        "key", "round", "model", "provider", "cost_nanos", "currency",
        "input", "cache_read", "cache_write", "output", "reasoning",
    )
)  # fmt: skip
_PAST = (
    f"WITH recorded AS (SELECT stream, max(position), {_PAST_COLUMNS} FROM events "  # noqa: S608
    "WHERE stream IN (%s) AND position <= ? AND type = 'usage.recorded' "
    "GROUP BY stream, json_extract(facts, '$.key'))"
)


_CALL = (
    "key, position, round, model, provider, input, cache_read, cache_write, output, reasoning, "
    "cost_nanos, currency, cost_source, recorded_at"
)
_PAGE_OF_CALLS = f"SELECT {_CALL} FROM usage WHERE stream = ? AND key >= ? ORDER BY key LIMIT ?"  # noqa: S608
_CALLS_OF = (
    f"SELECT {_CALL} FROM usage WHERE stream = ? "  # noqa: S608
    "AND key IN (SELECT value FROM json_each(?))"
)
_PAST_CALL = (
    "SELECT position FROM events WHERE stream = ? AND position <= ? AND type = 'usage.recorded' "
    "AND json_extract(facts, '$.key') = ? ORDER BY position DESC LIMIT 1"
)


class UsageCall(Struct, frozen=True):
    """One model call; the fields are those of `UsageRecorded`, `at` in µs since 1970."""

    key: str
    position: int
    round: int | None
    model: str | None
    provider: str | None
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    cost_nanos: int | None
    currency: str | None
    cost_source: str | None
    at: int


class UsageTotals(Struct, frozen=True, kw_only=True):
    """Counters are disjoint; `reasoning` is part of `output`; cost is None where none is known.

    Costs in several currencies are never added up: group by currency then.
    """

    calls: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost_nanos: int | None = None

    @property
    def input_total(self) -> int:
        """All input tokens, cached ones included."""
        return self.input + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input_total + self.output


def totals(
    connection: apsw.Connection, streams: Sequence[int], upto: int | None = None
) -> UsageTotals:
    """The sum over these sessions; with `upto`, as of that position of the log."""
    past, values = _source(connection, streams, upto)
    marks = ",".join("?" * len(streams))
    sql = f"{past} SELECT {_SUMS} FROM recorded WHERE stream IN ({marks})"  # noqa: S608
    return _totals(rows_of(connection, sql, (*values, *streams))[0])


def page_of_calls(
    connection: apsw.Connection, stream: int, after: str | None, upto: int, limit: int
) -> tuple[list[UsageCall], str | None]:
    """Model calls of a session with keys after `after`, as of a position of the log.

    Looks at most at `limit` keys; also the last of them, None when there are no more.
    """
    first = "" if after is None else after + "\0"  # no text is between the two
    rows = rows_of(connection, _PAGE_OF_CALLS, (stream, first, limit))
    found = list(_until(connection, stream, rows, upto))
    return found, rows[-1][0] if rows else None


def calls_of(
    connection: apsw.Connection, stream: int, keys: Sequence[str], upto: int
) -> dict[str, UsageCall]:
    """The model calls of a session with these keys, as of a position of the log, by key."""
    rows = rows_of(connection, _CALLS_OF, (stream, codec.encode(keys).decode()))
    return {call.key: call for call in _until(connection, stream, rows, upto)}


def _until(
    connection: apsw.Connection, stream: int, rows: Iterable[Sequence[Any]], upto: int
) -> Iterator[UsageCall]:
    """The calls in these rows as they had been recorded until a position."""
    for row in rows:
        call = UsageCall(*row)
        known = call if call.position <= upto else _past_call(connection, stream, call.key, upto)
        if known is not None:
            yield known


def _past_call(connection: apsw.Connection, stream: int, key: str, upto: int) -> UsageCall | None:
    """A model call as it had been recorded until a position, None when it had not."""
    position = connection.execute(_PAST_CALL, (stream, upto, key)).get
    if position is None:
        return None
    [recorded] = reading.by_positions(connection, [int(position)], content=False)
    e = recorded.event
    assert isinstance(e, UsageRecorded)
    return UsageCall(
        e.key, recorded.position, e.round, e.model, e.provider, e.input, e.cache_read,
        e.cache_write, e.output, e.reasoning, e.cost_nanos, e.currency, e.cost_source,
        e.occurred_at or recorded.recorded_at,
    )  # fmt: skip


def by(
    connection: apsw.Connection, streams: Sequence[int], group: str, upto: int | None = None
) -> dict[str | int | None, UsageTotals]:
    """Sums for each model, provider, round, currency, session (stream) or key."""
    if group not in _GROUPS:
        raise InvalidValueError(f"usage is split by one of {sorted(_GROUPS)}, not {group!r}")
    column, marks = _GROUPS[group], ",".join("?" * len(streams))
    past, values = _source(connection, streams, upto)
    sql = (
        f"{past} SELECT {column}, {_SUMS} FROM recorded WHERE stream IN ({marks}) "  # noqa: S608
        f"GROUP BY {column} ORDER BY {column}"
    )
    rows = rows_of(connection, sql, (*values, *streams))
    return {row[0]: _totals(row[1:]) for row in rows}


def _source(
    connection: apsw.Connection, streams: Sequence[int], upto: int | None
) -> tuple[str, tuple[int, ...]]:
    """The rows to add up, as a table `recorded`, and the values for it.

    The `usage` table has the newest event of each key. Where an event is newer than `upto`, the
    newest until then are looked up in the log.
    """
    marks = ",".join("?" * len(streams))
    if upto is not None:
        newer = f"SELECT 1 FROM usage WHERE stream IN ({marks}) AND position > ? LIMIT 1"  # noqa: S608
        if rows_of(connection, newer, (*streams, upto)):
            return _PAST % marks, (*streams, upto)
    return "WITH recorded AS (SELECT * FROM usage)", ()


def _totals(row: Sequence[int | None]) -> UsageTotals:
    calls, input_, cache_read, cache_write, output, reasoning, cost = row
    return UsageTotals(
        calls=calls or 0,
        input=input_ or 0,
        cache_read=cache_read or 0,
        cache_write=cache_write or 0,
        output=output or 0,
        reasoning=reasoning or 0,
        cost_nanos=cost,
    )
