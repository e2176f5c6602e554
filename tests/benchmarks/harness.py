"""What every row of the benchmark shares: sizes, results, and measuring engines in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    quick: bool = False
    rounds: int = 7
    appends: int = 200
    batches: int = 6
    thread_rounds: int = 3
    thread_appends: int = 30
    history: int = 1_000_000
    reads: int = 40
    rebuilt: int = 200_000
    processes: int = 3
    stored: int = 4_000
    searched: int = 200_000
    searches: int = 15
    exported: int = 100_000
    transcript: int = 4_000
    sessions: int = 100

    def times(self, factor: float) -> Scale:
        """The same with every size multiplied, for trying out."""
        sizes = ("appends", "batches", "thread_appends", "history", "reads", "rebuilt", "stored",
                 "searched", "exported", "transcript", "sessions")  # fmt: skip
        return replace(self, **{name: max(2, int(getattr(self, name) * factor)) for name in sizes})


QUICK = Scale(
    quick=True, rounds=3, appends=100, batches=3, thread_rounds=1, thread_appends=15,
    history=100_000, reads=15, rebuilt=50_000, processes=1, stored=1_000,
    searched=20_000, searches=7, exported=10_000,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One measured number: the median of `samples`, or nothing when the engine was absent."""

    row: str
    engine: str
    value: float | None
    unit: str
    samples: list[float]


@dataclass(frozen=True)
class Context:
    """What the modules that measure are given."""

    scale: Scale
    folder: Path
    texts: Sequence[str]
    transcripts: Sequence[Path]
    engines: Sequence[type[Any]]


def result(row: str, engine: str, unit: str, samples: Iterable[float]) -> Row:
    """The median of some measurements."""
    kept = [float(f"{sample:.4g}") for sample in samples]
    return Row(row, engine, statistics.median(kept), unit, kept)


def seconds(act: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def in_turns(
    acts: dict[str, Callable[[int], float]], rounds: int, warm: bool = True
) -> dict[str, list[float]]:
    """Call each act once a round, a different one first each time; what they returned.

    Machines speed up and slow down: only what ran at the same time can be compared.
    """
    names = list(acts)
    found: dict[str, list[float]] = {name: [] for name in names}
    if warm:
        for name in names:
            acts[name](0)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].append(acts[name](number + 1))
    return found


def opened(
    context: Context, stack: ExitStack, engines: Iterable[type[Any]], durability: str, label: str
) -> dict[str, Any]:
    """A store of each engine in a file of its own, closed with the stack."""
    stores = {}
    for engine in engines:
        name = engine.name.replace(" ", "-")
        store = engine(context.folder / f"{label}-{durability}-{name}.db", durability)
        stack.callback(store.close)
        stores[engine.name] = store
    return stores


def cycle(texts: Sequence[str], start: int, count: int) -> list[str]:
    """`count` texts from `start` on, beginning again at the end."""
    return [texts[(start + index) % len(texts)] for index in range(count)]


def results(row: str, unit: str, measured: dict[str, list[float]]) -> Iterator[Row]:
    """A row for each engine."""
    for engine, samples in measured.items():
        yield result(row, engine, unit, samples)
