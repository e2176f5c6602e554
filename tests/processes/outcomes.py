"""What the processes of a storm told, and whether the log explains it.

Beside what `history.violations` demands of the log: nothing that was refused is there, of a batch
all is there or nothing, one message after the other, and a snapshot stays as it was.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from operations import Operation, name_of, operation
from roles import lines_of

from eventstore import SessionStore
from eventstore.doctor import examine
from eventstore.events.catalogue import MessageAppended

sys.path.insert(0, str(Path(__file__).parents[1] / "simulation"))
from history import Append, History, violations


class Run(NamedTuple):
    """One thread of one writer process: how long its answers took, and over which time, in s."""

    name: str
    waits: list[float]
    seconds: float


class Told:
    """Everything that was told, from the files of one storm."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.history = History()
        self.counts = Counter[str]()
        self.found: list[str] = []
        self.runs: list[Run] = []
        self.reads: list[tuple[str, int, int]] = []
        self._seed = seed
        self._numbers: dict[tuple[str, int], int] = defaultdict(int)
        self._refused: set[tuple[str, int, int]] = set()
        order = sorted(folder.glob("*.told"), key=lambda path: int(path.suffixes[0][1:]))
        for path in order:
            self._file(path, path.name.split(".")[0])
        self._attempts()

    def operations(self) -> Iterator[Operation]:
        """All that were begun and not refused; the last ones of a thread may not have been."""
        for (slot, thread), last in self._numbers.items():
            for number in range(1, last + 2):
                if (slot, thread, number) not in self._refused:
                    yield operation(self._seed, slot, thread, number)

    def _attempts(self) -> None:
        for one in self.operations():
            self.history.attempted.update(one.names)

    def _file(self, path: Path, slot: str) -> None:
        given: list[int] = []
        threads: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for kind, *values in lines_of(path):
            self.counts[kind] += 1
            match kind:
                case "answered":
                    threads[values[0]].append((values[2], values[3]))
                    self._answered(slot, *values)
                case "refused" | "left":
                    thread, number = values[:2]
                    self._reached(slot, thread, number)
                    if kind == "refused":
                        self._refused.add((slot, thread, number))
                        self.counts[values[2]] += 1
                case "following":
                    given = []
                    self.history.delivered.append(given)
                case "given":
                    given.append(values[0])
                case "read":
                    self.reads.append(tuple(values))
                case "!":
                    self.found.append(values[0])
        for thread, spans in threads.items():
            waits = [(ended - began) / 1e9 for began, ended in spans if began]
            seconds = (spans[-1][1] - spans[0][1]) / 1e9
            if waits:
                self.runs.append(Run(f"{path.stem}/{thread}", waits, seconds))

    def _reached(self, slot: str, thread: int, number: int) -> None:
        self._numbers[slot, thread] = max(self._numbers[slot, thread], number)

    def _answered(
        self, slot: str, thread: int, number: int, began: int, ended: int,
        expected: int | None, seqs: list[int],
    ) -> None:  # fmt: skip
        self._reached(slot, thread, number)
        one = operation(self._seed, slot, thread, number)
        self.counts[one.kind] += 1
        if len(one.names) != len(seqs):
            self.found.append(f"{one} was answered with {seqs}")
        for name, seq in zip(one.names, seqs, strict=False):
            self.history.appends.append(Append(one.session, name, began, ended, seq, expected))


def check(told: Told, path: Path) -> list[str]:
    """Everything that does not hold of a storm that is over."""
    with SessionStore.open(path) as store:
        rest = [event.position for event in store.consumer("c").follow(live=False)]
        told.history.delivered += [rest] if rest else []
        told.counts["events"] = store.head.position
        found = told.found + violations(told.history, store, name_of)
        found += halves(told, store) + early_reads(told)
        found += [f"verify: {finding}" for finding in store.verify()]
        found += [f"check: {difference}" for difference in store.check()]
    return found + [f"doctor: {finding}" for finding in examine(path).findings]


def halves(told: Told, store: SessionStore) -> list[str]:
    """Batches of which a part is there, or that others stand in the midst of."""
    places = {
        name_of(str(event.event.content.text)): (event.stream, event.version)
        for event in store.log.read_all(content=True)
        if isinstance(event.event, MessageAppended) and event.event.content is not None
    }
    found = []
    for one in told.operations():
        there = [places[name] for name in one.names if name in places]
        if there and len(there) != len(one.names):
            found.append(f"of {one} there is only {there}")
        elif there and there != [(there[0][0], there[0][1] + n) for n in range(len(there))]:
            found.append(f"{one} does not stand together: {there}")
    return found


def early_reads(told: Told) -> list[str]:
    """Reads that lack what was answered before they began."""
    found = []
    for session, began, count in told.reads:
        answered = [
            append.seq
            for append in told.history.appends
            if append.session == session and append.ended < began
        ]
        if max(answered, default=0) > count:
            found.append(f"a read of {session} showed {count} messages, not {max(answered)}")
    return found
