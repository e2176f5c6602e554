"""A budget of the sweeps, and controls: a harness that cannot find a loss proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from engine_support import BUDGET, budget
from running import Baseline, baseline
from scenarios import SCENARIOS, by_name, make_base
from steps import Scenario
from sweep import Case, attempt, failing, powerless, sample

from eventstore.log import engine
from eventstore.testing.faults import Fault, Kind, Outcome

NAMES = [scenario.name for scenario in SCENARIOS]


def some(cases: Iterator[Case], seed: int) -> list[Case]:
    """A share of the cases, of long scenarios a smaller one."""
    found = list(cases)
    return sample(found, min(budget(20) / 1000, budget(4) / len(found)), seed)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "base.db"
    make_base(path)
    return path


Prepared = Callable[[str], tuple[Scenario, Baseline]]


@pytest.fixture(scope="module")
def prepared(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A scenario and what it does without a fault, by its name."""

    @cache
    def made(name: str) -> tuple[Scenario, Baseline]:
        scenario = by_name(name)
        return scenario, baseline(scenario, base, tmp_path_factory.mktemp("baseline"))

    return made


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Of the whole module: pytest runs the tests of a scenario together, with one baseline."""
    found: str = request.param
    return found


def test_a_call_that_fails_loses_nothing_answered(
    name: str, base: Path, prepared: Prepared
) -> None:
    scenario, known = prepared(name)
    for case in some(failing(scenario, known), seed=1):
        assert attempt(case, base, known) == [], str(case)


def test_a_power_loss_loses_nothing_answered(name: str, base: Path, prepared: Prepared) -> None:
    scenario, known = prepared(name)
    for case in some(powerless(scenario, known, 3), seed=2):
        assert attempt(case, base, known) == [], str(case)


def test_a_second_power_loss_while_recovering_loses_nothing(base: Path, prepared: Prepared) -> None:
    scenario, known = prepared("append")
    for number, case in enumerate(sample(list(powerless(scenario, known, 3)), 0.02, seed=3)):
        assert attempt(case, base, known, again=10 + 7 * number) == [], str(case)


def test_at_normal_a_power_loss_takes_the_end_and_damages_nothing(
    base: Path, prepared: Prepared
) -> None:
    scenario, known = prepared("append")
    cases = list(powerless(scenario, known, 3, "normal"))
    for case in sample(cases, budget(20) / 1000, seed=4):
        assert attempt(case, base, known) == [], str(case)


@pytest.mark.parametrize("name", ["append", "rebuild", "search"])
def test_what_a_short_read_damages_is_found_out(name: str, base: Path, prepared: Prepared) -> None:
    """To SQLite half a page in the midst of a file is the file's end, and the rest is zeros."""
    scenario, known = prepared(name)
    faults = [
        Fault(at=at, kind=Kind.READ, outcome=Outcome.SHORT)
        for at in range(1, known.kinds[Kind.READ] + 1)
    ]
    for case in sample([Case(scenario, fault) for fault in faults], budget(50) / 1000, seed=8):
        found = attempt(case, base, known)
        assert not found or any(one.startswith(FOUND_OUT) for one in found), str(case)


#: How a violation begins that the engine told of by itself.
FOUND_OUT = ("CorruptStoreError: ", "verify: ", "doctor: ", "check: ")


def test_a_disk_that_lies_is_found_out(base: Path, prepared: Prepared) -> None:
    scenario, known = prepared("append")
    cases = sample(list(powerless(scenario, known, 3)), 0.05, seed=5)
    assert any(attempt(case, base, known, lies=True) for case in cases)


def test_a_store_that_does_not_sync_is_found_out(
    base: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, known = prepared("append")
    monkeypatch.setitem(engine._SYNCHRONOUS, engine.Durability.FULL, "OFF")
    cases = sample(list(powerless(scenario, known, 3)), 0.05, seed=6)
    assert any(attempt(case, base, known) for case in cases)


@pytest.mark.slow
def test_every_call_may_fail_and_every_power_loss_come(
    name: str, base: Path, prepared: Prepared
) -> None:
    scenario, known = prepared(name)
    cases = [*failing(scenario, known), *powerless(scenario, known, 5)]
    # All of them take hours: a tenth of the budget is a hundredth of the cases.
    for case in sample(cases, min(1.0, BUDGET**2), seed=7):
        assert attempt(case, base, known) == [], str(case)
