"""The plug-in: recognising a database of power-loop and importing its sessions.

What was imported before is known from the sessions themselves: a session's messages are compared
with those stored, and what is new is appended. So a second import adds nothing and a grown file
adds what is new. A session that says something else than what is stored is told and left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from eventstore.adapters.power_loop.messages import row_of
from eventstore.adapters.power_loop.usage import commands_of as usage_commands
from eventstore.errors import AppendError, ImportFailedError, NotJSONError, RuleError
from eventstore.events.catalogue import Kind, Lifecycle, UsageRecorded
from eventstore.importers.power_loop.history import History, text_of, us_of
from eventstore.importers.power_loop.source import Tables, prefix_of
from eventstore.importers.reports import FileReport
from eventstore.importers.sqlite_source import is_sqlite, reading
from eventstore.log.port import unchanged_since
from eventstore.redaction import marks
from eventstore.session import commands as do
from eventstore.session.commands import Command
from eventstore.session.decisions import check_session_id
from eventstore.session.state import SessionState, Status
from eventstore.store import by_id
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore
from eventstore.store.views import MessageView

FORMAT = "power-loop"

#: Commands of one transaction.
BATCH = 500


class PowerLoop(Struct, frozen=True):
    """Importer of power-loop's session databases."""

    name: str = FORMAT
    patterns: tuple[str, ...] = ("*.db", "*.sqlite", "*.sqlite3")

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the file is a database with power-loop's tables."""
        if not is_sqlite(head):
            return False
        try:
            with reading(path) as source:
                return prefix_of(source.tables) is not None
        except ImportFailedError:
            return False

    def import_file(
        self, store: SessionStore, path: Path, progress: Callable[[int], None] | None = None
    ) -> FileReport:
        """Import every session; what is damaged is reported and the rest imported.

        Raises `ImportFailedError` for a file that is no database of power-loop.
        """
        report = FileReport(path=str(path), format=self.name)
        size = path.stat().st_size
        with reading(path) as source:
            prefix = prefix_of(source.tables)
            if prefix is None:
                raise ImportFailedError(
                    f"{path} has not the tables of power-loop; it has {sorted(source.tables)}"
                )
            tables = Tables(source, prefix, report)
            sessions = _parents_first(tables.rows("sessions"))
            for number, row in enumerate(sessions, 1):
                try:
                    check_session_id(row["session_id"])
                    _Import(store, tables, report, row).run()
                except (RuleError, NotJSONError, AppendError, TypeError, ValueError) as error:
                    # SQLite keeps values of any type in any column.
                    what = f"{type(error).__name__}: {error}"
                    tables.tell(f"session {row['session_id']!r} was not imported whole: {what}")
                if progress is not None:
                    progress(size * number // len(sessions))
        return report


def _parents_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in an order in which a parent stands before what it spawned."""
    waiting = {row["session_id"]: row for row in rows}
    found: list[dict[str, Any]] = []

    def take(session_id: str) -> None:
        path = []
        while (row := waiting.pop(session_id, None)) is not None:
            path.append(row)
            session_id = row["parent_session_id"]
        found.extend(reversed(path))

    for session_id in list(waiting):
        take(session_id)
    return found


class _Import:
    """One session's import."""

    def __init__(
        self, store: SessionStore, tables: Tables, report: FileReport, row: dict[str, Any]
    ) -> None:
        self.store = store
        self.tables = tables
        self.report = report
        self.row = row
        self.id: str = row["session_id"]
        self.begun = us_of(row["created_at"], us_of(row["updated_at"], 1))
        self.updated = us_of(row["updated_at"], self.begun)

    def run(self) -> None:
        """Bring the stored session to what the file says."""
        report, history = self.report, History(self.tables, self.id, self.begun)
        report.sessions.append(self.id)
        report.records += 1 + history.found
        report.messages += history.found
        report.tool_calls += history.tool_calls
        known = by_id.state_of(self.store.log, self.id)
        if known is None and self.store.get(self.id) is not None:
            self.tables.tell(f"session {self.id!r} was closed here, so it is not imported again")
            return
        new = known is None
        session = self._create() if known is None else self.store.session_of(known[0])
        if not new and not self._agrees(session, history):
            return
        state = session.state()
        before = state.next_seq - 1
        commands = [
            *history.commands(before, state.active),
            *self._in_force(session, state, history, new),
        ]
        if self.row["parent_session_id"] is None and state.parent is not None:
            session.reparent(None)  # a detached child whose parent was closed since
        version = session.version
        for start in range(0, len(commands), BATCH):
            batch = [(session, command) for command in commands[start : start + BATCH]]
            results = self.store.execute(batch, unchanged_since(version))
            version = max([version, *(one.version for found in results for one in found)])
        report.appended += new + max(0, history.last - before)
        gone = history.wrongly_gone(session.state().active)
        if gone:
            self.tables.tell(f"session {self.id!r}: messages {gone} are active in the file only")

    def _create(self) -> Session:
        row = self.row
        parent, ghost = self._parent(row["parent_session_id"])
        depth = row["spawn_depth"] if type(row["spawn_depth"]) is int else 0
        place = f"session {self.id!r}"
        stream = by_id.create(
            self.store.log,
            do.Create(
                session_id=self.id,
                kind=Kind.SUBAGENT if row["kind"] == "subagent" else Kind.ROOT,
                lifecycle=_lifecycle(row["lifecycle"]),
                parent=parent,
                parent_depth=depth - 1 if depth > 0 else None,
                depth_max=max(depth, 1),
                spawn_call_id=text_of(row["spawn_tool_call_id"]),
                source=FORMAT,
                prompt=text_of(row["system_prompt"]),
                model=text_of(row["model"]),
                configuration=self.tables.json(row["config_json"], f"{place}: config_json") or None,
                metadata=self.tables.json(row["metadata_json"], f"{place}: metadata_json") or None,
                occurred_at=self.begun,
            ),
            None,
        )
        if ghost is not None:
            ghost.close(cascade=False, reason="its rows were deleted")
        return self.store.session_of(stream)

    def _parent(self, parent: str | None) -> tuple[int | None, Session | None]:
        """The parent's stream; one that was deleted must have been there, and is closed after."""
        if parent is None:
            return None, None
        head = self.store.log.stream(parent)
        if head is not None:
            return head.id, None
        ghost = self.store.create(parent, source=FORMAT, occurred_at=self.begun)
        return ghost.stream, ghost

    def _agrees(self, session: Session, history: History) -> bool:
        """Whether the stored messages are the file's first ones."""
        for view in session.history():
            expected = history.messages.get(view.seq)
            if expected is None or not _same(view, expected):
                self.tables.tell(
                    f"session {self.id!r}: message {view.seq} differs from what is stored, so "
                    "nothing more of it was imported; import the file into another store"
                )
                return False
        return True

    def _in_force(
        self, session: Session, state: SessionState, history: History, new: bool
    ) -> Iterator[Command]:
        """What the session is like at the end, as far as it is not so already."""
        row, at = self.row, self.updated
        for found in self.tables.rows("session_state", self.id):
            number = found["round_index"]
            if type(number) is int and number != state.round:
                yield do.AdvanceRound(round=number, occurred_at=at)
            pending = self.tables.json(found["pending_json"], f"session {self.id!r}: pending_json")
            if not marks.same(session.pending_tool_calls() or None, pending or None):
                ids = pending.get("tool_call_ids") if isinstance(pending, dict) else None
                named = tuple(one for one in ids or () if isinstance(one, str))
                yield (
                    do.SuspendToolCalls(payload=pending, call_ids=named, occurred_at=at)
                    if pending
                    else do.SettleToolCalls(occurred_at=at)
                )
        yield from self._usage(session)
        archived = row["status"] == "archived"
        prompt = text_of(row["system_prompt"])
        times = [one.occurred_at or 0 for one in history.messages.values()]
        touched = new and not archived and at > max(times, default=self.begun) and at > self.begun
        if not marks.same(session.prompt(), prompt) or (touched and prompt is not None):
            yield do.ChangePrompt(prompt=prompt, occurred_at=at)
        if archived and state.status is not Status.ARCHIVED:
            yield do.Archive(occurred_at=at)

    def _usage(self, session: Session) -> Iterator[Command]:
        stored = {
            recorded.event.key: recorded.event
            for recorded in session.events(content=False)
            if isinstance(recorded.event, UsageRecorded)
        }
        for row in self.tables.rows("usage_rounds", self.id):
            self.report.records += 1
            send, number = row["send_index"] or 0, row["round_index"]
            prompt = row["prompt_tokens"]
            cached = min(row["cached_tokens"] or 0, prompt or 0)
            commands = usage_commands(
                number, prompt, row["completion_tokens"], row["total_tokens"],
                text_of(row["model"]),
                key=f"send:{send}:round:{number}" if send else None,
                cached=cached, occurred_at=us_of(row["created_at"], self.updated),
            )  # fmt: skip
            first = commands[0]
            assert isinstance(first, do.RecordUsage)
            if stored.get(first.usage.key) != first.usage:
                self.report.appended += 1
                yield from commands


def _lifecycle(value: Any) -> Lifecycle:
    return Lifecycle(value) if value in list(Lifecycle) else Lifecycle.EPHEMERAL


def _same(view: MessageView, message: do.Message) -> bool:
    """Whether a stored message is the one of the file, as far as its text was not erased."""
    row = row_of("", view)
    same = (view.role, view.call_id, view.at) == (
        message.role, message.call_id, message.occurred_at,
    )  # fmt: skip
    return same and (
        view.erased or marks.same((row.content, view.metadata), (message.content, message.metadata))
    )
