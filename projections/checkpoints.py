"""The `projections` table: how far each projection has come."""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

import apsw

from eventstore.log.entry import ZEROS
from eventstore.log.port import Head

SCHEMA = (files("projections") / "projections.sql").read_text(encoding="utf-8")

_SELECT = "SELECT version, position, leaf FROM projections WHERE name = ?"
_UPSERT = (
    "INSERT INTO projections (name, version, position, leaf) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET version = excluded.version, position = excluded.position, "
    "leaf = excluded.leaf"
)
_DELETE = "DELETE FROM projections WHERE name = ?"
_LEAF = "SELECT leaf FROM events WHERE position = ?"


class Checkpoint(NamedTuple):
    """The version of the code that wrote the tables and the place in the log they reached."""

    version: int
    head: Head


START = Head(0, ZEROS)


def create_table(connection: apsw.Connection) -> None:
    """Create the table where it is missing."""
    connection.execute(SCHEMA).fetchall()


def read(connection: apsw.Connection, name: str) -> Checkpoint | None:
    """The checkpoint of a projection, None when it was never written."""
    row = connection.execute(_SELECT, (name,)).fetchone()
    return None if row is None else Checkpoint(row[0], Head(row[1], row[2]))


def write(connection: apsw.Connection, name: str, version: int, head: Head) -> None:
    """Move a checkpoint, in the transaction that wrote the rows."""
    connection.execute(_UPSERT, (name, version, head.position, head.leaf))


def delete(connection: apsw.Connection, name: str) -> None:
    """Forget a checkpoint."""
    connection.execute(_DELETE, (name,))


def belongs(connection: apsw.Connection, checkpoint: Checkpoint) -> bool:
    """Whether the log has the checkpoint's leaf at its position."""
    position, leaf = checkpoint.head
    if position == 0:
        return True
    found = connection.execute(_LEAF, (position,)).fetchone()
    return found is not None and found[0] == leaf
