"""What a store keeps of its checkpoints: its origin, the notes made, and where they were sent.

The tables stand beside the log, like the places of consumers: they come with no migration, and
nothing derives them.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from importlib.resources import files

import apsw
from msgspec import Struct

from eventstore.log.engine import rows_of

SCHEMA = (files("eventstore.checkpoints") / "checkpoints.sql").read_text(encoding="utf-8")

TABLES = ("log_origins", "checkpoint_notes", "checkpoint_anchors")

#: What the origin of every log of this project begins with.
ORIGIN = "agent-eventstore/"

_THERE = "SELECT count(*) FROM sqlite_schema WHERE name = 'log_origins'"
_ORIGINS = "SELECT id FROM log_origins ORDER BY number DESC"
_BEGIN = "INSERT INTO log_origins (id, begun_at) VALUES (?, ?)"
_COLUMNS = "SELECT origin, size, root, note, reason, made_at FROM checkpoint_notes"
_NEWEST = f"{_COLUMNS} WHERE origin = ? ORDER BY size DESC LIMIT 1"
_AT = f"{_COLUMNS} WHERE origin = ? AND size = ?"
_ALL = f"{_COLUMNS} ORDER BY made_at, size"
_KEEP = (
    "INSERT INTO checkpoint_notes (origin, size, root, note, reason, made_at) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (origin, size) DO UPDATE SET note = excluded.note"
)
_TRIED = (
    "INSERT INTO checkpoint_anchors (origin, size, anchor, receipt, failure, tried_at) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (origin, size, anchor) DO UPDATE SET "
    "receipt = excluded.receipt, failure = excluded.failure, tried_at = excluded.tried_at "
    "WHERE receipt IS NULL"
)
_ANCHORINGS = (
    "SELECT origin, size, anchor, receipt, failure, tried_at FROM checkpoint_anchors "
    "ORDER BY origin, size, anchor"
)
_WAITING = (
    f"{_COLUMNS} AS n WHERE origin = ?1 AND NOT EXISTS (SELECT 1 FROM checkpoint_anchors AS a "  # noqa: S608
    "WHERE a.origin = n.origin AND a.size = n.size AND a.anchor = ?2 AND a.receipt IS NOT NULL) "
    "AND (n.size = ?3 OR EXISTS (SELECT 1 FROM checkpoint_anchors AS a "
    "WHERE a.origin = n.origin AND a.size = n.size AND a.anchor = ?2)) ORDER BY n.size"
)


class KeptNote(Struct, frozen=True, kw_only=True):
    """A note that was made: of how many events, why and when (µs since 1970).

    `note` is the bare text of the checkpoint where nobody signed it.
    """

    origin: str
    size: int
    root: bytes
    note: str
    reason: str
    made_at: int

    @property
    def signed(self) -> bool:
        """Whether it has signatures."""
        return "\n\n" in self.note


class Anchoring(Struct, frozen=True, kw_only=True):
    """An attempt to put a note into an anchor: its receipt, or why it failed."""

    origin: str
    size: int
    anchor: str
    receipt: str | None
    failure: str | None
    tried_at: int


def create_tables(connection: apsw.Connection) -> None:
    """Create the tables where they are missing."""
    connection.execute(SCHEMA).fetchall()


def origins(connection: apsw.Connection) -> list[str]:
    """The log's origins, the present one first; none before the first checkpoint."""
    if not connection.execute(_THERE).get:
        return []
    return [ORIGIN + row[0] for row in rows_of(connection, _ORIGINS)]


def origin(connection: apsw.Connection) -> str | None:
    """The log's present origin, None before its first checkpoint."""
    found = origins(connection)
    return found[0] if found else None


def begin_origin(connection: apsw.Connection, now: int) -> str:
    """Give the log a new origin, in a write transaction."""
    name = secrets.token_hex(16)
    connection.execute(_BEGIN, (name, now))
    return ORIGIN + name


def adopt_origins(connection: apsw.Connection, names: Sequence[str], now: int) -> None:
    """Have the log know these as its earlier origins too, in a write transaction."""
    for name in reversed(names):
        if name not in origins(connection):
            connection.execute(_BEGIN, (name.removeprefix(ORIGIN), now))


def newest(connection: apsw.Connection, origin: str) -> KeptNote | None:
    """The note of this origin that covers most."""
    return _one(connection, _NEWEST, (origin.removeprefix(ORIGIN),))


def at(connection: apsw.Connection, origin: str, size: int) -> KeptNote | None:
    """The note of this origin and size."""
    return _one(connection, _AT, (origin.removeprefix(ORIGIN), size))


def _one(connection: apsw.Connection, sql: str, values: tuple[str | int, ...]) -> KeptNote | None:
    if not connection.execute(_THERE).get:
        return None
    found = rows_of(connection, sql, values)
    return _kept(*found[0]) if found else None


def _kept(origin: str, size: int, root: bytes, note: str, reason: str, made_at: int) -> KeptNote:
    return KeptNote(
        origin=ORIGIN + origin, size=size, root=root, note=note, reason=reason, made_at=made_at
    )


def listed(connection: apsw.Connection) -> list[KeptNote]:
    """Every note that was made, oldest first."""
    if not connection.execute(_THERE).get:
        return []
    return [_kept(*row) for row in rows_of(connection, _ALL)]


def keep(connection: apsw.Connection, one: KeptNote) -> None:
    """Keep a note, or the same with more signatures, in a write transaction."""
    name = one.origin.removeprefix(ORIGIN)
    connection.execute(_KEEP, (name, one.size, one.root, one.note, one.reason, one.made_at))


def waiting(
    connection: apsw.Connection, origin: str, anchor: str, size: int | None
) -> list[KeptNote]:
    """The notes that an anchor has not taken: those it was offered before, and that of `size`."""
    values = (origin.removeprefix(ORIGIN), anchor, -1 if size is None else size)
    return [_kept(*row) for row in rows_of(connection, _WAITING, values)]


def tried(connection: apsw.Connection, one: Anchoring) -> None:
    """Remember an attempt, in a write transaction; a receipt that is there stays."""
    name = one.origin.removeprefix(ORIGIN)
    connection.execute(_TRIED, (name, one.size, one.anchor, one.receipt, one.failure, one.tried_at))


def anchorings(connection: apsw.Connection) -> list[Anchoring]:
    """Every attempt to anchor a note."""
    if not connection.execute(_THERE).get:
        return []
    return [
        Anchoring(
            origin=ORIGIN + name, size=size, anchor=anchor, receipt=receipt, failure=failure,
            tried_at=tried_at,
        )
        for name, size, anchor, receipt, failure, tried_at in rows_of(connection, _ANCHORINGS)
    ]  # fmt: skip
