"""Reading the full-text index: hits that are visible, ranked or newest first.

Ranking looks at the index alone, and whether the winners are visible is asked afterwards: nearly
all are. Where one is not, or hits are filtered, each hit is asked before it is ranked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw
from msgspec import Struct

from eventstore import codec
from eventstore.errors import CorruptStoreError, EventFormatError, InvalidQueryError
from eventstore.log import blobs, reading
from eventstore.log.engine import rows_of
from eventstore.log.redactions import BODY
from projections.queries.sessions import NAME
from projections.search.text import readable_text

#: Hits that are ranked: of more, only the newest so many.
RANKED_MAX = 10_000

_END = (1 << 63) - 1
_LISTED = "(SELECT value FROM json_each(?))"
_SPAN = f"SELECT min(position), max(position) FROM search_rows WHERE stream IN {_LISTED}"  # noqa: S608
_VALID = "SELECT rowid FROM search_index WHERE search_index MATCH ? LIMIT 1"

#: Newest first without sorting: FTS5 gives its rows in the order that is asked for.
_MATCHES = "FROM search_index WHERE search_index MATCH ? AND rowid BETWEEN ? AND ?"
_NEWEST = "ORDER BY rowid DESC LIMIT ?"
_SCORED = f"SELECT rowid AS position, bm25(search_index) AS score {_MATCHES}%s {_NEWEST}"
_BEST = (
    f"SELECT position, -score FROM ({_SCORED % ''}) AS found%s "  # noqa: S608
    "ORDER BY score, position DESC LIMIT ?"
)
#: The same of hits that are visible; the third column is the last one's position if there are `?`.
_BEST_VISIBLE = (
    f"WITH found AS MATERIALIZED ({_SCORED}) SELECT position, -score, "  # noqa: S608
    "(SELECT CASE WHEN count(*) = ? THEN min(position) END FROM found) FROM found "
    "ORDER BY score, position DESC LIMIT ?"
)
_BEYOND = f"SELECT rowid {_MATCHES} {_NEWEST} OFFSET ?"
_VISIBLE = (
    "search_rows AS r CROSS JOIN messages AS m ON m.stream = r.stream AND m.seq = r.seq "
    "CROSS JOIN sessions AS p ON p.stream = r.stream "
)
_IS_VISIBLE = "m.state NOT IN ('retracted', 'cleared') AND p.status <> 'closed'"
_SHOWN = (
    f"SELECT r.position, r.stream, r.seq, r.at, m.state, m.role, m.kind, {NAME}, s.session_id "  # noqa: S608
    f"FROM json_each(?) AS j CROSS JOIN {_VISIBLE} CROSS JOIN streams AS s ON s.id = r.stream "
    f"WHERE r.position = j.value AND {_IS_VISIBLE}"
)
_CONTENTS = (
    f"SELECT e.position, e.type, e.schema, {BODY} AS found FROM json_each(?) AS j "  # noqa: S608
    "CROSS JOIN events AS e ON e.position = j.value "
    "CROSS JOIN contents AS c ON c.position = j.value WHERE found IS NOT NULL"
)


class Filters(Struct, frozen=True, kw_only=True):
    """What hits must be like; None means that it does not matter. Times are µs since 1970.

    `active` True leaves only active messages, False only those that were compacted away or
    consolidated. `since` is included, `until` is not. A session without a source is in no list of
    `sources`, and not in `excluded_sources` either.
    """

    streams: tuple[int, ...] | None = None
    sources: tuple[str, ...] | None = None
    excluded_sources: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    session_kind: str | None = None
    message_kind: str | None = None
    since: int | None = None
    until: int | None = None
    active: bool | None = None


class Found(NamedTuple):
    """A message that matches, in the first session that shows it; `also` names the others."""

    position: int
    stream: int
    seq: int
    at: int
    state: str
    role: str
    kind: str
    name: str
    session_id: str
    also: tuple[str, ...]
    score: float | None


class _Search:
    """One search: its expression, the stretch of the log it looks at, and its filters as SQL."""

    def __init__(self, connection: apsw.Connection, match: str, filters: Filters) -> None:
        self.connection = connection
        self.match = match
        terms, self.values = _terms(filters)
        self.filter = "".join(f" AND {term}" for term in terms)
        self.first, self.last = 0, _END
        if filters.streams is not None:
            [(first, last)] = rows_of(connection, _SPAN, (_json(filters.streams),))
            self.first, self.last = (_END, 0) if first is None else (first, last)

    def _span(self, last: int | None = None) -> tuple[str, int, int]:
        """What `_MATCHES` takes."""
        return self.match, self.first, self.last if last is None else min(last, self.last)

    def _visible(self, position: str) -> str:
        """A condition: some session shows the message at this position. Takes `values`."""
        return (
            f"EXISTS (SELECT 1 FROM {_VISIBLE} WHERE r.position = {position} "  # noqa: S608
            f"AND {_IS_VISIBLE}{self.filter})"
        )

    def newest(self, size: int, *, visible: bool, last: int | None = None) -> list[int]:
        """The newest hits, at `last` or before it; with `visible`, of those that are."""
        condition = f" AND {self._visible('search_index.rowid')}" if visible else ""
        bound = (*self._span(last), *(self.values if visible else ()), size)
        rows = rows_of(self.connection, f"SELECT rowid {_MATCHES}{condition} {_NEWEST}", bound)
        return [row[0] for row in rows]

    def best(self, size: int, *, visible: bool) -> list[Any]:
        """Positions and scores of the best newest hits; with `visible`, of those that are."""
        condition = f" WHERE {self._visible('found.position')}" if visible else ""
        bound = (*self._span(), RANKED_MAX, *(self.values if visible else ()), size)
        return rows_of(self.connection, _BEST % condition, bound)

    def beyond(self) -> int | None:
        """The newest hit that `best` does not look at, visible or not."""
        rows = rows_of(self.connection, _BEYOND, (*self._span(), 1, RANKED_MAX))
        return rows[0][0] if rows else None

    def best_visible(self, size: int, last: int | None) -> tuple[list[Any], bool]:
        """The best of the newest visible hits, at most at `last`, and whether there are more.

        The rows are positions, scores and something else.
        """
        sql = _BEST_VISIBLE % f" AND {self._visible('search_index.rowid')}"
        bound = (*self._span(last), *self.values, RANKED_MAX, RANKED_MAX, size)
        rows = rows_of(self.connection, sql, bound)
        end = rows[0][2] if rows else None
        return rows, end is not None and bool(self.newest(1, visible=True, last=end - 1))

    def shown(self, scores: dict[int, float | None]) -> list[Found]:
        """Those of these hits that are visible, in their order."""
        sql = _SHOWN + self.filter
        rows = rows_of(self.connection, sql, (_json(list(scores)), *self.values))
        grouped: dict[int, list[Any]] = {}
        for row in rows:
            grouped.setdefault(row[0], []).append(row)
        return [_found(grouped[at], score) for at, score in scores.items() if at in grouped]


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
    search = _Search(connection, match, filters)
    if newest:
        return _newest(search, limit + offset)[offset:], False
    wanted = min(limit + offset, RANKED_MAX)
    found: list[Found] = []
    beyond = None
    if not search.filter:
        rows = search.best(wanted, visible=False)
        beyond = search.beyond() if len(rows) == wanted else None
        found = search.shown(dict(rows))
        if len(found) < len(rows):
            found = search.shown(dict(search.best(wanted, visible=True)))
        if len(found) == wanted or beyond is None:
            return found[offset:], beyond is not None
    rows, more = search.best_visible(wanted - len(found), beyond)
    found += search.shown({row[0]: row[1] for row in rows})
    return found[offset:], more or beyond is not None


def _newest(search: _Search, wanted: int) -> list[Found]:
    if not search.filter:
        positions = search.newest(wanted, visible=False)
        found = search.shown(dict.fromkeys(positions))
        if len(found) == len(positions):
            return found
    return search.shown(dict.fromkeys(search.newest(wanted, visible=True)))


def _found(rows: Sequence[Any], score: float | None) -> Found:
    if len(rows) == 1:
        return Found._make((*rows[0], (), score))
    first, *others = sorted(rows, key=lambda row: int(row[1]))
    return Found._make((*first, tuple(row[7] for row in others), score))


def texts_of(connection: apsw.Connection, found: Sequence[Found]) -> dict[int, str]:
    """What is searched of these messages, by position; an erased one has no text."""
    roles = {one.position: one.role for one in found}
    fetch = reading.blob_fetcher(connection)
    texts = dict.fromkeys(roles, "")
    for position, name, schema, body in rows_of(connection, _CONTENTS, (_json(list(roles)),)):
        try:
            content = blobs.read_content(name, schema, body.encode(), fetch)
        except (EventFormatError, CorruptStoreError) as error:
            raise CorruptStoreError(f"event {position} ({name}) cannot be read: {error}") from error
        texts[position] = readable_text(content, roles[position])
    return texts


def require_valid(connection: apsw.Connection, match: str, typed: str) -> None:
    """Raise `InvalidQueryError` when FTS5 cannot read an expression."""
    try:
        connection.execute(_VALID, (match,)).fetchone()
    except apsw.SQLError as error:
        raise InvalidQueryError(typed, str(error)) from error


def _json(values: Sequence[int | str]) -> str:
    return codec.encode(values).decode()


def _terms(filters: Filters) -> tuple[list[str], list[Any]]:
    """What the filters add to a condition, and its values."""
    terms: list[str] = []
    values: list[Any] = []
    excluded = f"(p.source IS NULL OR p.source NOT IN {_LISTED})"
    for term, many in (
        (f"r.stream IN {_LISTED}", filters.streams),
        (f"p.source IN {_LISTED}", filters.sources),
        (excluded, filters.excluded_sources or None),
        (f"m.role IN {_LISTED}", filters.roles),
    ):
        if many is not None:
            terms.append(term)
            values.append(_json(many))
    for term, value in (
        ("p.kind = ?", filters.session_kind),
        ("m.kind = ?", filters.message_kind),
        ("r.at >= ?", filters.since),
        ("r.at < ?", filters.until),
    ):
        if value is not None:
            terms.append(term)
            values.append(value)
    if filters.active is not None:
        terms.append("m.state = 'active'" if filters.active else "m.state <> 'active'")
    return terms, values
