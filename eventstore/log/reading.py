"""Rows of the log to events. This module alone fixes the order of the columns it selects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import apsw
from msgspec.structs import force_setattr

from eventstore.errors import CorruptStoreError, EventFormatError
from eventstore.events import stored
from eventstore.events.catalogue import Event
from eventstore.log import blobs, redactions
from eventstore.log.blobs import MARK_BYTE, has_marks
from eventstore.log.engine import rows_of
from eventstore.log.entry import ZEROS
from eventstore.log.port import Head, Recorded, StreamHead

#: Bytes are decoded once, by what reads the JSON; of text SQLite's own form is made first.
BODY = f"CAST({redactions.BODY} AS BLOB)"

_COLUMNS = (
    "e.position, e.stream, e.version, e.type, e.schema, e.recorded_at, e.actor, e.facts, "
    "e.idempotency_key, e.commitment, e.leaf"
)
_EVENTS = f"SELECT {_COLUMNS}, NULL FROM events AS e"  # noqa: S608
_EVENTS_WITH_CONTENT = (
    f"SELECT {_COLUMNS}, {BODY} FROM events AS e "  # noqa: S608
    "LEFT JOIN contents AS c ON c.position = e.position"
)
_OF_STREAM = " WHERE e.stream = ? AND e.version > ? AND e.version <= ? ORDER BY e.version LIMIT ?"
_OF_LOG = " WHERE e.position > ? AND e.position <= ? ORDER BY e.position LIMIT ?"
_LAST_VERSION = "SELECT coalesce(max(version), 0) FROM events WHERE stream = ?"

_BLOB = "SELECT body FROM blobs WHERE digest = ?"
_HEAD = "SELECT position, leaf FROM events ORDER BY position DESC LIMIT 1"
_STREAMS = (
    "SELECT s.id, s.session_id, s.incarnation, s.uid, e.version, e.leaf FROM streams AS s "
    "LEFT JOIN events AS e ON e.stream = s.id"
)
_STREAM_BY_ID = _STREAMS + " WHERE s.id = ? ORDER BY e.version DESC LIMIT 1"
_NEWEST_STREAM = (
    _STREAMS + " WHERE s.session_id = ? ORDER BY s.incarnation DESC, e.version DESC LIMIT 1"
)
_STREAM_INCARNATION = (
    _STREAMS + " WHERE s.session_id = ? AND s.incarnation = ? ORDER BY e.version DESC LIMIT 1"
)
_INCARNATIONS = "SELECT id FROM streams WHERE session_id = ? ORDER BY incarnation"
_STREAMS_LIKE = (
    _STREAMS + " AND e.version = (SELECT max(version) FROM events WHERE stream = s.id) "  # noqa: S608
    "WHERE s.session_id >= ?1 AND s.session_id < ?2 ORDER BY s.session_id, s.incarnation"
)
_LAST_EVENTS = (
    f"SELECT s.session_id, {_COLUMNS}, {BODY} FROM streams AS s "  # noqa: S608
    "CROSS JOIN events AS e ON e.stream = s.id "
    "AND e.version = (SELECT max(version) FROM events WHERE stream = s.id) "
    "LEFT JOIN contents AS c ON c.position = e.position "
    "WHERE s.id > ? AND e.position > ? ORDER BY s.id LIMIT ?"
)
_BEGUN = (
    "CROSS JOIN events AS b ON b.stream = s.id AND b.version = 1 WHERE s.id > ? AND b.position <= ?"
)
_STREAMS_BEGUN = (
    _STREAMS.replace("LEFT JOIN", "CROSS JOIN")  # noqa: S608
    + " AND e.version = (SELECT max(version) FROM events WHERE stream = s.id) "
    + f"{_BEGUN} ORDER BY s.id LIMIT ?"
)
_NUMBER_BEGUN = f"SELECT count(*) FROM streams AS s {_BEGUN}"  # noqa: S608

_MAX = (1 << 63) - 1

#: Events fetched by one statement: a read never keeps a statement open while the caller works,
#: because an open read holds back the recycling of the write-ahead log.
PAGE = 500

#: Events that one statement looks at for those of some types: it may find none, and be long at it.
STRETCH = 20_000


Fetch: TypeAlias = Callable[[bytes], bytes | None]


#: Gives the event in the columns position, type, schema, facts and body.
Read: TypeAlias = Callable[[int, str, int, str | None, bytes | None], Event]


def event_reader(fetch: Fetch) -> Read:
    """A function that reads the events of many rows; `fetch` gives the blob of a digest.

    It raises `CorruptStoreError` naming the position of an event that cannot be read.
    """
    present, unread = stored.PRESENT, (KeyError, *stored.UNREAD)

    def read(position: int, name: str, schema: int, facts: str | None, body: bytes | None) -> Event:
        if facts is not None and (body is None or MARK_BYTE not in body or not has_marks(body)):
            try:
                decode_facts, decode_content = present[name, schema]
                event = decode_facts(facts)
                if body is not None:
                    force_setattr(event, "content", decode_content(body))
                return event
            except unread:
                pass  # the long way knows what msgspec does not, or says what is wrong
        return _read_the_long_way(position, name, schema, facts, body, fetch)

    return read


def _read_the_long_way(
    position: int, name: str, schema: int, facts: str | None, body: bytes | None, fetch: Fetch
) -> Event:
    try:
        content = None if body is None else blobs.read_content(name, schema, body, fetch)
        # In a damaged file even what cannot be NULL is.
        return stored.read(name, schema, (facts or "").encode(), content)
    except (EventFormatError, CorruptStoreError) as error:
        raise CorruptStoreError(f"event {position} ({name}) cannot be read: {error}") from error


def blob_fetcher(connection: apsw.Connection) -> Fetch:
    """A function that reads a blob through this connection."""

    def fetch(digest: bytes) -> bytes | None:
        body = connection.execute(_BLOB, (digest,)).get
        return body if isinstance(body, bytes) else None

    return fetch


def page_of_stream(
    connection: apsw.Connection, stream: int, after: int, upto: int | None, content: bool, size: int
) -> list[Recorded]:
    """At most `size` events of a stream, versions after … upto."""
    sql = (_EVENTS_WITH_CONTENT if content else _EVENTS) + _OF_STREAM
    return _fetch(connection, sql, (stream, after, _MAX if upto is None else upto, size), content)


def page_of_log(
    connection: apsw.Connection, after: int, upto: int | None, content: bool, size: int
) -> list[Recorded]:
    """At most `size` events of the log, positions after … upto."""
    sql = (_EVENTS_WITH_CONTENT if content else _EVENTS) + _OF_LOG
    return _fetch(connection, sql, (after, _MAX if upto is None else upto, size), content)


def page_of_types(
    connection: apsw.Connection, stream: int | None, after: int, types: Sequence[str], content: bool
) -> tuple[list[Recorded], int, bool]:
    """Events of these types after a position, or after a version of one stream.

    Also how far was looked, and whether there may be more behind it. The others are not decoded.
    """
    if stream is None:
        last, of = head_of(connection).position, _OF_LOG
    else:
        last, of = rows_of(connection, _LAST_VERSION, (stream,))[0][0], _OF_STREAM
    upto = min(last, after + STRETCH)
    chosen = f" WHERE e.type IN ({','.join('?' * len(types))}) AND"
    sql = (_EVENTS_WITH_CONTENT if content else _EVENTS) + of.replace(" WHERE", chosen, 1)
    values = (after, upto, PAGE) if stream is None else (stream, after, upto, PAGE)
    page = _fetch(connection, sql, (*types, *values), content)
    if len(page) < PAGE:
        return page, max(after, upto), upto < last
    return page, page[-1].position if stream is None else page[-1].version, True


def by_keys(connection: apsw.Connection, stream: int, keys: Sequence[str]) -> list[Recorded]:
    """The events of a stream that were appended under these idempotency keys."""
    marks = ",".join("?" * len(keys))
    sql = f"{_EVENTS_WITH_CONTENT} WHERE e.stream = ? AND e.idempotency_key IN ({marks})"
    return _fetch(connection, sql, (stream, *keys), True)


def by_positions(
    connection: apsw.Connection, positions: Sequence[int], content: bool
) -> Iterator[Recorded]:
    """The events at these positions, in their order."""
    sql = _EVENTS_WITH_CONTENT if content else _EVENTS
    for start in range(0, len(positions), PAGE):
        page = tuple(positions[start : start + PAGE])
        marks = ",".join("?" * len(page))
        yield from _fetch(
            connection, f"{sql} WHERE e.position IN ({marks}) ORDER BY e.position", page, content
        )


def _fetch(
    connection: apsw.Connection, sql: str, values: tuple[Any, ...], content: bool
) -> list[Recorded]:
    rows = rows_of(connection, sql, values)
    if not content:
        with suppress(KeyError, *stored.UNREAD):
            return _of_present_types(rows)
    return _with_content(connection, rows)


def _with_content(connection: apsw.Connection, rows: Iterable[Sequence[Any]]) -> list[Recorded]:
    read = event_reader(blob_fetcher(connection))
    make = Recorded._make
    return [
        make((position, stream, version, at, actor,
              read(position, name, schema, facts, body), key, commitment, leaf))
        for position, stream, version, name, schema, at, actor, facts, key, commitment, leaf, body
        in rows
    ]  # fmt: skip


def _of_present_types(rows: Sequence[Any]) -> list[Recorded]:
    """The quick way for what this version wrote: events without content, no two ways to read one.

    Raises KeyError or one of `stored.UNREAD` when a row is not such an event.
    """
    make, read = Recorded._make, stored.FACTS
    return [
        make((position, stream, version, at, actor, read[name, schema](facts), key, commitment,
              leaf))
        for position, stream, version, name, schema, at, actor, facts, key, commitment, leaf, _
        in rows
    ]  # fmt: skip


def pages(
    read: Callable[[int, int], list[Recorded]], mark: int, of_stream: bool
) -> Iterator[Recorded]:
    """Chain pages: `read(after, size)` gives the next ones after a version or position."""
    while True:
        page = read(mark, PAGE)
        yield from page
        if len(page) < PAGE:
            return
        mark = page[-1].version if of_stream else page[-1].position


def head_of(connection: apsw.Connection) -> Head:
    """The end of the log."""
    row = connection.execute(_HEAD).fetchone()
    return Head(0, ZEROS) if row is None else Head(*row)


def page_of_last_events(
    connection: apsw.Connection, stream: int, after: int, size: int
) -> list[tuple[str, Recorded]]:
    """Session ids with their last events, content included, where those are after a position.

    At most `size`, of streams with a higher number than `stream`, in order of these.
    """
    rows = rows_of(connection, _LAST_EVENTS, (stream, after, size))
    events = _with_content(connection, (row[1:] for row in rows))
    return [(row[0], event) for row, event in zip(rows, events, strict=True)]


def stream_head(
    connection: apsw.Connection, session_id: str, incarnation: int | None = None
) -> StreamHead | None:
    """The stream of a session id, the newest incarnation unless told."""
    if incarnation is None:
        rows = rows_of(connection, _NEWEST_STREAM, (session_id,))
    else:
        rows = rows_of(connection, _STREAM_INCARNATION, (session_id, incarnation))
    return _stream(rows[0]) if rows else None


def stream_by_id(connection: apsw.Connection, stream: int) -> StreamHead | None:
    """The stream with this number."""
    rows = rows_of(connection, _STREAM_BY_ID, (stream,))
    return _stream(rows[0]) if rows else None


def streams_of(connection: apsw.Connection, session_id: str) -> list[int]:
    """The stream of every incarnation of a session id, oldest first."""
    return [row[0] for row in connection.execute(_INCARNATIONS, (session_id,))]


def streams_with_prefix(connection: apsw.Connection, prefix: str) -> list[StreamHead]:
    """Every stream whose session id starts with `prefix`."""
    return [
        _stream(row) for row in rows_of(connection, _STREAMS_LIKE, (prefix, prefix + "\U0010ffff"))
    ]


def streams_begun(
    connection: apsw.Connection, after: int, upto: int, size: int
) -> list[StreamHead]:
    """At most `size` streams with numbers above `after` that had begun at a position, in order."""
    return [_stream(row) for row in rows_of(connection, _STREAMS_BEGUN, (after, upto, size))]


def number_begun(connection: apsw.Connection, upto: int) -> int:
    """How many streams had begun at a position."""
    return int(rows_of(connection, _NUMBER_BEGUN, (0, upto))[0][0])


def _stream(row: Sequence[Any]) -> StreamHead:
    stream, session_id, incarnation, uid, version, leaf = row
    if version is None:
        return StreamHead(stream, session_id, incarnation, uid, 0, ZEROS, -1)
    return StreamHead(stream, session_id, incarnation, uid, version, leaf, -1)
