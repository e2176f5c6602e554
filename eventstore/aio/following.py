"""Following the log from an event loop: pages are read by a thread, waiting costs none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from eventstore.aio.threads import Threads
from eventstore.following import Cursor
from eventstore.log.changes import Changes
from eventstore.log.port import Recorded


async def follow(
    threads: Threads,
    changes: Changes,
    begin: Callable[[], Cursor],
    *,
    live: bool,
    timeout: float | None,
    settled: Callable[[Recorded], Awaitable[None]] | None = None,
) -> AsyncIterator[Recorded]:
    """The events of the cursor that `begin` makes; see `eventstore.following.follow`."""
    cursor = await threads.read(begin)
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop ended, and the follower with it
            loop.call_soon_threadsafe(changed.set)

    if not live:
        async for recorded in _present(threads, cursor, settled):
            yield recorded
        return
    with changes.listening(wake):
        deadline = _deadline(timeout)
        while True:
            changed.clear()
            async for recorded in _present(threads, cursor, settled):
                yield recorded
                deadline = _deadline(timeout)
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            except TimeoutError:
                return


async def _present(
    threads: Threads, cursor: Cursor, settled: Callable[[Recorded], Awaitable[None]] | None
) -> AsyncIterator[Recorded]:
    """What the cursor can read now."""
    more = True
    while more:
        page, more = await threads.read(cursor.read)
        for recorded in page:
            yield recorded
        if page and settled is not None:
            await settled(page[-1])


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else asyncio.get_running_loop().time() + timeout
