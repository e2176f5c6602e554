"""The threads that do for an event loop what could block it, and how their work is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from eventstore.aio.desk import LoopDesk
from eventstore.aio.outcomes import outcome_of
from eventstore.log.reading import PAGE
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction

T = TypeVar("T")

#: Reads that run at the same time. More of them share the interpreter and gain nothing.
READERS = 4

#: Long writes (closing, erasing, rebuilding) at the same time; they take turns at the file anyway.
WRITERS = 2


class Threads:
    """Few threads of one store: one that leads group commits, some that read, some for long work.

    They are apart so that a write that waits for another process never keeps a read waiting.
    """

    def __init__(self, log: SqliteLog) -> None:
        self._log = log
        self._desk = LoopDesk(log)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="eventstore-read")
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="eventstore-write")
        self._closed = False

    async def transact(self, work: Callable[[SqliteTransaction], T]) -> T:
        """Run a work in a commit that is shared with other tasks."""
        return await self._desk.transact(work)

    async def read(self, call: Callable[[], T]) -> T:
        """The result of a call that reads; when the task is cancelled, nobody waits for it."""
        self._log.check_open()
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    async def write(self, call: Callable[[], T]) -> T:
        """The result of a call that writes in transactions of its own; cancelled, it is waited for.

        Raises to a cancelled task what `outcome_of` does.
        """
        self._log.check_open()
        running = self._writers.submit(call)
        return await outcome_of(asyncio.wrap_future(running), running.cancel, sure=False)

    async def pages(self, begin: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """The values of an iterator that reads the file, fetched a page at a time."""
        iterator = await self.read(begin)
        while page := await self.read(lambda: list(islice(iterator, PAGE))):
            for value in page:
                yield value

    async def close(self, close: Callable[[], None]) -> None:
        """Run `close`, which waits for what is being written, and let the threads go."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.shield(asyncio.wrap_future(self._writers.submit(close)))
        finally:
            self._desk.close()
            self._readers.shutdown(wait=False)
            self._writers.shutdown(wait=False)
