"""Sessions by their titles."""

from __future__ import annotations

from typing import NamedTuple

from eventstore.log.sqlite import SqliteLog
from eventstore.session import titles
from eventstore.store.current import require_current
from projections.queries import listing
from projections.queries.texts import content_in


class Titled(NamedTuple):
    """An open session and its title."""

    stream: int
    session_id: str
    title: str


def titled(log: SqliteLog) -> list[Titled]:
    """The open sessions that have a title which was not erased, those that began last first."""
    with log.snapshot() as connection:
        require_current(connection)
        return [
            Titled(stream, session_id, content_in(connection, body, stream)["title"])
            for stream, session_id, body in listing.titled(connection)
        ]


def newest(log: SqliteLog, title: str) -> Titled | None:
    """The session with exactly this title, of several the one that began last."""
    return next((one for one in titled(log) if one.title == title), None)


def newest_of_lineage(log: SqliteLog, title: str) -> Titled | None:
    """The session that continues this title (``title #…``) and began last, else the one with it."""
    found = titled(log)
    for one in found:
        if titles.continues(one.title, title):
            return one
    return next((one for one in found if one.title == title), None)


def next_title(log: SqliteLog, title: str) -> str:
    """The next free title of a lineage, see `eventstore.session.titles.next_title`."""
    return titles.next_title(title, (one.title for one in titled(log)))
