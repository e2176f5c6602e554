"""The list of sessions, with ids from the log and text joined from the contents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apsw

from eventstore.errors import CorruptStoreError, EventFormatError
from eventstore.events.catalogue import MessageContent, TitleContent
from eventstore.log import blobs, reading
from eventstore.log.engine import rows_of
from projections.builtin.sessions import COLUMNS, SessionRow

#: What finds a session `s` of `streams`: its id, for one that is not the newest of its id with
#: ``~incarnation``.
NAME = (
    "CASE WHEN EXISTS (SELECT 1 FROM streams AS n WHERE n.session_id = s.session_id "
    "AND n.incarnation > s.incarnation) THEN s.session_id || '~' || s.incarnation "
    "ELSE s.session_id END"
)
_FIELDS = ", ".join(f"p.{column}" for column in COLUMNS)
_SELECT = (
    f"SELECT {NAME}, s.session_id, s.incarnation, {_FIELDS} FROM sessions AS p "  # noqa: S608
    "JOIN streams AS s ON s.id = p.stream"
)
_LAST = "(SELECT position FROM events WHERE stream = p.stream AND version = p.version)"
_FIRST = "(SELECT position FROM events WHERE stream = p.stream AND version = 1)"
_TEXT = (
    "SELECT e.type, e.schema, c.body FROM events AS e JOIN contents AS c USING (position) "
    "WHERE position = ?"
)
_NAME_OF = f"SELECT {NAME} FROM streams AS s WHERE s.id = ?"  # noqa: S608

#: The source of the store's own session, which is no conversation: what is recorded of the store.
OWN_SOURCE = "agent-eventstore"

#: How many characters of the first user message a preview shows.
PREVIEW_CHARACTERS = 80


class ListedSession(NamedTuple):
    """A row of `sessions` with the session's id and the name that finds it."""

    name: str
    session_id: str
    incarnation: int
    row: SessionRow


def select(
    connection: apsw.Connection,
    *,
    streams: Sequence[int] | None = None,
    statuses: Sequence[str] | None = None,
    kind: str | None = None,
    source: str | None = None,
    parent: int | None = None,
    upto: int | None = None,
    across: int | None = None,
    limit: int = -1,
    offset: int = 0,
) -> list[ListedSession]:
    """Sessions that match, those with the latest activity first.

    `upto` leaves those whose last event is at this position of the log or before it, `across`
    those whose first event is and whose last is after it.
    """
    terms: list[str] = []
    values: list[Any] = []
    for column, wanted in (("p.stream", streams), ("p.status", statuses)):
        if wanted is not None:
            terms.append(f"{column} IN ({','.join('?' * len(wanted))})")
            values.extend(wanted)
    for column, value in (("p.kind", kind), ("p.source", source), ("p.parent", parent)):
        if value is not None:
            terms.append(f"{column} = ?")
            values.append(value)
    if upto is not None:
        terms.append(f"{_LAST} <= ?")
        values.append(upto)
    if across is not None:
        terms.append(f"{_LAST} > ? AND {_FIRST} <= ?")
        values.extend((across, across))
    where = f" WHERE {' AND '.join(terms)}" if terms else ""
    sql = f"{_SELECT}{where} ORDER BY p.updated_at DESC, p.stream DESC LIMIT ? OFFSET ?"
    rows = rows_of(connection, sql, (*values, limit, offset))
    return [ListedSession(row[0], row[1], row[2], SessionRow(*row[3:])) for row in rows]


def text_at(connection: apsw.Connection, position: int | None) -> Any:
    """The content of the event at a position; None where there is none or it was erased."""
    if position is None:
        return None
    row = connection.execute(_TEXT, (position,)).fetchone()
    if row is None or row[2] is None:
        return None
    fetch = reading.blob_fetcher(connection)
    try:
        return blobs.read_content(row[0], row[1], row[2].encode(), fetch)
    except (EventFormatError, CorruptStoreError) as error:
        raise CorruptStoreError(f"event {position} ({row[0]}) cannot be read: {error}") from error


def title_at(connection: apsw.Connection, position: int | None) -> str | None:
    """The title that the event at this position set."""
    content = text_at(connection, position)
    return content.title if isinstance(content, TitleContent) else None


def preview_at(connection: apsw.Connection, position: int | None) -> str | None:
    """The beginning of the message at this position, on one line."""
    content = text_at(connection, position)
    if not isinstance(content, MessageContent):
        return None
    text = content.text
    if text is None:
        texts: Iterable[Any] = (
            part.get("text") for part in content.parts or () if isinstance(part, dict)
        )
        text = next((found for found in texts if isinstance(found, str)), "")
    line = " ".join(text[: PREVIEW_CHARACTERS * 8].split())
    return line if len(line) <= PREVIEW_CHARACTERS else line[: PREVIEW_CHARACTERS - 1] + "…"


def name_of(connection: apsw.Connection, stream: int | None) -> str | None:
    """What finds the session of a stream: its id, or ``id~n`` when its id was created again."""
    row = None if stream is None else connection.execute(_NAME_OF, (stream,)).fetchone()
    return None if row is None else str(row[0])
