"""A budget of the storm, and controls: a check that cannot find a loss proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_support import BUDGET
from operations import KINDS, SHARED, name_of, operation, own_session, text_of
from outcomes import Told, check
from roles import Teller
from storm import WAL_LIMIT, unbounded

from eventstore import Message, SessionStore

STORM = Path(__file__).with_name("storm.py")
ROOT = STORM.parents[2]

#: The kernel of this system can be asked who holds a lock.
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux who holds a lock")


def storm(folder: Path, *options: str, patience: float) -> dict[str, int]:
    """Run the command; the counts that it prints."""
    done = subprocess.run(
        [sys.executable, str(STORM), "--folder", str(folder), *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False, capture_output=True, text=True, timeout=patience,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {}
    for line in done.stdout.splitlines():
        name, _, count = line.partition(": ")
        if count.replace(",", "").isdigit():
            counts[name] = int(count.replace(",", ""))
    return counts


@linux
@pytest.mark.parametrize(("durability", "seed"), [("normal", 1), ("full", 2)])
def test_a_storm_of_four_processes_loses_and_doubles_nothing(
    durability: str, seed: int, tmp_path: Path
) -> None:
    counts = storm(
        tmp_path, "--processes", "4", "--threads", "4", "--seconds", "4", "--busy", "0.7",
        "--durability", durability, "--seed", str(seed), patience=120,
    )  # fmt: skip
    for what in ("answered", "kills", "stops", "given", "keyed", "batch"):
        assert counts.get(what), what


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("durability", "seed"), [("normal", 3), ("full", 4)])
def test_a_storm_of_eight_processes_loses_and_doubles_nothing(
    durability: str, seed: int, tmp_path: Path
) -> None:
    counts = storm(
        tmp_path, "--seconds", str(max(4.0, 60 * BUDGET)), "--durability", durability,
        "--seed", str(seed), patience=600 * max(1.0, BUDGET),
    )  # fmt: skip
    for what in (*KINDS, "kills", "stops", "given", "followed"):
        assert counts.get(what), what


@linux
@pytest.mark.slow
@pytest.mark.skipif("EVENTSTORE_TEST_SOAK" not in os.environ, reason="an hour, if asked for")
def test_an_hour_of_storm_loses_and_doubles_nothing(tmp_path: Path) -> None:
    assert storm(tmp_path, "--soak", patience=7200)["kills"]


def test_operations_of_a_seed_are_the_same_again_and_of_every_kind() -> None:
    ones = [operation(7, "writer0", 0, number) for number in range(300)]
    assert ones == [operation(7, "writer0", 0, number) for number in range(300)]
    assert {one.kind for one in ones} == set(KINDS)
    assert {one.session for one in ones} == {*SHARED, own_session("writer0", 0)}


def test_a_damaged_text_has_no_name() -> None:
    assert name_of(text_of("writer0.0.1.0")) == "writer0.0.1.0"
    assert name_of(text_of("writer0.0.1.0") + "x") != "writer0.0.1.0"


SEED = 5
SLOT = "writer0"


def number_of(kind: str) -> int:
    """The first operation of a kind that the one writer of these tests has."""
    return next(n for n in range(1, 1000) if operation(SEED, SLOT, 0, n).kind == kind)


def checked(folder: Path, kind: str, stored: int | None, *line: Any) -> str:
    """What is found when the first `stored` messages of an operation are there, and `line` told."""
    one = operation(SEED, SLOT, 0, number_of(kind))
    tell = Teller(folder / f"{SLOT}.0.told")
    with SessionStore.open(folder / "s.db", durability="normal") as store:
        session = store.create(one.session)
        if stored:
            session.append_many(
                [Message(role="user", content=text_of(name)) for name in one.names[:stored]]
            )
    if line:
        tell(line[0], 0, number_of(kind), *line[1:])
    else:
        tell("left", 0, number_of(kind))
    return " ".join(check(Told(folder, SEED), folder / "s.db"))


def test_what_was_answered_and_is_there_is_no_violation(tmp_path: Path) -> None:
    assert checked(tmp_path, "append", 1, "answered", 1, 2, None, [1]) == ""


def test_what_nobody_was_told_of_may_be_there_or_not(tmp_path: Path) -> None:
    for stored in (0, 1):
        folder = tmp_path / str(stored)
        folder.mkdir()
        assert checked(folder, "append", stored) == ""


@pytest.mark.parametrize(
    ("kind", "stored", "line", "words"),
    [
        ("append", 0, ("answered", 1, 2, None, [1]), "was answered and is not there"),
        ("append", 1, ("answered", 1, 2, None, [2]), "was said to be 2"),
        ("append", 1, ("refused", "VersionConflictError"), "nobody wrote"),
        ("batch", 1, (), "there is only"),
    ],
)
def test_what_the_log_does_not_explain_is_found(
    kind: str, stored: int, line: tuple[Any, ...], words: str, tmp_path: Path
) -> None:
    assert words in checked(tmp_path, kind, stored, *line)


def test_a_batch_that_another_stands_in_is_found(tmp_path: Path) -> None:
    one = operation(SEED, SLOT, 0, number_of("batch"))
    Teller(tmp_path / f"{SLOT}.0.told")("left", 0, number_of("batch"))
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        session = store.create(one.session)
        for name in one.names:
            session.append("user", text_of(name))
            session.record_usage("between", input=1)
    assert "does not stand together" in " ".join(check(Told(tmp_path, SEED), tmp_path / "s.db"))


@pytest.mark.parametrize(("shown", "words"), [(1, ""), (0, "showed 0 messages, not 1")])
def test_a_read_that_lacks_what_was_answered_before_is_found(
    shown: int, words: str, tmp_path: Path
) -> None:
    one = operation(SEED, SLOT, 0, number_of("append"))
    Teller(tmp_path / "reader.0.told")("read", one.session, 3, shown)
    found = checked(tmp_path, "append", 1, "answered", 1, 2, None, [1])
    assert words in found
    assert bool(words) == bool(found)


def test_a_consumer_that_skips_is_found(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        store.create("a").append_many([Message(role="user", content="x")] * 3)
    tell = Teller(tmp_path / "consumer.0.told")
    tell("following")
    tell("given", 1)
    tell("given", 3)
    assert "of the consumer was given [1, 3]" in " ".join(
        check(Told(tmp_path, SEED), tmp_path / "s.db")
    )


def test_a_write_ahead_log_that_stays_long_is_found() -> None:
    assert unbounded(WAL_LIMIT, 60) == []
    assert "still had" in unbounded(WAL_LIMIT + 1, 60)[0]
