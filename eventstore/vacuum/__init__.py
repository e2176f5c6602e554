"""Giving space back to the file system.

What is erased, and tables that are made anew, leave pages in the file that nothing uses; later
appends use them again. `vacuum` cuts them off: a stretch at a time, in short transactions between
which others write, as long as there is time; or in one go, which also packs half-empty pages but
holds writers up for as long as it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
from msgspec import Struct

from eventstore.errors import ReadOnlyStoreError
from eventstore.log import engine
from eventstore.log.engine import MEMORY, Durability
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction

#: Pages that one short transaction gives back.
STRETCH = 256

_INCREMENTAL = 2

#: Why nothing is given back in steps.
UNMAPPED = (
    "the file was made without auto_vacuum, so it can only be made smaller as a whole (--full), "
    "which also gives it what it lacks"
)


class Figures(Struct, frozen=True, kw_only=True):
    """The size of a store: its file, how much of that nothing uses, its write-ahead log."""

    file_bytes: int
    free_bytes: int
    wal_bytes: int


class Vacuumed(Struct, frozen=True, kw_only=True):
    """What a vacuum did. `cause` says why something could not be given back, or not yet."""

    full: bool
    before: Figures
    after: Figures
    cause: str | None = None


def figures(log: SqliteLog) -> Figures:
    """The size of a store as it is now."""
    with log.snapshot() as connection:
        size, pages, free = (
            int(engine.rows_of(connection, f"PRAGMA {name}")[0][0])
            for name in ("page_size", "page_count", "freelist_count")
        )
    if log.path == MEMORY:
        return Figures(file_bytes=pages * size, free_bytes=free * size, wal_bytes=0)
    wal = Path(f"{log.path}-wal")
    return Figures(
        file_bytes=Path(log.path).stat().st_size,
        free_bytes=free * size,
        wal_bytes=wal.stat().st_size if wal.exists() else 0,
    )


def vacuum(
    log: SqliteLog,
    *,
    seconds: float | None = None,
    full: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Vacuumed:
    """Give free pages back, at most for about `seconds`; with `full`, write the whole file anew.

    `progress` is told ``(bytes given back, bytes that were free)``. A full one needs room for the
    file twice more, in the folder of temporary files and beside the store; readers go on, writers
    wait, those of other processes up to 30 s.

    Raises `ReadOnlyStoreError`, `StoreBusyError`, `DiskFullError`.
    """
    if log.readonly:
        raise ReadOnlyStoreError(f"{log.path} was opened read-only")
    before = figures(log)
    if full:
        write_anew(log)
        cause = None
    else:
        cause = _in_steps(log, seconds, before.free_bytes, progress)
    emptied, held = log.truncate_wal()
    return Vacuumed(
        full=full, before=before, after=figures(log), cause=cause if emptied else cause or held
    )


def _in_steps(
    log: SqliteLog,
    seconds: float | None,
    free: int,
    progress: Callable[[int, int], None] | None,
) -> str | None:
    """Cut free pages off until there are none or the time is up; why not all."""
    deadline = None if seconds is None else time.monotonic() + seconds

    def step(transaction: SqliteTransaction) -> int:
        connection = transaction.connection
        connection.execute(f"PRAGMA incremental_vacuum({STRETCH})").fetchall()
        left, size = (
            int(engine.rows_of(connection, f"PRAGMA {name}")[0][0])
            for name in ("freelist_count", "page_size")
        )
        return left * size

    if not is_mapped(log):
        return UNMAPPED
    left = free
    while left:
        if deadline is not None and time.monotonic() >= deadline:
            return f"the time was up: {left:,} bytes are still free"
        last, left = left, log.transact(step, exclusive=True)
        if left >= last:
            return f"{left:,} bytes are still free: others free pages as fast"
        if progress is not None:
            progress(max(free - left, 0), free)
    return None


def is_mapped(log: SqliteLog) -> bool:
    """Whether the file says where each page belongs, so that free ones can be cut off."""
    with log.reader() as connection:
        return bool(connection.execute("PRAGMA auto_vacuum").get)


def write_anew(log: SqliteLog) -> None:
    """Write the whole file anew from its rows, through the write-ahead log.

    What lay in unused bytes is gone once the log has been emptied. A file without auto_vacuum has
    it afterwards.
    """
    if log.path == MEMORY:
        with log.reader() as connection:
            connection.execute("VACUUM").fetchall()
        return
    with (
        engine.translated(log.path),
        closing(engine.connect(log.path, Durability.FULL, readonly=False)) as connection,
    ):
        connection.set_busy_timeout(int(engine.BUSY_SECONDS * 1000))
        _prepare(connection)
        connection.execute("VACUUM").fetchall()


def _prepare(connection: apsw.Connection) -> None:
    """A copy of the file can be larger than memory, so it is made in a temporary file."""
    connection.execute("PRAGMA temp_store = FILE").fetchall()
    connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}").fetchall()
