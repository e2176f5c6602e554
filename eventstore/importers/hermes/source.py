"""A Hermes database as sessions, parents first, and their messages in the order of their rows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from eventstore.errors import ImportFailedError, InvalidValueError
from eventstore.importers.reports import FileReport, Problem
from eventstore.importers.sqlite_source import Row, SqliteSource
from eventstore.session.decisions import check_session_id

_SESSION_COLUMNS = {"id", "source", "user_id", "started_at", "ended_at", "parent_session_id"}
_MESSAGE_COLUMNS = {"id", "session_id", "role", "content", "timestamp", "tool_calls"}


def is_hermes(source: SqliteSource) -> bool:
    """Whether a database has the tables that every schema of Hermes has."""
    tables = source.tables
    return _SESSION_COLUMNS.issubset(tables.get("sessions", ())) and _MESSAGE_COLUMNS.issubset(
        tables.get("messages", ())
    )


class SourceSession(Struct, frozen=True):
    """A session's row, the id it gets here, and how deep it is below its ancestors.

    `key` is what messages refer to; `row` is empty for a session that only messages name.
    """

    number: int
    key: Any
    id: str
    row: dict[str, Any]
    parent: str | None
    depth: int


class SourceMessage(Struct, frozen=True):
    """A message's row; `reason` says what is wrong with it, if anything is."""

    number: int
    row: dict[str, Any]
    reason: str | None


class HermesSource:
    """Reads one database; what is wrong with it goes into the report."""

    def __init__(self, source: SqliteSource, report: FileReport) -> None:
        self.source = source
        self.report = report
        #: Characters read so far.
        self.read = 0
        self._number = 0

    def sessions(self) -> list[SourceSession]:
        """Every session, parents before their children, and those that only messages name."""
        found: dict[Any, tuple[int, dict[str, Any]]] = {}
        for row in self._rows("sessions", order=("started_at", "id")):
            number, values = self._next(row)
            if damage := _damage(row):
                self._tell(number, damage)
            found.setdefault(values["id"], (number, values))
        for row in self._rows("messages", ("session_id",)):
            key = _plain(row.values["session_id"])
            if key not in found:
                self._number += 1
                self._tell(self._number, f"messages of session {key!r}, which has no row")
                found[key] = (self._number, {})
        return list(_parents_first(found))

    def messages(self, session: SourceSession) -> Iterator[SourceMessage]:
        """The messages of a session in the order of their row ids."""
        for row in self._rows("messages", where={"session_id": session.key}, order=("id",)):
            number, values = self._next(row)
            self.read += sum(len(value) for value in values.values() if isinstance(value, str))
            yield SourceMessage(number, values, _damage(row) or None)

    def _next(self, row: Row) -> tuple[int, dict[str, Any]]:
        self._number += 1
        self.report.records += 1
        return self._number, {name: _plain(value) for name, value in row.values.items()}

    def _rows(self, table: str, columns: Any = None, **how: Any) -> Iterator[Row]:
        """Rows as far as they can be read; the rest is told as a problem."""
        wanted = self.source.tables[table] if columns is None else columns
        try:
            yield from self.source.rows(table, wanted, **how)
        except ImportFailedError as error:
            self._tell(None, f"the rest of {table} cannot be read: {error}")

    def _tell(self, number: int | None, reason: str) -> None:
        self.report.problems.append(Problem(number, reason))


def _plain(value: Any) -> Any:
    """The value as JSON holds it; bytes as base64 text."""
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def _damage(row: Row) -> str:
    reasons = dict(row.damaged)
    for column, value in row.values.items():
        if isinstance(value, bytes):
            reasons[column] = "bytes, not text; kept as base64"
    return ", ".join(f"{column}: {why}" for column, why in reasons.items())


def _parents_first(found: dict[Any, tuple[int, dict[str, Any]]]) -> Iterator[SourceSession]:
    depths: dict[Any, int] = {}
    for key in found:
        line, above = [], key
        while above in found and above not in depths and above not in line:  # circles end
            line.append(above)
            above = found[above][1].get("parent_session_id")
        for one in reversed(line):
            number, row = found[one]
            parent = row.get("parent_session_id")
            known = parent in depths
            depths[one] = depths[parent] + 1 if known else 0
            yield SourceSession(
                number, one, session_id_of(one), row, session_id_of(parent) if known else None,
                depths[one],
            )  # fmt: skip


def session_id_of(key: Any) -> str:
    """The id that a session has here: its own, or a digest of one that cannot name a session."""
    try:
        return check_session_id(key)
    except InvalidValueError:
        digest = hashlib.sha256(repr(key).encode("utf-8", "surrogatepass"))
        return f"hermes-{digest.hexdigest()[:16]}"
