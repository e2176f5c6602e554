"""Snapshots: folded states kept so that resume and as-of reads cost a short tail, not a history.

A snapshot is a verified cache. It is used only when its reducer number is the present one, its
leaf equals the log's leaf at its version, and its own checksum holds; any doubt means it is ignored
and the state is folded from what lies before. It holds seqs and positions, never text, so erasure
leaves it valid.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

import apsw
import msgspec

from eventstore.log.engine import rows_of
from eventstore.session.runs import Runs
from eventstore.session.state import REDUCER, SessionState

SCHEMA = (files("eventstore.snapshots") / "snapshots.sql").read_text(encoding="utf-8")

#: A snapshot is due when the tail after the last one is longer than this, and than a quarter of
#: the runs it would have to hold.
TAIL_MIN = 100

#: Older snapshots are thinned to about one in this many events, never fewer: as-of reads use them.
SPACING = 1000

#: Before each state stands the beginning of SHA-256(leaf || state).
CHECKSUM_BYTES = 16

_SELECT = (
    "SELECT s.version, s.leaf, s.state FROM snapshots AS s "
    "JOIN events AS e ON e.stream = s.stream AND e.version = s.version AND e.leaf = s.leaf "
    "WHERE s.stream = ? AND s.version <= ? AND s.reducer = ? ORDER BY s.version DESC LIMIT 1"
)
_VERSIONS = "SELECT version FROM snapshots WHERE stream = ? AND reducer = ? ORDER BY version"
_INSERT = (
    "INSERT OR REPLACE INTO snapshots (stream, version, reducer, leaf, state) "
    "VALUES (?, ?, ?, ?, ?)"
)
_LAST_TWO = (
    "SELECT version FROM snapshots WHERE stream = ? AND version < ? ORDER BY version DESC LIMIT 2"
)
_DELETE = "DELETE FROM snapshots WHERE stream = ? AND version = ?"
_ROWS = "SELECT stream, version, reducer, leaf, state FROM snapshots ORDER BY stream, version"
_DELETE_STALE = (
    "DELETE FROM snapshots WHERE reducer <> ? OR NOT EXISTS (SELECT 1 FROM events AS e "
    "WHERE e.stream = snapshots.stream AND e.version = snapshots.version "
    "AND e.leaf = snapshots.leaf)"
)

_decoder = msgspec.msgpack.Decoder(SessionState)
_encoder = msgspec.msgpack.Encoder()


def create_table(connection: apsw.Connection) -> None:
    """Create the table where it is missing."""
    connection.execute(SCHEMA).fetchall()


def nearest(connection: apsw.Connection, stream: int, version: int) -> SessionState:
    """The state of the newest valid snapshot at or before `version`; version 0 if there is none."""
    row = connection.execute(_SELECT, (stream, version, REDUCER)).fetchone()
    if row is None:
        return SessionState()
    return decoded(*row) or SessionState()


def decoded(version: int, leaf: bytes, stored: bytes) -> SessionState | None:
    """The state in a row of the table, None when the row is damaged."""
    if stored[:CHECKSUM_BYTES] != _checksum(leaf, stored[CHECKSUM_BYTES:]):
        return None
    try:
        state = _decoder.decode(stored[CHECKSUM_BYTES:])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return state if state.version == version else None


def versions(connection: apsw.Connection, stream: int) -> list[int]:
    """The versions that snapshots of a session were kept of, in order, usable or not."""
    return [row[0] for row in rows_of(connection, _VERSIONS, (stream, REDUCER))]


def _checksum(leaf: bytes, state: bytes) -> bytes:
    return hashlib.sha256(leaf + state).digest()[:CHECKSUM_BYTES]


def due(version: int, active: Runs, last: int) -> bool:
    """Whether a state of this version needs a snapshot, the last one being at version `last`."""
    return version - last >= max(TAIL_MIN, len(active) // 4)


def write(connection: apsw.Connection, stream: int, state: SessionState, leaf: bytes) -> None:
    """Keep a state whose version has this leaf, and thin out the older ones."""
    encoded = _encoder.encode(state)
    encoded = _checksum(leaf, encoded) + encoded
    connection.execute(_INSERT, (stream, state.version, REDUCER, leaf, encoded))
    older = [row[0] for row in rows_of(connection, _LAST_TWO, (stream, state.version))]
    before = older[1] if len(older) == 2 else 0
    if older and state.version - before <= SPACING:
        connection.execute(_DELETE, (stream, older[0]))


def rows(connection: apsw.Connection) -> list[tuple[int, int, int, bytes, bytes]]:
    """Every snapshot: ``(stream, version, reducer, leaf, state as it is stored)``."""
    return rows_of(connection, _ROWS)


def drop(connection: apsw.Connection, stream: int, version: int) -> None:
    """Delete one snapshot."""
    connection.execute(_DELETE, (stream, version))


def drop_stale(connection: apsw.Connection) -> int:
    """Delete snapshots of another reducer or of a history that is not the log's; their number."""
    connection.execute(_DELETE_STALE, (REDUCER,))
    return connection.changes()
