"""The plug-in: recognising a database and importing it.

Rows of the five kinds become activities, user and assistant messages become messages of their
session, and every other row is kept whole in a `record.imported` of the session ``little-loops``.
What the store holds already is not added again: as many equal rows as are stored are left out,
whichever file they came from, so a grown file adds what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from eventstore import codec
from eventstore.adapters.little_loops.shapes import SHAPES, SOURCE, home, identity
from eventstore.errors import ImportFailedError
from eventstore.events.catalogue import Activity, Event, RecordImported
from eventstore.importers.little_loops import messages
from eventstore.importers.little_loops.rows import (
    OTHERS_NOT,
    Taken,
    activities_of,
    as_record,
    problem_of,
    records_of,
)
from eventstore.importers.reports import FileReport, Problem
from eventstore.importers.sqlite_source import SqliteSource, is_sqlite, reading
from eventstore.store.activities import Placed, record
from eventstore.store.session_store import SessionStore

R = TypeVar("R")

#: Tables that a database of every schema has.
_TABLES = frozenset({"tool_events", "issue_events", "loop_events", "search_index", "meta"})


class LittleLoops(Struct, frozen=True):
    """Importer of little-loops' databases, schema 1 and later."""

    name: str = SOURCE
    #: What the original called its file, and what it does since.
    patterns: tuple[str, ...] = ("session.db", "history.db")

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether it is a SQLite database with the tables that every schema has."""
        if not is_sqlite(head):
            return False
        try:
            with reading(path) as source:
                return source.tables.keys() >= _TABLES
        except ImportFailedError:
            return False

    def import_file(
        self, store: SessionStore, path: Path, progress: Callable[[int], None] | None = None
    ) -> FileReport:
        """Import one database, which is only read; damaged rows are kept and reported.

        `progress` is told the file's size when it has been read. Raises `ImportFailedError`.
        """
        report = FileReport(path=str(path), format=self.name)
        with reading(path) as source:
            missing = _TABLES - source.tables.keys()
            if missing:
                raise ImportFailedError(f"{path} has no tables {sorted(missing)}")
            run = _Run(store, source, report)
            for kind in SHAPES:
                run.take(activities_of(source, kind))
            run.take_messages()
            run.take_others()
        if progress is not None:
            progress(path.stat().st_size)
        return report


class _Run:
    """One database's import under way."""

    def __init__(self, store: SessionStore, source: SqliteSource, report: FileReport) -> None:
        self._store = store
        self._source = source
        self._report = report
        self._rest: list[Taken] = []

    def take(self, rows: Iterator[Taken]) -> None:
        """Record activities; what is damaged among them is kept for later."""
        found = list(self._counted(rows))
        self._rest += [one for one in found if not isinstance(one.event, Activity)]
        self._record([one for one in found if isinstance(one.event, Activity)])

    def take_messages(self) -> None:
        """Append messages to their sessions; what cannot be one is kept for later."""
        rows = [
            row
            for table in messages.ROLES
            for row in self._guarded(messages.said(self._source, table))
        ]
        for session_id, said in messages.by_session(rows).items():
            if messages.append(self._store, session_id, said, self._report):
                self._report.records += len(said)
            else:
                self._rest += self._counted(
                    as_record(one.table, one.row, problem_of(one.row)) for one in said
                )

    def take_others(self) -> None:
        """Keep every other row whole."""
        for table in self._source.tables:
            if table not in OTHERS_NOT and not table.startswith("search_index_"):
                self._rest += self._counted(records_of(self._source, table))
        self._record(self._rest)

    def _counted(self, rows: Iterator[Taken]) -> Iterator[Taken]:
        for row in self._guarded(rows):
            self._report.records += 1
            self._report.tool_calls += row.table == "tool_events"
            if row.problem is not None:
                self._problem(f"{row.table} {row.number}: {row.problem}")
            yield row

    def _guarded(self, rows: Iterator[R]) -> Iterator[R]:
        """The rows up to where the file is damaged, which is reported."""
        try:
            yield from rows
        except ImportFailedError as error:
            self._problem(str(error))

    def _problem(self, reason: str) -> None:
        self._report.problems.append(Problem(None, reason))

    def _record(self, rows: list[Taken]) -> None:
        if not rows:
            return
        batch = [Placed(row.session_id, row.event) for row in rows]
        store = self._store
        added = record(store.log, store.derived, batch, home(), once=_same)
        self._report.appended += len(added)
        for name in dict.fromkeys(row.session_id or SOURCE for row in rows):
            if name not in self._report.sessions:
                self._report.sessions.append(name)


def _same(event: Event) -> Hashable:
    """What makes two events of this importer the same."""
    if isinstance(event, Activity):
        return identity(event)
    assert isinstance(event, RecordImported)
    kept = None if event.content is None else codec.encode(event.content.record)
    return (event.format, event.kind, kept)
