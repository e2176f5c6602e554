"""The importers there are, and importing files and folders through them.

An importer is a plug-in: a module of this package that knows one format, named in `_PLUGINS` and
loaded when an import is asked for. None imports another.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from eventstore.errors import ImportFailedError, UnknownFormatError
from eventstore.importers.reports import FileReport, Problem
from eventstore.importers.sqlite_source import MAGIC, is_sqlite

if TYPE_CHECKING:
    from eventstore.store.session_store import SessionStore

#: Bytes of a file's beginning by which its format is recognised.
HEAD_BYTES = 64 * 1024

#: Name of a format → module and class of its importer.
_PLUGINS = {
    "events-jsonl": "eventstore.exports.jsonl.importing:EventsJsonl",
    "claude-code": "eventstore.importers.claude_code:ClaudeCode",
    "nanobot": "eventstore.importers.nanobot.plugin:Nanobot",
    "hermes": "eventstore.importers.hermes:Hermes",
    "little-loops": "eventstore.importers.little_loops:LittleLoops",
    "power-loop": "eventstore.importers.power_loop.plugin:PowerLoop",
}


class Importer(Protocol):
    """What an importer owes."""

    @property
    def name(self) -> str:
        """The format's name."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """What files of the format are called in a folder, e.g. ``*.jsonl``."""

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the file, of which `head` is the beginning, has this format, by its content."""

    def import_file(
        self, store: SessionStore, path: Path, progress: Callable[[int], None] | None = None
    ) -> FileReport:
        """Take a file's records into the store, each once however often the file is imported.

        Damaged records are kept and reported, not raised. `progress` is told bytes read.
        """


def formats() -> list[str]:
    """The names of the formats that can be imported."""
    return list(_PLUGINS)


def importer(name: str) -> Importer:
    """The importer of a format; raises `UnknownFormatError` when there is none."""
    place = _PLUGINS.get(name)
    if place is None:
        raise UnknownFormatError(f"there is no importer {name!r}; there are {formats()}")
    module, _, cls = place.partition(":")
    made: Importer = getattr(import_module(module), cls)()
    return made


def recognise(path: Path) -> Importer | None:
    """The importer of a file, None for an empty one.

    Raises `UnknownFormatError` when no importer recognises it or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise UnknownFormatError(f"{path} cannot be read: {error}") from error
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        return None
    for name in _PLUGINS:
        candidate = importer(name)
        if candidate.recognises(path, head):
            return candidate
    raise UnknownFormatError(
        f"{path} is in none of the known formats {formats()}; if you know better, name the format"
    )


def import_paths(
    store: SessionStore,
    paths: Iterable[str | Path],
    *,
    format: str | None = None,  # noqa: A002
    progress: Callable[[Path, int], None] | None = None,
) -> Iterator[FileReport]:
    """Import files and, recursively, what is in folders (`files_in`); one report for each.

    ``-`` is standard input. `format` is recognised by content unless given; `progress` is told
    file and bytes read. Raises `UnknownFormatError` for a file given by name that cannot be read
    or recognised and `ImportFailedError` for one that cannot be imported; of files found in a
    folder that is said in the report instead, which `failed`, and the import goes on. Databases of
    other programs in a folder are passed over, and so is the store itself.
    """
    chosen = None if format is None else importer(format)
    for given in paths:
        if str(given) == "-":
            yield _import_stdin(store, chosen, progress)
            continue
        path = Path(given)
        if not path.is_dir():
            yield _import(store, path, chosen, progress)
            continue
        for found in files_in(path):
            if _is_store(found, store):
                continue
            try:
                yield _import(store, found, chosen, progress)
            except ImportFailedError as error:
                if isinstance(error, UnknownFormatError) and _is_database(found):
                    continue
                problem = Problem(None, str(error).removeprefix(f"{found} "))
                yield FileReport(path=str(found), problems=[problem], failed=True)


def files_in(folder: Path) -> list[Path]:
    """The files below a folder that are called as those of a known format are.

    Those of main sessions come before those of sub-agents.
    """
    patterns = {pattern for name in _PLUGINS for pattern in importer(name).patterns}
    found = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return sorted(found, key=lambda path: (path.name.startswith("agent-"), str(path)))


def _import(
    store: SessionStore,
    path: Path,
    chosen: Importer | None,
    progress: Callable[[Path, int], None] | None,
) -> FileReport:
    if _is_store(path, store):
        raise ImportFailedError(f"{path} is the store that would be imported into")
    found = recognise(path) if chosen is None else chosen
    if found is None:
        return FileReport(path=str(path))
    told = None if progress is None else lambda read: progress(path, read)
    try:
        return found.import_file(store, path, told)
    except OSError as error:
        raise ImportFailedError(f"{path} cannot be read: {error}") from error


def _is_store(path: Path, store: SessionStore) -> bool:
    """Whether it is the store's own file, which nobody else in this process may open.

    Closing it would cancel the locks that SQLite holds on it.
    """
    try:
        return path.samefile(store.path)
    except OSError:
        return False


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_sqlite(file.read(len(MAGIC)))
    except OSError:
        return False


def _import_stdin(
    store: SessionStore, chosen: Importer | None, progress: Callable[[Path, int], None] | None
) -> FileReport:
    """Import standard input, by way of a temporary file: importers may read a file twice."""
    with tempfile.TemporaryDirectory(prefix="eventstore-") as folder:
        path = Path(folder) / "stdin.jsonl"
        with path.open("wb") as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
        report = _import(store, path, chosen, progress)
    report.path = "-"
    return report
