"""Events as they are stored and hashed: for copies of the log that prove what they are.

Nothing is decoded here, so nothing can come out otherwise than it was hashed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from heapq import merge
from operator import attrgetter
from typing import NamedTuple

import apsw

from eventstore.log.engine import rows_of
from eventstore.log.entry import ENTRY_LABEL, NO_KEY, ZEROS, key_digest
from eventstore.log.sqlite import SqliteLog

#: Events fetched by one statement.
PAGE = 500

#: Events of all chosen sessions that are held at a time.
HELD = 10_000

_ROWS = (
    "SELECT e.position, e.stream, s.uid, e.version, e.recorded_at, e.type, e.schema, e.actor, "
    "e.facts, e.idempotency_key, e.commitment, e.leaf, c.salt, c.body FROM events AS e "
    "JOIN streams AS s ON s.id = e.stream LEFT JOIN contents AS c ON c.position = e.position "
)
_OF_LOG = _ROWS + "WHERE e.position > ?1 AND e.position <= ?2 ORDER BY e.position LIMIT ?3"
_OF_STREAM = (
    _ROWS + "WHERE e.stream = ?4 AND e.position > ?1 AND e.position <= ?2 "
    "ORDER BY e.version LIMIT ?3"
)
_BY_TYPE = (
    "SELECT position FROM events NOT INDEXED WHERE type IN (SELECT value FROM json_each(?)) "
    "ORDER BY position"
)
_ONE = _ROWS + "WHERE e.position = ?"
_LEAF = "SELECT leaf FROM events WHERE stream = ? AND version = ?"
_WIPED = (
    "SELECT e.position FROM events AS e JOIN contents AS c ON c.position = e.position "
    "WHERE e.stream = ? AND e.position <= ? AND c.body IS NULL"
)
_POSITIONS = "SELECT position FROM events WHERE stream = ? AND position <= ? ORDER BY version"
_BLOB = "SELECT body FROM blobs WHERE digest = ?"

_head = struct.Struct(">QQQ16s32s32sBH16sH").pack
_length = struct.Struct(">I").pack


class StoredEvent(NamedTuple):
    """One event as it is stored. `body` and `salt` are None where there is no content any more."""

    position: int
    stream: int
    uid: bytes
    version: int
    recorded_at: int
    name: str
    schema: int
    actor: int
    facts: str
    key: str | None
    commitment: bytes | None
    leaf: bytes
    salt: bytes | None
    body: str | None

    def entry(self, previous: bytes) -> bytes:
        """What is hashed of it (`entry/v1`), given the leaf of the event before in its stream."""
        name, facts = self.name.encode(), self.facts.encode()
        return b"".join(
            (
                ENTRY_LABEL,
                _head(
                    self.position,
                    self.version,
                    self.recorded_at,
                    self.uid,
                    previous,
                    self.commitment or ZEROS,
                    self.actor,
                    self.schema,
                    NO_KEY if self.key is None else key_digest(self.key),
                    len(name),
                ),
                name,
                _length(len(facts)),
                facts,
            )
        )


def of_log(log: SqliteLog, upto: int) -> Iterator[StoredEvent]:
    """The events of the log up to a position, page by page."""
    after = 0
    while True:
        page = _page(log, _OF_LOG, (after, upto, PAGE))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].position


def of_streams(log: SqliteLog, streams: Sequence[int], upto: int) -> Iterator[StoredEvent]:
    """The events of these streams up to a position, in order of position."""
    size = max(1, min(PAGE, HELD // max(1, len(streams))))
    each = [_of_stream(log, stream, upto, size) for stream in streams]
    return merge(*each, key=attrgetter("position"))


def _of_stream(log: SqliteLog, stream: int, upto: int, size: int) -> Iterator[StoredEvent]:
    after = 0
    while True:
        page = _page(log, _OF_STREAM, (after, upto, size, stream))
        yield from page
        if len(page) < size:
            return
        after = page[-1].position


def _page(log: SqliteLog, sql: str, values: Sequence[object]) -> list[StoredEvent]:
    with log.reader() as connection:
        return [StoredEvent._make(row) for row in rows_of(connection, sql, tuple(values))]


def of_types(connection: apsw.Connection, types: Sequence[str]) -> Iterator[StoredEvent]:
    """The events of these types, which must be few."""
    names = "[" + ",".join(f'"{name}"' for name in types) + "]"
    for (position,) in rows_of(connection, _BY_TYPE, (names,)):
        yield StoredEvent._make(rows_of(connection, _ONE, (position,))[0])


def leaf_at(connection: apsw.Connection, stream: int, version: int) -> bytes:
    """The leaf of a stream's event, `ZEROS` before its first."""
    if version == 0:
        return ZEROS
    leaf: bytes = rows_of(connection, _LEAF, (stream, version))[0][0]
    return leaf


def wiped(connection: apsw.Connection, stream: int, upto: int) -> list[int]:
    """The positions up to one whose content is gone."""
    return [row[0] for row in rows_of(connection, _WIPED, (stream, upto))]


def positions(connection: apsw.Connection, stream: int, upto: int) -> list[int]:
    """The positions of a stream's events, up to one."""
    return [row[0] for row in rows_of(connection, _POSITIONS, (stream, upto))]


def blob(connection: apsw.Connection, digest: bytes) -> bytes | None:
    """The bytes of a blob, None when it is not there."""
    body = connection.execute(_BLOB, (digest,)).get
    return body if isinstance(body, bytes) else None
