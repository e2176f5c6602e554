"""The `projections` table: how far each projection has come.

Moving a checkpoint with each append would write one page more. The tables that every append keeps
at the head have a checkpoint that says just that, and is believed as long as the row of the newest
event's session is at that event: an append that left them behind would show there.
"""

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
_KEEP = (
    "UPDATE projections SET position = NULL, leaf = NULL WHERE name = ? AND position IS NOT NULL"
)
_NEWEST = (
    "SELECT e.position, e.leaf, s.version = e.version FROM events AS e "
    "LEFT JOIN sessions AS s ON s.stream = e.stream "
    "WHERE e.position <= ? ORDER BY e.position DESC LIMIT 1"
)
_OLDER = (
    "SELECT count(*) FROM pragma_table_info('projections') WHERE name = 'position' AND \"notnull\""
)
_DELETE = "DELETE FROM projections WHERE name = ?"
_LEAF = "SELECT leaf FROM events WHERE position = ?"


_MAX = (1 << 63) - 1

START = Head(0, ZEROS)


class Checkpoint(NamedTuple):
    """The version of the code that wrote the tables and the place in the log they reached."""

    version: int
    head: Head


def create_table(connection: apsw.Connection) -> None:
    """Create the table where it is missing, or of the older shape that had no NULL in it.

    What is derived is then derived anew, since nothing says any more how far it is.
    """
    if connection.execute(_OLDER).get:
        connection.execute("DROP TABLE projections")
    connection.execute(SCHEMA).fetchall()


def read(connection: apsw.Connection, name: str, upto: int = _MAX) -> Checkpoint | None:
    """The checkpoint of a projection, None when it was never written or is not to be believed.

    `upto` is the position where the log ended when the tables were last written to.
    """
    row = connection.execute(_SELECT, (name,)).fetchone()
    if row is None:
        return None
    version, position, leaf = row
    if position is not None:
        return Checkpoint(version, Head(position, leaf))
    newest = connection.execute(_NEWEST, (upto,)).fetchone()
    if newest is None:
        return Checkpoint(version, START)
    position, leaf, kept = newest
    return Checkpoint(version, Head(position, leaf)) if kept else None


def write(connection: apsw.Connection, name: str, version: int, head: Head) -> None:
    """Move a checkpoint, in the transaction that wrote the rows."""
    connection.execute(_UPSERT, (name, version, head.position, head.leaf))


def keep_at_head(connection: apsw.Connection, name: str) -> None:
    """Note that tables which are at the head are kept there by every append from now on."""
    connection.execute(_KEEP, (name,))


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
