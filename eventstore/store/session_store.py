"""`SessionStore`: one file of sessions."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eventstore import traces
from eventstore.consumers import positions
from eventstore.consumers.consumer import Consumer
from eventstore.consumers.positions import ConsumerInfo
from eventstore.errors import (
    AmbiguousSessionError,
    InvalidValueError,
    UnknownSessionError,
)
from eventstore.events.catalogue import Kind, Lifecycle
from eventstore.following import Cursor, follow
from eventstore.log.engine import MEMORY, Durability
from eventstore.log.port import ANY, Actor, Expected, Head, Recorded, StreamHead
from eventstore.log.sqlite import SqliteLog, now_us
from eventstore.session import commands as do
from eventstore.session.commands import Command
from eventstore.session.state import Status
from eventstore.store import activities, derived, executor, past, reads, searching, statistics
from eventstore.store.activities import ActivityResult
from eventstore.store.current import require_current
from eventstore.store.keeping import Checkpointing, Keeping
from eventstore.store.lifecycle import spawn
from eventstore.store.points import At, position_at
from eventstore.store.proofs import Proofs
from eventstore.store.session import Session
from eventstore.store.trees import Branch, branches
from eventstore.store.upkeep import Upkeep
from eventstore.store.views import SessionInfo
from projections.base import Projection
from projections.queries.activities import ActivityView
from projections.queries.search import Filters

#: How deep spawned sessions may nest unless `SessionStore.open` is told otherwise.
SPAWN_DEPTH_MAX = 8

#: What `SessionStore.sessions` lists unless told otherwise.
OPEN_STATUSES = ("active", "ended", "archived")


class SessionStore(Upkeep, Proofs):
    """An append-only store of agent sessions in one SQLite file; see `open`."""

    def __init__(
        self,
        log: SqliteLog,
        registry: derived.Registry,
        spawn_depth_max: int,
        keeper: Keeping | None = None,
    ) -> None:
        self.log = log
        self.derived = registry
        self.spawn_depth_max = spawn_depth_max
        self.keeper = keeper

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        durability: Durability | str = Durability.FULL,
        readonly: bool = False,
        create: bool = True,
        projections: Sequence[type[Projection]] = (),
        spawn_depth_max: int = SPAWN_DEPTH_MAX,
        clock: Callable[[], int] = now_us,
        checkpoints: Checkpointing | None = None,
    ) -> SessionStore:
        """Open the store at `path`, creating it if there is none; ``:memory:`` is kept in memory.

        `durability` says what an answered append survives: ``full`` a power loss, ``normal`` a
        crash of the process. `projections` are classes of your own. `checkpoints`, an
        `eventstore.Checkpoints`, has the store compared with what it was, and signed notes made.
        Any number of threads may use the store, and any number of processes may open the file.

        Raises a `StoreError`: the file is a directory, no store, a newer store, locked, read-only.
        With `checkpoints` also `RollbackDetectedError` and other errors of `CheckpointError`.
        """
        registry = derived.Registry(projections)
        log = SqliteLog(
            path,
            durability=Durability(durability),
            readonly=readonly,
            create=create,
            clock=clock,
            inline=registry.inline,
        )
        try:
            if not readonly:
                registry.prepare(log)
                traces.resume(log)
            store = cls(log, registry, spawn_depth_max)
            if checkpoints is not None:
                store.keeper = checkpoints.begin(store)
        except BaseException:
            log.close()
            raise
        return store

    def close(self) -> None:
        """Close the file, after a checkpoint that is under way; harmless when it is closed."""
        if self.keeper is not None:
            self.keeper.close()
        self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SessionStore {self.path}>"

    @property
    def path(self) -> str:
        """The file's path."""
        return self.log.path

    # -- sessions --------------------------------------------------------------------------

    @staticmethod
    def new_id() -> str:
        """A fresh session id."""
        return f"sess_{secrets.token_hex(12)}"

    def create(
        self,
        session_id: str | None = None,
        *,
        title: str | None = None,
        prompt: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        configuration: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        source: str | None = None,
        parent: Session | None = None,
        spawn_call_id: str | None = None,
        kind: Kind = Kind.ROOT,
        lifecycle: Lifecycle = Lifecycle.EPHEMERAL,
        key: str | None = None,
        occurred_at: int | None = None,
    ) -> Session:
        """Begin a session; with a `parent` it is a sub-agent's, one level deeper.

        An id that was closed begins its next incarnation. With a `key` the call can be repeated
        safely. Raises `SessionExistsError`, `SpawnDepthError`, `InvalidValueError`.
        """
        command = do.Create(
            session_id=self.new_id() if session_id is None else session_id,
            kind=kind,
            lifecycle=lifecycle,
            depth_max=self.spawn_depth_max,
            spawn_call_id=spawn_call_id,
            source=source,
            title=title,
            prompt=prompt,
            model=model,
            provider=provider,
            configuration=configuration,
            metadata=metadata,
            actor=Actor.SYSTEM,
            key=key,
            occurred_at=occurred_at,
        )
        above = None if parent is None else self.require_own(parent).stream
        stream = spawn(self.log, command, above)
        return self.session_of(stream)

    def get(self, session_id: str) -> Session | None:
        """The session with exactly this id (``id~n`` for an earlier incarnation), or None."""
        name, mark, number = session_id.rpartition("~")
        if mark and number.isascii() and number.isdigit():
            head = self.log.stream(name, int(number))
        else:
            head = self.log.stream(session_id)
        return None if head is None else self._handle(head)

    def session(self, session_id: str) -> Session:
        """The session with exactly this id; raises `UnknownSessionError`."""
        found = self.get(session_id)
        if found is None:
            raise UnknownSessionError(f"there is no session {session_id!r} in {self.path}")
        return found

    def find(self, prefix: str) -> Session:
        """The session with this id, or the only one whose id starts so.

        Raises `UnknownSessionError` or `AmbiguousSessionError`, which lists the candidates.
        """
        found = self.get(prefix)
        if found is not None:
            return found
        candidates = self.sessions_with_prefix(prefix) if prefix else []
        if not candidates:
            raise UnknownSessionError(f"no session id starts with {prefix!r} in {self.path}")
        if len(candidates) > 1:
            names = ", ".join(candidate.name for candidate in candidates[:10])
            raise AmbiguousSessionError(
                f"{len(candidates)} session ids start with {prefix!r}: {names}"
            )
        return candidates[0]

    def sessions_with_prefix(self, prefix: str) -> list[Session]:
        """The newest incarnation of every session whose id starts with `prefix`."""
        newest = {head.session_id: head for head in self.log.streams_with_prefix(prefix)}
        return [self._handle(head) for head in newest.values()]

    def session_of(self, stream: int) -> Session:
        """The session with this stream number."""
        head = self.log.stream_by_id(stream)
        if head is None:
            raise UnknownSessionError(f"there is no session with stream number {stream}")
        return self._handle(head)

    def require_own(self, session: Session) -> Session:
        """The session, if it is of this file; raises `InvalidValueError` otherwise."""
        other = session.store
        if other is not self and (other.path != self.path or self.path == MEMORY):
            raise InvalidValueError(f"{session.name!r} is a session of another store, {other.path}")
        return session

    def _handle(self, head: StreamHead) -> Session:
        return Session(self, head.session_id, head.incarnation, head.id)

    def sessions(
        self,
        *,
        at: At | None = None,
        statuses: Sequence[str] | str | None = OPEN_STATUSES,
        kind: str | None = None,
        source: str | None = None,
        parent: Session | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[SessionInfo]:
        """Sessions that match, those with the latest activity first.

        Closed ones are left out unless `statuses` names ``closed`` (None means any status). As of a
        position or time (`at`) it is the list that the store had then, with the names that find the
        sessions now and without what was erased since.
        """
        if isinstance(statuses, str):
            statuses = (statuses,)
        for status in statuses or ():
            if status not in set(Status):
                raise InvalidValueError(
                    f"a session is {', '.join(Status)}; there is no status {status!r}"
                )
        with self.log.snapshot() as connection:
            require_current(connection)
            listed = past.listed(
                connection,
                None if at is None else position_at(connection, at),
                statuses=statuses,
                kind=kind,
                source=source,
                parent=None if parent is None else parent.stream,
                limit=-1 if limit is None else limit,
                offset=offset,
            )
            return [reads.info(connection, one) for one in listed]

    def search(
        self,
        query: str,
        *,
        syntax: str = searching.WORDS,
        session: Session | None = None,
        lineage: Session | None = None,
        source: Sequence[str] | str | None = None,
        exclude_source: Sequence[str] | str | None = None,
        role: Sequence[str] | str | None = None,
        kind: str | None = None,
        since: int | None = None,
        until: int | None = None,
        active: bool | None = None,
        newest: bool = False,
        limit: int = 20,
        offset: int = 0,
        neighbours: int = 0,
        seconds: float | None = searching.SECONDS,
    ) -> searching.SearchResult:
        """Messages that match what a person typed, best first or newest first.

        No text is an error: words, ``"phrases"``, ``OR``, ``NOT`` and ``begin*`` work as said in
        `projections.search.query`, the rest is punctuation. With `syntax` ``fts5`` the query is in
        the syntax of SQLite's FTS5, and `InvalidQueryError` says what is wrong with it.

        `lineage` is a session with everything spawned or forked from it; `source`,
        `exclude_source` and `role` are one or several; `kind` is root or subagent, or message or
        note; times are µs since 1970, `until` not included; `active` False means only compacted or
        consolidated messages. `neighbours` asks for so many messages before and after each hit.

        Retracted, cleared and erased messages and closed sessions are not found. At most `seconds`
        (None: no limit) go to indexing what is new; the result says what is still missing.
        """
        session_kind, message_kind = searching.kinds_of(kind)
        filters = Filters(
            streams=None if session is None else (self.require_own(session).stream,),
            sources=searching.several(source),
            excluded_sources=searching.several(exclude_source),
            roles=searching.several(role),
            session_kind=session_kind,
            message_kind=message_kind,
            since=since,
            until=until,
            active=active,
        )
        asked = searching.Request(
            typed=query,
            syntax=syntax,
            filters=filters,
            lineage=None if lineage is None else self.require_own(lineage).stream,
            newest=newest,
            limit=limit,
            offset=offset,
            neighbours=neighbours,
        )
        return searching.search(self.log, self.derived, asked, seconds)

    def activities(
        self, kind: str | None = None, *, limit: int = 20, seconds: float | None = None
    ) -> list[ActivityView]:
        """The newest activities (tool, file, issue, loop, correction), newest first.

        Those of closed sessions too. A negative `limit` means all. At most `seconds` go to what is
        new since the last call; raises `ProjectionBehindError` when they do not suffice.
        """
        return activities.recent(self.log, self.derived, kind, limit, seconds)

    def search_activities(
        self,
        query: str,
        *,
        kind: str | None = None,
        syntax: str = searching.WORDS,
        newest: bool = False,
        limit: int = 20,
        seconds: float | None = searching.SECONDS,
    ) -> ActivityResult:
        """Activities whose subject matches, best first or newest first; a negative `limit`: all.

        `syntax` is that of `search`; where it is ``fts5``, `InvalidQueryError` says what is wrong.
        """
        return activities.search(
            self.log, self.derived, query,
            kind=kind, syntax=syntax, newest=newest, limit=limit, seconds=seconds,
        )  # fmt: skip

    def stats(self, by: str = "session", *, since: int | None = None) -> list[statistics.Stats]:
        """Messages, model calls, tokens and cost by session, model, day or lineage.

        `since` (µs since 1970) leaves out what is older. Closed sessions count.
        """
        return statistics.stats(self.log, by, since)

    def tree(self, session: Session | None = None) -> list[Branch]:
        """Sessions as trees of who was spawned, forked or begun again from whom, with their cost.

        All of the store, or the tree below one session; from top to bottom.
        """
        return branches(self.log, None if session is None else self.require_own(session).stream)

    # -- commands on several sessions --------------------------------------------------------

    def execute(
        self,
        batch: Sequence[tuple[Session, Command]],
        expected: Expected | Mapping[Session, Expected] = ANY,
    ) -> list[list[Recorded]]:
        """Run commands (see `eventstore.session.commands`) as one atomic transaction.

        Either all are stored or none; the result holds each command's events. `expected`, one
        for all sessions or one for each, is checked before a session's first event. Raises the
        first command's error.
        """
        pairs = []
        for session, command in batch:
            if isinstance(command, do.Create | do.Reparent):
                raise InvalidValueError(
                    "sessions are created by SessionStore.create and moved by Session.reparent, "
                    "which look at other sessions too"
                )
            pairs.append((self.require_own(session).stream, command))
        if isinstance(expected, Expected):
            return executor.execute(self.log, pairs, expected)
        each = {self.require_own(session).stream: one for session, one in expected.items()}
        return executor.execute(self.log, pairs, each)

    # -- the log ---------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """The last position and its leaf."""
        return self.log.head()

    def events(
        self, *, after: int = 0, upto: int | None = None, content: bool = True
    ) -> Iterator[Recorded]:
        """Events of all sessions in order, positions after … upto."""
        return self.log.read_all(after=after, upto=upto, content=content)

    def follow(
        self,
        after: int | Head = 0,
        *,
        types: Sequence[str] | str | None = None,
        session: Session | None = None,
        content: bool = True,
        live: bool = True,
        timeout: float | None = None,
    ) -> Iterator[Recorded]:
        """Events after a position, each once and in order, and then those still to come.

        `after` is a position, or one with its leaf, as `head` gives them. Events of other
        processes come as well. It ends after `timeout` seconds without an event that matches;
        without `live`, at the present end of the log.

        Raises `InvalidRangeError`, `InvalidValueError`, `PositionLostError`; `StoreClosedError`
        when the store is closed while it waits.
        """
        stream = None if session is None else self.require_own(session).stream
        cursor = Cursor(self.log, after, types=types, stream=stream, content=content)
        return follow(self.log, cursor, live=live, timeout=timeout)

    def consumer(
        self,
        name: str,
        *,
        types: Sequence[str] | str | None = None,
        session: Session | None = None,
        content: bool = True,
    ) -> Consumer:
        """A named consumer of the log, which goes on after the last event that was committed.

        A name that is new begins at the first event. What is chosen is as in `follow`. Raises
        `InvalidValueError` and `ReadOnlyStoreError`.
        """
        stream = None if session is None else self.require_own(session).stream
        return Consumer(self.log, name, types=types, stream=stream, content=content)

    def consumers(self) -> list[ConsumerInfo]:
        """The named consumers that have committed, and how far each is."""
        with self.log.snapshot() as connection:
            return positions.listed(connection)
