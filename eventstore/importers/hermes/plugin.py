"""The plug-in: recognising a database of Hermes Agent and importing one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from eventstore.errors import ImportFailedError, RuleError, VersionConflictError
from eventstore.importers import sqlite_source
from eventstore.importers.hermes.mapping import FORMAT
from eventstore.importers.hermes.source import HermesSource, is_hermes
from eventstore.importers.hermes.taking import Taking
from eventstore.importers.reports import FileReport, Problem
from eventstore.store.session_store import SessionStore


class Hermes(Struct, frozen=True):
    """Importer of Hermes Agent's session database.

    A session is imported up to the row it has reached; importing again takes the rows after that,
    and of the session's own row what has changed since. What the source deleted later stays.
    """

    name: str = FORMAT
    patterns: tuple[str, ...] = ("state.db",)

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether it is a SQLite database with Hermes's tables."""
        if not sqlite_source.is_sqlite(head):
            return False
        try:
            with sqlite_source.reading(path) as source:
                return is_hermes(source)
        except ImportFailedError:
            return False

    def import_file(
        self, store: SessionStore, path: Path, progress: Callable[[int], None] | None = None
    ) -> FileReport:
        """Import one database; damaged rows are kept as far as they can be read, and reported.

        `progress` is told the size of the texts read from time to time. Raises
        `ImportFailedError` when it is no database of Hermes or somebody else writes to a session
        that is imported.
        """
        report = FileReport(path=str(path), format=self.name)
        with sqlite_source.reading(path) as opened:
            if not is_hermes(opened):
                raise ImportFailedError(
                    f"{path} is no session database of Hermes Agent: it has the tables "
                    f"{sorted(opened.tables)}"
                )
            source = HermesSource(opened, report)
            for number, session in enumerate(source.sessions()):
                rows = source.messages(session)
                try:
                    Taking(store, report, session, rows).take()
                except VersionConflictError as error:
                    raise ImportFailedError(
                        f"somebody else wrote to session {error.session!r} while {path} was "
                        "imported; import it again, which adds what is missing"
                    ) from error
                except RuleError as error:
                    report.problems.append(Problem(session.number, f"{session.id!r}: {error}"))
                if progress is not None and number % 20 == 0:
                    progress(source.read)
        return report
