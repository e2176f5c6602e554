"""Earlier exports that have what is erased, and whom they were made for.

An export of a session leaves an `export.created` event in it, one of the whole log leaves it in the
store's own session. Whoever was given one must be asked to erase it as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import apsw
from msgspec import Struct

from eventstore.events.catalogue import ExportCreated
from eventstore.log import reading
from projections.queries import sessions

#: What an export of the whole log gives as its scope.
WHOLE_LOG = "log"


class EarlierExport(Struct, frozen=True, kw_only=True):
    """An export that was made: the event that says so, in which session, and for whom.

    `recipient` is None when none was named, or when it was erased.
    """

    position: int
    session: str
    format: str
    at: int
    recipient: str | None


def earlier_exports(
    connection: apsw.Connection, first: Mapping[int, tuple[int, int]]
) -> Iterator[EarlierExport]:
    """The exports that have something of these sessions, from these versions and positions on."""
    if not first:
        return
    lowest = min(position for _, position in first.values())
    after, more = 0, True
    while more:
        page, after, more = reading.page_of_types(
            connection, None, after, (ExportCreated.type,), True
        )
        for recorded in page:
            event = recorded.event
            if isinstance(event, ExportCreated) and _has(event, recorded.stream, first, lowest):
                yield EarlierExport(
                    position=recorded.position,
                    session=sessions.name_of(connection, recorded.stream) or "",
                    format=event.format,
                    at=recorded.recorded_at,
                    recipient=None if event.content is None else event.content.recipient,
                )


def _has(
    event: ExportCreated, stream: int, first: Mapping[int, tuple[int, int]], lowest: int
) -> bool:
    if getattr(event, "scope", None) == WHOLE_LOG:
        return (getattr(event, "to_position", None) or 0) >= lowest
    upto: int | None = event.to_version
    return stream in first and (upto is None or upto >= first[stream][0])
