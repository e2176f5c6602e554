"""Checking projections: derive them again and compare row by row.

An empty list of differences is the definition of correct. The second derivation is written to a
temporary database to which the store is attached read-only; everything is read in one snapshot, so
writers may go on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
from msgspec import Struct

from eventstore.log import engine, reading
from eventstore.log.sqlite import SqliteLog
from projections.base import Projection, apply_page
from projections.catchup import PAGE

#: The name under which the store is attached, read-only, to the temporary database.
STORE = "store"

#: Differences reported of one table at most, of each kind.
REPORTED_MAX = 20


class Difference(Struct, frozen=True, kw_only=True):
    """A row that the log does not give (`extra`), or gives and is not stored (`missing`)."""

    projection: str
    table: str
    kind: str
    row: tuple[Any, ...]


def check(
    log: SqliteLog,
    projections: Sequence[Projection],
    upto: Callable[[apsw.Connection, Projection], int],
    progress: Callable[[int, int], None] | None = None,
) -> list[Difference]:
    """The differences between stored rows and rows derived from the log.

    `upto(connection, projection)` tells the position that the stored tables have reached.
    """
    log.head()  # raises when the log was closed
    with tempfile.TemporaryDirectory(prefix="eventstore-check-") as folder:
        scratch = _scratch(log, Path(folder))
        try:
            with engine.translated(log.path):
                scratch.execute("BEGIN")
                return list(_differences(scratch, projections, upto, progress))
        finally:
            with engine.translated(log.path):
                scratch.close()


def _scratch(log: SqliteLog, folder: Path) -> apsw.Connection:
    """A temporary database to which the store is attached, so that it cannot be written."""
    path = log.path
    if path == engine.MEMORY:
        path = str(folder / "copy.db")
        with log.reader() as reader:
            reader.execute("VACUUM INTO ?", (path,))
    uri = f"file:{quote(str(Path(path).absolute()))}?mode=ro"
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    with engine.translated(log.path):
        scratch = apsw.Connection(str(folder / "scratch.db"), flags=flags)
        scratch.set_busy_timeout(5000)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE"):
            scratch.execute(f"PRAGMA {pragma}").fetchall()
        scratch.execute(f"ATTACH ? AS {STORE}", (uri,))
    return scratch


def _differences(
    connection: apsw.Connection,
    projections: Sequence[Projection],
    upto: Callable[[apsw.Connection, Projection], int],
    progress: Callable[[int, int], None] | None,
) -> Iterator[Difference]:
    ends = {projection.name: upto(connection, projection) for projection in projections}
    copies = [
        type(projection)({table: f"main.{table}" for table in projection.tables})
        for projection in projections
    ]
    for copy in copies:
        copy.create(connection, indexes=False)
    _derive(connection, copies, ends, progress)
    for projection, copy in zip(projections, copies, strict=True):
        if not ends[projection.name] and not _is_stored(connection, projection):
            continue  # caught up before a read, and nobody has read it yet
        for table in projection.tables:
            stored = projection.compared(connection, table, f"{STORE}.{projection.names[table]}")
            derived = copy.compared(connection, table, copy.names[table])
            for kind, left, right in (("extra", stored, derived), ("missing", derived, stored)):
                rows = connection.execute(
                    f"SELECT * FROM {left} EXCEPT SELECT * FROM {right} LIMIT {REPORTED_MAX}"  # noqa: S608
                ).fetchall()
                for row in rows:
                    yield Difference(
                        projection=projection.name, table=table, kind=kind, row=tuple(row)
                    )


def _is_stored(connection: apsw.Connection, projection: Projection) -> bool:
    """Whether the store has any of the projection's tables."""
    names = connection.execute(f"SELECT name FROM {STORE}.sqlite_schema").fetchall()  # noqa: S608
    return not {row[0] for row in names}.isdisjoint(projection.names.values())


def _derive(
    connection: apsw.Connection,
    copies: Sequence[Projection],
    ends: dict[str, int],
    progress: Callable[[int, int], None] | None,
) -> None:
    position, end = 0, max(ends.values(), default=0)
    content = any(copy.reads_content for copy in copies)
    while position < end:
        page = reading.page_of_log(connection, position, end, content, PAGE)
        if not page:
            return
        for copy in copies:
            upto = ends[copy.name]
            apply_page(copy, connection, [r for r in page if r.position <= upto])
        position = page[-1].position
        if progress is not None:
            progress(position, end)
