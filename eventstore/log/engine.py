"""Connections to the SQLite file: how they are opened, tuned, and how their errors are named.

`apsw` is the only SQLite library that may touch the file in this process: a second one would
cancel its locks (closing any descriptor of a file drops all POSIX locks the process has on it).
For the same reason nothing here opens the database file itself once it exists.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import apsw

from eventstore.errors import (
    CorruptStoreError,
    DiskFullError,
    EngineTooOldError,
    EventStoreError,
    InvalidValueError,
    NotAStoreError,
    ReadOnlyStoreError,
    StoreBusyError,
    StoreError,
    StoreMissingError,
)
from eventstore.log import interrupts

MEMORY = ":memory:"

#: 3.51.2 and older lose data when a WAL is reset; FTS5 has memory errors below 3.54.
SQLITE_MIN = (3, 54, 0)

#: Pages in the write-ahead log before they are moved into the file. Moving them takes two syncs and
#: each page once, however often it was written; up to 4,062 pages are found through one hash table.
WAL_PAGES = 4000

#: How long a writer waits for other processes before it gives up, in seconds.
BUSY_SECONDS = 30.0


class Durability(StrEnum):
    """What "acknowledged" promises.

    `FULL`: the event survives power loss. `NORMAL`: it survives a crash of the process; the last
    moments before a power loss may be gone, never damaged.
    """

    FULL = "full"
    NORMAL = "normal"


_SYNCHRONOUS = {Durability.FULL: "FULL", Durability.NORMAL: "NORMAL"}


def check_engine() -> None:
    """Raise `EngineTooOldError` unless apsw brings a SQLite of at least `SQLITE_MIN`."""
    found = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if found < SQLITE_MIN:
        wanted = ".".join(map(str, SQLITE_MIN))
        raise EngineTooOldError(
            f"apsw brings SQLite {apsw.sqlite_lib_version()}, at least {wanted} is needed: "
            "install apsw >= 3.54"
        )


def create_file(path: Path) -> bool:
    """Create an empty file that only its owner can read; False when one exists already.

    SQLite gives the ``-wal`` and ``-shm`` files the permissions of the database file.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except OSError as error:
        raise StoreError(f"cannot create the store {path}: {error.strerror}") from error
    return True


def connect(path: str, durability: Durability, *, readonly: bool) -> apsw.Connection:
    """Open a connection with every setting given explicitly."""
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    with translated(path):
        connection = apsw.Connection(path, flags=flags)
        try:
            _tune(connection, durability)
        except BaseException:
            connection.close()
            raise
    return connection


def _tune(connection: apsw.Connection, durability: Durability) -> None:
    connection.set_busy_timeout(5000)
    # Plans must not depend on bound values: apsw's SQLite has STAT4, which otherwise prepares a
    # cached statement anew each time an indexed column is compared with a bound value.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in (
        f"synchronous = {_SYNCHRONOUS[durability]}",
        "temp_store = MEMORY",
        "secure_delete = ON",
        "cache_size = -16000",
        "mmap_size = 0",
        "journal_size_limit = 67108864",
        f"wal_autocheckpoint = {WAL_PAGES}",
        "foreign_keys = OFF",
        "trusted_schema = OFF",
        "recursive_triggers = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


#: Seconds after which a waiting writer tries for the lock more often, and no longer does.
LOSING_SECONDS = (0.02, 2.0)


def retry_pause(waited: float) -> float:
    """Seconds until a writer that has waited this long tries for the lock again.

    Whoever has just let go of the lock comes back for it within a part of a millisecond. One that
    has lost to others a few times therefore tries more often than one that has just come: the
    slower the commits are, the longer it would find the lock taken each time. When nobody gets
    the lock for long, it is not lost to others but held, and trying often is of no use.
    """
    begin, end = LOSING_SECONDS
    if begin <= waited < end:
        return random.uniform(0.0005, 0.002)
    return random.uniform(0.001, 0.02)


def begin_immediate(cursor: apsw.Cursor, seconds: float = BUSY_SECONDS) -> None:
    """Take the write lock; waits for other processes with jitter, at most `seconds`.

    `retry_pause` shares the lock fairly between processes; SQLite's own busy handler starves some,
    so the connection should have no busy timeout of its own. Raises `StoreBusyError` when the time
    is up.
    """
    begun = None
    while True:
        try:
            cursor.execute("BEGIN IMMEDIATE")
            return
        except apsw.BusyError as error:
            now = time.monotonic()
            if begun is None:
                begun = now
            if now - begun >= seconds or interrupts.pending():
                raise StoreBusyError(
                    f"another process held the write lock of {cursor.connection.filename} for "
                    f"{seconds:g} s; retry, or find the process that keeps a transaction open"
                ) from error
            time.sleep(retry_pause(now - begun))


def rows_of(
    connection: apsw.Connection, sql: str, values: Sequence[apsw.SQLiteValue] = ()
) -> list[Any]:
    """All rows of a query. The caller knows the columns' types: the tables are STRICT."""
    return connection.execute(sql, values).fetchall()


def quoted(name: str) -> str:
    """A name as SQL has it, whatever its characters: names in a foreign file's schema are text."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn apsw's errors into this project's."""
    try:
        yield
    except FOREIGN as error:
        raise translate(error, path) from error


#: What apsw raises: its own errors, and Python's for values that SQLite cannot hold or that are
#: not text.
FOREIGN = (apsw.Error, UnicodeError, OverflowError)


def translate(error: Exception, path: str) -> EventStoreError:
    """The error of this project for an error of apsw's."""
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusyError(f"{path} is locked by another process: {error}; retry")
        case apsw.FullError():
            return DiskFullError(f"the disk is full, nothing was written to {path}")
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            return ReadOnlyStoreError(f"{path} cannot be written: {error}")
        case apsw.NotADBError():
            return NotAStoreError(f"{path} is not a SQLite database")
        case UnicodeDecodeError():
            return CorruptStoreError(f"{path} holds text that is not UTF-8: {error}")
        case UnicodeError():
            return InvalidValueError("a text with a lone surrogate is no id of anything")
        case OverflowError():
            return InvalidValueError(f"a number has more than 64 bits: {error}")
        case apsw.CorruptError():
            return CorruptStoreError(f"{path} is damaged ({error}); run `eventstore verify`")
        case apsw.CantOpenError():
            return StoreError(f"{path} cannot be opened: {error}")
        case _:
            return StoreError(f"{path}: {type(error).__name__}: {error}")


def check_path(path: Path, *, create: bool) -> None:
    """Refuse what cannot be a store before SQLite sees it."""
    if path.is_dir():
        raise NotAStoreError(f"{path} is a directory; give the path of a file in it")
    if not path.exists() and not create:
        raise StoreMissingError(f"there is no store at {path}")
    if path.exists() and not path.is_file():
        # SQLite would wait for ever for the other end of a pipe.
        raise NotAStoreError(f"{path} is a device or a pipe; a store is an ordinary file")
    if path.exists() and path.stat().st_size == 1:
        # SQLite takes a file of one byte for an empty one and would overwrite it.
        raise NotAStoreError(f"{path} is not a SQLite database")
