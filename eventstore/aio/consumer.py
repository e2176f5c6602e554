"""A named consumer of the log for asyncio: the names and arguments of `Consumer`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from eventstore.aio.following import follow
from eventstore.aio.threads import Threads
from eventstore.consumers.consumer import Consumer
from eventstore.log.changes import Changes
from eventstore.log.port import Head, Recorded


class AsyncConsumer:
    """One named consumer; `AsyncSessionStore.consumer` gives it. `wrapped` is the `Consumer` below.

    What it promises is said there. `name` and `place` are not awaited.
    """

    def __init__(self, threads: Threads, changes: Changes, wrapped: Consumer) -> None:
        self.wrapped = wrapped
        self.name = wrapped.name
        self._threads = threads
        self._changes = changes

    def __repr__(self) -> str:
        return repr(self.wrapped).replace("<Consumer", "<AsyncConsumer", 1)

    @property
    def place(self) -> Head:
        """Position and leaf of the last event that was committed; position 0 for none."""
        return self.wrapped.place

    def follow(
        self, *, live: bool = True, timeout: float | None = None, commit: bool = True
    ) -> AsyncIterator[Recorded]:
        """The events after the kept place, for ``async for``; see `Consumer.follow`."""
        settled = self.commit if commit else None
        return follow(
            self._threads,
            self._changes,
            self.wrapped._cursor,
            live=live,
            timeout=timeout,
            settled=settled,
        )

    async def commit(self, event: Recorded) -> None:
        """Keep that this event and all before it were dealt with; see `Consumer.commit`."""
        await self._threads.write(lambda: self.wrapped.commit(event))

    async def reset(self, position: int = 0) -> None:
        """Go on after this position from now on; see `Consumer.reset`."""
        await self._threads.write(lambda: self.wrapped.reset(position))

    async def drop(self) -> bool:
        """Forget this name and its place; False when there was nothing to forget."""
        return await self._threads.write(self.wrapped.drop)
