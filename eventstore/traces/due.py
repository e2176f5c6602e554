"""The `erasures_due` table: erasures that may have left traces in the file, or in its log.

A row is written in the erasure's own transaction, so that a process which ends before it has
looked leaves word for the next one. It names the `content.erased` event and holds nothing of what
was erased, not even a digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

import apsw
from msgspec import Struct

from eventstore.log.engine import rows_of

SCHEMA = (files("eventstore.traces") / "due.sql").read_text(encoding="utf-8")

_EXISTS = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'erasures_due'"
_ROWS = "SELECT position, searched, cause FROM erasures_due ORDER BY position"
_ADD = "INSERT INTO erasures_due (position, searched) VALUES (?, 0)"
_SEARCHED = "UPDATE erasures_due SET searched = max(searched, ?), cause = ? WHERE position = ?"
_DELETE = "DELETE FROM erasures_due WHERE position = ?"


class Due(Struct, frozen=True, kw_only=True):
    """An erasure that is not finished: its `content.erased` event, and why it is not, if known.

    `searched` says that only the write-ahead log has to be emptied.
    """

    position: int
    searched: bool
    cause: str | None


def create_table(connection: apsw.Connection) -> None:
    """Create the table where it is missing."""
    connection.execute(SCHEMA).fetchall()


def read(connection: apsw.Connection) -> list[Due]:
    """Every erasure that is not finished, oldest first."""
    if connection.execute(_EXISTS).get is None:
        return []
    return [
        Due(position=position, searched=bool(searched), cause=cause)
        for position, searched, cause in rows_of(connection, _ROWS)
    ]


def add(connection: apsw.Connection, positions: Iterable[int]) -> None:
    """Remember that these erasures are to be finished."""
    connection.executemany(_ADD, [(position,) for position in positions])


def keep(connection: apsw.Connection, found: Iterable[Due], *, searched: bool, cause: str) -> None:
    """Say of erasures how far they came and what stood in the way."""
    connection.executemany(_SEARCHED, [(searched, cause, one.position) for one in found])


def remove(connection: apsw.Connection, found: Iterable[Due]) -> None:
    """Forget erasures that are finished."""
    connection.executemany(_DELETE, [(one.position,) for one in found])
