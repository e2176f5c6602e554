"""Reading activities: the newest of a kind, and those whose subject matches."""

from __future__ import annotations

from typing import NamedTuple

import apsw

_COLUMNS = "SELECT a.position, a.stream, a.kind, a.number, a.at"
_RECENT = f"{_COLUMNS}, NULL FROM activities AS a ORDER BY a.position DESC LIMIT ?"
_RECENT_OF_KIND = (
    f"{_COLUMNS}, NULL FROM activities AS a WHERE a.kind = ? ORDER BY a.number DESC LIMIT ?"
)
#: Ranked in a subquery, so that rows are fetched for the winners alone; ties in order of the log.
_BEST = (
    f"{_COLUMNS}, -hit.score FROM (SELECT rowid AS position, bm25(activity_index) AS score "  # noqa: S608
    "FROM activity_index WHERE activity_index MATCH ?1 AND (?2 IS NULL OR rowid IN "
    "(SELECT position FROM activities WHERE kind = ?2)) ORDER BY score, rowid LIMIT ?3) AS hit "
    "JOIN activities AS a USING (position) ORDER BY hit.score, a.position"
)
_NEWEST = (
    f"{_COLUMNS}, -bm25(activity_index) FROM activity_index CROSS JOIN activities AS a "
    "ON a.position = activity_index.rowid WHERE activity_index MATCH ?1 "
    "AND (?2 IS NULL OR a.kind = ?2) ORDER BY activity_index.rowid DESC LIMIT ?3"
)


class ActivityRow(NamedTuple):
    """A row of `activities`; `score` (higher is better) only of a search."""

    position: int
    stream: int
    kind: str
    number: int
    at: int
    score: float | None


def recent(connection: apsw.Connection, kind: str | None, limit: int) -> list[ActivityRow]:
    """The newest activities, newest first; a negative limit means all."""
    if kind is None:
        found = connection.execute(_RECENT, (limit,))
    else:
        found = connection.execute(_RECENT_OF_KIND, (kind, limit))
    return [ActivityRow._make(row) for row in found.fetchall()]


def find(
    connection: apsw.Connection, match: str, kind: str | None, *, newest: bool, limit: int
) -> list[ActivityRow]:
    """Activities that match an FTS5 expression, best first or newest first."""
    found = connection.execute(_NEWEST if newest else _BEST, (match, kind, limit))
    return [ActivityRow._make(row) for row in found.fetchall()]
