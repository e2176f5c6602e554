"""Taking the records of a file into the store, each once.

Nothing but the sessions themselves says what was imported before: a file's records are compared,
session by session, with the records that the store holds. What is there is skipped, what follows
it is appended; where the two differ a fork takes what the file says. So importing a file again
adds nothing, importing a grown copy adds what is new, and an import that was interrupted is
completed by importing again. Appends are transactions of bounded size that end between records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventstore.errors import ImportFailedError, SessionExistsError, VersionConflictError
from eventstore.events.catalogue import Kind
from eventstore.importers.attaching import FoldAll, attach
from eventstore.importers.branches import Branch, branches_of, fork_number, next_fork_id
from eventstore.importers.lines import Line
from eventstore.importers.reports import FileReport, Problem
from eventstore.log.port import unchanged_since
from eventstore.session.commands import Append, ChangeModel, Command, Compact
from eventstore.session.state import Status
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

#: A transaction ends at the first record after so many commands, or so many bytes of lines.
COMMANDS_MAX = 500
BYTES_MAX = 4 * 1024 * 1024


class Intake:
    """The import of one file: give it every record in order, then `finish`."""

    def __init__(self, store: SessionStore, source: str, report: FileReport) -> None:
        self.store = store
        self.source = source
        self.report = report
        self._lanes: dict[str, _Lane] = {}
        self._pending: list[tuple[Session, Command]] = []
        self._bytes = 0
        self._versions: dict[Session, int] = {}

    def put(
        self,
        session_id: str,
        line: Line,
        commands: Sequence[Command],
        *,
        occurred_at: int | None = None,
        parent: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Take a record of a session: its line and the commands made of it, at least one.

        The first command carries the record. A session that is new begins at `occurred_at` with
        this `metadata`, below the session `parent` when that exists.
        """
        lane = self._lanes.get(session_id)
        if lane is None:
            lane = self._lanes[session_id] = _Lane(self, session_id, parent, metadata)
            self.report.sessions.append(session_id)
        session = lane.destination(line, commands, occurred_at)
        if session is None:
            return
        self._queue(lane, session, [attach(commands[0], line), *commands[1:]])
        self.report.appended += 1
        self._bytes += len(line.data)
        if len(self._pending) >= COMMANDS_MAX or self._bytes >= BYTES_MAX:
            self.flush()

    def _queue(self, lane: _Lane, session: Session, commands: Sequence[Command]) -> None:
        for command in commands:
            if type(command) is FoldAll:
                self.flush()
                self._pending.append((session, _folding(session, command)))
            elif type(command) is not ChangeModel or command.model != lane.model:
                self._pending.append((session, command))
                if type(command) is ChangeModel:
                    lane.model = command.model

    def flush(self) -> None:
        """Store what is pending, as one transaction."""
        if self._pending:
            self._store_pending()
        self._pending.clear()
        self._bytes = 0

    def _store_pending(self) -> None:
        """Append to sessions that nobody else appended to since they were compared."""
        expected = {
            session: unchanged_since(self._versions[session]) for session, _ in self._pending
        }
        try:
            results = self.store.execute(self._pending, expected)
        except VersionConflictError as error:
            raise ImportFailedError(
                f"somebody else wrote to session {error.session!r} while {self.report.path} was "
                "imported; import the file again, which adds what is missing"
            ) from error
        for (session, _), recorded in zip(self._pending, results, strict=True):
            if recorded:
                self._versions[session] = recorded[-1].version

    def opened(self, session: Session, version: int) -> None:
        """A session takes records from here on; what was compared ended at this version."""
        self._versions[session] = version

    def finish(self) -> None:
        """Store the rest, and make sessions that came before their parent its children."""
        self.flush()
        for session_id, lane in self._lanes.items():
            session = self.store.get(session_id)
            if session is None or lane.parent is not None:
                continue
            for child in self.store.sessions_with_prefix(f"{session_id}/"):
                state = child.state()
                is_orphan = state.parent is None and state.status is not Status.CLOSED
                if is_orphan and fork_number(child.id) is None:
                    child.reparent(session)


def _folding(session: Session, fold: FoldAll) -> Command:
    active = session.state().active
    if not active:
        return Append(messages=(fold.note,))
    first, length = active[-1]
    return Compact(
        from_seq=active[0][0],
        to_seq=first + length - 1,
        note=fold.note,
        tokens_before=fold.tokens_before,
        tokens_after=fold.tokens_after,
        trigger=fold.trigger,
    )


class _Lane:
    """One session's part of the file: compared first, then appended."""

    def __init__(
        self, intake: Intake, session_id: str, parent: str | None, metadata: dict[str, Any] | None
    ) -> None:
        self.intake = intake
        self.session_id = session_id
        self.parent = parent
        self.metadata = metadata
        self.model: str | None = None
        self._branches: list[Branch] = branches_of(intake.store, session_id)
        self._common = 0
        self._session: Session | None = None
        self._refused = False

    def destination(
        self, line: Line, commands: Sequence[Command], occurred_at: int | None
    ) -> Session | None:
        """The session that the record must be appended to; None when it is stored already."""
        if self._session is None and not self._refused:
            if self._branches and self._is_stored(line, commands):
                return None
            self._begin(line, occurred_at)
        return self._session

    def _is_stored(self, line: Line, commands: Sequence[Command]) -> bool:
        messages = sum(len(one.messages) for one in commands if isinstance(one, Append))
        agreeing = [branch for branch in self._branches if branch.accepts(line, messages)]
        if not agreeing:
            # The file goes on where a branch ends, or it parts from all of them here.
            ended = [branch for branch in self._branches if branch.exhausted]
            self._branches = ended[:1] or self._branches[:1]
            return False
        self._branches = agreeing
        self._common += 1
        return True

    def _begin(self, line: Line, occurred_at: int | None) -> None:
        """Open the session that takes the rest of the file's records."""
        if self._branches and self._branches[0].exhausted:
            session, version = self._branches[0].session, self._branches[0].version
        else:
            begin = self._fork if self._branches else self._create_first
            session = begin(occurred_at)
            version = 1  # that of the event it was begun with
        self._branches = []
        self.intake.opened(session, version)
        state = session.state()
        if state.status is Status.CLOSED:
            self._refused = True
            reason = f"session {session.id!r} is closed; records of it from here on are not stored"
            self.intake.report.problems.append(Problem(line.number, reason))
            return
        self.model = state.model
        self._session = session

    def _create_first(self, occurred_at: int | None) -> Session:
        try:
            return self._create(self.session_id, occurred_at)
        except SessionExistsError as error:
            raise ImportFailedError(
                f"somebody else began session {self.session_id!r} while {self.intake.report.path} "
                "was imported; import the file again, which adds what is missing"
            ) from error

    def _create(self, session_id: str, occurred_at: int | None) -> Session:
        store = self.intake.store
        parent = None if self.parent is None else store.get(self.parent)
        if parent is not None and parent.state().status is Status.CLOSED:
            parent = None
        return store.create(
            session_id,
            source=self.intake.source,
            parent=parent,
            kind=Kind.ROOT if self.parent is None else Kind.SUBAGENT,
            metadata=self.metadata,
            occurred_at=occurred_at,
        )

    def _fork(self, occurred_at: int | None) -> Session:
        fork_id = next_fork_id(self.intake.store, self.session_id)
        if self._common:
            origin, version = self._branches[0].fork_point()
            fork = origin.fork(
                fork_id, at=version, source=self.intake.source, occurred_at=occurred_at
            )
        else:
            fork = self._create(fork_id, occurred_at)
        self.intake.report.forked.append(fork_id)
        return fork
