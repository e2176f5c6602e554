"""Several processes on one file: writers, readers, a rebuild, a consumer; some of them crash.

A process is a store of its own on the same file. Its calls to the disk and its locks are yield
points. One that crashes is not asked again: its calls fail from then on, so nothing of what it had
begun is finished or undone by it, and its connections are dropped, as a kernel would.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from history import Append, History, Read, violations
from scheduler import CrashedError, Lock, Process, Scheduler

from eventstore import Message, SessionStore, exactly
from eventstore.errors import (
    AppendError,
    AppendUnknownError,
    ConsumerMovedError,
    StoreBusyError,
    VersionConflictError,
)
from eventstore.log import engine, group, readers, schema, sqlite
from eventstore.testing.faults import FaultyDisk, Kind, Outcome

SESSIONS = ("a", "b")


class _Disk(FaultyDisk):
    """A disk every call to which is a yield point."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self.scheduler = scheduler
        self.drops = False

    def meets(self, kind: Kind, path: str) -> Outcome | None:
        if self.drops:
            raise apsw.exception_for(apsw.SQLITE_IOERR)
        try:
            self.scheduler.switch()
        except CrashedError as error:
            raise apsw.exception_for(apsw.SQLITE_IOERR) from error
        return super().meets(kind, path)

    def sleep(self, microseconds: int) -> int:
        with suppress(CrashedError):  # told at the next call
            self.scheduler.sleep(microseconds / 1_000_000)
        return microseconds


class World:
    """A simulation: `run` it, and look at `violations`."""

    def __init__(self, seed: int, folder: Path, *, processes: int = 3, crashes: int = 2) -> None:
        self.seed = seed
        self.path = folder / "s.db"
        self.random = random.Random(f"world {seed}")
        self.scheduler = Scheduler(seed)
        self.history = History()
        self.processes = processes
        self.crashes = crashes
        self.crashed = 0
        self._stores: dict[Process, SessionStore] = {}
        self._numbers = iter(range(1_000_000))

    def run(self) -> list[str]:
        """Simulate, and tell what does not hold afterwards."""
        with pytest.MonkeyPatch.context() as patch:
            self._take_over(patch)
            with _Disk(self.scheduler), SessionStore.open(self.path, clock=self._now) as store:
                for session in SESSIONS:
                    store.create(session)
            with _Disk(self.scheduler) as self.disk:
                for number in range(self.processes):
                    self._start(f"process {number}")
                self.scheduler.run()
                self.calls = self.disk.calls
                for process, store in self._stores.items():
                    if not process.crashed:
                        store.close()
        with SessionStore.open(self.path) as store:
            self._consume_rest(store)
            found = violations(self.history, store)
            found += [f"verify: {finding}" for finding in store.verify()]
            return found + [f"check: {difference}" for difference in store.check()]

    def _take_over(self, patch: pytest.MonkeyPatch) -> None:
        """Give the engine the scheduler's locks, time and chance."""
        for module in (group, readers, sqlite):
            threads = SimpleNamespace(**vars(module.threading))
            threads.Lock = lambda: Lock(self.scheduler)
            patch.setattr(module, "threading", threads)
        time = SimpleNamespace(
            monotonic=lambda: self.scheduler.now, sleep=self.scheduler.sleep, time_ns=self._now
        )
        # A crashed process's calls fail where SQLite asks nobody whether they did.
        patch.setattr(sys, "unraisablehook", lambda _: None)
        patch.setattr(sys, "excepthook", lambda *_: None)
        for module in (engine, schema):
            patch.setattr(module, "time", time)
            patch.setattr(module, "random", self.random)

    def _now(self) -> int:
        return 1_700_000_000_000_000 + round(self.scheduler.now * 1_000_000)

    def _start(self, name: str) -> None:
        """A process: it opens the file, then its tasks begin."""
        process = Process(name)

        def main() -> None:
            store = SessionStore.open(self.path, durability="normal", clock=self._now)
            self._stores[process] = store
            self._spawn(process, "writer 1", lambda: self._write(store))
            self._spawn(process, "writer 2", lambda: self._write(store))
            self._spawn(process, "reader", lambda: self._read(store))
            if name.startswith("process 0"):
                self._spawn(process, "consumer", lambda: self._consume(store))
            else:
                self._spawn(process, "rebuild", lambda: self._rebuild(store))
            if self.crashed < self.crashes:
                self._spawn(process, "crash", lambda: self._crash(process))

        self._spawn(process, "main", main)

    def _spawn(self, process: Process, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception:
                if not process.crashed:
                    raise

        self.scheduler.spawn(f"{process.name}: {name} {next(self._numbers)}", process, guarded)

    def _crash(self, process: Process) -> None:
        """Crash this process some time, and start another one in its place."""
        self.scheduler.sleep(self.random.uniform(0.1, 3))
        if self.crashed < self.crashes:
            self.crashed += 1
            self._start(f"{process.name}'")
            process.crashed = True
            self._spawn(Process("kernel"), "drop", lambda: self._drop(process))

    def _drop(self, process: Process) -> None:
        """Take a crashed process's locks away, without a word to the disk."""
        own = [task for task in self.scheduler.tasks if task.process is process]
        self.scheduler.wait(lambda: all(task.done for task in own))
        if process not in self._stores:
            return
        log = self._stores[process].log
        self.disk.drops = True
        for connection in (*log._readers._idle, log._writer):  # type: ignore[union-attr]
            with suppress(apsw.Error):
                connection.close()
        self.disk.drops = False

    # -- clients ---------------------------------------------------------------------------

    def _write(self, store: SessionStore) -> None:
        for _ in range(5):
            name = self.random.choice(SESSIONS)
            session = store.session(name)
            match self.random.randrange(6):
                case 0:
                    self._append_expecting(store, name)
                case 1:
                    session.record_usage(f"u{next(self._numbers)}", input=1)
                case 2:
                    self._append_two(store, name)
                case 3 | 4:
                    self._append_plainly(store, name)
                case _:
                    self._append(store, name)

    def _text(self) -> str:
        text = f"text {next(self._numbers)}"
        self.history.attempted.add(text)
        return text

    def _append(self, store: SessionStore, name: str) -> None:
        """Append under a key; where the outcome is unknown, try again."""
        text, began = self._text(), self.history.tick()
        while True:
            try:
                seq = store.session(name).append("user", text, key=text)
            except (AppendUnknownError, AppendError, StoreBusyError):
                continue
            break
        self.history.appends.append(
            Append(name, text, began, self.history.tick(), seq, expected=None)
        )

    def _append_plainly(self, store: SessionStore, name: str) -> None:
        """Append without a key, so not again where the outcome is unknown; three, in one go."""
        for _ in range(3):
            text, began = self._text(), self.history.tick()
            try:
                seq = store.session(name).append("user", text)
            except (AppendUnknownError, AppendError, StoreBusyError):
                return
            self.history.appends.append(Append(name, text, began, self.history.tick(), seq, None))

    def _append_two(self, store: SessionStore, name: str) -> None:
        texts = [self._text(), self._text()]
        began = self.history.tick()
        messages = [Message(role="user", content=text) for text in texts]
        seqs = store.session(name).append_many(messages)
        ended = self.history.tick()
        for text, seq in zip(texts, seqs, strict=True):
            self.history.appends.append(Append(name, text, began, ended, seq, None))

    def _append_expecting(self, store: SessionStore, name: str) -> None:
        session = store.session(name)
        version = session.state().version
        text, began = self._text(), self.history.tick()
        try:
            seq = session.append("user", text, expected=exactly(version))
        except VersionConflictError:
            self.history.conflicts += 1
            return
        self.history.appends.append(
            Append(name, text, began, self.history.tick(), seq, expected=version)
        )

    def _read(self, store: SessionStore) -> None:
        for _ in range(6):
            name = self.random.choice(SESSIONS)
            began = self.history.tick()
            texts = tuple(str(message.text) for message in store.session(name).history())
            self.history.reads.append(Read(name, began, texts))
            self.scheduler.sleep(self.random.uniform(0, 0.5))

    def _rebuild(self, store: SessionStore) -> None:
        self.scheduler.sleep(self.random.uniform(0, 2))
        store.rebuild()
        self.history.rebuilds += 1

    def _consume(self, store: SessionStore) -> None:
        delivered: list[int] = []
        self.history.delivered.append(delivered)
        for _ in range(8):
            with suppress(ConsumerMovedError):
                for event in store.consumer("c").follow(live=False):
                    delivered.append(event.position)
            self.scheduler.sleep(self.random.uniform(0, 0.5))

    def _consume_rest(self, store: SessionStore) -> None:
        self.history.delivered.append(
            [event.position for event in store.consumer("c").follow(live=False)]
        )


def described(world: World) -> dict[str, Any]:
    """What a run covered."""
    return {
        "turns": world.scheduler.turns,
        "disk calls": world.calls,
        "appends": len(world.history.appends),
        "reads": len(world.history.reads),
        "conflicts": world.history.conflicts,
        "crashes": world.crashed,
        "rebuilds": world.history.rebuilds,
    }
