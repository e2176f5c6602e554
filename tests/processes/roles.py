"""What the processes of a storm do: write, read, consume, rebuild, until a moment.

Each tells what it did in a file of its own, a line at a time, before it goes on. A process that is
killed has told everything but its last step.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from operations import SHARED, Operation, operation, own_session, text_of

from eventstore import Message, SessionStore, exactly
from eventstore.errors import AppendUnknownError, StoreBusyError, VersionConflictError
from eventstore.log import reading


class Plan(NamedTuple):
    """What all processes of a storm know.

    `leaves`, when the reader goes for good, and `until` are moments of the monotonic clock.
    """

    folder: str
    seed: int
    threads: int
    durability: str
    busy_seconds: float
    leaves: float
    until: float
    operations: int
    pause: float

    @property
    def store(self) -> Path:
        """The file that all share."""
        return Path(self.folder) / "s.db"


class Teller:
    """Tells lines of JSON, each with one write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def __call__(self, *values: Any) -> None:
        os.write(self._file, json.dumps(values, separators=(",", ":")).encode() + b"\n")


def lines_of(path: Path) -> list[list[Any]]:
    """The whole lines that a process told."""
    with path.open("rb") as file:
        return [json.loads(line) for line in file if line.endswith(b"\n")]


def runs_of(folder: Path, slot: str) -> list[Path]:
    """The files of the processes that ran in a slot, oldest first."""
    return sorted(folder.glob(f"{slot}.*.told"), key=lambda path: int(path.suffixes[0][1:]))


def run(plan: Plan, slot: str, number: int) -> None:
    """Be the process of this slot until the end; `number` counts those that were there before."""
    folder = Path(plan.folder)
    before = runs_of(folder, slot)
    tell = Teller(folder / f"{slot}.{number}.told")
    try:
        store = _opened(plan, tell)
        store.log._busy_seconds = plan.busy_seconds
        chance = random.Random(f"{plan.seed} {slot} {number}")
        if slot.startswith("writer"):
            _write(plan, store, slot, before, tell)
        else:
            ROLES[slot](plan, store, chance, tell)
        store.close()
    except StoreBusyError as error:
        tell("busy", str(error))  # to the end, another process was stopped
    except BaseException as error:
        tell("!", f"{slot} ended with {error!r}")
        raise


def _opened(plan: Plan, tell: Teller) -> SessionStore:
    while True:
        try:
            return SessionStore.open(plan.store, durability=plan.durability)
        except StoreBusyError as error:
            tell("busy", str(error))
            if time.monotonic() > plan.until:
                raise


def _write(plan: Plan, store: SessionStore, slot: str, before: list[Path], tell: Teller) -> None:
    last = [0] * plan.threads
    for path in before:
        for kind, *values in lines_of(path):
            if kind in ("answered", "refused", "left"):
                last[values[0]] = max(last[values[0]], values[1])
    writers = [Writer(plan, store, slot, thread, tell) for thread in range(plan.threads)]
    threads = [
        threading.Thread(target=writer.run, args=(done, bool(before)))
        for writer, done in zip(writers, last, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Writer:
    """One thread of a writer."""

    def __init__(
        self, plan: Plan, store: SessionStore, slot: str, thread: int, tell: Teller
    ) -> None:
        self.plan = plan
        self.store = store
        self.slot = slot
        self.thread = thread
        self.tell = tell

    def run(self, number: int, resumed: bool) -> None:
        """Go on after this number until the end; what a resumed one finds begun is settled."""
        try:
            self._retried(lambda: self.store.create(own_session(self.slot, self.thread), key="c"))
            if resumed:
                number += 1
                one = operation(self.plan.seed, self.slot, self.thread, number)
                if one.keyed:
                    self._do(number, one, resumed=True)
                else:
                    self.tell("left", self.thread, number)
            while time.monotonic() < self.plan.until and number < self.plan.operations:
                number += 1
                self._do(number, operation(self.plan.seed, self.slot, self.thread, number))
                if self.plan.pause:
                    time.sleep(random.uniform(0, 2 * self.plan.pause))
        except StoreBusyError as error:
            self.tell("busy", str(error))
        except BaseException as error:
            self.tell("!", f"{self.slot}.{self.thread} at {number} ended with {error!r}")
            raise

    def _retried(self, act: Callable[[], Any]) -> Any:
        """Try until it is answered, or the end has come."""
        while True:
            try:
                return act()
            except (StoreBusyError, AppendUnknownError):
                if time.monotonic() > self.plan.until:
                    raise

    def _do(self, number: int, one: Operation, resumed: bool = False) -> None:
        """Do an operation and tell what became of it; a `resumed` one began nobody knows when."""
        began, expected = 0 if resumed else time.monotonic_ns(), None
        try:
            session = self.store.session(one.session)
            if one.kind == "usage":
                session.record_usage(f"{self.slot}.{number % 7}", input=1)
                seqs = []
            elif one.kind == "expected":
                expected = session.version
                began = time.monotonic_ns()
                message = text_of(one.names[0])
                seqs = [session.append("user", message, expected=exactly(expected))]
            elif one.keyed:
                seqs = self._retried(lambda: self._keyed(one))
            else:
                seqs = session.append_many(
                    [Message(role="user", content=text_of(name)) for name in one.names]
                )
        except (VersionConflictError, StoreBusyError) as error:
            # A keyed one may have met an unknown outcome before it was refused.
            outcome = "left" if one.keyed else "refused"
            self.tell(outcome, self.thread, number, type(error).__name__)
            return
        except AppendUnknownError:
            self.tell("left", self.thread, number)
            return
        self.tell("answered", self.thread, number, began, time.monotonic_ns(), expected, list(seqs))
        if number % 8 == 0:
            with suppress(StoreBusyError):
                self._look(one, list(seqs))

    def _keyed(self, one: Operation) -> list[int]:
        return self.store.session(one.session).append_many(
            [Message(role="user", content=text_of(name), key=name) for name in one.names]
        )

    def _look(self, one: Operation, seqs: list[int]) -> None:
        """What was answered can be read, and trying it again changes nothing."""
        session = self.store.session(one.session)
        for name, seq in zip(one.names, seqs, strict=True):
            found = session.message(seq)
            if found is None or found.text != text_of(name):
                self.tell("!", f"{name} was answered as {one.session} {seq}; read: {found!r:.200}")
        if one.keyed:
            again = self._keyed(one)
            if again != seqs:
                self.tell("!", f"{one.names} was {seqs} and, tried again, {again}")


def _read(plan: Plan, store: SessionStore, chance: random.Random, tell: Teller) -> None:
    """Hold snapshots for long, so that the write-ahead log cannot begin anew; read in between."""
    while time.monotonic() < plan.leaves:
        with store.log.snapshot() as connection:
            head = reading.head_of(connection)
            time.sleep(min(chance.uniform(0.5, 10), max(0.0, plan.leaves - time.monotonic())))
            [count] = connection.execute("SELECT count(*) FROM events").fetchall()[0]
            if reading.head_of(connection) != head or count != head.position:
                tell("!", f"a snapshot at {head.position} showed {count} events")
        tell("held", head.position)
        name = chance.choice(SHARED)
        began = time.monotonic_ns()
        seqs = [message.seq for message in store.session(name).history()]
        if seqs != list(range(1, len(seqs) + 1)):
            tell("!", f"the history of {name} has gaps")
        tell("read", name, began, len(seqs))


def _consume(plan: Plan, store: SessionStore, chance: random.Random, tell: Teller) -> None:
    """Be a named consumer, and a follower of the end beside it."""
    follower = threading.Thread(target=_follow, args=(plan, store, tell))
    follower.start()
    while time.monotonic() < plan.until:
        tell("following")
        with suppress(StoreBusyError):
            for event in store.consumer("c", content=False).follow(timeout=0.2):
                tell("given", event.position)
                if time.monotonic() > plan.until:
                    break
    follower.join()


def _follow(plan: Plan, store: SessionStore, tell: Teller) -> None:
    place = store.head
    position = place.position
    while time.monotonic() < plan.until:
        for event in store.follow(position, timeout=0.2):
            if event.position != position + 1:
                tell("!", f"a follower was given {event.position} after {position}")
            position = event.position
            if time.monotonic() > plan.until:
                break
    tell("followed", position - place.position)


def _rebuild(plan: Plan, store: SessionStore, chance: random.Random, tell: Teller) -> None:
    while time.monotonic() < plan.until:
        time.sleep(chance.uniform(0.2, 3))
        with suppress(StoreBusyError):
            store.rebuild()
            tell("rebuilt")


ROLES = {"reader": _read, "consumer": _consume, "rebuilder": _rebuild}
