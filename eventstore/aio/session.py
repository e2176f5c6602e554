"""A session for asyncio: the names and arguments of `Session`, awaitable.

Commands of concurrent tasks share group commits. What only wraps is made from the method of
`Session` it stands for, so that arguments, types and docstrings are the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from eventstore.aio.threads import Threads
from eventstore.log.port import Recorded
from eventstore.replaying.steps import Step, Until
from eventstore.store.points import Point
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore
from eventstore.store.within import session_within

P = ParamSpec("P")
T = TypeVar("T")


class Owner(Protocol):
    """What an asynchronous session needs of its store; `AsyncSessionStore` is it."""

    wrapped: SessionStore
    threads: Threads

    def handle(self, session: Session) -> AsyncSession:
        """The asynchronous handle of a session."""


def _command(
    method: Callable[Concatenate[Session, P], T],
) -> Callable[Concatenate[AsyncSession, P], Coroutine[Any, Any, T]]:
    """A method that writes in one transaction, as a work of a shared commit."""

    @wraps(method)
    async def command(self: AsyncSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.store.threads.transact(
            lambda transaction: method(session_within(self.wrapped, transaction), *args, **kwargs)
        )

    return command


def _write(
    method: Callable[Concatenate[Session, P], T],
) -> Callable[Concatenate[AsyncSession, P], Coroutine[Any, Any, T]]:
    """A method that writes and needs its transactions for itself, in a thread."""

    @wraps(method)
    async def write(self: AsyncSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.store.threads.write(lambda: method(self.wrapped, *args, **kwargs))

    return write


def _read(
    method: Callable[Concatenate[Session, P], T],
) -> Callable[Concatenate[AsyncSession, P], Coroutine[Any, Any, T]]:
    """A method that reads, in a thread."""

    @wraps(method)
    async def read(self: AsyncSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.store.threads.read(lambda: method(self.wrapped, *args, **kwargs))

    return read


class AsyncSession:
    """One session of an `AsyncSessionStore`; `wrapped` is the `Session` it stands for.

    The names are those of `Session`. What reads or writes the file is awaited, also `name` and
    `version`, which are properties there. A command of a cancelled task is stored wholly or not at
    all; `eventstore.cancelled_append` says which.
    """

    __slots__ = ("store", "wrapped")

    def __init__(self, store: Owner, wrapped: Session) -> None:
        self.store = store
        self.wrapped = wrapped

    def __repr__(self) -> str:
        return repr(self.wrapped).replace("<Session", "<AsyncSession", 1)

    @property
    def id(self) -> str:
        """The session id."""
        return self.wrapped.id

    @property
    def incarnation(self) -> int:
        """How often the id had been created when this session began."""
        return self.wrapped.incarnation

    @property
    def stream(self) -> int:
        """The session's number in the file."""
        return self.wrapped.stream

    # -- commands --------------------------------------------------------------------------

    append = _command(Session.append)
    append_many = _command(Session.append_many)
    compact = _command(Session.compact)
    consolidate = _command(Session.consolidate)
    retract = _command(Session.retract)
    clear = _command(Session.clear)
    set_title = _command(Session.set_title)
    change_prompt = _command(Session.change_prompt)
    change_model = _command(Session.change_model)
    change_configuration = _command(Session.change_configuration)
    advance_round = _command(Session.advance_round)
    suspend_tool_calls = _command(Session.suspend_tool_calls)
    settle_tool_calls = _command(Session.settle_tool_calls)
    record_usage = _command(Session.record_usage)
    add_event = _command(Session.add_event)
    end = _command(Session.end)
    reopen = _command(Session.reopen)
    archive = _command(Session.archive)

    async def reparent(self, parent: AsyncSession | None) -> None:
        """Give the session another parent, or none.

        Raises `InvalidValueError` for itself or one of its own descendants.
        """
        above = None if parent is None else parent.wrapped
        await self.store.threads.transact(
            lambda transaction: session_within(self.wrapped, transaction).reparent(above)
        )

    async def fork(
        self,
        session_id: str | None = None,
        *,
        at: Point | None = None,
        metadata: dict[str, Any] | None = None,
        source: str | None = None,
        occurred_at: int | None = None,
    ) -> AsyncSession:
        """A new session that continues this one's past at the point `at` (its present if None).

        No body is copied. The fork has the context of that point; what happens in either one
        later does not show in the other. Its usage counts only what happens in it.
        """
        options: dict[str, Any] = {
            "at": at,
            "metadata": metadata,
            "source": source,
            "occurred_at": occurred_at,
        }
        fork = await self.store.threads.transact(
            lambda transaction: session_within(self.wrapped, transaction).fork(
                session_id, **options
            )
        )
        return self.store.handle(fork)

    async def spawn(self, session_id: str | None = None, **options: Any) -> AsyncSession:
        """Create a child session; the options are those of `AsyncSessionStore.create`."""
        child = await self.store.threads.transact(
            lambda transaction: session_within(self.wrapped, transaction).spawn(
                session_id, **options
            )
        )
        return self.store.handle(child)

    close = _write(Session.close)
    erase = _write(Session.erase)
    close_and_erase = _write(Session.close_and_erase)
    erase_events = _write(Session.erase_events)
    place_hold = _write(Session.place_hold)
    release_hold = _write(Session.release_hold)

    # -- reading ---------------------------------------------------------------------------

    async def name(self) -> str:
        """What finds this session: the id, or ``id~n`` when the id was created again since."""
        return await self.store.threads.read(lambda: self.wrapped.name)

    async def version(self) -> int:
        """The version of the session's last event."""
        return await self.store.threads.read(lambda: self.wrapped.version)

    version_at = _read(Session.version_at)
    state = _read(Session.state)
    as_of = _read(Session.as_of)
    info = _read(Session.info)
    messages = _read(Session.messages)
    history = _read(Session.history)
    message = _read(Session.message)
    chat = _read(Session.chat)
    context = _read(Session.context)
    title = _read(Session.title)
    prompt = _read(Session.prompt)
    configuration = _read(Session.configuration)
    pending_tool_calls = _read(Session.pending_tool_calls)
    compactions = _read(Session.compactions)
    tool_calls = _read(Session.tool_calls)
    usage = _read(Session.usage)
    usage_by = _read(Session.usage_by)
    holds = _read(Session.holds)

    def events(
        self, *, after: int = 0, upto: int | None = None, content: bool = True
    ) -> AsyncIterator[Recorded]:
        """The session's events in order, versions after … upto; for ``async for``."""
        return self.store.threads.pages(
            lambda: self.wrapped.events(after=after, upto=upto, content=content)
        )

    def replay(
        self,
        *,
        after: Point = 0,
        upto: Point | None = None,
        types: Sequence[str] | str | None = None,
        until: Until | None = None,
        content: bool = True,
    ) -> AsyncIterator[Step]:
        """The session's events with the state before and after each; see `Session.replay`."""
        return self.store.threads.pages(
            lambda: self.wrapped.replay(
                after=after, upto=upto, types=types, until=until, content=content
            )
        )

    async def children(self) -> list[AsyncSession]:
        """The sessions that this one spawned."""
        found = await self.store.threads.read(self.wrapped.children)
        return [self.store.handle(child) for child in found]

    async def forks(self) -> list[AsyncSession]:
        """The sessions that were forked from this one."""
        found = await self.store.threads.read(self.wrapped.forks)
        return [self.store.handle(fork) for fork in found]
