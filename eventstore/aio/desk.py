"""The desk of event loops in the group commit: one thread leads, each loop is told its answers.

Tasks put their works into the group's queue from the loop itself, which takes microseconds. One
thread leads for all of them, so that many tasks share one commit and one change of threads; the
answers of a group reach a loop in one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from eventstore.aio.outcomes import outcome_of
from eventstore.log.group import Member
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction

T = TypeVar("T")


class _Awaited(Member[T]):
    """A member whose caller is a task of an event loop."""

    __slots__ = ("future", "loop")

    def __init__(
        self, work: Callable[[Any], T], desk: LoopDesk, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(work, False, False, desk)
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()

    def settle(self) -> None:
        """Give the task its outcome; called in its loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
            self.future.exception()  # a task that withdrew does not look at it
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class LoopDesk:
    """Runs works of tasks, of any number of loops, in the group commit of one log."""

    def __init__(self, log: SqliteLog) -> None:
        self._log = log
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="eventstore-commit")

    async def transact(self, work: Callable[[SqliteTransaction], T]) -> T:
        """Run `work` in a write transaction that is shared; its result, after the commit.

        Raises what `SqliteLog.transact` raises, and to a cancelled task what `outcome_of` does.
        """
        member = _Awaited(work, self, asyncio.get_running_loop())
        self._log.enqueue(member)
        return await outcome_of(member.future, lambda: self._log.withdraw(member))

    def lead(self, lead: Callable[[], None]) -> None:
        """Have a group led by the desk's thread."""
        try:
            self._threads.submit(lead)
        except RuntimeError:
            lead()  # the store was closed meanwhile, so the group is refused without waiting

    def answer(self, members: Sequence[Member[Any]]) -> None:
        """Tell every loop the outcomes of its tasks."""
        loops: dict[asyncio.AbstractEventLoop, list[_Awaited[Any]]] = {}
        for member in members:
            assert isinstance(member, _Awaited)
            loops.setdefault(member.loop, []).append(member)
        for loop, own in loops.items():
            with suppress(RuntimeError):  # the loop ended, and its tasks with it
                loop.call_soon_threadsafe(_settle, own)

    def close(self) -> None:
        """Let the thread go when it has led what there is."""
        self._threads.shutdown(wait=False)


def _settle(members: Sequence[_Awaited[Any]]) -> None:
    for member in members:
        member.settle()
