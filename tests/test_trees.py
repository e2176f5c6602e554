"""Forks and trees: a fork begins with its origin's context, and nothing is counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from cli_support import db, run
from engine_support import budget, populated
from hypothesis import given, settings
from test_cli_terminal import on_terminal

from eventstore import Session, SessionStore, UsageRecorded
from eventstore.cli.text import width_of
from eventstore.store.trees import Branch

__all__ = ["db"]


def act(data: Any, store: SessionStore, made: list[Session]) -> None:
    """Something that can happen: a message, usage, a compaction, a new session from an old one."""
    session = data.draw(st.sampled_from(made))
    number = len(list(store.events()))
    what = data.draw(st.sampled_from(["say", "say", "use", "correct", "compact", "retract",
                                      "fork", "spawn", "again", "reparent"]))  # fmt: skip
    closed = session.info().status == "closed"
    active = session.state().active
    if what == "fork":
        made.append(session.fork(at=data.draw(st.integers(1, session.version))))
    elif closed:
        return
    elif what == "again" and not session.children():
        session.close()
        made.append(store.create(session.id))
    elif what == "say":
        session.append("user", f"text {number}")
    elif what == "use":
        session.record_usage(f"call-{number}", input=number, output=1, cost=number)
    elif what == "correct":
        session.record_usage("call", input=number, cache_read=2, cost=1, currency="EUR")
    elif what == "compact" and active:
        seqs = [message.seq for message in session.messages()]
        session.compact(seqs[0], seqs[0], "a note")
    elif what == "retract" and active:
        session.retract(session.messages()[-1].seq)
    elif what == "spawn" and session.info().depth < 5:
        made.append(session.spawn())
    elif what == "reparent":
        other = data.draw(st.sampled_from(made))
        if other.stream < session.stream:
            session.reparent(other)


def told(session: Session) -> list[Any]:
    """The context: what a message is, without where it was read."""
    return [(m.seq, m.role, m.text, m.tool_calls, m.position) for m in session.messages()]


def usage_events(store: SessionStore, streams: set[int]) -> dict[tuple[int, str], UsageRecorded]:
    """Every model call of these sessions once, its newest event, read from the log itself."""
    return {
        (one.stream, one.event.key): one.event
        for one in store.events()
        if isinstance(one.event, UsageRecorded) and one.stream in streams
    }


def family_by_hand(store: SessionStore, top: Session, every: list[Session]) -> set[int]:
    """A session and all that came from it, found by asking each session."""
    found = {top.stream}
    while True:
        infos = {one.stream: one.info() for one in every}
        names = {infos[stream].name for stream in found}
        ids = {(infos[stream].session_id, infos[stream].incarnation) for stream in found}
        more = {
            stream
            for stream, info in infos.items()
            if info.parent in names
            or info.origin in names
            or (info.session_id, info.incarnation - 1) in ids
        }
        if more <= found:
            return found
        found |= more


@settings(max_examples=budget(40), deadline=None, database=None)
@given(st.data())
def test_a_fork_has_its_origins_context_and_its_own_usage_alone(data: Any) -> None:
    with SessionStore.open(":memory:") as store:
        made = [store.create("first", prompt="Be brief.", title="T")]
        for _ in range(data.draw(st.integers(1, 25))):
            act(data, store, made)
        origin = data.draw(st.sampled_from(made))
        at = data.draw(st.integers(1, origin.version))
        fork = origin.fork(at=at)
        assert fork.chat() == origin.chat(at)
        assert told(fork) == [
            (m.seq, m.role, m.text, m.tool_calls, m.position) for m in origin.messages(at)
        ]
        assert (fork.title(), fork.prompt()) == (origin.title(at), origin.prompt(at))
        assert fork.usage().calls == fork.usage().total == 0
        fork.record_usage("mine", input=3)
        before = origin.usage()
        assert fork.usage().input == 3
        assert origin.usage() == before


@settings(max_examples=budget(40), deadline=None, database=None)
@given(st.data())
def test_a_tree_counts_every_message_and_model_call_once(data: Any) -> None:
    with SessionStore.open(":memory:") as store:
        made = [store.create("first")]
        for _ in range(data.draw(st.integers(1, 25))):
            act(data, store, made)
        top = data.draw(st.sampled_from(made))
        family = family_by_hand(store, top, made)
        for found, streams in (
            (store.tree(top), family),
            (store.tree(), {one.stream for one in made}),
        ):
            assert sorted(store.session(one.name).stream for one in found) == sorted(streams)
            tops = [one for one in found if one.depth == 0]
            events = usage_events(store, streams).values()
            assert sum(one.total.calls for one in tops) == len(events)
            assert sum(one.total.input for one in tops) == sum(e.input for e in events)
            assert sum(one.own.cache_read for one in found) == sum(e.cache_read for e in events)
            for currency in ("USD", "EUR"):
                costs = [e.cost_nanos or 0 for e in events if e.currency == currency]
                assert sum(one.total.costs.get(currency, 0) for one in tops) == sum(costs)
            texts = {m.position for one in made if one.stream in streams for m in one.history()
                     if not m.inherited}  # fmt: skip
            assert sum(one.total.messages for one in tops) == len(texts)
            assert_drawn(found)
        for one in made:
            streams = {one.stream}
            assert one.usage().input == sum(e.input for e in usage_events(store, streams).values())
        lineage = {one.stream for one in made if one.name in names_below(store, top)}
        assert top.usage(lineage=True).input == sum(
            event.input for event in usage_events(store, lineage).values()
        )


def names_below(store: SessionStore, top: Session) -> set[str]:
    """What `usage(lineage=True)` is about: all that was spawned or forked, at any distance."""
    waiting, found = [top], {top.name}
    while waiting:
        session = waiting.pop()
        for one in (*session.children(), *session.forks()):
            if one.name not in found:
                found.add(one.name)
                waiting.append(one)
    return found


def assert_drawn(found: list[Branch]) -> None:
    """Each stands right below its source, one deeper, and totals are those of what is below."""
    path: list[Branch] = []
    for one in found:
        del path[one.depth :]
        assert one.depth == len(path) == len(one.last)
        assert one.source == (path[-1].name if path else None)
        path.append(one)
    for index, one in enumerate(found):
        below = []
        for other in found[index + 1 :]:
            if other.depth <= one.depth:
                break
            below.append(other)
        assert one.total.input == one.own.input + sum(other.own.input for other in below)
        assert one.total.sessions == 1 + len(below)


def test_a_session_that_two_lead_to_stands_below_its_origin() -> None:
    with SessionStore.open(":memory:") as store:
        root = store.create("root")
        child = root.spawn("child")
        child.append("user", "x")
        fork = child.fork("fork")
        fork.reparent(root)
        tree = [(one.name, one.relation, one.source) for one in store.tree()]
        assert tree == [
            ("root", None, None), ("child", "spawned", "root"), ("fork", "forked", "child"),
        ]  # fmt: skip
        assert [one.name for one in store.tree(fork)] == ["fork"]


def test_a_circle_of_sessions_is_drawn_once() -> None:
    with SessionStore.open(":memory:") as store:
        a = store.create("a")
        a.append("user", "x")
        b = a.fork("b")
        a.reparent(b)
        assert [(one.name, one.depth) for one in store.tree()] == [("a", 0), ("b", 1)]
        assert [(one.name, one.depth) for one in store.tree(b)] == [("b", 0), ("a", 1)]


def test_a_long_chain_is_drawn(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        session = store.create("0")
        session.append("user", "x")
        for number in range(1, 1500):
            session = session.fork(str(number))
        found = store.tree()
        assert [one.depth for one in found] == list(range(1500))
        assert found[0].total.sessions == 1500


def test_the_tree_is_drawn_for_people_and_fits_a_narrow_terminal(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    populated(path).close()
    text = run("tree", "--db", path).stdout
    assert "root   " in text
    assert "├─ " in text or "└─ fork  " in text
    assert "\x1b" not in text
    assert "fork at v6" in text
    assert "gone~1" in text
    assert "└─ gone " in text
    for columns in (20, 40, 80):
        shown = on_terminal("tree", "--db", path, columns=columns, NO_COLOR="1")
        assert "\x1b" not in shown
        assert max(map(width_of, shown.splitlines())) <= columns
    assert "\x1b[1mSESSION" in on_terminal("tree", "--db", path)


def test_a_title_cannot_break_the_tree(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("a", title="t\n\x1b[2J")
    text = run("tree", "--db", path).stdout
    assert "t \\x1b[2J" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("words", [["tree", "nobody"], ["fork", "nobody"]])
def test_what_is_not_there_is_told(words: list[str], db: Path) -> None:
    done = run(*words, "--db", db)
    assert done.exit_code == 1
    assert "no session id starts with 'nobody'" in done.stderr
