"""Bringing one session of the store up to a session of a Hermes database.

How far a session was imported is an event of its own, written with the rows it speaks of:
``x.hermes.imported`` with the last row's id. Rows up to it are never taken again, whatever became
of their text. The session's row is kept as a record each time it has changed, so that only what the
source changed is changed here.

A row that Hermes marked as taken back or as summarised later becomes a retraction or a
consolidation, at the place where that must have happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from eventstore import codec
from eventstore.errors import EventFormatError, NotJSONError
from eventstore.events.catalogue import (
    CustomEvent,
    Kind,
    Lifecycle,
    MessageAppended,
    RecordImported,
)
from eventstore.importers import lines, records
from eventstore.importers.attaching import attach
from eventstore.importers.hermes import mapping
from eventstore.importers.hermes.mapping import FORMAT, UnreadableError, micros
from eventstore.importers.hermes.source import SourceMessage, SourceSession
from eventstore.importers.reports import FileReport, Problem
from eventstore.log.port import unchanged_since
from eventstore.redaction import marks
from eventstore.session import commands as do
from eventstore.session.commands import Command
from eventstore.session.state import SessionState, Status
from eventstore.store import titles
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

#: The event that says how far a session was imported.
CURSOR = "x.hermes.imported"

#: A transaction ends after so many commands.
COMMANDS_MAX = 500

#: Marks, in its metadata, a session that an import began.
MARK = "imported_from"


class Taking:
    """The import of one session."""

    def __init__(
        self,
        store: SessionStore,
        report: FileReport,
        source: SourceSession,
        rows: Iterable[SourceMessage],
    ) -> None:
        self.store = store
        self.report = report
        self.source = source
        self.rows = rows
        self.started = micros(source.row.get("started_at"))
        self._pending: list[Command] = []
        self._row_id = 0

    def take(self) -> None:
        """Append what the store does not have of it yet."""
        source, report = self.source, self.report
        report.sessions.append(source.id)
        session = self.store.get(source.id)
        if session is None:
            session = self._create()
        elif session.state().status is Status.CLOSED:
            self._tell(source.number, f"session {source.id!r} is closed; nothing of it is stored")
            return self._count_only()
        elif not _is_imported(session):
            reason = f"session {source.id!r} is there already and was not imported from Hermes"
            self._tell(source.number, reason)
            return self._count_only()
        self.session = session
        self.version = session.version
        self.state = session.state()
        self.cursor, old = _imported(session)
        latest, calls = self._take_messages()
        self._take_row(old, latest, calls)
        self._store()
        return None

    def _count_only(self) -> None:
        for _ in self.rows:
            pass

    def _tell(self, number: int, reason: str) -> None:
        self.report.problems.append(Problem(number, reason))

    def _create(self) -> Session:
        source, row = self.source, self.source.row
        parent = None if source.parent is None else self.store.get(source.parent)
        if parent is not None and parent.state().status is Status.CLOSED:
            parent = None
        user = row.get("user_id")
        metadata = {MARK: FORMAT} | ({} if user is None else {"user_id": user})
        origin = row.get("source")
        deep = source.depth > self.store.spawn_depth_max
        session = self.store.create(
            source.id,
            source=origin if isinstance(origin, str) else "unknown",
            parent=None if deep else parent,
            kind=Kind.ROOT if parent is None else Kind.SUBAGENT,
            lifecycle=Lifecycle.DETACHED,  # as with Hermes, deleting a parent leaves its children
            metadata=metadata,
            occurred_at=self.started,
        )
        if deep and parent is not None:
            session.reparent(parent)
        return session

    # -- messages --------------------------------------------------------------------------

    def _take_messages(self) -> tuple[int | None, int]:
        """Queue the new rows and what became of them; the latest time and all their tool calls."""
        latest, calls = self.started, 0
        seqs: dict[int, int] | None = None
        active = _active(self.state)
        next_seq, block, consolidated = self.state.next_seq, None, 0
        rows = list(self.rows)
        last_compacted = max(
            (found.row["id"] for found in rows if _fate(found) == "compacted"), default=0
        )
        for found in rows:
            at = micros(found.row.get("timestamp"), latest)
            latest = at if latest is None or (at is not None and at > latest) else latest
            fate, seq = _fate(found), None
            if block is not None and fate != "rewound":
                self._retract(block, active)
                block = None
            command, number = self._command(found, at)
            calls += number
            if found.row["id"] > self.cursor:
                if isinstance(command, do.Append):
                    seq, next_seq = next_seq, next_seq + 1
                    active.add(seq)
                self._queue(command, found.row["id"])
            elif fate != "active":
                seqs = self._stored_rows() if seqs is None else seqs
                seq = seqs.get(found.row["id"])
            if seq is not None and fate == "rewound" and block is None:
                block = seq
            if seq is not None and fate == "compacted":
                consolidated = seq
            if found.row["id"] == last_compacted and consolidated in active:
                self._pending.append(do.Consolidate(to_seq=consolidated))
                active -= {one for one in active if one <= consolidated}
        if block is not None:
            self._retract(block, active)
        return latest, calls

    def _retract(self, seq: int, active: set[int]) -> None:
        if seq in active:
            self._pending.append(do.Retract(from_seq=seq))
            active -= {one for one in active if one >= seq}

    def _command(self, found: SourceMessage, at: int | None) -> tuple[Command, int]:
        """The command of a row with its record, and how many tool calls it makes."""
        number, new = found.number, found.row["id"] > self.cursor
        self.report.messages += 1
        try:
            message, rest, wrong = mapping.to_message(found, at)
        except UnreadableError as error:
            self.report.messages -= 1
            self._tell(number, f"{error}; kept as a record")
            return attach(mapping.damaged(at), _line(number, found.row)), 0
        for reason in (*([found.reason] if found.reason else ()), *wrong):
            self._tell(number, reason)
        self.report.tool_calls += len(message.tool_calls)
        command: Command = do.Append(messages=(message,))
        if new:
            command = attach(command, _line(number, rest))
        return command, len(message.tool_calls)

    def _queue(self, command: Command, row_id: int) -> None:
        self._pending.append(command)
        self._row_id = row_id
        self.report.appended += 1
        if len(self._pending) >= COMMANDS_MAX:
            self._store()

    def _stored_rows(self) -> dict[int, int]:
        """The seq of every message that was imported and not erased, by its row's id."""
        found = {}
        for recorded in self.session.events(content=True):
            event = recorded.event
            if isinstance(event, MessageAppended) and event.content is not None:
                row = _restored(event.content)
                if row is not None and isinstance(row.get("id"), int):
                    found[row["id"]] = event.seq
        return found

    # -- the session's row -----------------------------------------------------------------

    def _take_row(self, old: dict[str, Any] | None, latest: int | None, calls: int) -> None:
        row = self.source.row
        if not row or marks.same(old, row):
            return
        self.report.appended += 1
        event = RecordImported(format=FORMAT, kind="session", occurred_at=latest)
        self._pending.append(attach(do.AddEvent(event=event), _line(self.source.number, row)))
        self._pending += mapping.of_the_row(
            old or {}, row, self.state, lambda: self.session.configuration() or {}, calls, latest
        )
        self._pending = [self._free(command) for command in self._pending]

    def _free(self, command: Command) -> Command:
        """Claim a title, as Hermes does, unless a session of this store has it already."""
        if not isinstance(command, do.SetTitle) or command.title is None:
            return command
        holder = titles.newest(self.store.log, command.title)
        if holder is None or holder.stream == self.session.stream:
            return replace(command, unique=True)
        reason = f"the title {command.title!r} is in use by session {holder.session_id!r} as well"
        self._tell(self.source.number, reason)
        return command

    def _store(self) -> None:
        """Store what is pending, with how far that goes, as one transaction."""
        if not self._pending:
            return
        if self._row_id > self.cursor:
            event = CustomEvent(name=CURSOR, data={"row": self._row_id}, commuting=True)
            self._pending.append(do.AddEvent(event=event))
        results = self.store.execute(
            [(self.session, command) for command in self._pending],
            {self.session: unchanged_since(self.version)},
        )
        self.version = max((r[-1].version for r in results if r), default=self.version)
        self.cursor = max(self.cursor, self._row_id)
        self._pending = []


def _line(number: int, row: dict[str, Any]) -> lines.Line:
    try:
        return lines.record(number, row)
    except NotJSONError:  # an infinity, which SQLite can hold
        plain = {
            name: str(value) if isinstance(value, float) else value for name, value in row.items()
        }
        return lines.record(number, plain)


def _fate(found: SourceMessage) -> str:
    """Whether a row is active, compacted (summarised away) or rewound (taken back)."""
    if found.row.get("active", 1) in (1, None):
        return "active"
    return "compacted" if found.row.get("compacted") else "rewound"


def _active(state: SessionState) -> set[int]:
    return {seq for first, size in state.active for seq in range(first, first + size)}


def _is_imported(session: Session) -> bool:
    first = next(iter(session.events(upto=1)))
    content = first.event.content
    metadata = None if content is None else getattr(content, "metadata", None)
    return isinstance(metadata, dict) and metadata.get(MARK) == FORMAT


def _imported(session: Session) -> tuple[int, dict[str, Any] | None]:
    """The last row id that was imported, and the session's row as it was imported last."""
    cursor, version = 0, 0
    for recorded in session.events(content=False):
        event = recorded.event
        if isinstance(event, CustomEvent) and event.name == CURSOR:
            cursor = max(cursor, event.data.get("row", 0))
        elif isinstance(event, RecordImported) and event.kind == "session":
            version = recorded.version
    if not version:
        return cursor, None
    [recorded] = session.events(after=version - 1, upto=version, content=True)
    content = recorded.event.content
    return cursor, None if content is None else _restored(content)


def _restored(content: Any) -> dict[str, Any] | None:
    """The row in a content's record, None when there is none."""
    if content.record is None:
        return None
    try:
        value = codec.decode(records.restore(content.record, content))
    except EventFormatError:
        return None
    return value if isinstance(value, dict) else None
