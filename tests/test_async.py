"""The store for asyncio: nothing lost, nothing doubled, the loop never blocked."""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, clean
from lock_support import hold_lock, let_go

from eventstore import (
    AsyncSession,
    AsyncSessionStore,
    Message,
    Session,
    SessionStore,
    UsageRecorded,
    cancelled_append,
    errors,
)
from eventstore.aio.consumer import AsyncConsumer
from eventstore.consumers.consumer import Consumer
from eventstore.session import commands as do
from eventstore.store.within import StoreWithin
from projections.base import Projection


def within(seconds: float, main: Coroutine[Any, Any, Any]) -> Any:
    """Run it; a test that hangs fails."""

    async def limited() -> Any:
        return await asyncio.wait_for(main, seconds)

    return asyncio.run(limited())


async def outcome_after_cancelling(task: asyncio.Task[Any]) -> errors.AppendCancelledError:
    """What a task that was cancelled while it wrote tells whoever awaits it."""
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    outcome = cancelled_append(caught.value)
    assert outcome is not None
    return outcome


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sync", "own", "extra"),
    [
        (SessionStore, AsyncSessionStore, {"handle"}),
        (Session, AsyncSession, {"wrapped"}),
        (Consumer, AsyncConsumer, set()),
    ],
)
def test_the_names_and_arguments_are_the_same(sync: type, own: type, extra: set[str]) -> None:
    names = {name for cls in sync.__mro__[:-1] for name in vars(cls) if not name.startswith("_")}
    assert {name for name in vars(own) if not name.startswith("_")} - extra == names
    for name in names:
        theirs, ours = inspect.getattr_static(sync, name), inspect.getattr_static(own, name)
        assert inspect.getdoc(ours) or name == "store", name
        if callable(theirs) or isinstance(theirs, classmethod | staticmethod):
            expected = inspect.signature(getattr(sync, name)).parameters
            found = inspect.signature(getattr(own, name)).parameters
            assert list(found) == list(expected), name
            for one, parameter in expected.items():
                assert found[one].kind is parameter.kind, (name, one)
                assert found[one].default == parameter.default, (name, one)


#: What never touches the file, or gives what is iterated or entered.
NOT_AWAITED = {"open", "path", "new_id", "require_own", "events", "follow", "read", "detached",
               "id", "incarnation", "stream", "store", "wrapped", "handle", "place",
               "replay"}  # fmt: skip


@pytest.mark.parametrize("cls", [AsyncSessionStore, AsyncSession, AsyncConsumer])
def test_everything_else_is_awaited(cls: type) -> None:
    for name in vars(cls):
        if not name.startswith("_") and name not in NOT_AWAITED:
            assert inspect.iscoroutinefunction(getattr(cls, name)), name


# -- searching ---------------------------------------------------------------------------------


def test_what_was_appended_is_found_and_counted(tmp_path: Path) -> None:
    async def body() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db") as store:
            a, b = await store.create("a"), await store.create("b")
            await a.append("user", "a needle in a haystack")
            await b.append("user", "another needle")
            found = await store.search("needle", session=a)
            assert [(hit.session_id, hit.seq) for hit in found.hits] == [("a", 1)]
            assert len((await store.search("needle")).hits) == 2
            assert sum(one.messages for one in await store.stats("session")) == 2

    asyncio.run(body())


# -- the whole surface ---------------------------------------------------------------------------


async def write_all(store: AsyncSessionStore) -> AsyncSession:
    """Every command once."""
    a = await store.create("a", title="Title", prompt="Prompt", model="m", key="c")
    assert await a.append("user", "one", key="k") == await a.append("user", "one", key="k") == 1
    assert await a.append_many([Message(role="user", content=str(n)) for n in range(5)]) == [
        2, 3, 4, 5, 6,
    ]  # fmt: skip
    assert await a.compact(1, 2, "note") == 7
    await a.consolidate(7)
    await a.retract(6)
    await a.set_title("Other")
    await a.change_prompt("Be terse.")
    await a.change_model("m2")
    await a.change_configuration({"x": 1})
    await a.advance_round(2)
    await a.suspend_tool_calls({"p": 1}, ["c1"])
    assert await a.pending_tool_calls() == {"p": 1}
    await a.settle_tool_calls()
    await a.record_usage("r", input=3, cost=0.5)
    await a.end("enough")
    await a.reopen()
    await a.archive()
    child = await a.spawn("child")
    other = await store.create("other", parent=a)
    await other.reparent(child)
    fork = await a.fork("fork", at=2)
    assert [one.id for one in await a.children()] == ["child"]
    assert [one.id for one in await a.forks()] == [fork.id]
    await store.execute([(a, do.SetTitle(title="x")), (fork, do.SetTitle(title="y"))])
    return a


async def read_all(store: AsyncSessionStore, a: AsyncSession) -> None:
    assert [m.seq for m in await a.messages()] == [3, 4, 5]
    assert len(await a.history(after=1, limit=3)) == 3
    assert (await a.message(1)).text == "one"  # type: ignore[union-attr]
    assert (await a.chat())[0] == {"role": "system", "content": "Be terse."}
    assert (await a.title(), await a.prompt(), await a.configuration()) == (
        "x", "Be terse.", {"x": 1},
    )  # fmt: skip
    assert (await a.state()).version == await a.version() == (await a.info()).version
    assert await a.name() == a.id == "a"
    assert (await a.usage()).input == 3
    assert set(await a.usage_by("key")) == {"r"}
    assert len(await a.compactions()) == 1
    assert await a.tool_calls() == []
    own = [event.version async for event in a.events()]
    assert own == list(range(1, await a.version() + 1))
    positions = [event.position async for event in store.events(content=False)]
    assert positions == list(range(1, (await store.head()).position + 1))
    assert (await store.get("nobody"), (await store.find("chi")).id) == (None, "child")
    assert (await store.session_of(a.stream)).id == (await store.session("a")).id
    assert [one.id for one in await store.sessions_with_prefix("f")] == ["fork"]
    assert {info.name for info in await store.sessions(parent=a)} == {"child"}


@pytest.mark.parametrize("memory", [False, True])
def test_every_method_does_what_the_synchronous_one_does(tmp_path: Path, memory: bool) -> None:
    async def main() -> None:
        path = ":memory:" if memory else tmp_path / "s.db"
        async with AsyncSessionStore.open(path, projections=[Tally]) as store:
            a = await write_all(store)
            await read_all(store, a)
            assert await store.catch_up("tally") == 0
            async with store.read("tally") as reader:
                assert await reader.execute("SELECT count(*) FROM tally") == [(1,)]
            assert store.detached() == {}
            assert (await a.erase_events([2])).complete
            assert await a.close() == ["a", "child", "other"]
            assert (await a.erase()).positions
            assert await store.finish_erasures()
            assert "sessions" in await store.rebuild()
            assert await store.check() == []
            assert await store.verify() == []
            await store.close()
            with pytest.raises(errors.StoreClosedError):
                await a.append("user", "too late")
            with pytest.raises(errors.StoreClosedError):
                await store.head()

    within(60, main())


class Tally(Projection):
    """Counts usage records."""

    name = "tally"
    tables = ("tally",)
    schema = "CREATE TABLE {tally} (position INTEGER PRIMARY KEY) STRICT"

    def apply(self, connection: Any, events: Any) -> None:
        for recorded in events:
            if isinstance(recorded.event, UsageRecorded):
                connection.execute(self.sql("INSERT INTO {tally} VALUES (?)"), (recorded.position,))


def test_a_refused_command_fails_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with await AsyncSessionStore.open(tmp_path / "s.db") as store:
            a = await store.create("a")
            calls = [a.append("user", str(n)) if n % 3 else a.retract(99) for n in range(30)]
            done = await asyncio.gather(*calls, return_exceptions=True)
            refused = [one for one in done if isinstance(one, errors.UnknownMessageError)]
            assert len(refused) == 10
            assert sorted(one for one in done if isinstance(one, int)) == list(range(1, 21))
            with pytest.raises(TypeError):
                await a.append("user", "x", no_such_argument=1)  # type: ignore[call-arg]
            with pytest.raises(errors.SessionExistsError):
                await store.create("a")
            with pytest.raises(errors.InvalidValueError):
                async with AsyncSessionStore.open(":memory:") as other:
                    await other.create("b", parent=a)

    within(60, main())


def test_a_store_that_cannot_be_opened_says_so_and_a_read_only_one_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(errors.StoreMissingError):
            await AsyncSessionStore.open(tmp_path / "none.db", create=False)
        await (await AsyncSessionStore.open(tmp_path / "s.db")).close()
        async with AsyncSessionStore.open(tmp_path / "s.db", readonly=True) as store:
            with pytest.raises(errors.ReadOnlyStoreError):
                await store.create("a")

    within(60, main())


# -- many tasks ----------------------------------------------------------------------------------


def check_stored(path: Path, answered: dict[int, str], refused: set[str], count: int) -> None:
    """What was answered is there, once, where it was said to be; what was withdrawn is not."""
    with SessionStore.open(path) as store:
        stored = {message.seq: message.text for message in store.session("a").history()}
        assert list(stored) == list(range(1, len(stored) + 1))
        assert {seq: stored[seq] for seq in answered} == answered
        times = Counter(stored.values())
        assert set(times.values()) <= {1}
        assert not refused & set(times)
        assert len(stored) == count - len(refused)
        clean(store)


def test_a_thousand_tasks_of_which_some_are_cancelled(tmp_path: Path) -> None:
    path, chance = tmp_path / "s.db", random.Random(3)
    answered: dict[int, str] = {}
    withdrawn: set[str] = set()
    groups = 0

    async def append(session: AsyncSession, text: str) -> None:
        try:
            answered[await session.append("user", text)] = text
        except asyncio.CancelledError as cancelled:
            outcome = cancelled_append(cancelled)
            if outcome is not None and outcome.stored:
                answered[outcome.result] = text
            elif outcome is not None and outcome.stored is False:
                withdrawn.add(text)
            raise

    async def main() -> None:
        nonlocal groups
        async with AsyncSessionStore.open(path) as store:
            session = await store.create("a")
            run = store.wrapped.log._group._run

            def counted(take: Any) -> None:
                nonlocal groups
                groups += 1
                run(take)

            store.wrapped.log._group._run = counted  # type: ignore[method-assign]
            tasks = [asyncio.create_task(append(session, f"t{n}")) for n in range(1000)]
            for task in chance.sample(tasks, 300):
                await asyncio.sleep(0 if chance.random() < 0.9 else 0.002)
                task.cancel()
                if chance.random() < 0.2:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    within(120, main())
    never_begun = 1000 - len(answered) - len(withdrawn)
    assert 0 <= never_begun <= 300
    assert 0 < groups < 500, "the tasks did not share commits"
    check_stored(path, answered, withdrawn, 1000 - never_begun)


def test_no_task_is_answered_before_its_commit(tmp_path: Path) -> None:
    """Another connection sees what was answered, at once."""
    path = tmp_path / "s.db"

    async def main() -> None:
        async with AsyncSessionStore.open(path) as store:
            session = await store.create("a")
            with SessionStore.open(path, readonly=True) as outside:
                seen = outside.session("a")

                async def append(n: int) -> None:
                    seq = await session.append("user", str(n))
                    assert seen.version > seq

                await asyncio.gather(*(append(n) for n in range(budget(200))))

    within(60, main())


def test_two_loops_in_two_threads_and_threads_without_one_share_a_store(tmp_path: Path) -> None:
    path, each = tmp_path / "s.db", budget(150)
    answered: dict[int, str] = {}
    failures: list[BaseException] = []

    with SessionStore.open(path) as store:
        plain = store.create("a")
        shared = AsyncSessionStore(store)

        async def tasks(name: str) -> None:
            session = await shared.session("a")

            async def append(n: int) -> None:
                answered[await session.append("user", f"{name}{n}")] = f"{name}{n}"

            await asyncio.gather(*(append(n) for n in range(each)))

        def loop(name: str) -> None:
            try:
                within(60, tasks(name))
            except BaseException as error:
                failures.append(error)

        def without(name: str) -> None:
            for n in range(each // 3):
                answered[plain.append("user", f"{name}{n}")] = f"{name}{n}"

        threads = [threading.Thread(target=loop, args=(name,)) for name in ("x", "y")]
        threads += [threading.Thread(target=without, args=(name,)) for name in ("p", "q")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
            assert not thread.is_alive()
        asyncio.run(shared.close())
    assert failures == []
    check_stored(path, answered, set(), 2 * each + 2 * (each // 3))


# -- cancelling ----------------------------------------------------------------------------------


def test_what_was_not_taken_is_withdrawn_while_another_process_holds_the_lock(
    tmp_path: Path,
) -> None:
    """And the loop goes on ticking, and reads are answered."""
    path = tmp_path / "s.db"

    async def main() -> None:
        async with AsyncSessionStore.open(path) as store:
            session = await store.create("a")
            holder = await asyncio.to_thread(hold_lock, path)
            waiting = [asyncio.create_task(session.append("user", str(n))) for n in range(20)]
            ticks = 0
            for _ in range(30):
                await asyncio.sleep(0.01)
                ticks += 1
            assert ticks == 30
            assert not any(task.done() for task in waiting)
            assert await session.history() == []
            for task in waiting[::2]:
                task.cancel()
            for task in waiting[::2]:
                assert (await outcome_after_cancelling(task)).stored is False
            with pytest.raises(TimeoutError) as timed:
                async with asyncio.timeout(0.05):
                    await session.append("user", "timed out")
            outcome = cancelled_append(timed.value)
            assert outcome is not None
            assert outcome.stored is False
            await asyncio.to_thread(let_go, holder)
            assert sorted(await asyncio.gather(*waiting[1::2])) == list(range(1, 11))
            assert {m.text for m in await session.history()} == {str(n) for n in range(1, 20, 2)}

    within(60, main())


@pytest.mark.parametrize("refused", [False, True])
def test_what_was_taken_is_waited_for_and_says_what_became_of_it(
    tmp_path: Path, refused: bool
) -> None:
    async def main() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db") as store:
            session = await store.create("a")
            begun, go = threading.Event(), threading.Event()

            def work(transaction: Any) -> str:
                begun.set()
                assert go.wait(30)
                if refused:
                    raise errors.InvalidValueError("no")
                StoreWithin(store.wrapped, transaction).create("b")
                return "result"

            task = asyncio.create_task(store.threads.transact(work))
            await asyncio.to_thread(begun.wait)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0.01)
                assert not task.done()
            go.set()
            outcome = await outcome_after_cancelling(task)
            assert outcome.stored is not refused
            assert outcome.result == (None if refused else "result")
            assert isinstance(outcome.error, errors.InvalidValueError) is refused
            assert (await store.get("b") is None) is refused
            assert await session.append("user", "goes on") == 1

    within(60, main())


def test_a_cancelled_erasure_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db") as store:
            session = await store.create("a")
            await session.append("user", "secret")
            task = asyncio.create_task(session.erase_events([2]))
            await asyncio.sleep(0)
            task.cancel()
            outcome = await outcome_after_cancelling(task)
            assert outcome.stored is (await session.history())[0].erased

    within(60, main())


# -- the loop ------------------------------------------------------------------------------------


def test_the_loop_ticks_while_appends_are_synced_to_disk(tmp_path: Path) -> None:
    """The loop's thread is never the one that commits."""

    async def main() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db", durability="full") as store:
            session = await store.create("a")
            here = threading.get_ident()
            committed: set[int] = set()
            run = store.wrapped.log._group._run

            def told(take: Any) -> None:
                committed.add(threading.get_ident())
                run(take)

            store.wrapped.log._group._run = told  # type: ignore[method-assign]
            done, ticks = False, 0

            async def tick() -> None:
                nonlocal ticks
                while not done:
                    await asyncio.sleep(0)
                    ticks += 1

            ticker = asyncio.create_task(tick())
            for n in range(50):
                await session.append("user", str(n))
            done = True
            await ticker
            assert committed
            assert here not in committed
            assert ticks > 50

    within(60, main())


def test_a_loop_that_ends_leaves_the_others_alone(tmp_path: Path) -> None:
    """Its tasks are cancelled when it ends; another loop goes on with the same store."""
    with SessionStore.open(tmp_path / "s.db") as store:
        shared = AsyncSessionStore(store)
        store.create("a")

        async def leave() -> None:
            session = await shared.session("a")
            left = [asyncio.create_task(session.append("user", str(n))) for n in range(50)]
            await asyncio.sleep(0)
            assert left

        async def go_on() -> int:
            return await (await shared.session("a")).append("user", "last")

        within(30, leave())
        deadline = time.monotonic() + 30
        seq = within(30, go_on())
        assert time.monotonic() < deadline
        texts = [message.text for message in store.session("a").history()]
        assert texts[-1] == "last"
        assert len(texts) == seq == len(set(texts))
        asyncio.run(shared.close())
        asyncio.run(shared.close())
