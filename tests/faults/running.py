"""Scenarios run on a disk with faults: what was answered, and what the disk was asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from engine_support import ticking
from oracle import AFTER, Group, Stored, stored_in
from scenarios import copied
from steps import Scenario, Step

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


def baseline(scenario: Scenario, base: Path, folder: Path) -> Baseline:
    """Run without a fault: once to see what each step appends, once to count calls."""
    (folder / "events").mkdir()
    (folder / "calls").mkdir()
    steps: list[list[Stored]] = []
    with SessionStore.open(
        copied(scenario, base, folder / "events"), clock=ticking(), **scenario.options
    ) as store:
        before = stored_in(store)
        seen = len(before)
        for step in scenario.steps:
            step.run(store)
            now = stored_in(store)
            steps.append(now[seen:])
            seen = len(now)
    known = Baseline(before, steps, Counter())
    with FaultyDisk() as disk:
        done = run(scenario, copied(scenario, base, folder / "calls"), known)
    assert not done.strange
    assert not done.failed
    return known._replace(kinds=disk.plan.by_kind)


def run(scenario: Scenario, path: Path, known: Baseline, durability: str = "full") -> Run:
    """Run the steps until one fails; then append once more on the same handle."""
    done = Run([Group(known.before, answered=True)], [], failed=False)
    try:
        store = SessionStore.open(path, clock=ticking(), durability=durability, **scenario.options)
    except EventStoreError:
        return done._replace(failed=True)
    for step, events in zip(scenario.steps, known.steps, strict=True):
        answered, answer = _answered(step, store, done)
        clean = answered and getattr(answer, "complete", True)
        done.groups.append(Group(events, answered, step.atomic, step.gone, clean))
        if not answered:
            done = done._replace(failed=True)
            after = Step("append after", lambda store: store.session("root").append("user", AFTER))
            done.groups.append(Group([(0, AFTER)], _answered(after, store, done)[0]))
            break
    _answered(Step("close", lambda store: store.close()), store, done)
    return done


def _answered(step: Step, store: SessionStore, done: Run) -> tuple[bool, Any]:
    """Whether a step succeeded, and its answer; an error not of this project's is a violation."""
    try:
        return True, step.run(store)
    except EventStoreError:
        return False, None
    except Exception as error:
        done.strange.append(f"{step.name}: {type(error).__name__}: {error}")
        return False, None
