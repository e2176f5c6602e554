"""`backup`: a consistent copy of a store, made while others read and write it, and then checked.

`VACUUM INTO` copies one state of the file, however many commits come meanwhile; SQLite's backup in
steps begins anew with each of them. The copy is one file without a write-ahead log, compact and
readable by its owner only. It takes its name when it has been verified.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import apsw
from msgspec import Struct

from eventstore.errors import CorruptStoreError, StoreError
from eventstore.files import put, sync
from eventstore.log import engine, reading
from eventstore.log.partial import partial_file
from eventstore.log.port import Head
from eventstore.log.sqlite import SqliteLog
from eventstore.log.verification import Finding, verify

#: Told from time to time: ``(what is being done, how far, of how much)``.
Progress: TypeAlias = Callable[[str, int, int], None]

#: Steps of SQLite's machine between two looks at how far a copy is.
_STEPS = 20_000

_LEAF = "SELECT leaf FROM events WHERE position = ?"
_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"


class Backup(Struct, frozen=True, kw_only=True):
    """A copy that was made: its size in bytes, its head, and what verify finds in it."""

    path: str
    size: int
    head: Head
    findings: tuple[Finding, ...]


def backup(
    store: str | Path,
    file: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Backup:
    """Copy the store to `file`, which is complete and verified or not there at all.

    The copy is compared with the store: its head must be an event of the store, and not older than
    when the copy began. What verify finds in it is told, not refused: the store has it as well.

    Raises `StoreMissingError`, `StoreError` where `file` exists (unless `overwrite`) or is in use,
    and `CorruptStoreError` when pages cannot be read or the copy is not the store's.
    """
    target = Path(file).expanduser()
    _check_target(target, Path(store).expanduser(), overwrite=overwrite)
    told = progress or (lambda *_: None)
    log = SqliteLog(store, readonly=True, create=False)
    try:
        before = log.head()
        with partial_file(target) as partial:
            copy_into(log, partial, told)
            head, findings = examined(partial, told)
            _compare(log, before, head)
            size = partial.stat().st_size
            _check_target(target, Path(log.path), overwrite=overwrite)
            put(partial, target)
    finally:
        log.close()
    return Backup(path=str(target), size=size, head=head, findings=tuple(findings))


def _check_target(target: Path, store: Path, *, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists already; name another file, or say to overwrite it")
    if target.is_dir():
        raise StoreError(f"{target} is a directory; give the path of a file in it")
    if target.exists() and store.exists() and target.samefile(store):
        raise StoreError(f"{target} is the store itself")
    if Path(f"{target}-wal").exists():
        raise StoreError(f"{target} is in use: there is a write-ahead log beside it")


def copy_into(log: SqliteLog, partial: Path, told: Progress) -> None:
    """Copy a log's file into an empty one, and have the disk keep it."""
    with log.reader() as connection:
        size = int(engine.rows_of(connection, _SIZE)[0][0])

        def look() -> bool:
            told("bytes", min(partial.stat().st_size, size), size)
            return False

        connection.set_progress_handler(look, _STEPS)
        try:
            connection.execute("VACUUM INTO ?", (str(partial),))
        except apsw.CorruptError as error:
            raise CorruptStoreError(
                f"{log.path} is damaged ({error}), so it cannot be copied; `eventstore salvage` "
                "saves what can be read"
            ) from error
        finally:
            connection.set_progress_handler(None)
    told("bytes", size, size)
    sync(partial)


def examined(path: Path, told: Progress) -> tuple[Head, list[Finding]]:
    """The head of a copy, and what verify finds in it."""
    log = SqliteLog(path, readonly=True, create=False)
    try:
        found = list(verify(log, lambda position, head: told("events", position, head)))
        return log.head(), found
    finally:
        log.close()


def _compare(log: SqliteLog, before: Head, head: Head) -> None:
    """The copy's last event is the store's, and was not older than when the copy began."""
    with log.reader() as connection:
        leaf = connection.execute(_LEAF, (head.position,)).get if head.position else head.leaf
        now = reading.head_of(connection)
    if leaf != head.leaf or not before.position <= head.position <= now.position:
        raise CorruptStoreError(
            f"the copy ends with event {head.position}, which is not what {log.path} has there; "
            "nothing was written"
        )
