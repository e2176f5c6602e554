"""Reading activities: the newest of a kind, and those whose subject matches."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Any

import apsw
from msgspec import Struct
from msgspec.structs import replace

from eventstore.errors import InvalidQueryError
from eventstore.events.catalogue import Activity
from eventstore.log import reading
from eventstore.log.engine import rows_of
from projections.activities.projection import KINDS
from projections.queries.sessions import name_of

#: Of the table only what its index has: the stream and the time stand in the event as well.
_COLUMNS = (
    "SELECT a.position, a.number, e.stream, e.recorded_at, e.actor, e.type, e.schema, e.facts, "
    f"{reading.BODY}, e.commitment IS NOT NULL AND c.salt IS NULL"
)
_TEXT = (
    "CROSS JOIN events AS e ON e.position = a.position "
    "LEFT JOIN contents AS c ON c.position = a.position"
)
_RECENT = f"{_COLUMNS} FROM activities AS a {_TEXT} ORDER BY a.position DESC LIMIT ?"
_RECENT_OF_KIND = (
    f"{_COLUMNS} FROM activities AS a {_TEXT} WHERE a.kind = ? ORDER BY a.number DESC LIMIT ?"
)
_NUMBERED = (
    f"SELECT a.position, a.number, e.recorded_at, e.type, e.schema, e.facts, {reading.BODY} "  # noqa: S608
    f"FROM activities AS a {_TEXT} WHERE a.kind = ? ORDER BY a.number DESC LIMIT ?"
)
#: Ranked in a subquery, so that rows are fetched for the winners alone; ties in order of the log.
_BEST = (
    f"{_COLUMNS}, -hit.score FROM (SELECT rowid AS position, bm25(activity_index) AS score "  # noqa: S608
    "FROM activity_index WHERE activity_index MATCH ?1 AND (?2 IS NULL OR rowid IN "
    "(SELECT position FROM activities WHERE kind = ?2)) ORDER BY score, rowid LIMIT ?3) AS hit "
    f"CROSS JOIN activities AS a USING (position) {_TEXT} ORDER BY hit.score, a.position"
)
_NEWEST = (
    f"{_COLUMNS}, -bm25(activity_index) FROM activity_index CROSS JOIN activities AS a "
    f"ON a.position = activity_index.rowid {_TEXT} WHERE activity_index MATCH ?1 "
    "AND (?2 IS NULL OR a.kind = ?2) ORDER BY activity_index.rowid DESC LIMIT ?3"
)

_VALID = "SELECT rowid FROM activity_index WHERE activity_index MATCH ? LIMIT 1"
_POSITIONS = "SELECT position FROM activities WHERE kind = ? ORDER BY number"


class ActivityView(Struct, frozen=True, gc=False):
    """An activity with its text.

    `number` counts those of its `kind` in the whole store, from 1. `session` finds the session it
    belongs to. `event` has the facts and, unless it was `erased`, the content, which is
    `redacted` where marks took the place of texts later. A higher `score`, which only a search
    gives, is a better match.
    """

    kind: str
    number: int
    position: int
    stream: int
    session: str
    at: int
    actor: int
    event: Activity
    erased: bool = False
    score: float | None = None
    redacted: bool = False

    @property
    def subject(self) -> str | None:
        """What it is about, and found by; None once erased."""
        content = self.event.content
        return None if content is None else content.subject

    @property
    def data(self) -> dict[str, Any] | None:
        """What else is known of it; None once erased."""
        content = self.event.content
        return None if content is None else content.data


def recent(connection: apsw.Connection, kind: str | None, limit: int) -> list[ActivityView]:
    """The newest activities, newest first; a negative limit means all."""
    values = (limit,) if kind is None else (kind, limit)
    with closing(connection.execute(_RECENT if kind is None else _RECENT_OF_KIND, values)) as rows:
        return _views(connection, rows)


def numbered(
    connection: apsw.Connection, kind: str, limit: int
) -> Generator[tuple[int, int, Activity], None, None]:
    """Number, time and event of the newest activities of a kind, each read when it is asked for."""
    read = reading.event_reader(reading.blob_fetcher(connection))
    for position, number, recorded_at, name, schema, facts, body in connection.execute(
        _NUMBERED, (kind, limit)
    ):
        event: Any = read(position, name, schema, facts, body)
        yield number, event.occurred_at or recorded_at, event


def find(
    connection: apsw.Connection, match: str, kind: str | None, *, newest: bool, limit: int
) -> list[ActivityView]:
    """Activities that match an FTS5 expression, best first or newest first."""
    rows = rows_of(connection, _NEWEST if newest else _BEST, (match, kind, limit))
    found = _views(connection, [row[:-1] for row in rows])
    return [replace(view, score=row[-1]) for view, row in zip(found, rows, strict=True)]


def require_valid(connection: apsw.Connection, match: str, typed: str) -> None:
    """Raise `InvalidQueryError` when FTS5 cannot read an expression.

    A search alone does not say so where it has nothing to look through.
    """
    try:
        connection.execute(_VALID, (match,)).fetchone()
    except apsw.SQLError as error:
        raise InvalidQueryError(typed, str(error)) from error


def _views(connection: apsw.Connection, rows: Iterable[Any]) -> list[ActivityView]:
    read = reading.event_reader(reading.blob_fetcher(connection))
    names: dict[int, str] = {}
    views = []
    for position, number, stream, recorded_at, actor, name, schema, facts, body, wiped in rows:
        event: Any = read(position, name, schema, facts, body)
        session = names.get(stream)
        if session is None:
            session = names[stream] = str(name_of(connection, stream))
        # Wiped with nothing in its place, or with what a redaction left.
        erased, redacted = (body is None, body is not None) if wiped else (False, False)
        views.append(
            ActivityView(
                KINDS[type(event)], number, position, stream, session,
                event.occurred_at or recorded_at, actor, event, erased, None, redacted,
            )
        )  # fmt: skip
    return views


def positions(connection: apsw.Connection, kind: str) -> list[int]:
    """The positions of all activities of a kind, in order."""
    return [position for (position,) in rows_of(connection, _POSITIONS, (kind,))]
