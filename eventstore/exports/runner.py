"""Running an export: what it covers, its record in the log, and the file that it makes.

An export covers the log up to the head at its begin. Before the first byte goes out an
`export.created` event says in the log that it was made, and for whom; it comes after what is
exported. The file or folder takes its name when it is complete, and only its owner can read it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from eventstore.errors import ExportFailedError, InvalidValueError, ReadOnlyStoreError
from eventstore.events.catalogue import ExportContent, ExportCreated
from eventstore.exports import chosen, registry
from eventstore.exports.names import file_name
from eventstore.exports.registry import CONTENTS, Exporter, Request
from eventstore.files import put, sync_tree
from eventstore.log.port import Actor, Head
from eventstore.log.transaction import SqliteTransaction
from eventstore.store import own
from eventstore.store.keeping import keep
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

#: What stands for standard output.
STDOUT = "-"

#: Told from time to time how far of how much, both in the format's own unit.
Progress: TypeAlias = Callable[[int, int], None]


class Exported(Struct, frozen=True, kw_only=True):
    """An export that was made: of which log, up to `to_position`, whose leaf is `leaf`.

    `path` is the file or folder, ``-`` for a stream; `recorded` are the positions of the events
    that record it, none where it was not to be recorded.
    """

    format: str
    path: str
    to_position: int
    leaf: bytes
    recorded: tuple[int, ...]


def export(
    store: SessionStore,
    format: str,  # noqa: A002
    target: str | Path | IO[bytes],
    *,
    sessions: Sequence[Session] | None = None,
    recipient: str | None = None,
    record: bool = True,
    content: str = "full",
    options: Mapping[str, str] | None = None,
    force: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Exported:
    """Export `sessions`, or the whole log, to a file, a folder, ``-`` (stdout) or a stream.

    A format that makes one document a session makes a folder of them unless one session is given.
    `recipient` is recorded with the export, which needs a store that can be written; without
    `record` nothing is. With `force` a file that is there is replaced, a folder never is. `tell` is
    told about what an exporter left out.

    Raises `ExportFailedError`, `InvalidValueError`, `ReadOnlyStoreError` and what the store raises.
    """
    exporter = registry.exporter(format)
    if content not in CONTENTS:
        raise InvalidValueError(f"content is one of {', '.join(CONTENTS)}, not {content!r}")
    registry.check(exporter, options or {}, content)
    several = registry.is_per_session(exporter) and (sessions is None or len(sessions) != 1)
    in_folder = several or not exporter.suffix
    if not isinstance(target, str | Path):
        place: Path | IO[bytes] = target
    elif str(target) == STDOUT:
        place = sys.stdout.buffer
    else:
        place = Path(target).expanduser()
    _check_place(place, exporter.name, in_folder=in_folder, force=force, store=store)
    head, recorded = _begin(store, exporter.name, sessions, recipient, record)
    request = Request(
        store=store, sessions=sessions, to_position=head.position, head=head, progress=progress,
        content=content, recipient=recipient, options=options or {}, tell=tell,
    )  # fmt: skip
    if not isinstance(place, Path):
        exporter.export(replace(request, out=place))
        place.flush()
    elif in_folder:
        with _new_folder(place) as folder:
            if several:
                _export_each(exporter, request, folder)
            else:
                exporter.export(replace(request, folder=folder))
    else:
        with _new_file(place, force=force) as file:
            exporter.export(replace(request, out=file))
    path = str(place) if isinstance(place, Path) else STDOUT
    keep(store.keeper, "export")
    return Exported(
        format=exporter.name, path=path, to_position=head.position, leaf=head.leaf,
        recorded=tuple(recorded),
    )  # fmt: skip


def _export_each(exporter: Exporter, request: Request, folder: Path) -> None:
    """One document a session, each in a file of its own, and the index of an exporter with one."""
    made = _documents(exporter, request, folder)
    index = getattr(exporter, "index", None)
    if index is not None:
        index(request, folder, made)
    for _ in made:
        pass


def _documents(exporter: Exporter, request: Request, folder: Path) -> Iterator[tuple[Session, str]]:
    """Each session with the name of its file, once that is written."""
    total = chosen.count(request)
    for number, session in enumerate(chosen.sessions(request), 1):
        path = folder / (file_name(session.name, session.stream) + exporter.suffix)
        with path.open("xb") as file:
            exporter.export(replace(request, sessions=[session], out=file, progress=None))
        yield session, path.name
        if request.progress is not None:
            request.progress(number, total)


# -- recording ---------------------------------------------------------------------------------


def _begin(
    store: SessionStore,
    format: str,  # noqa: A002
    sessions: Sequence[Session] | None,
    recipient: str | None,
    record: bool,
) -> tuple[Head, list[int]]:
    """The head that the export covers, and the positions of the events that record it."""
    streams = None if sessions is None else [store.require_own(one).stream for one in sessions]
    if streams is not None and len(set(streams)) < len(streams):
        raise InvalidValueError("a session was named twice")
    if not record:
        if recipient is not None:
            raise InvalidValueError("a recipient is recorded; without a record there is none")
        return store.head, []
    if store.log.readonly:
        raise ReadOnlyStoreError(
            f"{store.path} is open read-only, so the export cannot be recorded in it; open it for "
            "writing, or say that the export is not to be recorded"
        )
    event = ExportCreated(format=format, content=ExportContent(recipient=recipient))

    def work(transaction: SqliteTransaction) -> tuple[Head, list[int]]:
        head = transaction.head
        found = []
        if streams is None:
            made = replace(event, scope="log", to_position=head.position)
            own_session = own.own_stream(transaction)
            found += own.note(transaction, own_session.id, [made], Actor.OPERATOR)
        for stream in streams or ():
            before = transaction.stream_by_id(stream)
            version = 0 if before is None else before.version
            made = replace(event, to_version=version, to_position=head.position)
            found += own.note(transaction, stream, [made], Actor.OPERATOR)
        return head, [one.position for one in found]

    return store.log.transact(work)


# -- files -------------------------------------------------------------------------------------


def _check_place(
    place: Path | IO[bytes],
    format: str,  # noqa: A002
    *,
    in_folder: bool,
    force: bool,
    store: SessionStore,
) -> None:
    """Refuse what cannot be written, before the export is recorded."""
    if not isinstance(place, Path):
        if in_folder:
            raise ExportFailedError(f"{format} makes several files here; name a folder for them")
        return
    if not place.absolute().parent.is_dir():
        raise ExportFailedError(f"{place} cannot be made: there is no folder {place.parent}")
    if in_folder:
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            raise ExportFailedError(
                f"{place} exists already; name a folder that does not, or empty"
            )
        return
    if place.is_dir():
        raise ExportFailedError(f"{place} is a folder; name a file in it")
    with suppress(OSError):
        if place.samefile(store.path):
            raise ExportFailedError(f"{place} is the store itself")
    if place.exists() and not force:
        raise ExportFailedError(f"{place} exists already; name another file, or say to replace it")


@contextmanager
def _new_file(place: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A private file that takes its name when it is complete, and is gone otherwise."""
    number, name = tempfile.mkstemp(dir=place.absolute().parent, prefix=f".{place.name}.")
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(number)
        if place.exists() and not force:
            raise ExportFailedError(f"{place} was made by somebody else meanwhile")
        put(Path(name), place)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


@contextmanager
def _new_folder(place: Path) -> Iterator[Path]:
    """A private folder that takes its name when it is complete, and is gone otherwise."""
    parent = place.absolute().parent
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=f".{place.name}."))
    try:
        yield folder
        for path in folder.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        with suppress(FileNotFoundError):
            place.rmdir()  # an empty one is in the way on some systems
        sync_tree(folder)
        put(folder, place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
