"""The file's identity and its format: who may open it, and how an older one is brought forward.

`application_id` marks the file as ours and `user_version` is the number of the last migration.
Migrations are the numbered files in `migrations/`; all that are missing run in one transaction.
"""

from __future__ import annotations

import random
import time
from importlib.resources import files

import apsw

from eventstore.errors import NewerStoreError, NotAStoreError, StoreError
from eventstore.log.engine import begin_immediate

#: "aEvt"; SQLite keeps it in the file's header.
APPLICATION_ID = 0x61457674


def migrations() -> list[str]:
    """The SQL of every migration, oldest first; the file's format is their number."""
    folder = files("eventstore.log") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]


def _pragma(connection: apsw.Connection, name: str) -> int:
    value = connection.execute(f"PRAGMA {name}").get
    assert isinstance(value, int)
    return value


def format_of(connection: apsw.Connection, path: str) -> int:
    """The format number of a store, 0 for an empty database.

    Raises `NotAStoreError` for somebody else's database and `NewerStoreError` for a format that
    this version does not know.
    """
    number = _pragma(connection, "user_version")
    owner = _pragma(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != APPLICATION_ID and (tables or owner or number):
        raise NotAStoreError(
            f"{path} is a SQLite database, but not a store of agent-eventstore "
            f"(application_id {owner:#x})"
        )
    if number > len(migrations()):
        raise NewerStoreError(
            f"{path} has format {number}, this version of agent-eventstore reads up to "
            f"{len(migrations())}; update it"
        )
    return number


def prepare(connection: apsw.Connection, path: str) -> None:
    """Make an empty database a store, or bring an older store forward, in one transaction."""
    number = format_of(connection, path)
    if number == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL").fetchall()
    _use_wal(connection)
    if number == len(migrations()):
        return
    begin_immediate(connection.cursor())
    try:
        number = format_of(connection, path)
        for sql in migrations()[number:]:
            connection.execute(sql).fetchall()
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}").fetchall()
        connection.execute(f"PRAGMA user_version = {len(migrations())}").fetchall()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _use_wal(connection: apsw.Connection) -> None:
    """Switch to the write-ahead log; several processes may do so at the same first open."""
    for attempt in range(200):
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").get
        except apsw.BusyError:
            if attempt == 199:
                raise
            time.sleep(random.uniform(0.001, 0.02))
            continue
        if mode not in ("wal", "memory"):
            raise StoreError(
                f"{connection.filename}: SQLite cannot use a write-ahead log here (it answered "
                f"{mode!r}); network file systems are not supported"
            )
        return


def require_current(connection: apsw.Connection, path: str) -> None:
    """For reading only: raise `NotAStoreError` unless the file is a store of the newest format."""
    number = format_of(connection, path)
    if number < len(migrations()):
        raise NotAStoreError(
            f"{path} is empty or of the older format {number}; open it once for writing to "
            "bring it forward"
        )
