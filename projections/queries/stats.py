"""Counts over a whole store: messages, and usage by the sessions, models and days it is of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import apsw

from eventstore.log.engine import rows_of
from projections.queries.sessions import OWN_SOURCE

#: µs of a day.
DAY = 86_400_000_000

_AT = "coalesce(json_extract(e.facts, '$.occurred_at'), e.recorded_at)"
_MESSAGES = (
    f"SELECT m.stream, {_AT} / {DAY}, count(*) FROM messages AS m "  # noqa: S608
    f"JOIN events AS e ON e.position = m.position WHERE m.inherited = 0 AND {_AT} >= ? "
    "GROUP BY 1, 2"
)
_USAGE = (
    f"SELECT u.stream, u.recorded_at / {DAY}, u.model, u.currency, count(*), "  # noqa: S608
    "sum(u.input), sum(u.cache_read), sum(u.cache_write), sum(u.output), sum(u.reasoning), "
    "sum(u.cost_nanos) FROM usage AS u WHERE u.recorded_at >= ? GROUP BY 1, 2, 3, 4"
)
_CHOSEN = "(?1 IS NULL OR stream IN (SELECT value FROM json_each(?1)))"
_OWN_MESSAGES = (
    f"SELECT stream, count(*) FROM messages WHERE inherited = 0 AND {_CHOSEN} "  # noqa: S608
    "GROUP BY stream"
)
_USAGE_OF = (
    "SELECT stream, 0, NULL, currency, count(*), sum(input), sum(cache_read), "  # noqa: S608
    f"sum(cache_write), sum(output), sum(reasoning), sum(cost_nanos) FROM usage WHERE {_CHOSEN} "
    "GROUP BY stream, currency ORDER BY stream, currency"
)
_PARENTS = (
    f"SELECT stream, coalesce(parent, origin) FROM sessions WHERE source IS NOT '{OWN_SOURCE}' "  # noqa: S608
    "ORDER BY stream"
)

#: Before every time that there is.
ALWAYS = -(1 << 62)


class MessageCount(NamedTuple):
    """Messages that a session appended on a day (number since 1970, UTC)."""

    stream: int
    day: int
    messages: int


class UsageCount(NamedTuple):
    """Usage of a session on a day with a model, in a currency."""

    stream: int
    day: int
    model: str | None
    currency: str | None
    calls: int
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    cost_nanos: int | None

    @property
    def costs(self) -> dict[str, int]:
        """The cost by currency; the empty text stands for none that was told."""
        return {} if self.cost_nanos is None else {self.currency or "": self.cost_nanos}


def message_counts(connection: apsw.Connection, since: int | None) -> list[MessageCount]:
    """How many messages were appended since a time (µs since 1970), whatever became of them."""
    rows = rows_of(connection, _MESSAGES, (ALWAYS if since is None else since,))
    return [MessageCount(*row) for row in rows]


def usage_counts(connection: apsw.Connection, since: int | None) -> list[UsageCount]:
    """Usage since a time, each model call once."""
    rows = rows_of(connection, _USAGE, (ALWAYS if since is None else since,))
    return [UsageCount(*row) for row in rows]


def own_messages(
    connection: apsw.Connection, streams: Sequence[int] | None
) -> list[tuple[int, int]]:
    """How many messages were appended to each of these sessions (all if None)."""
    return rows_of(connection, _OWN_MESSAGES, (_as_json(streams),))


def usage_of(connection: apsw.Connection, streams: Sequence[int] | None) -> list[UsageCount]:
    """Usage of each of these sessions (all if None) in each currency, each model call once."""
    return [UsageCount(*row) for row in rows_of(connection, _USAGE_OF, (_as_json(streams),))]


def _as_json(streams: Sequence[int] | None) -> str | None:
    return None if streams is None else json.dumps(list(streams))


def parents(connection: apsw.Connection) -> dict[int, int | None]:
    """The stream that each stream was spawned or else forked from, None for a root.

    The store's own session is left out.
    """
    return {row[0]: row[1] for row in rows_of(connection, _PARENTS)}
