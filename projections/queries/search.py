"""Reading the full-text index: hits that are visible, ranked or newest first."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from typing import Any, NamedTuple

import apsw
from msgspec import Struct

from eventstore import codec

#: Hits that are ranked: of more, only the newest so many.
RANKED_MAX = 10_000

#: One row a hit and session that shows it, newest first. The index goes first, and nothing is
#: sorted: FTS5 gives its rows in the order that is asked for.
_HITS = (
    "SELECT search_index.rowid, r.stream, r.seq, r.at, m.state, m.role, m.kind, "
    "-bm25(search_index) FROM search_index CROSS JOIN search_rows AS r "
    "ON r.position = search_index.rowid CROSS JOIN messages AS m "
    "ON m.stream = r.stream AND m.seq = r.seq CROSS JOIN sessions AS s ON s.stream = r.stream "
    "WHERE search_index MATCH ? AND m.state NOT IN ('retracted', 'cleared') "
    "AND s.status <> 'closed'"
)
_ORDER = " ORDER BY search_index.rowid DESC"
_LISTED = "(SELECT value FROM json_each(?))"
_SPAN = f"SELECT min(position), max(position) FROM search_rows WHERE stream IN {_LISTED}"  # noqa: S608


class Filters(Struct, frozen=True, kw_only=True):
    """What hits must be like; None means that it does not matter. Times are µs since 1970.

    `active` True leaves only active messages, False only those that were compacted away or
    consolidated. `since` is included, `until` is not.
    """

    streams: tuple[int, ...] | None = None
    source: str | None = None
    role: str | None = None
    session_kind: str | None = None
    message_kind: str | None = None
    since: int | None = None
    until: int | None = None
    active: bool | None = None


class Found(NamedTuple):
    """A message that matches, in the first session that shows it; `also` are the others."""

    position: int
    stream: int
    seq: int
    at: int
    state: str
    role: str
    kind: str
    score: float
    also: tuple[int, ...]


def find(
    connection: apsw.Connection,
    match: str,
    filters: Filters,
    *,
    newest: bool,
    limit: int,
    offset: int,
) -> tuple[list[Found], bool]:
    """Messages that match an FTS5 expression, and whether there were too many to rank them all."""
    where, values = _terms(connection, filters)
    cursor = connection.execute(_HITS + where + _ORDER, (match, *values))
    wanted = limit + offset
    most = wanted if newest else RANKED_MAX
    firsts: list[Any] = []
    shared: dict[int, list[Any]] = {}  # rows of messages that several sessions show
    bounded = False
    for row in cursor:
        if firsts and row[0] == firsts[-1][0]:
            shared.setdefault(row[0], [firsts[-1]]).append(row)
        elif len(firsts) >= most:
            bounded = not newest
            break
        else:
            firsts.append(row)
    cursor.close()
    if not newest:
        firsts = nsmallest(wanted, firsts, key=lambda row: (-row[7], -row[0]))
    return [_found(shared.get(row[0], [row])) for row in firsts[offset:wanted]], bounded


def _found(rows: Sequence[Any]) -> Found:
    first, *others = sorted(rows, key=lambda row: int(row[1]))
    return Found._make((*first, tuple(row[1] for row in others)))


def _terms(connection: apsw.Connection, filters: Filters) -> tuple[str, list[Any]]:
    """What the filters add to the statement, and its values."""
    terms: list[str] = []
    values: list[Any] = []
    if filters.streams is not None:
        listed = codec.encode(filters.streams).decode()
        span = connection.execute(_SPAN, (listed,)).fetchone()
        terms += ["search_index.rowid BETWEEN ? AND ?", f"r.stream IN {_LISTED}"]
        values += [*(span or (None, None)), listed]
    for term, value in (
        ("s.source = ?", filters.source),
        ("m.role = ?", filters.role),
        ("s.kind = ?", filters.session_kind),
        ("m.kind = ?", filters.message_kind),
        ("r.at >= ?", filters.since),
        ("r.at < ?", filters.until),
    ):
        if value is not None:
            terms.append(term)
            values.append(value)
    if filters.active is not None:
        terms.append("m.state = 'active'" if filters.active else "m.state <> 'active'")
    return "".join(f" AND {term}" for term in terms), values
