"""Whether the built-in projections may be read: they must be at the head of the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import apsw

from eventstore.errors import CorruptStoreError, ProjectionBehindError
from eventstore.log import reading
from eventstore.log.sqlite import SqliteLog
from projections import checkpoints
from projections.builtin import VERSION
from projections.inline import BUILTIN_NAME
from projections.queries import current

T = TypeVar("T")


def read_current(log: SqliteLog, query: Callable[[apsw.Connection], T]) -> T:
    """What a query gives whose one statement has the condition `current.AT_HEAD` in it.

    Only where it gives nothing is it asked whether the tables are at the head, and the query run
    again, in a snapshot; also where a blob cannot be read, which may have been erased meanwhile.
    Raises `ProjectionBehindError`.
    """
    with log.reader() as connection:
        try:
            if found := query(connection):
                return found
        except CorruptStoreError:
            pass
    with log.snapshot() as connection:
        require_current(connection)
        return query(connection)


def require_current(connection: apsw.Connection) -> None:
    """Raise `ProjectionBehindError` unless the built-in projections are at the head."""
    if current.at_head(connection):
        return
    checkpoint = checkpoints.read(connection, BUILTIN_NAME)
    head = reading.head_of(connection)
    if checkpoint is None or checkpoint.head != head or checkpoint.version != VERSION:
        at = 0 if checkpoint is None else checkpoint.head.position
        raise ProjectionBehindError(
            f"the projections are at position {at}, the log at {head.position}, or another "
            "version made them; open the store for writing once, or run `eventstore rebuild`"
        )
