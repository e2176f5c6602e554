"""`examine`: every check that there is, in one report.

It opens the file read-only, and needs neither derived tables nor triggers to be there. Each part
goes on where another one failed, so a damaged file gets as long a report as it can still give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from eventstore.doctor import derived, file, fixing, schema
from eventstore.doctor.report import Diagnosis, Report, diagnosis
from eventstore.doctor.sessions import Sessions, Snapshot
from eventstore.errors import CorruptStoreError, NotAStoreError, StoreBusyError, StoreError
from eventstore.log import engine
from eventstore.log.engine import Durability
from eventstore.log.sqlite import SqliteLog
from eventstore.log.verification import verify
from eventstore.salvage.finding import holds_events
from eventstore.store.derived import Registry
from projections.base import Projection

#: Told from time to time: ``(what is being examined, position reached, position of the head)``.
Progress: TypeAlias = Callable[[str, int, int], None]


def examine(
    path: str | Path,
    *,
    fix: bool = False,
    projections: Sequence[type[Projection]] = (),
    progress: Progress | None = None,
) -> Report:
    """Examine the store at `path`; with `fix`, mend what is derived and examine it once more.

    `projections` are a user's own, which are examined too. Writers may go on meanwhile. Nothing is
    fixed in a file that has an error which cannot be fixed: restore a backup, or salvage it.

    Raises `StoreMissingError`, `NotAStoreError` where there is no store to examine at all,
    `NewerStoreError`, and `StoreBusyError` where another process keeps writing.
    """
    name = str(Path(path).expanduser())
    first = _Examination(name, projections, progress).run()
    fixable = [one for one in first.findings if one.fixable]
    if not (fix and fixable and fixing.is_allowed(first.findings)):
        return first.report()
    fixing.mend(name, fixable, first.bad_snapshots, projections)
    second = _Examination(name, projections, progress).run()
    left = {(one.code, one.table, one.session) for one in second.findings}
    fixed = [one for one in fixable if (one.code, one.table, one.session) not in left]
    return second.report(fixed)


class _Examination:
    """One look at everything."""

    def __init__(
        self, path: str, users: Sequence[type[Projection]], progress: Progress | None
    ) -> None:
        self.path = path
        self.findings: list[Diagnosis] = []
        self.bad_snapshots: list[Snapshot] = []
        self._events: int | None = None
        self._users = users
        self._progress = progress

    def report(self, fixed: Iterable[Diagnosis] = ()) -> Report:
        return Report(
            path=self.path,
            events=self._events,
            findings=tuple(self.findings),
            fixed=tuple(fixed),
        )

    def run(self) -> _Examination:
        engine.check_engine()
        engine.check_path(Path(self.path), create=False)
        self._part(file.files(self.path))
        self._part(self._of_the_file())
        if any(one.code in ("schema.identity", "schema.log-table") for one in self.findings):
            return self
        try:
            log = SqliteLog(self.path, readonly=True, create=False)
        except (CorruptStoreError, NotAStoreError):
            return self  # told already
        try:
            self._of_the_log(log)
        finally:
            log.close()
        return self

    def _part(self, found: Iterator[Diagnosis]) -> None:
        """Collect one part's findings; what makes it stop is a finding as well."""
        try:
            self.findings.extend(self._each(found))
        except StoreBusyError:
            raise
        except NotAStoreError:
            if not holds_events(self.path):
                raise
            text = "SQLite takes the file for none of its own, yet there are events in it"
            self.findings.append(diagnosis("sqlite.damage", text))
        except StoreError as error:
            if not any(one.code == "sqlite.damage" for one in self.findings):
                self.findings.append(diagnosis("sqlite.damage", str(error)))

    def _each(self, found: Iterator[Diagnosis]) -> Iterator[Diagnosis]:
        with engine.translated(self.path):
            yield from found

    def _of_the_file(self) -> Iterator[Diagnosis]:
        """What SQLite and the schema say; a file of somebody else's is refused."""
        connection = engine.connect(self.path, Durability.FULL, readonly=True)
        try:
            there = schema.things_in(connection)
            if not set(schema.LOG_TABLES) & set(there):
                raise NotAStoreError(f"{self.path} is no store of agent-eventstore")
            known = {table for user in self._users for table in user.tables}
            self._told("schema", 0, 0)
            yield from schema.identity(connection)
            yield from schema.settings(connection)
            yield from schema.schema_of(connection, known)
            yield from file.free_pages(connection)
            yield from file.unfinished_erasures(connection)
            self._told("pages", 0, 0)
            yield from file.integrity(connection, set(there) - set(schema.LOG_TABLES))
        finally:
            connection.close()

    def _of_the_log(self, log: SqliteLog) -> None:
        self._part(self._verified(log))
        if not any(one.code == "log.unreadable" for one in self.findings):
            faulty = {one.table for one in self.findings if one.code == "schema.derived-table"}
            sessions = Sessions(log, snapshots="snapshots" not in faulty)
            self._part(sessions.examine(self._at("sessions")))
            self.bad_snapshots = sessions.bad_snapshots
            if "claims" not in faulty:
                self._part(derived.claimed(log))
            registry = Registry(self._users)
            self._part(derived.projections(log, registry, faulty, self._at("projections")))

    def _verified(self, log: SqliteLog) -> Iterator[Diagnosis]:
        for one in verify(log, self._at("events")):
            # SQLite's own check was asked before.
            if one.kind != "sqlite" and file.VIRTUAL not in one.message:
                yield diagnosis(f"log.{one.kind}", one.message, position=one.position)
        self._events = log.head().position

    def _told(self, part: str, position: int, head: int) -> None:
        if self._progress is not None:
            self._progress(part, position, head)

    def _at(self, part: str) -> Callable[[int, int], None]:
        return lambda position, head: self._told(part, position, head)
