"""Fail every call to the disk once, and lose the power at every one of them.

    python tests/faults/sweep.py [--budget 0.1] [--seeds 5] [--only append] [--jobs 4]

prints what was swept; for each violation it prints the scenario, the fault and the seed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from oracle import violations
from running import Baseline, baseline, run
from scenarios import SCENARIOS, copied, make_base
from steps import Scenario

from eventstore import SessionStore
from eventstore.errors import EventStoreError
from eventstore.testing.faults import Fault, FaultyDisk, Kind, Outcome

#: Characters of a violation that are printed.
SHOWN_MAX = 600

#: Cases that a process is given at a time.
SHARE = 20

#: How a call of a kind can fail.
OUTCOMES: dict[Kind, tuple[Outcome, ...]] = {
    Kind.WRITE: (Outcome.ERROR, Outcome.SHORT, Outcome.FULL),
    Kind.SYNC: (Outcome.ERROR, Outcome.LOST),
}


class Case(NamedTuple):
    """One run: a fault, and for a power loss the seed of what it leaves."""

    scenario: Scenario
    fault: Fault
    seed: int = 0
    durability: str = "full"

    def __str__(self) -> str:
        kind = self.fault.kind or "call"
        seed = f", seed {self.seed}" if self.fault.outcome is Outcome.POWER else ""
        return f"{self.scenario.name}: {self.fault.outcome} at {kind} {self.fault.at}{seed}"


def failing(scenario: Scenario, known: Baseline) -> Iterator[Case]:
    """Every call, each in every way in which it can fail."""
    for kind, count in known.kinds.items():
        for outcome in OUTCOMES.get(kind, (Outcome.ERROR,)):
            for at in range(1, count + 1):
                yield Case(scenario, Fault(at=at, kind=kind, outcome=outcome))


def powerless(
    scenario: Scenario, known: Baseline, seeds: int, durability: str = "full"
) -> Iterator[Case]:
    """The power goes at every call that changes the disk, with several outcomes each."""
    for kind in (Kind.WRITE, Kind.SYNC, Kind.TRUNCATE, Kind.DELETE):
        for at in range(1, known.kinds[kind] + 1):
            for seed in range(seeds):
                fault = Fault(at=at, kind=kind, outcome=Outcome.POWER)
                yield Case(scenario, fault, seed, durability)


def attempt(
    case: Case, base: Path, known: Baseline, *, lies: bool = False, again: int | None = None
) -> list[str]:
    """Run a case in a folder of its own; what does not hold afterwards.

    With `again` the power goes a second time, at that call of the opening that recovers.
    """
    with tempfile.TemporaryDirectory(prefix="eventstore-faults-") as name:
        folder = Path(name)
        path = copied(case.scenario, base, folder)
        with FaultyDisk([case.fault], lies=lies) as disk:
            done = run(case.scenario, path, known, case.durability)
        if case.fault.outcome is Outcome.POWER:
            path = _after_power_loss(disk, case.seed, folder / "left" / path.name)
        if again is not None:
            fault = Fault(at=again, outcome=Outcome.POWER)
            with (
                FaultyDisk([fault]) as disk,
                suppress(EventStoreError),
                SessionStore.open(path) as s,
            ):
                s.create("between the losses")
            path = _after_power_loss(disk, case.seed, folder / "left again" / path.name)
        scenario = case.scenario
        return done.strange + violations(
            path,
            done.groups,
            may_lose=case.durability != "full",
            holds=None if scenario.holds is None else partial(_holds, scenario, folder),
            mend=scenario.derived,
            never=scenario.never,
        )


def _holds(scenario: Scenario, folder: Path, store: SessionStore) -> list[str]:
    return [] if scenario.holds is None else scenario.holds(store, folder)


def _after_power_loss(disk: FaultyDisk, seed: int, path: Path) -> Path:
    path.parent.mkdir()
    disk.after_power_loss(seed, path.parent)
    return path


def sample(cases: Sequence[Case], budget: float, seed: int) -> list[Case]:
    """Some of the cases, chosen by a seed; all of them with a budget of 1."""
    count = min(len(cases), max(1, round(len(cases) * budget)))
    return random.Random(seed).sample(list(cases), count)


class Share(NamedTuple):
    """Cases for one process; a scenario holds functions and goes to another by its number."""

    base: Path
    number: int
    faults: list[tuple[Fault, int]]


def swept(share: Share) -> list[tuple[str, list[str]]]:
    """Run the cases of a share; those of which something does not hold, and what."""
    scenario, known = SCENARIOS[share.number], _known(share.base, share.number)
    cases = (Case(scenario, fault, seed) for fault, seed in share.faults)
    tried = ((str(case), attempt(case, share.base, known)) for case in cases)
    return [(name, found) for name, found in tried if found]


@cache
def _known(base: Path, number: int) -> Baseline:
    with tempfile.TemporaryDirectory(prefix="eventstore-faults-") as name:
        return baseline(SCENARIOS[number], base, Path(name))


def shares(base: Path, options: argparse.Namespace) -> Iterator[Share]:
    """The chosen cases of each scenario; prints how many they are."""
    for number, scenario in enumerate(SCENARIOS):
        if options.only not in scenario.name:
            continue
        known = _known(base, number)
        cases = [*failing(scenario, known), *powerless(scenario, known, options.seeds)]
        chosen = [(one.fault, one.seed) for one in sample(cases, options.budget, options.seed)]
        print(
            f"{scenario.name}: {known.calls} calls, {len(chosen)} of {len(cases)} cases",
            flush=True,
        )
        for start in range(0, len(chosen), SHARE):
            yield Share(base, number, chosen[start : start + SHARE])


def main() -> int:
    """Sweep and print; 1 when something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=1.0, help="share of the cases")
    parser.add_argument("--seeds", type=int, default=5, help="outcomes of each power loss")
    parser.add_argument("--seed", type=int, default=0, help="which cases a budget chooses")
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    options = parser.parse_args()
    begun, broken, outcomes = time.monotonic(), 0, Counter[str]()
    with (
        tempfile.TemporaryDirectory(prefix="eventstore-faults-") as name,
        multiprocessing.Pool(options.jobs) as pool,
    ):
        base = Path(name) / "base.db"
        make_base(base)
        chosen = list(shares(base, options))
        for share in chosen:
            outcomes.update(str(fault.outcome) for fault, _ in share.faults)
        for number, found in enumerate(pool.imap_unordered(swept, chosen), 1):
            if number % 50 == 0:
                print(f"{number} of {len(chosen)} shares, {broken} violated", file=sys.stderr)
            for case, what in found:
                broken += 1
                shown = (one[:SHOWN_MAX] for one in what)
                print(f"VIOLATED {case}", *shown, sep="\n  ", flush=True)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{sum(outcomes.values())} cases ({counts}), {broken} violated, "
          f"{time.monotonic() - begun:.0f} s, seed {options.seed}")  # fmt: skip
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
