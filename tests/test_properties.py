"""What must hold of any history: how it is cut, folded, encoded and derived again."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from engine_support import BIG, budget, clean, populate, populated, tables_of, ticking
from hypothesis import HealthCheck, example, given, settings

from eventstore import CustomEvent, Message, SessionStore, codec, errors, snapshots
from eventstore.events import catalogue as ev
from eventstore.log import blobs
from eventstore.session import runs
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState
from projections import rebuild
from projections.base import apply_page
from projections.builtin import BUILTIN

quick = settings(
    max_examples=budget(100),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def store() -> Any:
    with populated(":memory:") as opened:
        opened.session("root").erase_events([1, 7])
        yield opened


# -- histories -----------------------------------------------------------------------------------


@settings(quick, max_examples=budget(60))
@given(cuts=st.sets(st.integers(1, 60)))
@example(cuts=set())
@example(cuts=set(range(1, 61)))
def test_pages_cut_anywhere_give_the_same_rows(store: SessionStore, cuts: set[int]) -> None:
    expected = tables_of(store)
    events = list(store.events(content=False))
    marks = [0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]
    with store.log.reader() as connection:
        copies = [cls({table: f"temp.copy_{table}" for table in cls.tables}) for cls in BUILTIN]
        for copy in copies:
            copy.drop(connection)
            copy.create(connection, indexes=False)
        for start, stop in itertools.pairwise(marks):
            for copy in copies:
                apply_page(copy, connection, events[start:stop])
        found = {
            table: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for copy in copies
            for table, name in copy.names.items()
        }
    assert found == expected


def test_a_rebuild_gives_what_inline_gave(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        before = tables_of(store)
        assert store.rebuild() == [*(cls.name for cls in BUILTIN), "search", "activities", "tree"]
        assert tables_of(store) == before
        clean(store)


def test_a_rebuild_after_erasures_gives_what_stood_before_text_aside(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        structural = {k: v for k, v in tables_of(store).items() if k != "sessions"}
        states = [store.session_of(n).state() for n in range(1, 7)]
        for number in range(1, 7):
            store.session_of(number).erase(by="a person", reason="asked")
        assert {k: v for k, v in tables_of(store).items() if k != "sessions"} == structural
        after = tables_of(store)
        store.rebuild()
        assert tables_of(store) == after
        clean(store)
        for number, state in enumerate(states, 1):
            now = store.session_of(number).state()
            assert now.active == state.active
            assert now.next_seq == state.next_seq
            assert all(m.text is None for m in store.session_of(number).messages())


def test_every_single_erasure_leaves_state_and_rows_as_they_were(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        for recorded in list(store.events()):
            if recorded.event.content is not None:
                session = store.session_of(recorded.stream)
                state = session.state()
                erased = session.erase_events([recorded.position])
                assert erased.positions == (recorded.position,)
                now = session.state()
                assert (now.active, now.open_calls) == (state.active, state.open_calls)
        assert all(recorded.event.content is None for recorded in store.events())
        clean(store)


def test_snapshot_and_tail_are_the_full_fold_at_every_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "TAIL_MIN", 3)
    monkeypatch.setattr(snapshots, "SPACING", 5)
    path = tmp_path / "s.db"
    with populated(path) as store:
        with store.log.reader() as connection:
            count = connection.execute("SELECT count(*) FROM snapshots").get
        assert isinstance(count, int)
        assert count > 5
    with SessionStore.open(path) as store:  # nothing is remembered
        for number in range(1, 7):
            session = store.session_of(number)
            events = list(session.events(content=False))
            for version in range(len(events) + 1):
                assert session.state(version) == fold_all(SessionState(), events[:version])


def test_old_snapshots_are_thinned_but_stay_near_every_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "TAIL_MIN", 10)
    monkeypatch.setattr(snapshots, "SPACING", 40)
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        session = store.create("a")
        for _ in range(40):
            session.append_many([Message(role="user", content="x")] * 10)
        with store.log.reader() as connection:
            sql = "SELECT version FROM snapshots ORDER BY version"
            versions = [row[0] for row in connection.execute(sql).fetchall()]
    gaps = [b - a for a, b in zip([0, *versions], [*versions, 401], strict=True)]
    assert max(gaps) <= 40 + 10
    assert len(versions) < 20


# -- runs against plain lists ----------------------------------------------------------------------

numbers = st.lists(st.integers(1, 30), unique=True)


@quick
@given(numbers=numbers, one=st.integers(1, 31), start=st.integers(0, 35), stop=st.integers(0, 35))
def test_runs_do_what_lists_do(numbers: list[int], one: int, start: int, stop: int) -> None:
    made = runs.from_numbers(numbers)
    assert list(runs.numbers_of(made)) == numbers
    assert runs.count(made) == len(numbers)
    assert runs.index_of(made, one) == (numbers.index(one) if one in numbers else None)
    assert list(runs.numbers_of(runs.cut(made, start, stop))) == numbers[start:stop]
    assert list(runs.numbers_of(runs.appended(made, one))) == [*numbers, one]
    assert runs.appended(made, one) == runs.from_numbers([*numbers, one])
    halves = (*runs.cut(made, 0, start), *runs.cut(made, start, len(numbers)))
    assert runs.joined(halves) == made


# -- JSON ------------------------------------------------------------------------------------------

strings = st.text(st.characters(codec=None), max_size=20).filter(
    lambda s: s == s.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | strings
)
keys = strings | st.sampled_from(["$blob", "$literal"])
anything = st.recursive(
    scalars, lambda c: st.lists(c, max_size=4) | st.dictionaries(keys, c, max_size=4), max_leaves=12
)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types: 1 is not True and not 1.0."""
    if type(a) is not type(b):
        return False
    if type(a) is list:
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is dict:
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


@settings(quick, max_examples=budget(300))
@given(value=anything)
@example(value="\0 \ud800 🙂 \udfff")
@example(value={"$blob": "x", "y": {"$literal": {"$blob": 1}}})
@example(value=[2**64, -(2**64), 2**200, 1e300, -0.0, 5e-324])
@example(value={"a\ud800": "b"})
def test_json_comes_back_equal(value: Any) -> None:
    codec.require_json(value, "value")
    stored = codec.encode(value)
    stored.decode("utf-8")
    assert same(codec.decode(stored), value)


@settings(quick, max_examples=budget(60))
@given(value=anything.filter(lambda value: value is not None))
@example(value={"$blob": "00"})
@example(value={"$literal": {"$blob": 5}})
@example(value={"$literal": {}})
@example(value=[{"$literal": None}, {"$blob": BIG}])
@example(value={"\ud800": [BIG, "\0"]})
@example(value={"a": [BIG, {"b": BIG + "\ud800🙂"}]})
def test_any_content_comes_back_equal(value: Any) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        session.add_event(CustomEvent(name="x.test.any", content=value))
        session.suspend_tool_calls(value)
        session.append("user", [value], metadata={"m": value})
        found = [recorded.event.content for recorded in session.events()][1:]
        assert same(found[0], value)
        assert same(found[1].payload, value)
        assert same(found[2].parts, [value])
        assert same(found[2].metadata, {"m": value})
        assert store.verify() == []


@pytest.mark.parametrize(
    "text",
    ["", "\0", "a\0b", "\ud800", "\udfff tail", "🙂" * 1000, "x" * 1_000_000, "é" * 40_000,
     "\ud800" * 30_000, '"$blob"', "\\ud800", "\r\n\u2028"],
    ids=lambda text: f"{len(text)}-{text[:6]!a}",
)  # fmt: skip
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        store.create("a", title=text, prompt=text).append("user", text)
    with SessionStore.open(path, readonly=True) as store:
        session = store.session("a")
        assert (session.title(), session.prompt(), session.messages()[0].text) == (text,) * 3
        clean(store)


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


class Text(str):
    """A text of a type of its own: JSON cannot say so, and it is equal to a text."""


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), float("-inf"), {1: "int key"}, {None: 1}, (1, 2), b"bytes",
     {1, 2}, object(), 1j, ["\ud800", float("nan")], ["\ud800", (1,)], ["\ud800", {2: 3}],
     "\ud83d\ude00", deep(201), deep(500), deep(900), deep(990), deep(2000), deep(100_000),
     Message(role="user")],
    ids=lambda value: str(type(value).__name__),
)  # fmt: skip
def test_what_json_would_change_is_refused_and_nothing_is_stored(value: Any) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        head = store.head
        for act in (
            lambda: session.append("user", [value]),
            lambda: session.append("user", "x", metadata={"a": value}),
            lambda: session.suspend_tool_calls(value),
            lambda: session.add_event(CustomEvent(name="x.a.b", content=value)),
            lambda: session.add_event(CustomEvent(name="x.a.b", data={"a": value})),
            lambda: session.change_configuration({"deep": value}),
        ):
            with pytest.raises(errors.NotJSONError):
                act()
        assert store.head == head
        session.append("user", "fine")
        clean(store)


def test_nesting_up_to_the_limit_is_stored() -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        value = deep(codec.DEPTH_MAX - 2)
        session.add_event(CustomEvent(name="x.a.b", content=[value, BIG]))
        assert list(session.events())[-1].event.content == [value, BIG]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**400, True, 1.5, "1"])
def test_numbers_that_columns_cannot_hold_are_refused(number: Any) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        head = store.head
        for act in (
            lambda: session.append("user", "x", tokens=number),
            lambda: session.append("user", "x", round=number),
            lambda: session.add_event(ev.ToolCalled(duration=number)),
            lambda: store.create("b", occurred_at=number),
        ):
            with pytest.raises((errors.NotJSONError, errors.InvalidValueError)):
                act()
        assert store.head == head
        clean(store)


@pytest.mark.parametrize("bad", ["\ud800", "x\udfff"])
def test_half_a_surrogate_pair_in_facts_is_refused_alone(bad: str) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        head = store.head
        for act in (
            lambda: session.append("tool", "x", call_id=bad),
            lambda: session.append("user", "x", response_id=bad),
            lambda: session.record_usage(bad, input=1),
            lambda: session.change_model(bad),
            lambda: store.create("b", source=bad),
            lambda: session.add_event(CustomEvent(name="x.a.b", data={"k": bad})),
        ):
            with pytest.raises(errors.NotJSONError):
                act()
        assert store.head == head
        session.record_usage("C:\\udder", input=1)  # a backslash is no surrogate
        clean(store)


# -- blobs -----------------------------------------------------------------------------------------


def rows(store: SessionStore, sql: str) -> list[tuple[Any, ...]]:
    with store.log.reader() as connection:
        return connection.execute(sql).fetchall()


def test_a_big_string_is_stored_once_for_several_events() -> None:
    with SessionStore.open(":memory:") as store:
        one, two = store.create("a"), store.create("b")
        for session in (one, two):
            session.append("tool", BIG)
            session.append("user", [{"type": "text", "text": BIG}, {"again": BIG}])
        digest = hashlib.sha256(BIG.encode()).digest()
        assert rows(store, "SELECT digest, CAST(body AS TEXT) FROM blobs") == [(digest, BIG)]
        assert len(rows(store, "SELECT * FROM blob_references")) == 4
        assert two.messages()[1].parts == [{"type": "text", "text": BIG}, {"again": BIG}]
        assert max(len(row[0]) for row in rows(store, "SELECT body FROM contents")) < 1000
        clean(store)


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_the_threshold_counts_bytes(size: int) -> None:
    with SessionStore.open(":memory:") as store:
        text = "é" * (blobs.BLOB_BYTES // 2 - 1) + "ab" + "x" * size if size >= 0 else (
            "é" * (blobs.BLOB_BYTES // 2 - 1) + "a"
        )  # fmt: skip
        store.create("a").append("user", text)
        assert len(rows(store, "SELECT 1 FROM blobs")) == (len(text.encode()) >= blobs.BLOB_BYTES)
        assert store.session("a").messages()[0].text == text


def test_a_blob_lives_as_long_as_one_event_refers_to_it() -> None:
    with SessionStore.open(":memory:") as store:
        one, two = store.create("a"), store.create("b")
        one.append("tool", BIG)
        two.append("tool", BIG)
        first = next(r.position for r in one.events() if isinstance(r.event, ev.MessageAppended))
        other = next(r.position for r in two.events() if isinstance(r.event, ev.MessageAppended))
        assert one.erase_events([first]).shared_blobs == (other,)
        assert two.messages()[0].text == BIG
        assert one.messages()[0].erased
        two.erase_events([other])
        assert rows(store, "SELECT * FROM blobs") == []
        assert rows(store, "SELECT * FROM blob_references") == []
        two.append("tool", BIG)
        assert two.messages()[-1].text == BIG
        clean(store)


# -- rebuilds --------------------------------------------------------------------------------------


def test_rows_no_event_can_have_produced_are_found_and_vanish_in_a_rebuild(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        before = tables_of(store)

        def vandalise(transaction: Any) -> None:
            connection = transaction.connection
            connection.execute("UPDATE messages SET state = 'active' WHERE seq = 1")
            connection.execute("DELETE FROM tool_calls")
            connection.execute("UPDATE usage SET input = input + 1")
            connection.execute("INSERT INTO lineage VALUES (99, 'spawned', 98, NULL)")
            connection.execute("UPDATE sessions SET messages = 0 WHERE stream = 1")
            connection.execute("UPDATE compactions SET count = 77")

        store.log.transact(vandalise, exclusive=True)
        tables = {difference.table for difference in store.check()}
        assert tables == {"messages", "tool_calls", "usage", "lineage", "sessions", "compactions"}
        assert store.verify() == []
        store.rebuild()
        assert tables_of(store) == before
        clean(store)


def test_an_interrupted_rebuild_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.catchup.PAGE", 10)
    with populated(tmp_path / "s.db") as store:
        before = tables_of(store)
        reached: list[int] = []

        def interrupt(name: str, position: int, head: int) -> None:
            reached.append(position)
            if len(reached) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.rebuild(progress=interrupt)
        assert tables_of(store) == before  # the live tables are untouched
        store.session("root").append("user", "meanwhile")
    with SessionStore.open(tmp_path / "s.db") as store:
        before = tables_of(store)
        again: list[int] = []
        store.rebuild(progress=lambda name, position, head: again.append(position))
        assert again[0] > reached[-1], "it began anew"
        assert tables_of(store) == before
        names = rows(store, "SELECT name FROM projections")
        assert sorted(names) == [("activities",), ("builtin",), ("search",), ("tree",)]
        left = f"SELECT name FROM sqlite_schema WHERE name LIKE '%{rebuild.SUFFIX}'"
        assert rows(store, left) == []
        clean(store)


def test_one_projection_can_be_rebuilt_alone(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        before = tables_of(store)
        for cls in BUILTIN:
            assert store.rebuild([cls.name]) == [cls.name]
        assert tables_of(store) == before
        with pytest.raises(errors.ProjectionError):
            store.rebuild(["no such"])
        clean(store)


def test_a_writer_without_projections_leaves_no_hole(tmp_path: Path) -> None:
    """Another process runs code without the projections: the next append catches up."""
    from eventstore.log.port import NewEvent
    from eventstore.log.sqlite import SqliteLog

    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        parent = store.create("parent")
        log = SqliteLog(path)
        child = log.transact(lambda tx: _bare_child(tx, parent.stream))
        log.transact(
            lambda tx: tx.append(child, [NewEvent(ev.MessageAppended(seq=1, role="user"))])
        )
        log.close()
        with pytest.raises(errors.ProjectionBehindError):
            parent.info()
        # closing with cascade must know of the child although no projection saw it
        assert parent.close() == ["parent", "bare"]
        clean(store)


def test_a_rebuild_of_one_does_not_hide_what_the_others_lack(tmp_path: Path) -> None:
    from eventstore.log.sqlite import SqliteLog

    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        parent = store.create("parent")
        log = SqliteLog(path)
        log.transact(lambda tx: _bare_child(tx, parent.stream))
        log.close()
        assert "messages" in store.rebuild(["messages"])
        assert [child.name for child in parent.children()] == ["bare"]
        clean(store)


def _bare_child(transaction: Any, parent: int) -> int:
    from eventstore.log.port import NewEvent

    head = transaction.create_stream("bare")
    content = ev.SessionContent(session_id="bare")
    transaction.append(head.id, [NewEvent(ev.SessionCreated(parent=parent, content=content))])
    return int(head.id)


def test_the_clock_does_not_order_anything(tmp_path: Path) -> None:
    clock = ticking(step=-1000)
    with SessionStore.open(tmp_path / "s.db", clock=clock, durability="normal") as store:
        populate(store)
        assert [r.position for r in store.events()] == list(range(1, store.head.position + 1))
        clean(store)


def test_a_lifecycle_may_be_given_as_text(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        parent = store.create("parent")
        child = parent.spawn("child", lifecycle="detached")
        assert parent.close() == ["parent"]
        assert child.info().status == "active"
