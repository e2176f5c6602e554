"""Bringing projections that lag behind up to the head of the log."""

from __future__ import annotations

import time
from collections.abc import Sequence

import apsw

from eventstore.errors import ProjectionError
from eventstore.log import reading
from eventstore.log.port import Head
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from projections import checkpoints
from projections.base import Projection, StaleError, apply_page
from projections.checkpoints import START

#: Events applied at a time; also what one transaction of a rebuild or catch-up covers.
PAGE = 1000


def reset(
    connection: apsw.Connection,
    projections: Sequence[Projection],
    name: str,
    version: int,
    *,
    indexes: bool = True,
) -> None:
    """Drop and create the tables and set the checkpoint to the beginning."""
    for projection in projections:
        projection.drop(connection)
        try:
            projection.create(connection, indexes=indexes)
        except apsw.SQLError as error:
            raise ProjectionError(
                f"projection {projection.name!r} cannot create its tables: {error}"
            ) from error
    checkpoints.write(connection, name, version, START)


def advance(
    connection: apsw.Connection,
    projections: Sequence[Projection],
    name: str,
    version: int,
    start: Head,
    upto: int | None = None,
    *,
    indexes: bool = True,
) -> Head:
    """Apply one page after `start` and move the checkpoint; the head reached.

    That is the beginning when a projection finds its tables stale: they are empty then.
    """
    content = any(projection.reads_content for projection in projections)
    page = reading.page_of_log(connection, start.position, upto, content, PAGE)
    if not page:
        return start
    try:
        for projection in projections:
            apply_page(projection, connection, page)
    except StaleError:
        reset(connection, projections, name, version, indexes=indexes)
        return START
    head = Head(page[-1].position, page[-1].leaf)
    checkpoints.write(connection, name, version, head)
    return head


def usable(
    connection: apsw.Connection, projections: Sequence[Projection], name: str, version: int
) -> Head | None:
    """The head that the tables have reached, None when they must be made anew.

    Tables that are missing, of another version, or of a history that is not the log's are not used.
    """
    if not all(projection.exists(connection) for projection in projections):
        return None
    checkpoint = checkpoints.read(connection, name)
    if checkpoint is None or checkpoint.version != version:
        return None
    return checkpoint.head if checkpoints.belongs(connection, checkpoint) else None


def missing_in(
    connection: apsw.Connection, projections: Sequence[Projection], name: str, version: int
) -> int:
    """The number of events at the end of the log that were not applied yet."""
    head = usable(connection, projections, name, version) or START
    return reading.head_of(connection).position - head.position


def catch_up_here(
    connection: apsw.Connection,
    projections: Sequence[Projection],
    name: str,
    version: int,
    *,
    upto: int | None = None,
) -> Head:
    """Catch up wholly inside the transaction that is open on `connection`."""
    head = usable(connection, projections, name, version)
    if head is None:
        reset(connection, projections, name, version)
        head = START
    while True:
        reached = advance(connection, projections, name, version, head, upto)
        if reached == head:
            return head
        head = reached


def catch_up(
    log: SqliteLog,
    projections: Sequence[Projection],
    name: str,
    version: int,
    *,
    seconds: float | None = None,
) -> int:
    """Catch up page by page, each in a transaction of its own; the events still missing after it.

    Stops when `seconds` are over. Writers append between the pages.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    with log.snapshot() as connection:  # without the write lock, where nothing is missing
        if usable(connection, projections, name, version) == reading.head_of(connection):
            return 0

    def step(transaction: SqliteTransaction) -> tuple[Head, int]:
        connection = transaction.connection
        head = usable(connection, projections, name, version)
        if head is None:
            reset(connection, projections, name, version)
            head = START
        head = advance(connection, projections, name, version, head)
        return head, reading.head_of(connection).position - head.position

    while True:
        _, missing = log.transact(step, exclusive=True)
        if not missing or (deadline is not None and time.monotonic() >= deadline):
            return missing
