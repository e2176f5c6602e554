"""A read as of a point in the past gives what was true then, whatever happened since."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from asof_support import (
    START,
    Folded,
    Operation,
    apply,
    counts,
    operations,
    prefix,
    read_at,
    round_of,
    store_of,
    time_of,
)
from engine_support import budget, populated, ticking
from hypothesis import HealthCheck, given, settings
from import_samples import data_folder, import_one

from eventstore import AsyncSessionStore, At, Session, SessionStore, snapshots
from eventstore.errors import InvalidRangeError, InvalidValueError, UnknownMessageError

quick = settings(
    max_examples=budget(60),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
times = st.lists(st.integers(0, 40), max_size=60)


def run(store: SessionStore, history: list[Operation]) -> list[Session]:
    sessions: list[Session] = []
    apply(store, sessions, ("round", 0, 0, 0))
    for operation in history:
        apply(store, sessions, operation)
    return sessions


def expected_at(session: Session, version: int) -> dict[str, Any]:
    events = session.events(upto=version) if version else ()
    return Folded(session.store, events).read()  # type: ignore[arg-type]


# -- points of one session -----------------------------------------------------------------------


@quick
@given(history=operations, clock=times)
def test_every_version_reads_as_the_fold_of_its_beginning(
    history: list[Operation], clock: list[int]
) -> None:
    with store_of(clock) as store:
        for session in run(store, history):
            for version in range(session.version + 1):
                assert read_at(session, version) == expected_at(session, version)
                assert session.version_at(At.version(version)) == version
            assert read_at(session, session.version) == read_at(session, None)


@quick
@given(history=operations, clock=times)
def test_points_are_the_versions_that_they_are_defined_to_be(
    history: list[Operation], clock: list[int]
) -> None:
    with store_of(clock) as store:
        for session in run(store, history):
            events = list(session.events())
            for position in range(store.head.position + 1):
                before = sum(1 for event in events if event.position <= position)
                assert session.version_at(At.position(position)) == before
            rounds = [round_of(event) for event in events]
            for number in range(rounds[0], max(rounds) + 1):
                beyond = [n for n, found in enumerate(rounds) if found > number]
                assert session.version_at(At.round(number)) == (beyond or [len(events)])[0]
            moments = {time_of(event) for event in events}
            for moment in {around for one in moments for around in (one - 1, one, one + 1)}:
                assert session.version_at(At.time(moment)) == prefix(events, moment)
            reached: set[int] = set()
            for version in range(1, len(events) + 1):
                seqs = Folded(store, events[:version]).seqs
                for seq in seqs - reached:
                    assert session.version_at(At.seq(seq)) == version
                reached = seqs
            for compaction in session.compactions():
                before, after = (
                    At.before_compaction(compaction.number), At.after_compaction(compaction.number)
                )  # fmt: skip
                assert session.version_at(before) == compaction.version - 1
                assert session.version_at(after) == compaction.version


@settings(quick, max_examples=budget(20))
@given(history=operations, later=operations, clock=times)
def test_what_is_appended_after_a_point_never_changes_the_answer(
    history: list[Operation], later: list[Operation], clock: list[int]
) -> None:
    with store_of(clock) as store:
        sessions = run(store, history)
        kept = []
        for session in sessions:
            moments = [START + step * 1_000 for step in range(42)]
            points = [
                *map(At.version, range(session.version + 1)),
                *map(At.position, range(store.head.position + 1)),
                *(At.seq(message.seq) for message in session.history()),
                *(At.time(one) for one in moments
                  if session.version_at(At.time(one)) < session.version),
            ]  # fmt: skip
            kept += [(session, point, read_at(session, point)) for point in points]
        for operation in later:
            apply(store, sessions, operation)
        for session, point, before in kept:
            assert read_at(session, point) == before, point


def test_a_fork_can_begin_at_any_point() -> None:
    with populated(":memory:") as store:
        root = store.session("root")
        for number, point in enumerate([At.seq(3), At.position(7), At.before_compaction(1)]):
            fork = root.fork(f"fork-{number}", at=point)
            assert fork.state().origin_version == root.version_at(point)
            assert [m.seq for m in fork.messages()] == [m.seq for m in root.messages(point)]


def test_tasks_read_and_fork_at_any_point(tmp_path: Path) -> None:
    async def body() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db") as store:
            session = await store.create("s")
            for text in ("one", "two", "three"):
                await session.append("user", text)
            fork = await session.fork("f", at=At.seq(2))
            assert [one.text for one in await fork.messages()] == ["one", "two"]
            assert await session.version_at(At.seq(2)) == 3
            assert (await session.context(At.seq(1))).sent == await session.chat(2)
            [listed] = await store.sessions(at=At.position(3))
            assert (listed.name, listed.messages) == ("s", 2)
            assert (await session.info(At.seq(2))) == listed

    asyncio.run(body())


def test_usage_of_a_family_is_what_it_had_recorded_by_then(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        root = store.create("root")
        root.record_usage("a", input=1, model="m")
        child = root.spawn("child")
        child.record_usage("a", input=10, model="n")
        then = store.head.position
        child.record_usage("a", input=100, model="n")
        root.record_usage("a", input=1000, model="m")
        assert root.usage(At.position(then), lineage=True).input == 11
        assert root.usage(root.version - 1, lineage=True).input == 1
        assert root.usage(lineage=True).input == 1100
        assert {
            model: one.input for model, one in
            root.usage_by("model", At.position(then), lineage=True).items()
        } == {"m": 1, "n": 10}  # fmt: skip


def test_a_time_may_be_a_datetime() -> None:
    with SessionStore.open(":memory:", clock=ticking(START, 1_000_000)) as store:
        session = store.create("s")
        for text in "abc":
            session.append("user", text)
        third = list(session.events())[2]
        moment = datetime.fromtimestamp(third.recorded_at / 1_000_000, UTC)
        assert session.version_at(At.time(moment)) == 3
        assert session.version_at(At.time(moment.astimezone().replace(tzinfo=None))) == 3


@pytest.mark.parametrize("damaged", ["version % 20 < 10", "1"])
def test_damaged_snapshots_change_no_answer(damaged: str) -> None:
    with store_of(()) as store:
        session = store.create("s")
        for number in range(100):
            session.append("user", str(number))
        moments = [event.recorded_at for event in session.events()]
        with store.log.reader() as connection:
            assert len(snapshots.versions(connection, session.stream)) > 5
        damage = f"UPDATE snapshots SET state = x'00' WHERE {damaged}"
        store.log.transact(lambda tx: tx.connection.execute(damage).fetchall(), exclusive=True)
        for version, moment in enumerate(moments, 1):
            assert session.version_at(At.time(moment)) == version


@pytest.mark.parametrize(
    ("point", "words"),
    [
        (At.version(31), "has versions 0 to 30, not 31"),
        (At.position(48), "the log has positions 0 to 47, not 48"),
        (At.position(-1), "the log has positions 0 to 47, not -1"),
        (At.seq(9), "has no message 9; it has none below 1 and none above 7"),
        (At.round(4), "has rounds up to 3, it has not reached 4"),
        (At.round(-1), "a whole number from 0, not -1"),
        (At.before_compaction(2), "has compactions 1 to 1, not 2"),
    ],
)
def test_a_point_that_is_not_there_is_refused_with_the_range_there_is(
    point: At, words: str
) -> None:
    with populated(":memory:") as store:
        for read in (store.session("root").messages, store.session("root").usage):
            with pytest.raises((InvalidRangeError, UnknownMessageError), match=words):
                read(point)


def test_a_round_before_a_fork_began_is_refused() -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        session.advance_round(5)
        fork = session.fork("f")
        with pytest.raises(InvalidRangeError, match="begins in a later one"):
            fork.messages(At.round(4))
        assert fork.version_at(At.round(5)) == 1


def test_a_point_is_a_whole_number() -> None:
    for value in ("3", 3.0, True, None):
        with pytest.raises(InvalidValueError, match="whole number"):
            At.seq(value)  # type: ignore[arg-type]


def test_erased_text_is_gone_from_the_past_too() -> None:
    with populated(":memory:") as store:
        root = store.session("root")
        heads = range(root.version + 1)
        root.erase()
        for version in heads:
            messages = root.messages(version)
            assert all(message.erased and message.text is None for message in messages)
            assert root.title(version) is None
            assert root.prompt(version) is None
            assert root.configuration(version) is None
            assert root.pending_tool_calls(version) is None
        for position in range(store.head.position + 1):
            for info in store.sessions(at=At.position(position), statuses=None):
                if info.name == root.name:
                    assert (info.title, info.preview) == (None, None)


# -- the list of sessions ------------------------------------------------------------------------


@quick
@given(history=operations, clock=times)
def test_the_list_as_of_a_position_is_the_list_that_the_store_had(
    history: list[Operation], clock: list[int]
) -> None:
    with store_of(clock) as store:
        sessions: list[Session] = []
        had: dict[int, Any] = {0: []}
        for operation in [("round", 0, 0, 0), *history]:
            apply(store, sessions, operation)
            had[store.head.position] = store.sessions(statuses=None)
        for position, listed in had.items():
            point = At.position(position)
            assert store.sessions(at=point, statuses=None) == listed
            assert store.sessions(at=point) == [one for one in listed if one.status != "closed"]
            ended = [one for one in listed if one.status == "ended"]
            assert store.sessions(at=point, statuses="ended") == ended
            assert store.sessions(at=point, statuses=None, limit=2, offset=1) == listed[1:3]
            for one in listed:
                assert store.session(one.name).info(point) == one
            for parent in sessions[:1]:
                below = [one for one in listed if one.parent == parent.name]
                assert store.sessions(at=point, statuses=None, parent=parent) == below


@quick
@given(history=operations, clock=times)
def test_the_list_as_of_a_time_is_that_of_the_last_position_with_nothing_later(
    history: list[Operation], clock: list[int]
) -> None:
    with store_of(clock) as store:
        run(store, history)
        events = list(store.events())
        for moment in {START - 1, *(time_of(event) for event in events if counts(event))}:
            position = prefix(events, moment)
            listed = store.sessions(at=At.position(position), statuses=None)
            assert store.sessions(at=At.time(moment), statuses=None) == listed
        everything = At.time(max(map(time_of, events)))
        assert store.sessions(at=everything, statuses=None) == store.sessions(statuses=None)


def test_every_kind_of_session_is_listed_as_it_was(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        now = At.position(store.head.position)
        assert store.sessions(at=now, statuses=None) == store.sessions(statuses=None)
        closed = next(e for e in store.events() if type(e.event).__name__ == "SessionClosed")
        before = store.sessions(at=At.position(closed.position - 1))
        assert "gone~1" in [info.name for info in before]  # the name that finds it now
        assert "gone~1" not in [info.name for info in store.sessions(at=now)]


@pytest.mark.parametrize("point", [At.version(3), At.seq(1), 3])
def test_the_list_takes_positions_and_times_only(point: Any) -> None:
    with populated(":memory:") as store, pytest.raises(InvalidValueError, match=r"At\.position"):
        store.sessions(at=point)


# -- real sessions -------------------------------------------------------------------------------


def test_points_of_a_real_session_read_as_the_fold_of_its_beginning(tmp_path: Path) -> None:
    folder = data_folder("entire-claude-code")
    path = max(folder.glob("*.jsonl"), key=lambda one: one.stat().st_size)
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        import_one(store, path)
        session = store.session(max(store.sessions(), key=lambda one: one.version).name)
        events = list(session.events())
        for number in range(10):
            version = (number * 7919 + 13) % len(events)
            event = events[version - 1]
            assert read_at(session, version) == expected_at(session, version)
            assert session.version_at(At.position(event.position)) == version
            moment = time_of(event)
            assert session.version_at(At.time(moment)) == prefix(events, moment)
