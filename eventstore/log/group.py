"""Group commit: appends that come at the same time share one commit.

The first caller that finds no leader becomes the leader. It takes the write lock, *then* takes
everything queued meanwhile, commits once, answers everybody and promotes the next waiter. A lone
caller therefore waits for nobody, and many callers share the cost of one sync to disk (the scheme
is LevelDB's). Nobody is answered before the commit that covers them, and everybody is answered: an
interrupt (Ctrl-C) of a leader or a waiter is delivered when its group has been.

A caller that must not block, such as a task of an event loop, queues a member with a *desk*: the
desk finds a thread to lead where that falls to the member, and hands over the answer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence, Sized
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeVar

from eventstore.errors import StoreError
from eventstore.log import interrupts

T = TypeVar("T")

#: Members of one commit at most, so that the first of them is not kept waiting for ever.
GROUP_MAX = 512


class Busy(Enum):
    """See `BUSY`."""

    BUSY = "busy"


#: Says that a caller was not alone.
BUSY: Final = Busy.BUSY


class Desk(Protocol):
    """Leads and answers members whose callers do not wait in a thread; neither may raise."""

    def lead(self, lead: Callable[[], None]) -> None:
        """Have `lead` called soon, by a thread that may block."""

    def answer(self, members: Sequence[Member[Any]]) -> None:
        """Take members that are done; called by the thread that led them."""


class Member(Generic[T]):
    """One caller's work and, once `done`, its outcome; `taken` says that it may have run."""

    taken = False
    result: T | None = None
    error: BaseException | None = None
    done = False
    promoted = False
    wake: threading.Lock | None = None

    def __init__(
        self, work: Callable[[Any], T], exclusive: bool, full: bool, desk: Desk | None = None
    ) -> None:
        self.work: Callable[[Any], T | None] = work
        self.exclusive = exclusive
        self.full = full
        self.desk = desk


class GroupCommit:
    """Runs members in groups; `run(take)` must call `take()` once and give each an outcome."""

    def __init__(self, run: Callable[[Callable[[], list[Member[Any]]]], None]) -> None:
        self._run = run
        self._mutex = threading.Lock()
        self._queue: deque[Member[Any]] = deque()
        #: Those who wait for the next group.
        self.waiting: Sized = self._queue
        self._led = False
        self._leader: int | None = None
        self._taken: list[Member[Any]] = []

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

    def if_alone(self, run: Callable[..., T], *values: Any) -> T | Busy:
        """What `run(*values)` returns, called as the leader of nobody else; `BUSY` where one is."""
        if self._led:  # whoever leads: a look without the mutex is enough to give way
            return BUSY
        ident = threading.get_ident()
        with interrupts.deferred():
            with self._mutex:
                if self._led:
                    return BUSY
                self._led = True
            self._leader = ident
            try:
                return run(*values)
            finally:
                self._leader = None
                with self._mutex:
                    waiting = self._led = bool(self._queue)
                if waiting:
                    self._promote()

    def enqueue(self, member: Member[Any]) -> None:
        """Queue a member that has a desk, and return at once; its desk gets the answer."""
        assert member.desk is not None
        with interrupts.deferred():
            with self._mutex:
                self._queue.append(member)
                leads = not self._led
                self._led = True
            if leads:
                member.desk.lead(self._lead)

    def withdraw(self, member: Member[Any]) -> bool:
        """Take back a member's work; False when it has been taken, so that it may be stored.

        The member keeps its place in the queue, because it may be the next leader, and does
        nothing there.
        """
        with self._mutex:
            if member.taken:
                return False
            member.work = _nothing
            member.exclusive = member.full = False
            return True

    def _lead(self) -> None:
        self._leader = threading.get_ident()
        try:
            self._run(self._take)
        finally:
            self._leader = None
            taken, self._taken = self._taken, []
            for member in taken:
                member.done = True
            self._promote()
            if len(taken) != 1 or taken[0].desk is not None:  # else the leader is all there is
                _answer(taken)

    def _take(self) -> list[Member[Any]]:
        """The members of this group, which are those that came so far."""
        with self._mutex:
            queue, taken = self._queue, self._taken
            taken.append(queue.popleft())
            while (
                queue and not (taken[0].exclusive or queue[0].exclusive) and len(taken) < GROUP_MAX
            ):
                taken.append(queue.popleft())
            for member in taken:
                member.taken = True
        return taken

    def _promote(self) -> None:
        with self._mutex:
            if not self._queue:
                self._led = False
                return
            heir = self._queue[0]
            heir.promoted = True
        if heir.desk is not None:
            heir.desk.lead(self._lead)
            return
        assert heir.wake is not None
        heir.wake.release()


def _nothing(_: object) -> None:
    """The work of a member that was withdrawn."""


def _answer(members: Sequence[Member[Any]]) -> None:
    """Wake the threads that wait, and give each desk its members, all at once."""
    desks: dict[Desk, list[Member[Any]]] = {}
    for member in members:
        if member.desk is not None:
            desks.setdefault(member.desk, []).append(member)
        elif member.wake is not None and not member.promoted:
            member.wake.release()
    for desk, own in desks.items():
        desk.answer(own)
