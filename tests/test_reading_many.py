"""Reading many events at once gives what reading them one by one gives, damage included."""

from __future__ import annotations

import itertools
from functools import reduce
from pathlib import Path
from typing import Any

import apsw
import hypothesis.strategies as st
import pytest
from engine_support import BIG, budget, clean, populate, populated, tables_of
from hypothesis import HealthCheck, given, settings
from msgspec.structs import asdict

from eventstore import Message, SessionStore, ToolCall, errors
from eventstore.events import catalogue as ev
from eventstore.events import stored
from eventstore.log import blobs, reading
from eventstore.log.port import Recorded
from eventstore.session import runs
from eventstore.session.fold import fold, fold_all
from eventstore.session.state import SessionState
from eventstore.store import by_id, listing
from projections.base import apply_page
from projections.builtin import BUILTIN
from projections.queries.listing import Which

quick = settings(
    max_examples=budget(150),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# -- folding ---------------------------------------------------------------------------------------

CALLS = st.sampled_from(["a", "b", "c", "d"])
TIMES = st.none() | st.integers(0, 50)
MESSAGES = st.builds(
    ev.MessageAppended,
    seq=st.integers(1, 12),
    role=st.sampled_from(["user", "assistant", "tool"]),
    call_ids=st.lists(CALLS, max_size=3).map(tuple),
    call_id=st.none() | CALLS,
    occurred_at=TIMES,
)
OTHERS = st.one_of(
    st.builds(ev.MessagesCleared, count=st.just(0), occurred_at=TIMES),
    st.builds(ev.RoundAdvanced, round=st.integers(0, 9), occurred_at=TIMES),
    st.builds(ev.ContentErased, positions=st.just(((1, 1),)), occurred_at=TIMES),
)
STATES = st.just(SessionState()) | st.builds(
    SessionState,
    version=st.integers(1, 9),
    active=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3)), max_size=3).map(tuple),
    open_calls=st.lists(CALLS, max_size=4).map(tuple),
    messages=st.integers(0, 9),
    updated_at=st.integers(0, 50),
)


@quick
@given(
    state=STATES,
    events=st.lists(MESSAGES | MESSAGES | OTHERS, max_size=12),
    clock=st.lists(st.integers(0, 50), min_size=12, max_size=12),
)
def test_folding_many_is_folding_one_after_the_other(
    state: SessionState, events: list[ev.Event], clock: list[int]
) -> None:
    recorded = [
        Recorded(10 + number, 1, state.version + number, at, 0, event, None, None, b"")
        for number, (event, at) in enumerate(zip(events, clock, strict=False), 1)
    ]
    assert fold_all(state, recorded) == reduce(fold, recorded, state)


@quick
@given(
    before=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), max_size=3).map(tuple),
    numbers=st.lists(st.integers(1, 9), max_size=6),
)
def test_extending_runs_is_appending_each_number(before: runs.Runs, numbers: list[int]) -> None:
    assert runs.extended(before, numbers) == reduce(runs.appended, numbers, before)


# -- decoding --------------------------------------------------------------------------------------

ROWS = (
    "SELECT e.position, e.type, e.schema, e.facts, c.body FROM events AS e "
    "LEFT JOIN contents AS c ON c.position = e.position ORDER BY e.position"
)

#: What is done to one event: the column, its new value, and whether only content shows it.
DAMAGE = {
    "facts cut": ("facts", "substr(facts, 1, length(facts) - 1)", False),
    "facts that are two values": ("facts", "facts || ',' || facts", False),
    "facts of another shape": ("facts", "'[]'", False),
    "facts that lack a field": ("facts", "'{}'", False),
    "a body cut": ("body", "substr(body, 1, length(body) - 1)", True),
    "a body that is two values": ("body", "body || body", True),
    "a body of another shape": ("body", "'{\"text\":7}'", True),
    "a blob that is missing": ("body", "json_object('$blob', '%s')" % ("0" * 64), True),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> apsw.Connection:
    """A file with every kind of event, without the triggers that keep it from harm."""
    path = tmp_path_factory.mktemp("many") / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        populate(store)
        store.session("root").append("user", "half a pair: \ud83d, and $ and $blob")
        store.session("root").append("user", BIG)
        store.session("root").append("user", "last")
        store.session("root").erase_events([1, 7])
    connection = apsw.Connection(str(path))
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def page(connection: apsw.Connection, content: bool) -> list[Recorded]:
    return reading.page_of_log(connection, 0, None, content, 1000)


def one_by_one(connection: apsw.Connection, content: bool) -> list[ev.Event]:
    fetch = reading.blob_fetcher(connection)
    rows: Any = connection.execute(ROWS).fetchall()
    return [
        stored.read(
            name, schema, facts.encode(),
            blobs.read_content(name, schema, body.encode(), fetch)
            if content and body is not None else None,
        )
        for _, name, schema, facts, body in rows
    ]  # fmt: skip


@pytest.mark.parametrize("content", [True, False])
@pytest.mark.parametrize("foreign", [None, "x.test.made", "of.the.future", "too new"])
def test_a_page_is_its_events_read_one_by_one(
    copy: apsw.Connection, content: bool, foreign: str | None
) -> None:
    copy.execute("BEGIN")
    try:
        if foreign == "too new":
            copy.execute("UPDATE events SET schema = 9 WHERE position = 20")
        elif foreign is not None:
            copy.execute("UPDATE events SET type = ? WHERE position = 20", (foreign,))
        found = page(copy, content)
        assert [recorded.event for recorded in found] == one_by_one(copy, content)
        assert [recorded.position for recorded in found] == list(range(1, len(found) + 1))
        columns = "position, stream, version, recorded_at, actor, idempotency_key, commitment, leaf"
        assert [(*one[:5], *one[6:]) for one in found] == copy.execute(
            f"SELECT {columns} FROM events ORDER BY position"
        ).fetchall()
    finally:
        copy.execute("ROLLBACK")


@settings(quick, max_examples=budget(60))
@given(damage=st.sampled_from(sorted(DAMAGE)), place=st.integers(0, 1000), content=st.booleans())
def test_a_damaged_event_in_the_middle_of_a_page_is_named(
    copy: apsw.Connection, damage: str, place: int, content: bool
) -> None:
    column, value, shown_by_content = DAMAGE[damage]
    table = "contents" if column == "body" else "events"
    messages: Any = copy.execute(
        "SELECT position FROM contents JOIN events USING (position) "
        "WHERE type = 'message.appended' AND body IS NOT NULL"
    ).fetchall()
    [position] = messages[place % len(messages)]
    copy.execute("BEGIN")
    try:
        copy.execute(f"UPDATE {table} SET {column} = {value} WHERE position = ?", (position,))
        if shown_by_content and not content:
            assert len(page(copy, content)) > position
        else:
            named = rf"event {position} \(message\.appended\) cannot be read"
            with pytest.raises(errors.CorruptStoreError, match=named):
                page(copy, content)
    finally:
        copy.execute("ROLLBACK")


# -- the last event of each session ------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 500])
def test_the_last_events_are_those_of_every_session_that_went_on(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", size)
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        assert list(store.log.last_events()) == []
        populate(store)
        store.create("big").append("user", BIG)
        store.create("empty")
        for after in (0, 5, store.head.position - 3, store.head.position):
            heads = store.log.streams_with_prefix("")
            expected = {}
            for head in heads:
                *_, last = store.log.read_stream(head.id, content=True)
                assert (last.version, last.leaf) == (head.version, head.leaf)
                if last.position > after:
                    expected[head.id] = (head.session_id, last)
            assert list(store.log.last_events(after=after)) == [
                expected[stream] for stream in sorted(expected)
            ]


# -- texts beside a row ----------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", "short", "half a pair: \ud83d", "$ and $blob", BIG])
def test_a_session_is_told_with_its_texts_whatever_they_hold(tmp_path: Path, prompt: str) -> None:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        texts = {"configuration": {"$blob": prompt}, "metadata": {"m": prompt}}
        session = store.create("a", prompt=prompt, title=prompt or "t", **texts)
        session.append("user", prompt or "u")
        for found in (by_id.details_of(store.log, "a", "[]"), listing.session(store.log, "a")):
            assert found is not None
            assert (found.prompt or "", found.configuration, found.metadata) == (
                prompt, texts["configuration"], texts["metadata"],
            )  # fmt: skip
        [listed] = listing.sessions(store.log, Which())
        assert (listed.title, listed.opening) == (prompt or "t", prompt or "u")
        session.erase()
        [listed] = listing.sessions(store.log, Which())
        assert (listed.title, listed.prompt, listed.opening) == (None, None, None)
        assert (listed.configuration, listed.metadata) == ({}, {})


def test_a_session_whose_text_is_damaged_is_an_error(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        store.create("a", prompt="prompt")
        position = store.session("a").state().prompt_position
        store.close()
    damage = apsw.Connection(str(tmp_path / "s.db"))
    damage.execute("DROP TRIGGER contents_are_only_wiped")
    for body in ("{", "[1]", '{"prompt":{"$blob":"00"}}'):
        damage.execute("UPDATE contents SET body = ? WHERE position = ?", (body, position))
        with SessionStore.open(tmp_path / "s.db", readonly=True) as store:
            for read in (
                lambda: by_id.details_of(store.log, "a", "[]"),
                lambda: listing.session(store.log, "a"),
            ):
                with pytest.raises(errors.CorruptStoreError, match="stream number 1"):
                    read()
    damage.close()


# -- views -----------------------------------------------------------------------------------------


def test_a_view_has_each_field_of_the_message_in_its_place(tmp_path: Path) -> None:
    message = Message(
        role="assistant", content="text", name="name",
        tool_calls=(ToolCall(id="c1", name="tool", arguments={"x": 1}),), call_id="answered",
        tool_name="tool name", failed=True, reasoning="why", reasoning_items=[{"r": 1}],
        metadata={"m": 1}, round=3, tokens=4, finish_reason="stop", response_id="response",
        model="model",
    )  # fmt: skip
    with SessionStore.open(tmp_path / "s.db", clock=lambda: 77) as store:
        session = store.create("a")
        session.append_many([message, Message(role="user", content=[{"type": "image"}])])
        expected = {
            "seq": 1, "role": "assistant", "position": 2, "state": "active", "text": "text",
            "parts": None, "name": "name", "tool_calls": list(message.tool_calls),
            "call_id": "answered", "tool_name": "tool name", "failed": True, "reasoning": "why",
            "reasoning_items": [{"r": 1}], "metadata": {"m": 1}, "round": 3, "tokens": 4,
            "finish_reason": "stop", "response_id": "response", "model": "model", "at": 77,
            "stands_for": (), "inherited": False, "erased": False, "redacted": False,
        }  # fmt: skip
        assert asdict(session.messages()[0]) == expected
        assert session.messages()[1].parts == [{"type": "image"}]
        session.erase_events([2])
        erased = session.messages()[0]
        assert (erased.erased, erased.text, erased.response_id) == (True, None, "response")
        note = Message(role="system", content="note", name="n", metadata={"k": 1}, tokens=9)
        session.compact(1, 2, note)
        [shown] = session.messages()
        assert (shown.text, shown.name, shown.metadata, shown.tokens) == ("note", "n", {"k": 1}, 9)
        assert (shown.stands_for, shown.failed, shown.model) == (((1, 2),), False, None)
        assert [one.state for one in session.history()] == ["compacted", "compacted", "active"]


# -- deriving --------------------------------------------------------------------------------------


def test_a_big_page_of_several_sessions_gives_the_rows_of_its_events(tmp_path: Path) -> None:
    def some(name: str, count: int) -> list[Message]:
        roles = itertools.cycle(["assistant", "user", "tool"])
        return [Message(role=next(roles), content=f"{name}{n}", tokens=n) for n in range(count)]

    with populated(tmp_path / "s.db") as store:
        a, b = store.create("a"), store.create("b")
        for count in (2, 60, 49, 50, 51, 101):
            a.append_many(some("a", count))
            b.append_many(some("b", 3))
            a.compact(a.messages()[0].seq, a.messages()[-2].seq, "note")
        fork = a.fork("of a")
        fork.append_many(some("f", 120))
        b.append_many(some("b", 200))
        expected = tables_of(store)
        clean(store)
        events = list(store.events(content=False))
        for size in (1, 7, len(events)):
            with store.log.reader() as connection:
                copies = [cls({t: f"temp.copy{size}_{t}" for t in cls.tables}) for cls in BUILTIN]
                for one in copies:
                    one.create(connection, indexes=False)
                for start in range(0, len(events), size):
                    for one in copies:
                        apply_page(one, connection, events[start : start + size])
                found = {
                    table: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
                    for one in copies
                    for table, name in one.names.items()
                }
            assert found == expected
