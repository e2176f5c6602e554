"""The `consumers` table: how far each named consumer has come.

A place is a position and its leaf, so that a log which lost its last moments is noticed. It is
written by the store's one writer, and moves from the place that the caller knows only: whoever was
overtaken is told, and nobody moves a place back unless it is asked for.
"""

from __future__ import annotations

from importlib.resources import files

import apsw
from msgspec import Struct

from eventstore.errors import ConsumerMovedError, InvalidRangeError, PositionLostError
from eventstore.log import reading
from eventstore.log.engine import rows_of
from eventstore.log.entry import ZEROS
from eventstore.log.port import Head

SCHEMA = (files("eventstore.consumers") / "consumers.sql").read_text(encoding="utf-8")

_EXISTS = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'consumers'"
_SELECT = "SELECT position, leaf FROM consumers WHERE name = ?"
_ALL = "SELECT name, position, leaf, committed_at FROM consumers ORDER BY name"
_UPSERT = (
    "INSERT INTO consumers (name, position, leaf, committed_at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET position = excluded.position, leaf = excluded.leaf, "
    "committed_at = excluded.committed_at"
)
_DELETE = "DELETE FROM consumers WHERE name = ?"
_LEAF = "SELECT leaf FROM events WHERE position = ?"

START = Head(0, ZEROS)


class ConsumerInfo(Struct, frozen=True, kw_only=True):
    """A named consumer: the last event it dealt with, when it said so, and what is behind that.

    `behind` counts events of the whole log, those that the consumer does not choose as well.
    """

    name: str
    position: int
    leaf: bytes
    committed_at: int
    behind: int


def create_table(connection: apsw.Connection) -> None:
    """Create the table where it is missing."""
    connection.execute(SCHEMA).fetchall()


def read(connection: apsw.Connection, name: str) -> Head | None:
    """The place that is kept under a name, None for none."""
    if connection.execute(_EXISTS).get is None:
        return None
    row = connection.execute(_SELECT, (name,)).fetchone()
    return None if row is None else Head(*row)


def listed(connection: apsw.Connection) -> list[ConsumerInfo]:
    """Every consumer, by name."""
    if connection.execute(_EXISTS).get is None:
        return []
    last = reading.head_of(connection).position
    return [
        ConsumerInfo(
            name=name, position=position, leaf=leaf, committed_at=at, behind=max(0, last - position)
        )
        for name, position, leaf, at in rows_of(connection, _ALL)
    ]


def require_event(connection: apsw.Connection, place: Head) -> None:
    """Raise `PositionLostError` unless the log has this event."""
    if place == START:
        return
    if connection.execute(_LEAF, (place.position,)).get != place.leaf:
        raise PositionLostError(
            f"the log has another event at position {place.position} than the one given, or none; "
            "it is of another store, or this one lost its last moments"
        )


def place_at(connection: apsw.Connection, position: int) -> Head:
    """The position with its leaf; raises `InvalidRangeError` for one that the log does not have."""
    if position == 0:
        return START
    leaf = connection.execute(_LEAF, (position,)).get
    if not isinstance(leaf, bytes):
        last = reading.head_of(connection).position
        raise InvalidRangeError(f"the log has positions up to {last}, not {position}")
    return Head(position, leaf)


def move(connection: apsw.Connection, name: str, known: Head | None, place: Head, now: int) -> None:
    """Keep a new place, in a write transaction; `known` is what the caller knows to be kept.

    Raises `ConsumerMovedError` when another place is kept, `PositionLostError` for a new one that
    the log does not have.
    """
    kept = read(connection, name)
    if kept != known:
        raise ConsumerMovedError(name, kept and kept.position, known and known.position)
    require_event(connection, place)
    put(connection, name, place, now)


def put(connection: apsw.Connection, name: str, place: Head, now: int) -> None:
    """Keep a place, whatever is kept."""
    connection.execute(_UPSERT, (name, place.position, place.leaf, now))


def drop(connection: apsw.Connection, name: str) -> bool:
    """Forget a name; whether there was something to forget."""
    connection.execute(_DELETE, (name,))
    return connection.changes() > 0
