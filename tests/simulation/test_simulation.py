"""Many writers, readers, rebuilds, a consumer and crashes: one log explains what all were told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_support import budget
from history import Append, History, Read, violations
from scheduler import DeadlockError, Lock, Process, Scheduler
from world import World, described

from eventstore import Session, SessionStore


@pytest.mark.parametrize("seed", range(budget(20)))
def test_one_log_explains_what_all_clients_were_told(seed: int, tmp_path: Path) -> None:
    assert World(seed, tmp_path).run() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1000 + budget(300)))
def test_one_log_explains_it_for_many_seeds(seed: int, tmp_path: Path) -> None:
    world = World(seed, tmp_path, processes=2 + seed % 4, crashes=seed % 5)
    assert world.run() == []


def test_a_seed_is_the_same_run_again(tmp_path: Path) -> None:
    def once(name: str) -> tuple[Any, ...]:
        (tmp_path / name).mkdir()
        world = World(7, tmp_path / name)
        assert world.run() == []
        return described(world), world.history.appends, world.history.delivered

    assert once("one") == once("two")


def test_crashes_conflicts_and_rebuilds_happen(tmp_path: Path) -> None:
    covered = []
    for seed in range(8):
        (tmp_path / str(seed)).mkdir()
        world = World(seed, tmp_path / str(seed))
        world.run()
        covered.append(described(world))
    for what in ("crashes", "conflicts", "rebuilds", "appends", "reads"):
        assert sum(one[what] for one in covered) >= 8, what


def test_an_answer_that_nothing_stands_behind_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Session.append

    def answered(self: Session, role: str, content: Any, **options: Any) -> int:
        if int(content.split()[1]) % 2:
            return len(self.history()) + 1
        return append(self, role, content, **options)

    monkeypatch.setattr(Session, "append", answered)
    found = World(1, tmp_path, crashes=0).run()
    assert any("was answered and is not there" in one for one in found)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        for text in ("one", "two", "three"):
            session.append("user", text)
        yield store


def told(*appends: Append, reads: tuple[Read, ...] = ()) -> History:
    history = History()
    history.appends = list(appends)
    history.reads = list(reads)
    history.attempted = {"one", "two", "three"}
    history.delivered = [[1, 2, 3, 4]]
    return history


def test_a_history_that_the_log_explains_has_no_violations(store: SessionStore) -> None:
    assert violations(told(Append("a", "one", 1, 2, 1, None)), store) == []


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (told(Append("a", "four", 1, 2, 4, None)), "is not there"),
        (told(Append("a", "one", 1, 2, 2, None)), "was said to be 2"),
        (told(Append("a", "three", 1, 2, 3, 1)), "expected 1"),
        (told(Append("a", "three", 1, 2, 3, None), Append("a", "one", 3, 4, 1, None)), "behind"),
        (told(Append("a", "one", 1, 2, 1, None), reads=(Read("a", 3, ()),)), "lacks 'one'"),
        (told(Append("a", "one", 5, 6, 1, None), reads=(Read("a", 3, ("two",)),)), "no beginning"),
    ],
)
def test_a_history_that_the_log_does_not_explain_is_found(
    history: History, words: str, store: SessionStore
) -> None:
    assert words in " ".join(violations(history, store))


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([[1, 2, 4]], "was given"),
        ([[1], [3, 4]], "skipped 2"),
        ([[1, 2, 3]], "not given all"),
    ],
)
def test_a_consumer_that_skips_is_found(
    runs: list[list[int]], words: str, store: SessionStore
) -> None:
    history = told()
    history.delivered = runs
    history.appends = [Append("a", "one", 1, 2, 1, None)]
    assert words in " ".join(violations(history, store))


def test_tasks_that_wait_for_each_other_are_a_deadlock() -> None:
    scheduler = Scheduler(1)
    one, two = Lock(scheduler), Lock(scheduler)

    def take(first: Lock, second: Lock) -> None:
        with first:
            scheduler.sleep(1)
            with second:
                pass

    process = Process("p")
    scheduler.spawn("a", process, lambda: take(one, two))
    scheduler.spawn("b", process, lambda: take(two, one))
    with pytest.raises(DeadlockError):
        scheduler.run()
