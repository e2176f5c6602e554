"""Following: every event once, in order, whoever commits it; and `eventstore log --follow`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from cli_support import run, spawn
from engine_support import budget, populated
from hypothesis import given, settings

from eventstore import AsyncSessionStore, SessionStore, errors
from eventstore.events.stored import CLASSES, name_of
from eventstore.log import reading
from eventstore.log.entry import ZEROS
from eventstore.log.port import Head

#: Appends to a session of its own, and opens the store anew now and then.
WRITER = """
import sys
from eventstore import SessionStore
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for start in range(0, count, 10):
    with SessionStore.open(path, durability="normal") as store:
        session = store.get(name) or store.create(name)
        for number in range(start, min(start + 10, count)):
            session.append("user", str(number))
"""


#: A store with events of every type, which nobody changes.
EVERYTHING = populated(":memory:")


def write(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(count)])


def positions(events: Any) -> list[int]:
    return [recorded.position for recorded in events]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as opened:
        yield opened


# -- what is followed ----------------------------------------------------------------------------


def test_a_follower_that_is_not_live_ends_at_the_head(store: SessionStore) -> None:
    a, b = store.create("a", title="A"), store.create("b")
    for number in range(600):
        (a if number % 2 else b).append("user", str(number))
    everything = list(store.events())
    assert list(store.follow(live=False)) == everything
    assert list(store.follow(100, live=False)) == everything[100:]
    assert list(store.follow(100, session=b, live=False)) == [
        event for event in everything[100:] if event.stream == b.stream
    ]
    assert positions(store.follow(types="session.created", live=False)) == [1, 3]
    assert positions(store.follow(types=["title.set", "x.a.b"], session=a, live=False)) == [2]
    bare = next(store.follow(session=b, types="message.appended", content=False, live=False))
    assert bare.event.content is None


@settings(max_examples=budget(60), deadline=None, database=None)
@given(
    st.sets(st.sampled_from([*CLASSES, "x.acme.moved", "x.a.b"])),
    st.integers(1, 7), st.integers(1, 9), st.integers(0, 40), st.booleans(), st.booleans(),
)  # fmt: skip
def test_choosing_types_gives_the_events_of_these_types_wherever_a_page_ends(
    types: set[str], page: int, stretch: int, after: int, one: bool, content: bool
) -> None:
    session = EVERYTHING.session("root") if one else None
    every = EVERYTHING.follow(after, session=session, content=content, live=False)
    expected = [recorded for recorded in every if name_of(recorded.event) in types]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE", page)
        patch.setattr(reading, "STRETCH", stretch)
        found = EVERYTHING.follow(
            after, types=list(types), session=session, content=content, live=False
        )
        assert list(found) == expected


def test_events_of_other_types_are_not_decoded(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = store.create("a", title="A")
    for number in range(20):
        session.append("user", str(number))
    decoded = []
    event_reader = reading.event_reader

    def counting(fetch: reading.Fetch) -> reading.Read:
        read = event_reader(fetch)

        def counted(position: int, *columns: Any) -> Any:
            decoded.append(position)
            return read(position, *columns)

        return counted

    monkeypatch.setattr(reading, "event_reader", counting)
    assert positions(store.follow(types="title.set", live=False)) == decoded == [2]


def test_what_cannot_be_followed_is_refused_at_once(store: SessionStore) -> None:
    session = store.create("a")
    session.append("user", "x")
    head = store.head
    assert list(store.follow(head, live=False)) == []
    assert positions(store.follow(Head(0, ZEROS), live=False)) == [1, 2]
    with pytest.raises(errors.InvalidRangeError):
        store.follow(3)
    with pytest.raises(errors.InvalidRangeError):
        store.follow(-1)
    with pytest.raises(errors.PositionLostError):
        store.follow(Head(1, head.leaf))
    with pytest.raises(errors.PositionLostError):
        store.follow(Head(99, head.leaf))
    with pytest.raises(errors.InvalidValueError):
        store.follow(types=["message.append"])


@pytest.mark.parametrize("memory", [False, True])
def test_a_follower_waits_for_events_of_its_own_process(tmp_path: Path, memory: bool) -> None:
    with SessionStore.open(":memory:" if memory else tmp_path / "s.db") as store:
        session = store.create("a")

        def append() -> None:
            for number in range(50):
                session.append("user", str(number))

        thread = threading.Thread(target=append)
        thread.start()
        found = list(islice(store.follow(timeout=30), 51))
        thread.join()
        assert positions(found) == list(range(1, 52))
        began = time.monotonic()
        assert list(store.follow(51, timeout=0.05)) == []
        assert time.monotonic() - began >= 0.05
        assert positions(store.follow(50, timeout=0)) == [51]


def test_a_follower_sees_events_of_other_processes_once_and_in_order(
    tmp_path: Path, store: SessionStore
) -> None:
    """Across their closing and opening of the file, and its own."""
    count = budget(60)
    writers = [write(tmp_path / "s.db", name, count) for name in ("a", "b")]
    total = 2 * (count + 1)
    found = list(islice(store.follow(timeout=60), total // 2))
    place = Head(found[-1].position, found[-1].leaf)
    with SessionStore.open(tmp_path / "s.db", readonly=True) as again:
        found += islice(again.follow(place, timeout=60), total - len(found))
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert positions(found) == list(range(1, total + 1))
    assert found == list(store.events())


def test_closing_the_store_ends_its_followers(store: SessionStore) -> None:
    ended: list[BaseException] = []

    def follow() -> None:
        try:
            list(store.follow())
        except errors.StoreClosedError as error:
            ended.append(error)

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    store.create("a")
    store.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert len(ended) == 3


def test_nothing_is_left_behind_when_nobody_follows_any_more(store: SessionStore) -> None:
    """One thread looks for all followers, it ends with the last one, and holds no snapshot."""

    def named() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "eventstore-watch"}

    # Those of other stores may end at any moment, so only threads that are new are counted.
    before = named()

    def watching() -> int:
        return len(named() - before)

    store.create("a")
    followers = [store.follow(timeout=30) for _ in range(5)]
    assert [next(follower).position for follower in followers] == [1] * 5
    assert watching() == 1
    assert store.log.truncate_wal() == (True, None)
    for follower in followers:
        follower.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 30
    while watching():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no os.kill with SIGINT")
def test_ctrl_c_ends_a_follower_at_once(store: SessionStore) -> None:
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        list(store.follow(timeout=60))
    timer.join()
    assert store.create("a").append("user", "goes on") == 1


# -- asyncio -------------------------------------------------------------------------------------


def test_many_tasks_follow_while_others_append(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db", durability="normal") as store:
            sessions = [await store.create(name) for name in ("a", "b")]

            async def follow(count: int, **options: Any) -> list[int]:
                found = []
                async for event in store.follow(timeout=60, **options):
                    found.append(event.position)
                    if len(found) == count:
                        break
                return found

            async def append(number: int) -> None:
                await sessions[number % 2].append("user", str(number))

            following = [asyncio.create_task(follow(108)) for _ in range(20)]
            chosen = follow(50, session=sessions[0], types="message.appended")
            alone = asyncio.create_task(chosen)
            await asyncio.gather(*(append(number) for number in range(100)))
            other = await asyncio.to_thread(write, tmp_path / "s.db", "c", 5)
            for one in await asyncio.gather(*following):
                assert one == list(range(1, 109))
            assert len(await alone) == 50
            assert await asyncio.to_thread(other.wait, 60) == 0
            assert len([event async for event in store.follow(102, live=False)]) == 6

    asyncio.run(main())


def test_an_asynchronous_follower_ends_with_its_store_or_its_task(tmp_path: Path) -> None:
    async def main() -> None:
        store = await AsyncSessionStore.open(tmp_path / "s.db")

        async def follow() -> None:
            async for _ in store.follow():
                pass

        cancelled, closed = asyncio.create_task(follow()), asyncio.create_task(follow())
        await asyncio.sleep(0.05)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await store.close()
        with pytest.raises(errors.StoreClosedError):
            await asyncio.wait_for(closed, 30)
        with pytest.raises(errors.StoreClosedError):
            await follow()

    asyncio.run(main())


# -- the command line ----------------------------------------------------------------------------


def lines_of(process: subprocess.Popen[bytes], count: int) -> list[bytes]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for a process")
def test_the_command_prints_each_event_as_it_is_stored_until_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        a, b = store.create("a"), store.create("b")
        a.append("user", "one")
        everything = spawn("log", "-f", "-n", "2", "--jsonl", "--db", path)
        only_b = spawn("log", "--follow", "b", "--content", "--db", path)
        try:
            assert [json.loads(line)["position"] for line in lines_of(everything, 2)] == [2, 3]
            assert b"session.created" in lines_of(only_b, 2)[0]
            for number in range(5):
                (b if number % 2 else a).append("user", f"text {number}")
                assert json.loads(lines_of(everything, 1)[0])["position"] == 4 + number
            shown = lines_of(only_b, 4)
            assert [b"text 1" in shown[1], b"text 3" in shown[3]] == [True, True]
            for process in (everything, only_b):
                process.send_signal(signal.SIGINT)
                rest, said = process.communicate(timeout=30)
                assert (process.returncode, rest) == (130, b"")
                assert b"interrupted" in said
                assert b"Traceback" not in said
        finally:
            for process in (everything, only_b):
                if process.poll() is None:
                    process.kill()
                    process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for a process")
def test_the_command_waits_where_nothing_matches_yet(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        session = store.create("a")
        time.sleep(0.01)
        following = spawn("log", "-f", "--since", "0s", "--jsonl", "--db", path)
        try:
            deadline = time.monotonic() + 60
            found: list[bytes] = []
            reader = threading.Thread(target=lambda: found.extend(lines_of(following, 1)))
            reader.start()
            while not found:  # until the command has begun, what is stored is before it
                session.append("user", "x")
                time.sleep(0.1)
                assert time.monotonic() < deadline
            reader.join()
            assert json.loads(found[0])["type"] == "message.appended"
        finally:
            following.kill()
            following.communicate()


def test_an_array_cannot_be_followed(tmp_path: Path) -> None:
    SessionStore.open(tmp_path / "s.db").close()
    done = run("log", "-f", "--json", "--db", tmp_path / "s.db")
    assert done.exit_code == 2
    assert "--jsonl" in done.output
