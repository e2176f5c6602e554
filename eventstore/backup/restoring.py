"""`restore`: a backup in the place of a store, with what was erased since erased again.

A backup still holds what was erased after it was made. It is erased in the copy before that takes
the store's name, so nobody reads it. Where erasures are to be learnt from must be known: from the
store that is replaced, from another store or an exported list, or it is said that none are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
from msgspec import Struct

from eventstore.backup.copying import Progress, copy_into, examined
from eventstore.backup.erasures import Erasure, apply, erasures_in, read_from
from eventstore.checkpoints.beginning import Past, begin_anew, past_of
from eventstore.errors import CorruptStoreError, InvalidValueError, StoreBusyError, StoreError
from eventstore.files import put, sync
from eventstore.log import engine, schema
from eventstore.log.partial import partial_file
from eventstore.log.port import Head
from eventstore.log.sqlite import SqliteLog
from eventstore.store.session_store import SessionStore

#: Kinds of findings that a sound backup can have: what was lost before it was made.
_KNOWN = frozenset({"lost"})


class Restored(Struct, frozen=True, kw_only=True):
    """What a restore did: the head of the backup, the positions that were erased again in it.

    `replaced` is the file that the store which was there before is kept in, if there was one.
    `origin` is what the log is called in checkpoints from now on, if any were made of it before.
    """

    path: str
    head: Head
    erased: tuple[int, ...]
    replaced: str | None
    origin: str | None


def restore(
    file: str | Path,
    store: str | Path,
    *,
    erasures_from: Sequence[str | Path] = (),
    without_erasures: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Put the backup `file` in the place of `store`, which may be there or not.

    Erasures are taken from the store that is there, and from `erasures_from`: stores, or files with
    exported erasures whose names end in ``.json``. The file that was there is kept under another
    name. Until everything is done the store is as it was. Where checkpoints were made of either,
    the copy gets an origin of its own, and an event that names the last checkpoint left behind.

    Raises `InvalidValueError` when no erasures can be known of and `without_erasures` was not said,
    `StoreBusyError` when somebody has the store open, and `CorruptStoreError` when the backup does
    not verify.
    """
    target = Path(store).expanduser()
    told = progress or (lambda *_: None)
    source = Path(file).expanduser()
    if target.exists() and source.exists() and target.samefile(source):
        raise StoreError(f"{target} is the backup itself")
    with _locked(target, unreadable_is_fine=without_erasures or bool(erasures_from)) as old:
        found = [] if without_erasures else _erasures(target, old, erasures_from)
        with partial_file(target) as partial:
            head = _copy(source, partial, told)
            erased, origin = _finish(partial, found, _past(old), told)
            replaced = _swap(partial, target, old)
    return Restored(
        path=str(target), head=head, erased=tuple(erased), replaced=replaced, origin=origin
    )


@contextmanager
def _locked(target: Path, *, unreadable_is_fine: bool) -> Iterator[apsw.Connection | None]:
    """A connection to the store that is there, with everybody else locked out.

    None when there is none, or when it cannot be read and that was reckoned with.
    """
    if not target.exists():
        yield None
        return
    engine.check_path(target, create=False)
    with engine.translated(str(target)):  # of what is done with it, closing it included
        connection = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            yield connection if _lock(connection, target, unreadable_is_fine) else None
        finally:
            connection.close()


def _lock(connection: apsw.Connection, target: Path, unreadable_is_fine: bool) -> bool:
    """Lock everybody else out; whether the store can be read.

    It must be the first that the connection does: who has the file open holds a lock that an
    exclusive one cannot share, and SQLite asks for that only when it enters the file.
    """
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("BEGIN EXCLUSIVE; COMMIT")
        schema.require_current(connection, str(target))
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreBusyError(
            f"{target} is in use: end every process that has it open, then restore"
        ) from error
    except (apsw.Error, StoreError) as error:
        if unreadable_is_fine:
            return False
        raise StoreError(
            f"what was erased cannot be learnt from {target} ({error}): name another store or an "
            "exported list of erasures, or say that none are to be applied"
        ) from error
    return True


def _erasures(
    target: Path, old: apsw.Connection | None, sources: Sequence[str | Path]
) -> list[Erasure]:
    if old is None and not sources:
        raise InvalidValueError(
            f"there is no store at {target} to learn from what was erased since the backup: name "
            "one, or an exported list of erasures, or say that none are to be applied"
        )
    found: list[Erasure] = []
    if old is not None:
        found += erasures_in(old)
    for source in sources:
        found += read_from(source)
    return found


def _copy(source: Path, partial: Path, told: Progress) -> Head:
    log = SqliteLog(source, readonly=True, create=False)
    try:
        copy_into(log, partial, told)
    finally:
        log.close()
    head, findings = examined(partial, told)
    wrong = [one for one in findings if one.kind not in _KNOWN]
    if wrong:
        raise CorruptStoreError(
            f"{source} does not verify ({len(wrong)} findings, the first is {wrong[0].kind}: "
            f"{wrong[0].message}), so it was not restored"
        )
    return head


def _past(old: apsw.Connection | None) -> Past:
    """What the store that is replaced knows of its checkpoints."""
    return Past() if old is None else past_of(old)


def _finish(
    partial: Path, found: Sequence[Erasure], past: Past, told: Progress
) -> tuple[list[int], str | None]:
    """Erase in the copy, which nobody reads yet, make it a log of its own, and check it again."""
    with SessionStore.open(partial, create=False) as store:
        erased = apply(store, found)
        origin = begin_anew(store, past)
    if erased or origin is not None:
        _, findings = examined(partial, told)
        wrong = [one for one in findings if one.kind not in _KNOWN]
        if wrong:
            raise CorruptStoreError(
                f"the copy is not sound after it was changed: {wrong[0].message}"
            )
    sync(partial)
    return erased, origin


def _swap(partial: Path, target: Path, old: apsw.Connection | None) -> str | None:
    """Give the copy the store's name, in one step; where the old file is kept.

    The old store's write-ahead log is moved into it first: beside the new file it would damage it.
    """
    if old is not None:
        old.execute("PRAGMA journal_mode = DELETE").fetchall()
    replaced = None
    if target.exists():
        replaced = _free_name(target)
        os.link(target, replaced)
    for suffix in ("-wal", "-shm"):  # of a file that cannot be read, or that is gone
        with suppress(FileNotFoundError):
            os.replace(f"{target}{suffix}", f"{replaced or _free_name(target)}{suffix}")
    put(partial, target)
    return None if replaced is None else str(replaced)


def _free_name(target: Path) -> Path:
    number = 1
    while (name := target.with_name(f"{target.name}.replaced-{number}")).exists():
        number += 1
    return name
