"""Named consumers: at least once, in order, across restarts; a place is never moved unseen."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from cli_support import run, spawn
from engine_support import budget, populated
from hypothesis import given, settings

from eventstore import AsyncSessionStore, SessionStore, errors
from eventstore.log import reading

#: Takes events one by one, notes each in a file, and dies in the midst of some of them.
DYING = """
import os, sys
from eventstore import SessionStore
path, notes, die_after = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = SessionStore.open(path, durability="normal")
with open(notes, "a") as file:
    for number, event in enumerate(store.consumer("c").follow(live=False), 1):
        print(event.position, file=file, flush=True)
        if number == die_after:
            os._exit(1)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as opened:
        session = opened.create("a")
        for number in range(9):
            session.append("user", str(number))
        yield opened


def positions(events: Any) -> list[int]:
    return [recorded.position for recorded in events]


# -- delivery ------------------------------------------------------------------------------------


def test_a_consumer_goes_on_after_what_was_dealt_with(store: SessionStore) -> None:
    assert positions(store.consumer("c").follow(live=False)) == list(range(1, 11))
    assert positions(store.consumer("c").follow(live=False)) == []
    store.create("b")
    assert positions(store.consumer("c").follow(live=False)) == [11]
    assert positions(store.consumer("other").follow(live=False)) == list(range(1, 12))


def test_a_page_is_kept_only_when_all_of_it_was_dealt_with(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 4)
    for stop, kept in ((4, 0), (5, 4), (8, 4), (9, 8)):
        consumer = store.consumer(f"c{stop}")
        for event in consumer.follow(live=False):
            if event.position == stop:
                break
        assert consumer.place.position == kept
        again = store.consumer(f"c{stop}")
        assert again.place == consumer.place
        assert positions(again.follow(live=False)) == list(range(kept + 1, 11))


def test_nothing_is_kept_without_being_told(store: SessionStore) -> None:
    consumer = store.consumer("c")
    events = list(consumer.follow(live=False, commit=False))
    assert store.consumers() == []
    consumer.commit(events[4])
    consumer.commit(events[2])  # done before: no news
    assert consumer.place.position == 5
    assert positions(store.consumer("c").follow(live=False)) == [6, 7, 8, 9, 10]


@settings(max_examples=budget(30), deadline=None, database=None)
@given(st.data())
def test_every_event_comes_at_least_once_and_in_order_whatever_is_chosen(data: Any) -> None:
    with populated(":memory:") as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE", data.draw(st.integers(1, 6)))
        types = data.draw(
            st.sampled_from([None, "message.appended", ["title.set", "x.acme.moved"]])
        )
        session = store.session("root") if data.draw(st.booleans()) else None
        expected = positions(store.follow(types=types, session=session, live=False))
        got: list[int] = []
        while not got or got[-1] != expected[-1]:
            consumer = store.consumer("c", types=types, session=session)
            stop = data.draw(st.integers(1, 12))
            for number, event in enumerate(consumer.follow(live=False), 1):
                got.append(event.position)
                if number == stop:
                    if data.draw(st.booleans()):
                        consumer.commit(event)
                    break
            if stop <= reading.PAGE and got[-1] != expected[-1]:
                consumer.commit(event)  # so that the test ends
        assert sorted(set(got)) == expected
        for index, (before, after) in enumerate(itertools.pairwise(got), 1):
            if after > before:
                assert after == expected[expected.index(before) + 1]
            else:  # begun anew
                assert after in got[:index]


def test_a_consumer_that_dies_gets_again_what_it_did_not_commit(
    tmp_path: Path, store: SessionStore
) -> None:
    session = store.session("a")
    for _ in range(1100):
        session.append("user", "x")
    notes = tmp_path / "notes"
    for die_after in (3, 700, 10_000):
        words = [sys.executable, "-c", DYING, str(tmp_path / "s.db"), str(notes), str(die_after)]
        subprocess.run(words, check=False, timeout=60)
    got = [int(line) for line in notes.read_text().split()]
    head = store.head.position
    assert got == [1, 2, 3, *range(1, 701), *range(501, head + 1)]
    assert store.consumers()[0].behind == 0


# -- who moves a place ---------------------------------------------------------------------------


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_second_of_two_consumers_with_one_name_is_told(
    store: SessionStore, elsewhere: bool
) -> None:
    """In one process, or through another opening of the file."""
    with SessionStore.open(store.path) as other:
        _two_with_one_name(store, other if elsewhere else store)


def _two_with_one_name(store: SessionStore, other: SessionStore) -> None:
    first, second = store.consumer("c"), other.consumer("c")
    events = list(store.events())
    first.commit(events[2])
    for event in (events[1], events[4]):
        with pytest.raises(errors.ConsumerMovedError) as caught:
            second.commit(event)
        assert (caught.value.kept, caught.value.known) == (3, None)
    first.commit(events[5])
    assert store.consumer("c").place.position == 6


def test_a_reset_or_drop_is_noticed_by_the_consumer_that_runs(store: SessionStore) -> None:
    running = store.consumer("c")
    events = list(running.follow(live=False))
    store.consumer("c").reset(4)
    store.create("b")
    with pytest.raises(errors.ConsumerMovedError):
        running.commit(next(store.events(after=10)))
    assert positions(store.consumer("c").follow(live=False, commit=False))[0] == 5
    running = store.consumer("c")
    assert store.consumer("c").drop() is True
    assert store.consumer("c").drop() is False
    with pytest.raises(errors.ConsumerMovedError):
        running.commit(events[8])
    assert store.consumers() == []


def test_a_place_that_the_log_does_not_have_is_refused(store: SessionStore) -> None:
    [event] = store.events(after=3, upto=4)
    consumer = store.consumer("c")
    with pytest.raises(errors.PositionLostError):
        consumer.commit(event._replace(leaf=bytes(32)))
    with pytest.raises(errors.InvalidRangeError):
        consumer.reset(99)
    assert store.consumers() == []
    consumer.commit(event)
    store.log.transact(
        lambda tx: tx.connection.execute("UPDATE consumers SET leaf = zeroblob(32)"),
        exclusive=True,
    )
    with pytest.raises(errors.PositionLostError):
        store.consumer("c").follow()
    store.consumer("c").reset(9)
    assert positions(store.consumer("c").follow(live=False)) == [10]


def test_what_a_consumer_cannot_be_is_refused(tmp_path: Path, store: SessionStore) -> None:
    for name in ("", "a\n", "x" * 201):
        with pytest.raises(errors.InvalidValueError):
            store.consumer(name)
    with pytest.raises(errors.InvalidValueError):
        store.consumer("c", types="no.such")
    with SessionStore.open(tmp_path / "s.db", readonly=True) as readonly:
        assert readonly.consumers() == []
        with pytest.raises(errors.ReadOnlyStoreError):
            readonly.consumer("c")


def test_a_store_made_before_there_were_consumers_gets_the_table(
    tmp_path: Path, store: SessionStore
) -> None:
    store.log.transact(lambda tx: tx.connection.execute("DROP TABLE consumers"), exclusive=True)
    with SessionStore.open(tmp_path / "s.db", readonly=True) as readonly:
        assert readonly.consumers() == []
    with SessionStore.open(tmp_path / "s.db") as again:
        assert positions(again.consumer("c").follow(live=False)) == list(range(1, 11))


def test_committing_does_not_wake_a_consumer_for_ever(store: SessionStore) -> None:
    """Its own commits are changes of the file, but no events."""
    consumer = store.consumer("c")
    assert positions(consumer.follow(timeout=0.3)) == list(range(1, 11))
    [info] = store.consumers()
    assert (info.position, info.behind) == (10, 0)


# -- asyncio -------------------------------------------------------------------------------------


def test_tasks_consume_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db", durability="normal") as store:
            session = await store.create("a")
            consumer = await store.consumer("c", session=session)
            found = []

            async def consume() -> None:
                async for event in consumer.follow(timeout=30):
                    found.append(event.position)
                    if event.position == 21:
                        await consumer.commit(event)
                        break

            task = asyncio.create_task(consume())
            for number in range(20):
                await session.append("user", str(number))
            await task
            assert found == list(range(1, 22))
            other = await store.consumer("c")
            assert other.place == consumer.place
            assert [event async for event in other.follow(live=False)] == []
            await other.reset(20)
            assert [event.position async for event in other.follow(live=False)] == [21]
            assert [one.behind for one in await store.consumers()] == [0]
            assert await other.drop()

    asyncio.run(main())


# -- the command line ----------------------------------------------------------------------------


def test_the_command_prints_what_is_new_under_a_name(tmp_path: Path, store: SessionStore) -> None:
    words = ["log", "--jsonl", "--consumer", "c", "--db", tmp_path / "s.db"]
    first = run(*words)
    assert [json.loads(line)["position"] for line in first.stdout.splitlines()] == [*range(1, 11)]
    store.create("b")
    second = run(*words)
    assert [json.loads(line)["position"] for line in second.stdout.splitlines()] == [11]
    third = run(*words)
    assert (third.exit_code, third.stdout) == (1, "")
    assert run(*words, "-n", "3").exit_code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for a process")
def test_the_command_follows_under_a_name(tmp_path: Path, store: SessionStore) -> None:
    process = spawn("log", "-f", "--jsonl", "--consumer", "c", "--db", tmp_path / "s.db")
    try:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["position"] for _ in range(10)][-1] == 10
        store.create("b")
        assert json.loads(process.stdout.readline())["position"] == 11
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()
    assert store.consumers()[0].position >= 10


def test_consumers_are_listed_reset_and_dropped(tmp_path: Path, store: SessionStore) -> None:
    db = ["--db", tmp_path / "s.db"]
    assert run("consumers", *db).exit_code == 1
    list(store.consumer("c").follow(live=False))
    assert "c               10       0" in run("consumers", *db).stdout
    done = run("consumers", "--reset", "c", "--to", "7", "--json", *db)
    assert (done.exit_code, json.loads(done.stdout)[0]["position"]) == (0, 7)
    assert run("consumers", "--reset", "c", "--to", "99", *db).exit_code == 1
    assert run("consumers", "--to", "9", *db).exit_code == 2
    assert run("consumers", "--drop", "c", "--json", *db).stdout == "[]\n"
    missing = run("consumers", "--drop", "c", *db)
    assert (missing.exit_code, missing.stdout) == (1, "")
