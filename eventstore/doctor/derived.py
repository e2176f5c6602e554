"""Whether what is derived says what the log says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import apsw

from eventstore import claims
from eventstore.doctor.report import Diagnosis, diagnosis
from eventstore.errors import EventStoreError
from eventstore.log import reading
from eventstore.log.sqlite import SqliteLog
from eventstore.store.derived import ON_READ, Registry
from projections.base import Projection
from projections.check import Difference

_NAMED = "SELECT count(*) FROM projections WHERE name = ?"


def projections(
    log: SqliteLog,
    registry: Registry,
    faulty: set[str | None],
    progress: Callable[[int, int], None],
) -> Iterator[Diagnosis]:
    """Every projection whose checkpoint or rows are not what the log gives.

    Those that share a checkpoint with one of the `faulty` tables are made anew with it anyway.
    """
    groups = (registry.builtin, *((one,) for one in (*registry.on_read, *registry.users)))
    if "projections" in faulty:
        return
    whole = [
        projection
        for group in groups
        for projection in group
        if faulty.isdisjoint(table for one in group for table in one.tables)
    ]
    with log.snapshot() as connection:
        usable = []
        for projection in whole:
            if projection not in registry.builtin and not _is_begun(connection, projection.name):
                continue  # nobody has read it yet, and who does makes it anew
            fault = _checkpoint(connection, registry, projection)
            if fault is None:
                usable.append(projection)
            else:
                yield fault
    try:
        differences = registry.check(log, [one.name for one in usable], progress)
    except EventStoreError:  # one that cannot be read hides the others
        for projection in usable:
            yield from _compared(log, registry, projection)
    else:
        yield from _told(differences)


def claimed(log: SqliteLog) -> Iterator[Diagnosis]:
    """Whether the claims are what the log says was claimed."""
    with log.snapshot() as connection:
        if claims.differs(connection):
            text = "the claims of titles are not what the log gives"
            yield diagnosis("claims.rows", text, table="claims")


def _is_begun(connection: apsw.Connection, name: str) -> bool:
    return bool(connection.execute(_NAMED, (name,)).get)


def _checkpoint(
    connection: apsw.Connection, registry: Registry, projection: Projection
) -> Diagnosis | None:
    """What is wrong with how far a projection says that it is."""
    name = projection.name
    builtin = projection in registry.builtin
    table = projection.tables[0]
    if registry.reached(connection, name) is None:
        text = f"projection {name!r} is missing, of another version, or of another history"
        return diagnosis("projection.checkpoint", text, table=table)
    missing = registry.missing(connection, name)
    if missing < 0 or (missing and builtin):
        end = reading.head_of(connection).position
        text = f"projection {name!r} is at position {end - missing}, the log at {end}"
        return diagnosis("projection.checkpoint", text, table=table)
    return None


def _compared(log: SqliteLog, registry: Registry, projection: Projection) -> Iterator[Diagnosis]:
    try:
        yield from _told(registry.check(log, [projection.name], None))
    except EventStoreError as error:
        text = f"projection {projection.name!r} cannot be compared: {error}"
        yield diagnosis(_code(projection.tables[0]), text, table=projection.tables[0])


def _told(differences: Sequence[Difference]) -> Iterator[Diagnosis]:
    """One finding a table, however many of its rows differ."""
    for table, group in groupby(differences, key=lambda one: one.table):
        found = list(group)
        text = f"rows are not what the log gives, the first is {found[0].kind}: {found[0].row}"
        yield diagnosis(_code(table), text, table=table)


def _code(table: str) -> str:
    """What a table that is not as the log gives it is told as: an index of words, or rows."""
    first = {projection.tables[0] for projection in ON_READ if "VIRTUAL" in projection.schema}
    return "search.index" if table in first else "projection.rows"
