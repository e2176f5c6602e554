"""Writing rows of another file's log into an empty one, as they were: leaves do not change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw

from eventstore.log import blobs
from eventstore.log.engine import rows_of

_STREAM = "INSERT INTO streams (id, session_id, incarnation, uid) VALUES (?, ?, ?, ?)"
_EVENT = (
    "INSERT INTO events (position, stream, version, type, schema, recorded_at, actor, facts, "
    "idempotency_key, commitment, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CONTENT = "INSERT INTO contents (position, salt, body) VALUES (?, ?, ?)"
_BLOB = "INSERT INTO blobs (digest, body) VALUES (?, ?)"
_KEPT_BLOB = _BLOB + " ON CONFLICT (digest) DO NOTHING"
_REFERRED = "SELECT count(*) FROM blob_references WHERE digest = ?"
_WIPE_BLOB = "UPDATE blobs SET body = NULL WHERE digest = ?"
_DELETE_BLOB = "DELETE FROM blobs WHERE digest = ?"
_STORED = (
    "SELECT e.leaf, c.body IS NOT NULL FROM events AS e "
    "LEFT JOIN contents AS c ON c.position = e.position WHERE e.position = ?"
)
_REFERENCE = "INSERT INTO blob_references (digest, position) VALUES (?, ?)"


def write_streams(connection: apsw.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Rows of `streams`, in the order of the columns."""
    connection.executemany(_STREAM, rows)


def write_events(connection: apsw.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Rows of `events`, in the order of the columns."""
    connection.executemany(_EVENT, rows)


def write_content(
    connection: apsw.Connection, position: int, salt: bytes | None, body: str | None
) -> list[bytes]:
    """A row of `contents` and its references; the digests of the blobs that it needs."""
    connection.execute(_CONTENT, (position, salt, body))
    digests = [] if body is None else blobs.digests_in(body.encode())
    for digest in dict.fromkeys(digests):
        connection.execute(_REFERENCE, (digest, position))
    return digests


def write_blob(connection: apsw.Connection, digest: bytes, body: bytes) -> None:
    """A row of `blobs`."""
    connection.execute(_BLOB, (digest, body))


def keep_blob(connection: apsw.Connection, digest: bytes, body: bytes) -> None:
    """A row of `blobs`, unless it is there."""
    connection.execute(_KEPT_BLOB, (digest, body))


def drop_unreferred(connection: apsw.Connection, digests: Iterable[bytes]) -> bool:
    """Wipe those of these blobs that no event refers to; whether there were any."""
    dropped = False
    for digest in digests:
        if not connection.execute(_REFERRED, (digest,)).get:
            connection.execute(_WIPE_BLOB, (digest,))
            connection.execute(_DELETE_BLOB, (digest,))
            dropped = True
    return dropped


def stored_at(connection: apsw.Connection, position: int) -> tuple[bytes, bool]:
    """The leaf of the event at a position that is there, and whether its content is."""
    [(leaf, has_content)] = rows_of(connection, _STORED, (position,))
    return leaf, bool(has_content)
