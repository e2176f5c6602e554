"""What the sweeps found, each by the fault that showed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from scenarios import make_base

from eventstore.backup import backup, restore
from eventstore.errors import EventStoreError
from eventstore.salvage import salvage
from eventstore.testing.faults import Fault, FaultyDisk, Kind, Outcome


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("found") / "base.db"
    make_base(path)
    return path


def each_call(
    kind: Kind, file: str, outcome: Outcome = Outcome.ERROR, step: int = 1
) -> Iterator[FaultyDisk]:
    """A disk that fails at the first such call, at a later one, and so on until none is met."""
    at = 1
    while True:
        disk = FaultyDisk([Fault(at=at, kind=kind, outcome=outcome, file=file)])
        yield disk
        if not disk.plan.met:
            return
        at += step


def failures(disks: Iterator[FaultyDisk], work: Callable[[], object]) -> int:
    """Run it on every disk; how often it failed, which it may by this project's errors alone."""
    failed = 0
    for disk in disks:
        with disk:
            try:
                work()
            except EventStoreError:
                failed += 1
    return failed


def test_a_restore_fails_by_an_error_of_this_project(base: Path, tmp_path: Path) -> None:
    copy, target = tmp_path / "copy.db", tmp_path / "target.db"
    backup(base, copy)
    restore(copy, target, without_erasures=True)
    disks = each_call(Kind.WRITE, target.name, Outcome.POWER)
    assert failures(disks, lambda: restore(copy, target, without_erasures=False)) > 0


def test_a_salvage_fails_by_an_error_of_this_project(base: Path, tmp_path: Path) -> None:
    damaged, saved = base.with_name("damaged.db"), tmp_path / "saved.db"

    def work() -> None:
        saved.unlink(missing_ok=True)
        salvage(damaged, saved)

    assert failures(each_call(Kind.SIZE, damaged.name), work) == 1
    assert failures(each_call(Kind.READ, damaged.name, step=5), work) > 0


def test_a_salvage_that_loses_its_disk_leaves_no_journal(base: Path, tmp_path: Path) -> None:
    for disk in each_call(Kind.WRITE, "-journal", Outcome.POWER):
        with disk, suppress(EventStoreError):
            salvage(base.with_name("damaged.db"), tmp_path / "saved.db")
        assert {path.name for path in tmp_path.iterdir()} <= {"saved.db"}
