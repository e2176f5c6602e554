"""Group commit: appends that come at the same time share one commit.

The first caller that finds no leader becomes the leader. It takes the write lock, *then* takes
everything queued meanwhile, commits once, answers everybody and promotes the next waiter. A lone
caller therefore pays nothing, and many callers share the cost of one sync to disk (the scheme is
LevelDB's). Nobody is answered before the commit that covers them, and everybody is answered: an
interrupt (Ctrl-C) of a leader or a waiter is delivered when its group has been.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from eventstore.errors import StoreError
from eventstore.log import interrupts

T = TypeVar("T")

#: Members of one commit at most, so that the first of them is not kept waiting for ever.
GROUP_MAX = 512


class Member(Generic[T]):
    """One caller's work and, once `done`, its outcome."""

    __slots__ = ("done", "error", "exclusive", "full", "promoted", "result", "wake", "work")

    def __init__(self, work: Callable[[Any], T], exclusive: bool, full: bool) -> None:
        self.work = work
        self.exclusive = exclusive
        self.full = full
        self.result: T | None = None
        self.error: BaseException | None = None
        self.done = False
        self.promoted = False
        self.wake: threading.Lock | None = None


class GroupCommit:
    """Runs members in groups; `run(take)` must call `take()` once and give each an outcome."""

    def __init__(self, run: Callable[[Callable[[], list[Member[Any]]]], None]) -> None:
        self._run = run
        self._mutex = threading.Lock()
        self._queue: deque[Member[Any]] = deque()
        self._led = False
        self._leader: int | None = None

    def submit(self, work: Callable[[Any], T], *, exclusive: bool = False, full: bool = False) -> T:
        """Have `work` run in a group and return what it returned, or raise what it raised.

        An exclusive one runs in a group of its own; `full` asks for a commit that survives power
        loss whatever the store's durability.
        """
        if self._leader == threading.get_ident():
            raise StoreError(
                "a transaction was begun inside another one, which would wait for itself; do all "
                "of it in one"
            )
        member: Member[T] = Member(work, exclusive or full, full)
        with interrupts.deferred():
            with self._mutex:
                self._queue.append(member)
                if self._led:
                    member.wake = threading.Lock()
                    member.wake.acquire()
                self._led = True
            if member.wake is not None:
                member.wake.acquire()
            if not member.done:
                self._lead()
        if member.error is not None:
            raise member.error
        return member.result  # type: ignore[return-value]

    def _lead(self) -> None:
        taken: list[Member[Any]] = []

        def take() -> list[Member[Any]]:
            with self._mutex:
                taken.append(self._queue.popleft())
                while (
                    self._queue
                    and not (taken[0].exclusive or self._queue[0].exclusive)
                    and len(taken) < GROUP_MAX
                ):
                    taken.append(self._queue.popleft())
            return taken

        self._leader = threading.get_ident()
        try:
            self._run(take)
        finally:
            self._leader = None
            for member in taken:
                member.done = True
            self._promote()
            for member in taken:
                if member.wake is not None and not member.promoted:
                    member.wake.release()

    def _promote(self) -> None:
        with self._mutex:
            if not self._queue:
                self._led = False
                return
            heir = self._queue[0]
            heir.promoted = True
        assert heir.wake is not None
        heir.wake.release()
