"""Rebuilding projections from the log, beside the live ones.

A rebuild writes a second set of tables page by page, each page in a transaction of its own, while
readers and writers go on with the live ones. It can be interrupted and is resumed where it was. At
the head it catches up what was appended meanwhile and swaps the tables in one transaction. An
event that a projection cannot apply stops the rebuild; the live tables are untouched then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import apsw

from eventstore.errors import ProjectionError
from eventstore.log import reading
from eventstore.log.port import Head
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from projections import checkpoints
from projections.base import Projection
from projections.catchup import advance, reset, usable
from projections.checkpoints import START

#: Told after each page: ``(position reached, position of the head)``.
Progress: TypeAlias = Callable[[int, int], None]

SUFFIX = "_rebuild"


def shadow_of(projection: Projection) -> Projection:
    """The same projection, writing to the tables of a rebuild."""
    return type(projection)({table: table + SUFFIX for table in projection.tables})


def rebuild(
    log: SqliteLog,
    projections: Sequence[Projection],
    name: str,
    version: int,
    *,
    others: Sequence[Projection] = (),
    kept_at_head: bool = False,
    progress: Progress | None = None,
) -> Head:
    """Rebuild projections that share the checkpoint `name`, resuming an interrupted rebuild.

    `others` share the checkpoint too; they are not rebuilt, but brought to the head with it.
    `kept_at_head` says that every append keeps them there afterwards.

    Returns the head that they were rebuilt to. Raises `ProjectionError` naming the events that a
    projection cannot apply.
    """
    shadows = [shadow_of(projection) for projection in projections]
    shadow_name = f"{name}{SUFFIX}:{','.join(projection.name for projection in projections)}"

    def step(transaction: SqliteTransaction) -> tuple[Head, Head, bool]:
        connection = transaction.connection
        head = usable(connection, shadows, shadow_name, version)
        if head is None:
            reset(connection, shadows, shadow_name, version, indexes=False)
            head = START
        reached = advance(connection, shadows, shadow_name, version, head, indexes=False)
        end = reading.head_of(connection)
        if reached == end:
            if others:
                _bring_forward(connection, others, name, version)
            _swap(connection, projections, shadows)
            checkpoints.delete(connection, shadow_name)
            checkpoints.write(connection, name, version, end)
            if kept_at_head:
                checkpoints.keep_at_head(connection, name)
        return reached, end, reached == end

    while True:
        reached, end, done = log.transact(step, exclusive=True)
        if progress is not None:
            progress(reached.position, end.position)
        if done:
            return end


def _bring_forward(
    connection: apsw.Connection, others: Sequence[Projection], name: str, version: int
) -> None:
    """A shared checkpoint must not pass what the others have seen."""
    head = usable(connection, others, name, version)
    if head is None:
        raise ProjectionError(f"the projections of {name!r} can only be rebuilt together now")
    while (reached := advance(connection, others, name, version, head)) != head:
        head = reached


def _swap(
    connection: apsw.Connection, live: Sequence[Projection], shadows: Sequence[Projection]
) -> None:
    """Put the shadow tables in the place of the live ones."""
    for projection, shadow in zip(live, shadows, strict=True):
        projection.drop(connection)
        for table, name in shadow.names.items():
            connection.execute(f"ALTER TABLE {name} RENAME TO {projection.names[table]}")
        projection.create_indexes(connection)
