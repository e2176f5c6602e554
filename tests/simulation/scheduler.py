"""Threads that run one at a time, in an order that a seed decides.

Each task is a thread, but only the one that holds the turn runs. At every *yield point* (a call to
the disk, a lock taken or given back, a sleep) it hands the turn to a task that the seed chooses.
Time is virtual: it goes on by a millisecond with every turn, and when all tasks sleep, to the
moment at which the first one wakes. So a run is the same whenever it is repeated.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from types import TracebackType


class CrashedError(BaseException):
    """The simulated process of this task is gone; not caught by what catches errors."""


class DeadlockError(BaseException):
    """No task can run, and none ever will."""


class Process:
    """What crashes together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.crashed = False


class Task:
    """A thread that runs when it is its turn."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        self.turn = threading.Semaphore(0)
        self.waits_for: Callable[[], bool] | None = None
        self.sleeps_until = 0.0
        self.done = False
        self.error: BaseException | None = None


class Scheduler:
    """Runs tasks until all are done."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.turns = 0
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self._over = threading.Semaphore(0)
        self._deadlocked = False

    def spawn(self, name: str, process: Process, work: Callable[[], None]) -> Task:
        """Add a task; it begins when it is given the turn."""
        task = Task(name, process)

        def body() -> None:
            task.turn.acquire()
            try:
                work()
            except CrashedError:
                pass
            except BaseException as error:
                task.error = error
            task.done = True
            self._hand_over(None)

        self.tasks.append(task)
        threading.Thread(target=body, name=name, daemon=True).start()
        return task

    def run(self) -> None:
        """Give turns until every task is done; raises the first error that a task ended with."""
        self._hand_over(None)
        self._over.acquire()
        for task in self.tasks:
            if task.error is not None:
                raise task.error

    def switch(self) -> None:
        """A yield point: somebody else may go on. Raises `CrashedError` in a crashed process."""
        task = self.current
        if task is None or threading.current_thread().name != task.name:
            return  # not one of the tasks: the test itself, before or after the run
        self._hand_over(task)
        if self._deadlocked:
            raise DeadlockError(", ".join(other.name for other in self.tasks if not other.done))
        if task.process.crashed:
            raise CrashedError(task.process.name)

    def wait(self, until: Callable[[], bool]) -> None:
        """Let others go on until something holds."""
        assert self.current is not None
        self.current.waits_for = until
        try:
            self.switch()
        finally:
            self.current.waits_for = None

    def sleep(self, seconds: float) -> None:
        """Let others go on for this virtual time."""
        if self.current is not None:
            self.current.sleeps_until = self.now + seconds
        self.switch()

    def _can_run(self, task: Task) -> bool:
        if task.done:
            return False
        if task.process.crashed or self._deadlocked:
            return True
        return task.sleeps_until <= self.now and (task.waits_for is None or task.waits_for())

    def _hand_over(self, task: Task | None) -> None:
        """Choose who goes on, and wait for the turn to come back."""
        self.turns += 1
        self.now += 0.001
        chosen = self._choose()
        if chosen is None:
            self.current = None
            self._over.release()
            return
        self.current = chosen
        if chosen is not task:
            chosen.turn.release()
            if task is not None:
                task.turn.acquire()

    def _choose(self) -> Task | None:
        left = [task for task in self.tasks if not task.done]
        if not left:
            return None
        while True:
            ready = [task for task in left if self._can_run(task)]
            if ready:
                return self.random.choice(ready)
            sleeping = [task.sleeps_until for task in left if task.sleeps_until > self.now]
            if sleeping:
                self.now = min(sleeping)
            else:
                self._deadlocked = True


class Lock:
    """A `threading.Lock` whose waiting the scheduler decides."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, after all who the scheduler prefers."""
        self._scheduler.switch()
        while self._held:
            if not blocking:
                return False
            self._scheduler.wait(lambda: not self._held)
        self._held = True
        return True

    def release(self) -> None:
        """Give it back; whoever waits may go on."""
        self._held = False

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
