"""Scenarios run on a disk with faults: what was answered, and what the disk was asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from engine_support import ticking
from oracle import AFTER, Group, Stored, stored_in
from scenarios import Scenario, Step, copy_base

from eventstore import SessionStore
from eventstore.errors import EventStoreError
from eventstore.testing.faults import FaultyDisk, Kind


class Baseline(NamedTuple):
    """A scenario without a fault: the events before it and of each step, and the disk's calls."""

    before: list[Stored]
    steps: list[list[Stored]]
    kinds: Counter[Kind]

    @property
    def calls(self) -> int:
        return sum(self.kinds.values())


class Run(NamedTuple):
    """What a run answered; errors that are not this project's; whether a step failed."""

    groups: list[Group]
    strange: list[str]
    failed: bool


def place(scenario: Scenario, base: Path, folder: Path) -> Path:
    """The file that the scenario works on, in a folder of its own."""
    return copy_base(base, folder) if scenario.base else folder / "s.db"


def baseline(scenario: Scenario, base: Path, folder: Path) -> Baseline:
    """Run without a fault: once to see what each step appends, once to count calls."""
    (folder / "events").mkdir()
    (folder / "calls").mkdir()
    steps: list[list[Stored]] = []
    with SessionStore.open(place(scenario, base, folder / "events"), clock=ticking()) as store:
        before = stored_in(store)
        seen = len(before)
        for step in scenario.steps:
            step.run(store)
            now = stored_in(store)
            steps.append(now[seen:])
            seen = len(now)
    known = Baseline(before, steps, Counter())
    with FaultyDisk() as disk:
        done = run(scenario, place(scenario, base, folder / "calls"), known)
    assert not done.strange
    assert not done.failed
    return known._replace(kinds=disk.plan.by_kind)


def run(scenario: Scenario, path: Path, known: Baseline, durability: str = "full") -> Run:
    """Run the steps until one fails; then append once more on the same handle."""
    done = Run([Group(known.before, answered=True)], [], failed=False)
    try:
        store = SessionStore.open(path, clock=ticking(), durability=durability)
    except EventStoreError:
        return done._replace(failed=True)
    for step, events in zip(scenario.steps, known.steps, strict=True):
        if not _answered(step, store, done):
            done.groups.append(Group(events, False, step.atomic))
            done = done._replace(failed=True)
            after = Step("append after", lambda store: store.session("root").append("user", AFTER))
            done.groups.append(Group([(0, AFTER)], _answered(after, store, done)))
            break
        done.groups.append(Group(events, True, step.atomic))
    _answered(Step("close", lambda store: store.close()), store, done)
    return done


def _answered(step: Step, store: SessionStore, done: Run) -> bool:
    """Whether a step succeeded; an error that is not this project's is a violation."""
    try:
        step.run(store)
    except EventStoreError:
        return False
    except Exception as error:
        done.strange.append(f"{step.name}: {type(error).__name__}: {error}")
        return False
    return True
