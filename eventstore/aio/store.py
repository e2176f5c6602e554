"""`AsyncSessionStore`: one file of sessions, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eventstore.aio.consumer import AsyncConsumer
from eventstore.aio.following import follow
from eventstore.aio.opening import Opening
from eventstore.aio.reading import AsyncReader, reading
from eventstore.aio.session import AsyncSession
from eventstore.aio.threads import Threads
from eventstore.consumers.positions import ConsumerInfo
from eventstore.errors import ProjectionError
from eventstore.events.catalogue import Kind, Lifecycle
from eventstore.following import Cursor
from eventstore.log.engine import Durability
from eventstore.log.port import ANY, Expected, Head, Recorded, Redact
from eventstore.log.sqlite import now_us
from eventstore.log.verification import Finding
from eventstore.session.commands import Command
from eventstore.store.activities import ActivityResult
from eventstore.store.keeping import Checkpointing
from eventstore.store.points import At
from eventstore.store.proofs import ConsistencyProof, InclusionProof, TreeHead
from eventstore.store.searching import SECONDS, WORDS, SearchResult
from eventstore.store.session import Session
from eventstore.store.session_store import OPEN_STATUSES, SPAWN_DEPTH_MAX, SessionStore
from eventstore.store.statistics import Stats
from eventstore.store.trees import Branch
from eventstore.store.views import SessionInfo
from eventstore.store.within import StoreWithin
from eventstore.vacuum import Vacuumed
from projections.base import Projection
from projections.check import Difference
from projections.queries.activities import ActivityView


class AsyncSessionStore:
    """An append-only store of agent sessions in one SQLite file, for asyncio; see `open`.

    The names and arguments are those of `SessionStore`; what reads or writes the file is awaited,
    also `head`, which is a property there. The event loop is never blocked: appends of concurrent
    tasks share commits that one thread leads, reads run in a few threads of the store.

    It belongs to no loop: tasks of several loops, in several threads, may use it at the same time.
    `wrapped` is the `SessionStore` below, which may be used by threads at the same time too.
    """

    def __init__(self, wrapped: SessionStore) -> None:
        self.wrapped = wrapped
        self.threads = Threads(wrapped.log)

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
        redact: Redact | None = None,
    ) -> Opening[Self]:
        """Open a store, as `SessionStore.open` does: ``await`` it, or use it in ``async with``.

        Raises a `StoreError`: the file is a directory, no store, a newer store, locked, read-only.
        """

        def opened() -> SessionStore:
            return SessionStore.open(
                path,
                durability=durability,
                readonly=readonly,
                create=create,
                projections=projections,
                spawn_depth_max=spawn_depth_max,
                clock=clock,
                checkpoints=checkpoints,
                redact=redact,
            )

        async def begin() -> Self:
            opening = asyncio.ensure_future(asyncio.to_thread(opened))
            try:
                return cls(await asyncio.shield(opening))
            except asyncio.CancelledError:
                opening.add_done_callback(_close_unused)
                raise

        return Opening(begin)

    async def close(self) -> None:
        """Close the file; harmless when it is closed already."""
        await self.threads.close(self.wrapped.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncSessionStore {self.path}>"

    @property
    def path(self) -> str:
        """The file's path."""
        return self.wrapped.path

    # -- sessions --------------------------------------------------------------------------

    @staticmethod
    def new_id() -> str:
        """A fresh session id."""
        return SessionStore.new_id()

    def handle(self, session: Session) -> AsyncSession:
        """The asynchronous handle of a session of this store."""
        own = Session(self.wrapped, session.id, session.incarnation, session.stream)
        return AsyncSession(self, own)

    async def create(
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
        parent: AsyncSession | None = None,
        spawn_call_id: str | None = None,
        kind: Kind = Kind.ROOT,
        lifecycle: Lifecycle = Lifecycle.EPHEMERAL,
        key: str | None = None,
        occurred_at: int | None = None,
    ) -> AsyncSession:
        """Begin a session; with a `parent` it is a sub-agent's, one level deeper.

        An id that was closed begins its next incarnation. With a `key` the call can be repeated
        safely. Raises `SessionExistsError`, `SpawnDepthError`, `InvalidValueError`.
        """
        above = None if parent is None else parent.wrapped
        created = await self.threads.transact(
            lambda transaction: StoreWithin(self.wrapped, transaction).create(
                session_id,
                title=title,
                prompt=prompt,
                model=model,
                provider=provider,
                configuration=configuration,
                metadata=metadata,
                source=source,
                parent=above,
                spawn_call_id=spawn_call_id,
                kind=kind,
                lifecycle=lifecycle,
                key=key,
                occurred_at=occurred_at,
            )
        )
        return self.handle(created)

    async def get(self, session_id: str) -> AsyncSession | None:
        """The session with exactly this id (``id~n`` for an earlier incarnation), or None."""
        found = await self.threads.read(lambda: self.wrapped.get(session_id))
        return None if found is None else self.handle(found)

    async def session(self, session_id: str) -> AsyncSession:
        """The session with exactly this id; raises `UnknownSessionError`."""
        return self.handle(await self.threads.read(lambda: self.wrapped.session(session_id)))

    async def find(self, prefix: str) -> AsyncSession:
        """The session with this id, or the only one whose id starts so.

        Raises `UnknownSessionError` or `AmbiguousSessionError`, which lists the candidates.
        """
        return self.handle(await self.threads.read(lambda: self.wrapped.find(prefix)))

    async def sessions_with_prefix(self, prefix: str) -> list[AsyncSession]:
        """The newest incarnation of every session whose id starts with `prefix`."""
        found = await self.threads.read(lambda: self.wrapped.sessions_with_prefix(prefix))
        return [self.handle(one) for one in found]

    async def session_of(self, stream: int) -> AsyncSession:
        """The session with this stream number."""
        return self.handle(await self.threads.read(lambda: self.wrapped.session_of(stream)))

    def require_own(self, session: AsyncSession) -> AsyncSession:
        """The session, if it is of this file; raises `InvalidValueError` otherwise."""
        self.wrapped.require_own(session.wrapped)
        return session

    async def sessions(
        self,
        *,
        at: At | None = None,
        statuses: Sequence[str] | str | None = OPEN_STATUSES,
        kind: str | None = None,
        source: str | None = None,
        parent: AsyncSession | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[SessionInfo]:
        """Sessions that match, those with the latest activity first.

        Closed ones are left out unless `statuses` names ``closed`` (None means any status). As of a
        position or time (`at`) it is the list that the store had then, with the names that find the
        sessions now and without what was erased since.
        """
        above = None if parent is None else parent.wrapped
        return await self.threads.read(
            lambda: self.wrapped.sessions(
                at=at,
                statuses=statuses,
                kind=kind,
                source=source,
                parent=above,
                limit=limit,
                offset=offset,
            )
        )

    async def search(
        self,
        query: str,
        *,
        syntax: str = WORDS,
        session: AsyncSession | None = None,
        lineage: AsyncSession | None = None,
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
        seconds: float | None = SECONDS,
    ) -> SearchResult:
        """Messages that match what a person typed; see `SessionStore.search`."""
        within = None if session is None else session.wrapped
        family = None if lineage is None else lineage.wrapped
        return await self.threads.read(
            lambda: self.wrapped.search(
                query,
                syntax=syntax,
                session=within,
                lineage=family,
                source=source,
                exclude_source=exclude_source,
                role=role,
                kind=kind,
                since=since,
                until=until,
                active=active,
                newest=newest,
                limit=limit,
                offset=offset,
                neighbours=neighbours,
                seconds=seconds,
            )
        )

    async def activities(
        self, kind: str | None = None, *, limit: int = 20, seconds: float | None = None
    ) -> list[ActivityView]:
        """The newest activities, newest first; see `SessionStore.activities`."""
        return await self.threads.read(
            lambda: self.wrapped.activities(kind, limit=limit, seconds=seconds)
        )

    async def search_activities(
        self,
        query: str,
        *,
        kind: str | None = None,
        syntax: str = WORDS,
        newest: bool = False,
        limit: int = 20,
        seconds: float | None = SECONDS,
    ) -> ActivityResult:
        """Activities whose subject matches; see `SessionStore.search_activities`."""
        return await self.threads.read(
            lambda: self.wrapped.search_activities(
                query, kind=kind, syntax=syntax, newest=newest, limit=limit, seconds=seconds
            )
        )

    async def stats(self, by: str = "session", *, since: int | None = None) -> list[Stats]:
        """Messages, model calls, tokens and cost; see `SessionStore.stats`."""
        return await self.threads.read(lambda: self.wrapped.stats(by, since=since))

    async def tree(self, session: AsyncSession | None = None) -> list[Branch]:
        """Sessions as trees of who came from whom, with their cost; see `SessionStore.tree`."""
        own = None if session is None else session.wrapped
        return await self.threads.read(lambda: self.wrapped.tree(own))

    # -- commands on several sessions --------------------------------------------------------

    async def execute(
        self,
        batch: Sequence[tuple[AsyncSession, Command]],
        expected: Expected | Mapping[AsyncSession, Expected] = ANY,
    ) -> list[list[Recorded]]:
        """Run commands (see `eventstore.session.commands`) as one atomic transaction.

        Either all are stored or none; the result holds each command's events. `expected`, one
        for all sessions or one for each, is checked before a session's first event. Raises the
        first command's error.
        """
        pairs = [(session.wrapped, command) for session, command in batch]
        each = (
            expected
            if isinstance(expected, Expected)
            else {session.wrapped: one for session, one in expected.items()}
        )
        return await self.threads.transact(
            lambda transaction: StoreWithin(self.wrapped, transaction).execute(pairs, each)
        )

    # -- the log ---------------------------------------------------------------------------

    async def head(self) -> Head:
        """The last position and its leaf."""
        return await self.threads.read(lambda: self.wrapped.head)

    def events(
        self, *, after: int = 0, upto: int | None = None, content: bool = True
    ) -> AsyncIterator[Recorded]:
        """Events of all sessions in order, positions after … upto; for ``async for``."""
        return self.threads.pages(
            lambda: self.wrapped.events(after=after, upto=upto, content=content)
        )

    def follow(
        self,
        after: int | Head = 0,
        *,
        types: Sequence[str] | str | None = None,
        session: AsyncSession | None = None,
        content: bool = True,
        live: bool = True,
        timeout: float | None = None,
    ) -> AsyncIterator[Recorded]:
        """Events after a position, and then those still to come, for ``async for``.

        As `SessionStore.follow`; waiting occupies no thread, however many tasks follow.
        """
        stream = None if session is None else self.require_own(session).stream
        log = self.wrapped.log

        def begin() -> Cursor:
            return Cursor(log, after, types=types, stream=stream, content=content)

        return follow(self.threads, log.changes, begin, live=live, timeout=timeout)

    async def consumer(
        self,
        name: str,
        *,
        types: Sequence[str] | str | None = None,
        session: AsyncSession | None = None,
        content: bool = True,
    ) -> AsyncConsumer:
        """A named consumer of the log; see `SessionStore.consumer`."""
        own = None if session is None else session.wrapped
        wrapped = await self.threads.read(
            lambda: self.wrapped.consumer(name, types=types, session=own, content=content)
        )
        return AsyncConsumer(self.threads, self.wrapped.log.changes, wrapped)

    async def consumers(self) -> list[ConsumerInfo]:
        """The named consumers that have committed, and how far each is."""
        return await self.threads.read(self.wrapped.consumers)

    async def verify(self, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
        """Check every row of the log against its hashes; an empty list means nothing was changed.

        `progress` is told ``(position, head)`` from time to time, in a thread of the store.
        """
        return await self.threads.read(lambda: self.wrapped.verify(progress))

    async def tree_head(self, size: int | None = None) -> TreeHead:
        """The root of the Merkle tree over the log, or over its first `size` events."""
        return await self.threads.write(lambda: self.wrapped.tree_head(size))

    async def prove_inclusion(self, position: int, size: int | None = None) -> InclusionProof:
        """Prove that an event is in the tree; see `SessionStore.prove_inclusion`."""
        return await self.threads.write(lambda: self.wrapped.prove_inclusion(position, size))

    async def prove_consistency(self, first: int, size: int | None = None) -> ConsistencyProof:
        """Prove that the log only grew; see `SessionStore.prove_consistency`."""
        return await self.threads.write(lambda: self.wrapped.prove_consistency(first, size))

    # -- derived data ----------------------------------------------------------------------

    async def rebuild(
        self,
        names: Sequence[str] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[str]:
        """Derive projections anew from the log and swap them in; the names of those rebuilt.

        Readers and writers go on meanwhile; an interrupted rebuild is resumed by the next one.
        `progress` is told ``(name, position, head)``, in a thread of the store.
        """
        return await self.threads.write(lambda: self.wrapped.rebuild(names, progress))

    async def check(
        self,
        names: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Difference]:
        """Derive projections a second time and compare row by row; no difference means correct."""
        return await self.threads.read(lambda: self.wrapped.check(names, progress))

    async def catch_up(self, name: str, *, seconds: float | None = None) -> int:
        """Bring an on-read projection forward; the number of events it still lacks."""
        return await self.threads.write(lambda: self.wrapped.catch_up(name, seconds=seconds))

    def read(
        self, name: str, *, seconds: float | None = None
    ) -> AbstractAsyncContextManager[AsyncReader]:
        """Read a projection's tables, caught up first, in ``async with``; `execute` is awaited.

        Raises `ProjectionBehindError` when the time budget did not suffice, or when the store was
        opened read-only and the projection is behind.
        """
        return reading(lambda: self.wrapped.read(name, seconds=seconds))

    def detached(self) -> dict[str, ProjectionError]:
        """User projections that failed inline and stay behind until they are rebuilt."""
        return self.wrapped.detached()

    async def finish_erasures(self) -> bool:
        """Finish erasures that left, or may have left, traces in the file; whether all are done.

        May write the whole file anew. `eventstore.traces.finish` also tells what stood in the way.
        """
        return await self.threads.write(self.wrapped.finish_erasures)

    async def vacuum(
        self,
        *,
        seconds: float | None = None,
        full: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Vacuumed:
        """Give space that nothing uses back to the file system; see `eventstore.vacuum.vacuum`.

        At most for about `seconds`, in short transactions; with `full` the file is written anew.
        """
        return await self.threads.write(
            lambda: self.wrapped.vacuum(seconds=seconds, full=full, progress=progress)
        )


def _close_unused(opening: asyncio.Future[SessionStore]) -> None:
    """Close a store that was opened for a task that had been cancelled."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
