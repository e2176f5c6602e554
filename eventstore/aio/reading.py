"""A projection's tables, read from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import apsw


class AsyncReader:
    """A connection for reading, used by a thread of its own."""

    def __init__(self, connection: apsw.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    async def execute(
        self, sql: str, values: Sequence[apsw.SQLiteValue] = ()
    ) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._connection.execute(sql, values).fetchall()
        )


@asynccontextmanager
async def reading(
    begin: Callable[[], AbstractContextManager[apsw.Connection]],
) -> AsyncIterator[AsyncReader]:
    """Enter `begin` and leave it in the thread that reads: a connection in memory demands it."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="eventstore-read")
    loop, context = asyncio.get_running_loop(), begin()
    try:
        entering = asyncio.wrap_future(thread.submit(context.__enter__))
        try:
            connection = await asyncio.shield(entering)
        except asyncio.CancelledError:
            thread.submit(lambda: context.__exit__(None, None, None))
            raise
        try:
            yield AsyncReader(connection, thread)
        finally:
            await asyncio.shield(
                loop.run_in_executor(thread, lambda: context.__exit__(None, None, None))
            )
    finally:
        thread.shutdown(wait=False)
