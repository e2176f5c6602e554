"""Activities: numbered by kind, found by their words, derived from the log and nothing else."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import apsw
import pytest
from engine_support import budget, clean, populated, ticking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import AsyncSessionStore, SessionStore, errors
from eventstore.events import catalogue as ev
from eventstore.log.port import Recorded
from eventstore.session.commands import Create
from eventstore.store.activities import ACTIVITY_KINDS, Placed, record
from projections.activities.projection import KINDS, Activities

TYPES: list[type[ev.Activity]] = [kind for kind in KINDS if issubclass(kind, ev.Activity)]


def did(kind: type[ev.Activity], subject: str | None = None, **facts: Any) -> ev.Activity:
    return kind(content=ev.ActivityContent(subject=subject, data={"n": 1}), **facts)


def found(store: SessionStore, query: str, **options: Any) -> list[str | None]:
    return [one.subject for one in store.search_activities(query, **options).hits]


def test_the_kinds_are_the_activities_of_the_catalogue() -> None:
    every = {cls for cls in ev.CATALOGUE if issubclass(cls, ev.Activity)}
    assert set(KINDS) == every
    assert ACTIVITY_KINDS == ("tool", "file", "issue", "loop", "correction")


def test_activities_come_newest_first_with_their_text() -> None:
    with SessionStore.open(":memory:", clock=ticking()) as store:
        a, b = store.create("a"), store.create("b")
        a.add_event(did(ev.ToolCalled, "Bash", call_id="c1"))
        b.add_event(did(ev.FileTouched, "src/a.py", operation="edit", occurred_at=5))
        a.append("user", "hello")
        a.add_event(did(ev.ToolCalled, "Read"))
        newest, file, oldest = store.activities()
        assert (newest.kind, newest.number, newest.subject) == ("tool", 2, "Read")
        assert (file.session, file.at, file.data) == ("b", 5, {"n": 1})
        assert isinstance(oldest.event, ev.ToolCalled)
        assert (oldest.event.call_id, oldest.number, oldest.session) == ("c1", 1, "a")
        assert [one.number for one in store.activities("tool")] == [2, 1]
        assert store.activities("loop") == []
        assert len(store.activities(limit=-1)) == 3
        assert [one.subject for one in store.activities(limit=1)] == ["Read"]
        clean(store)


def test_another_kind_is_refused() -> None:
    with SessionStore.open(":memory:") as store:
        for act in (lambda: store.activities("message"),
                    lambda: store.search_activities("x", kind="root")):  # fmt: skip
            with pytest.raises(errors.InvalidValueError, match="tool, file, issue"):
                act()


def test_words_are_found_as_a_person_types_them() -> None:
    with SessionStore.open(":memory:") as store:
        a = store.create("a")
        for subject in ("fix the café", "src/my.app", "東京都庁", "it's"):
            a.add_event(did(ev.IssueMoved, subject))
        a.add_event(did(ev.LoopMoved, "fix"))
        assert found(store, "cafe") == ["fix the café"]
        assert found(store, "my.app") == ["src/my.app"]
        assert found(store, "京都") == ["東京都庁"]
        assert found(store, "it's") == ["it's"]
        assert found(store, "fix") == ["fix", "fix the café"]
        assert found(store, "fix", kind="issue") == ["fix the café"]
        assert found(store, "fix", newest=True, limit=1) == ["fix"]
        assert found(store, "fix NOT cafe") == ["fix"]
        for nothing in ("", '"', "*", "zebra", "NOT"):
            assert found(store, nothing) == []


def test_fts5_syntax_is_asked_for_by_name() -> None:
    with SessionStore.open(":memory:") as store:
        store.create("a").add_event(did(ev.LoopMoved, "fix 東京都庁"))
        assert found(store, "f* AND content:京都", syntax="fts5") == ["fix 東京都庁"]
        with pytest.raises(errors.InvalidQueryError, match="no such column"):
            store.search_activities("BUG-490", syntax="fts5")
        with pytest.raises(errors.InvalidValueError, match="words, fts5"):
            store.search_activities("x", syntax="sql")


def test_messages_do_not_change_the_rank_of_activities() -> None:
    scores = []
    for messages in (0, 50):
        with SessionStore.open(":memory:") as store:
            a = store.create("a")
            a.add_event(did(ev.LoopMoved, "alpha beta"))
            a.add_event(did(ev.LoopMoved, "gamma"))
            for _ in range(messages):
                a.append("user", "alpha")
            scores.append(store.search_activities("alpha").hits[0].score)
            assert len(store.search("alpha").hits) == min(messages, 20)
    assert scores[0] == scores[1]


def test_an_empty_subject_counts_among_those_that_are_ranked() -> None:
    scores = []
    for subjects in (["alpha"], ["alpha", ""], ["alpha", None]):
        with SessionStore.open(":memory:") as store:
            a = store.create("a")
            positions = [a.add_event(did(ev.LoopMoved, subject)) for subject in subjects]
            scores.append(store.search_activities("alpha").hits[0].score)
            a.erase_events(positions, by="me")
            clean(store)
    assert scores[0] == scores[2] != scores[1]


def test_those_of_closed_sessions_stay(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        a = store.create("a")
        a.add_event(did(ev.LoopMoved, "alpha"))
        a.close()
        store.create("a")
        assert [one.session for one in store.search_activities("alpha").hits] == ["a~1"]
        assert [one.session for one in store.activities("loop")] == ["a~1"]


def test_erasure_takes_the_text_and_leaves_the_row(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        a = store.create("a")
        position = a.add_event(did(ev.LoopMoved, "topsecret", retries=3))
        a.add_event(did(ev.LoopMoved, "other"))
        assert found(store, "topsecret") == ["topsecret"]
        assert a.erase_events([position], by="me").complete
        assert found(store, "topsecret") == []
        _, one = store.activities("loop")
        assert (one.erased, one.subject, one.data, one.number) == (True, None, None, 1)
        assert isinstance(one.event, ev.LoopMoved)
        assert one.event.retries == 3
        clean(store)
        store.rebuild(["activities"])
        assert [each.erased for each in store.activities("loop")] == [False, True]
        clean(store)
    assert not any(b"topsecret" in file.read_bytes() for file in tmp_path.iterdir())


def test_erased_words_leave_the_pages_of_the_index(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        a = store.create("a")
        positions = []
        for number in range(20):
            a.add_event(did(ev.LoopMoved, f"word{number}"))
            positions.append(a.add_event(did(ev.LoopMoved, f"topsecret{number}")))
            store.activities()
        a.erase_events(positions, by="me")
        with store.log.reader() as connection:
            blocks = connection.execute("SELECT block FROM activity_index_data").fetchall()
        assert any(b"word" in block for (block,) in blocks)
        assert not any(b"topsecret" in block for (block,) in blocks)
        clean(store)


def test_what_was_erased_before_it_was_indexed_is_not_found(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        a = store.create("a")
        position = a.add_event(did(ev.LoopMoved, "topsecret"))
        a.erase_events([position], by="me")
        assert found(store, "topsecret") == []
        assert store.activities("loop")[0].erased
        clean(store)


def test_an_erasure_by_code_that_knew_nothing_of_the_index_makes_it_anew(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        a = store.create("a")
        position = a.add_event(did(ev.LoopMoved, "topsecret"))
        a.add_event(did(ev.LoopMoved, "other"))
        assert found(store, "topsecret") == ["topsecret"]
        store.derived.on_read = store.derived.on_read[:1]
        a.erase_events([position], by="me")
    with SessionStore.open(tmp_path / "s.db") as store:
        assert found(store, "topsecret") == []
        assert found(store, "other") == ["other"]
        clean(store)


def test_a_store_that_is_read_only_shows_what_was_derived(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        a = store.create("a")
        a.add_event(did(ev.LoopMoved, "alpha"))
        store.activities()
    with SessionStore.open(path, readonly=True) as store:
        assert [one.subject for one in store.activities()] == ["alpha"]
        assert found(store, "alpha") == ["alpha"]
    with SessionStore.open(path) as store:
        store.session("a").add_event(did(ev.LoopMoved, "beta"))
    with SessionStore.open(path, readonly=True) as store:
        with pytest.raises(errors.ProjectionBehindError):
            store.activities()
        assert store.search_activities("alpha").behind == 1


def test_what_others_append_meanwhile_is_no_reason_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        a = store.create("a")
        a.add_event(did(ev.LoopMoved, "alpha"))
        catch_up = store.derived.catch_up

        def late(*arguments: Any) -> int:
            missing = catch_up(*arguments)
            a.add_event(did(ev.LoopMoved, "beta"))
            return missing

        monkeypatch.setattr(store.derived, "catch_up", late)
        assert [one.subject for one in store.activities()] == ["alpha"]
        assert [one.subject for one in store.activities()] == ["beta", "alpha"]
        assert store.search_activities("alpha").behind == 0


def test_too_little_time_is_said(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        a = store.create("a")
        record(store.log, store.derived, [Placed("a", did(ev.LoopMoved, "x"))] * 2500, HOME)
        a.append("user", "hello")
        with pytest.raises(errors.ProjectionBehindError):
            store.activities(seconds=0)
        assert store.search_activities("x", seconds=0).behind > 0
        assert len(store.activities(limit=-1)) == 2500


def test_an_append_writes_no_row_of_it(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        a = store.create("a")
        a.add_event(did(ev.LoopMoved, "alpha"))
        a.append("user", "hello")
        with store.log.reader() as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")]
        assert not [name for name in names if name.startswith("activit")]


def test_tasks_read_them_too(tmp_path: Path) -> None:
    async def body() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db") as store:
            a = await store.create("a")
            await a.add_event(did(ev.LoopMoved, "alpha"))
            assert [one.subject for one in await store.activities("loop")] == ["alpha"]
            assert len((await store.search_activities("alpha")).hits) == 1

    asyncio.run(body())


# -- any history, any partition --------------------------------------------------------------------

subjects = st.one_of(st.none(), st.sampled_from(["alpha", "alpha beta", "東京", "", "a\x00b", "é"]))
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(TYPES), subjects, st.sampled_from(["a", "b"])),
        st.just("message"),
        st.just("fork"),
        st.tuples(st.just("erase"), st.integers(0, 20)),
        st.just("look"),
    ),
    max_size=25,
)


def play(store: SessionStore, history: list[Any]) -> None:
    a, _ = store.create("a"), store.create("b")
    for step in history:
        match step:
            case "message":
                a.append("user", "alpha")
            case "fork":
                a.fork()
            case "look":
                store.activities()
            case ("erase", number):
                positions = [
                    one.position
                    for one in a.events()
                    if one.event.content is not None and one.version > 1
                ]
                if positions:
                    a.erase_events([positions[number % len(positions)]], by="me")
            case (kind, subject, session):
                store.session(session).add_event(did(kind, subject))


def derived(path: Path, events: list[Recorded], cuts: list[int]) -> list[Any]:
    """The rows that these events give when they are applied in pages, and what each word finds."""
    connection = apsw.Connection(str(path))
    connection.execute("BEGIN")
    projection = Activities({"activities": "rows_here", "activity_index": "index_here"})
    projection.create(connection)
    for first, last in itertools.pairwise([0, *sorted(cuts), len(events)]):
        if events[first:last]:
            projection.apply(connection, events[first:last])
    result = [connection.execute("SELECT * FROM rows_here ORDER BY position").fetchall()]
    for word in ('"alpha"', '"beta"', '"東 京"', '"b"', '"e"'):
        sql = "SELECT rowid FROM index_here WHERE index_here MATCH ? ORDER BY rowid"
        result.append(connection.execute(sql, (word,)).fetchall())
    connection.execute("ROLLBACK")
    connection.close()
    return result


@settings(max_examples=budget(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=steps, cuts=st.lists(st.integers(0, 40), max_size=5))
def test_any_partition_of_any_history_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, history: list[Any], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("partition") / "s.db"
    with SessionStore.open(path, durability="normal", clock=ticking()) as store:
        play(store, history)
        store.catch_up("activities")
        assert store.check(["activities"]) == []
        events = list(store.events(content=False))
        with store.read("activities") as connection:
            caught_up = connection.execute("SELECT * FROM activities ORDER BY position").fetchall()
        store.rebuild(["activities"])
        with store.read("activities") as connection:
            rebuilt = connection.execute("SELECT * FROM activities ORDER BY position").fetchall()
        clean(store)
    whole = derived(path, events, [])
    assert caught_up == rebuilt == whole[0]
    assert derived(path, events, [cut for cut in cuts if cut <= len(events)]) == whole


# -- recording many --------------------------------------------------------------------------------

HOME = Create(session_id="home", source="test")


def test_many_are_recorded_in_order_and_sessions_begin_where_needed(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("closed").close()
        names = ["a", None, "a", "b", "closed", "not\nan id", "home", "b"]
        batch = [Placed(name, did(ev.LoopMoved, f"{n}")) for n, name in enumerate(names)]
        recorded = record(store.log, store.derived, batch, HOME)
        assert [one.event.content.subject for one in recorded] == [str(n) for n in range(8)]
        listed = {one.subject: one.session for one in store.activities("loop")}
        assert [listed[str(n)] for n in range(8)] == [
            "a", "home", "a", "b", "home", "home", "home", "b",
        ]  # fmt: skip
        assert store.session("a").info().source == "test"
        clean(store)


def test_what_cannot_be_recorded_leaves_nothing_behind(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        batch = [Placed("a", did(ev.LoopMoved, "1")), Placed("b", ev.RoundAdvanced(round=1))]
        with pytest.raises(errors.InvalidValueError):
            record(store.log, store.derived, batch, HOME)
        assert store.sessions(statuses=None) == []


@settings(max_examples=budget(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    runs=st.lists(st.lists(st.sampled_from("xyz"), max_size=6), max_size=4),
    erased=st.integers(0, 3),
)
def test_with_once_the_store_has_as_many_as_the_fullest_run(
    runs: list[list[str]], erased: int
) -> None:
    def same(event: ev.Event) -> Any:
        return event.content.subject

    with SessionStore.open(":memory:") as store:
        for number, run in enumerate(runs):
            batch = [Placed("s", did(ev.LoopMoved, name, retries=ord(name))) for name in run]
            record(store.log, store.derived, batch, HOME, once=same)
            if number == 0 and run:
                positions = [one.position for one in store.activities("loop", limit=erased)]
                if positions:
                    store.session("s").erase_events(positions, by="me")
        stored = [chr(one.event.retries or 0) for one in store.activities("loop", limit=-1)
                  if isinstance(one.event, ev.LoopMoved)]  # fmt: skip
        for name in "xyz":
            assert stored.count(name) == max((run.count(name) for run in runs), default=0)
        clean(store)


def test_a_store_with_every_type_of_event_has_them_all(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        assert sorted(one.kind for one in store.activities(limit=-1)) == sorted(ACTIVITY_KINDS)
        assert found(store, "path") == ["a/path"]
        clean(store)
