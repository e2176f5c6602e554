"""What a store holds and has cost, by session, model, day or lineage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import apsw
from msgspec import Struct, field

from eventstore.errors import InvalidValueError
from eventstore.log.sqlite import SqliteLog
from eventstore.store.current import require_current
from projections.queries import sessions
from projections.queries.stats import DAY, UsageCount, message_counts, parents, usage_counts

#: What can be counted by.
GROUPS = ("session", "model", "day", "lineage")


class Stats(Struct, kw_only=True):
    """The counts of one session, model, day or lineage.

    `name` finds the session, or the root of the lineage; it is the model's name, or the day in UTC
    as ``YYYY-MM-DD``. `calls` are model calls; the counters are those of `UsageTotals`. `costs`
    are billionths by currency. Messages have no model: by model there are none.
    """

    name: str | None
    sessions: int = 0
    messages: int = 0
    calls: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    costs: dict[str, int] = field(default_factory=dict)


class _Sums:
    """Stats by key, and which sessions are in each."""

    def __init__(self) -> None:
        self.stats: dict[object, Stats] = {}
        self._seen: set[tuple[object, int]] = set()

    def of(self, key: object, stream: int) -> Stats:
        """The stats of a key, in which a session takes part."""
        found = self.stats.setdefault(key, Stats(name=None))
        if (key, stream) not in self._seen:
            self._seen.add((key, stream))
            found.sessions += 1
        return found


def stats(log: SqliteLog, by: str, since: int | None) -> list[Stats]:
    """The counts since a time; days oldest first, everything else by tokens, most first."""
    if by not in GROUPS:
        raise InvalidValueError(f"stats are by one of {', '.join(GROUPS)}, not {by!r}")
    with log.snapshot() as connection:
        require_current(connection)
        above = parents(connection)
        sums = _Sums()
        key = _keys(by, above)
        if since is None and by in ("session", "lineage"):
            for stream in above:  # those without any message too
                sums.of(key(stream, 0, None), stream)
        if by != "model":
            for stream, day, messages in message_counts(connection, since):
                sums.of(key(stream, day, None), stream).messages += messages
        for one in usage_counts(connection, since):
            found = sums.of(key(one.stream, one.day, one.model), one.stream)
            add_usage(found, one)
        for group, found in sums.stats.items():
            found.name = _name(connection, by, group)
        return _ordered(by, list(sums.stats.values()))


def add_usage(found: Stats, one: UsageCount | Stats) -> None:
    """Add the calls, tokens and costs of `one`."""
    for name in ("calls", "input", "cache_read", "cache_write", "output", "reasoning"):
        setattr(found, name, getattr(found, name) + getattr(one, name))
    for currency, cost in one.costs.items():
        found.costs[currency] = found.costs.get(currency, 0) + cost


def add_stats(found: Stats, one: Stats) -> None:
    """Add all counts of `one`."""
    found.sessions += one.sessions
    found.messages += one.messages
    add_usage(found, one)


def _keys(
    by: str, above: dict[int, int | None]
) -> Callable[[int, int, str | None], int | str | None]:
    """What a session, day and model are counted under."""
    if by == "session":
        return lambda stream, _, __: stream
    if by == "day":
        return lambda _, day, __: day
    if by == "model":
        return lambda _, __, model: model
    return lambda stream, _, __: _root(stream, above)


def _root(stream: int, above: dict[int, int | None]) -> int:
    """The topmost session; where reparenting made a circle, its lowest number."""
    seen = [stream]
    while (parent := above.get(seen[-1])) is not None:
        if parent in seen:
            return min(seen[seen.index(parent) :])
        seen.append(parent)
    return seen[-1]


def _name(connection: apsw.Connection, by: str, group: object) -> str | None:
    if by == "day":
        assert isinstance(group, int)
        return datetime.fromtimestamp(group * DAY // 1_000_000, UTC).strftime("%Y-%m-%d")
    if by == "model":
        return None if group is None else str(group)
    assert isinstance(group, int)
    return sessions.name_of(connection, group)


def _ordered(by: str, found: list[Stats]) -> list[Stats]:
    if by == "day":
        return sorted(found, key=lambda one: one.name or "")
    return sorted(
        found,
        key=lambda one: (
            -(one.input + one.cache_read + one.cache_write + one.output),
            -one.messages,
            one.name or "",
        ),
    )
