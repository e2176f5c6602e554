"""Rows of the log as they are stored: what an export writes and a copy is made of.

Nothing is decoded, so nothing can change on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import apsw

from eventstore.errors import CorruptStoreError, UnknownSessionError
from eventstore.log import blobs
from eventstore.log.engine import rows_of
from eventstore.log.sqlite import SqliteLog

#: Rows fetched by one statement. A body has less than 64 KiB: larger texts are blobs.
PAGE = 200

_BLOB_MARK = f'"{blobs.BLOB}"'

_ROWS = (
    "SELECT e.position, e.stream, s.session_id, s.incarnation, s.uid, e.version, e.type, "
    "e.schema, e.recorded_at, e.actor, e.facts, e.idempotency_key, e.commitment, e.leaf, "
    "c.salt, c.body FROM events AS e JOIN streams AS s ON s.id = e.stream "
    "LEFT JOIN contents AS c ON c.position = e.position WHERE "
)
_OF_LOG = _ROWS + "e.position > ? AND e.position <= ? ORDER BY e.position LIMIT ?"
_OF_STREAM = _ROWS + "e.stream = ? AND e.version > ? AND e.position <= ? ORDER BY e.version LIMIT ?"
_ONE = _ROWS + "e.position = ?"
_LAST = _ROWS + "e.stream = ? AND e.position <= ? ORDER BY e.version DESC LIMIT 1"
_BLOB = "SELECT body FROM blobs WHERE digest = ?"
_FIRST_REFERENCE = (
    "SELECT min(r.position) FROM blob_references AS r JOIN events AS e ON e.position = r.position "
    "WHERE r.digest = ?1 AND (?2 IS NULL OR e.stream = ?2)"
)


class StoredRow(NamedTuple):
    """An event's row with its session's and its content's.

    `salt` and `body` are None where there is no content or it was erased; `commitment` tells which.
    """

    position: int
    stream: int
    session_id: str
    incarnation: int
    uid: bytes
    version: int
    type: str
    schema: int
    recorded_at: int
    actor: int
    facts: str
    key: str | None
    commitment: bytes | None
    leaf: bytes
    salt: bytes | None
    body: str | None

    @property
    def has_blobs(self) -> bool:
        """Whether the body may refer to blobs."""
        return self.body is not None and _BLOB_MARK in self.body


def of_log(log: SqliteLog, upto: int) -> Iterator[list[StoredRow]]:
    """All events up to a position, in order, page by page."""
    after = 0
    while True:
        with log.reader() as connection:
            found = rows_of(connection, _OF_LOG, (after, upto, PAGE))
        if not found:
            return
        yield [StoredRow(*row) for row in found]
        after = found[-1][0]


def of_stream(log: SqliteLog, stream: int, upto: int) -> Iterator[list[StoredRow]]:
    """The events of one session up to a position of the log, in order, page by page."""
    after = 0
    while True:
        with log.reader() as connection:
            found = rows_of(connection, _OF_STREAM, (stream, after, upto, PAGE))
        if not found:
            return
        page = [StoredRow(*row) for row in found]
        yield page
        after = page[-1].version


def last_of_stream(log: SqliteLog, stream: int, upto: int) -> StoredRow:
    """The last event of a session up to a position of the log.

    Raises `UnknownSessionError` when it had not begun there.
    """
    with log.reader() as connection:
        found = rows_of(connection, _LAST, (stream, upto))
    if not found:
        raise UnknownSessionError(f"stream {stream} has no event up to position {upto}")
    return StoredRow(*found[0])


def with_blobs(
    log: SqliteLog, position: int, stream: int | None
) -> tuple[StoredRow, dict[bytes, bytes]]:
    """An event's row, and the blobs that it is the first to refer to, all of one moment.

    The first in the log, or among the events of `stream`. Raises `CorruptStoreError` when a blob is
    missing or not what its digest says.
    """
    with log.snapshot() as connection:
        row = StoredRow(*rows_of(connection, _ONE, (position,))[0])
        found = {}
        for digest in [] if row.body is None else blobs.digests_in(row.body.encode()):
            if connection.execute(_FIRST_REFERENCE, (digest, stream)).get == position:
                found[digest] = blobs.fetch_blob(digest.hex(), lambda one: _blob(connection, one))
        return row, found


def _blob(connection: apsw.Connection, digest: bytes) -> bytes | None:
    body = connection.execute(_BLOB, (digest,)).get
    if body is not None and not isinstance(body, bytes):
        raise CorruptStoreError(f"blob {digest.hex()} is not stored as bytes")
    return body
