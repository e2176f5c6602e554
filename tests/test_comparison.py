"""A diff says all that differs between two moments, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from asof_support import Operation, apply, operations, store_of
from engine_support import budget, populated
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from eventstore import At, Session, SessionStore, ToolCall
from eventstore.comparison import FIELDS, SETTINGS, Diff, diff
from eventstore.errors import InvalidValueError
from eventstore.events import catalogue as ev
from eventstore.store.views import AsOf, MessageView

quick = settings(
    max_examples=budget(60), deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

words = st.sampled_from(["a", "b", "a long text of some words", "a long text of other words"])
messages = st.builds(
    MessageView,
    seq=st.integers(1, 9),
    role=st.sampled_from(["user", "assistant"]),
    position=st.integers(1, 9),
    state=st.sampled_from(["active", "compacted"]),
    text=st.none() | words,
    parts=st.none() | st.lists(st.just({"type": "blob"}), max_size=1),
    tool_calls=st.none() | st.just([ToolCall(id="c", name="t", arguments={"n": 1})]),
    tokens=st.none() | st.integers(0, 2),
    erased=st.booleans(),
)
sides = st.builds(
    AsOf,
    name=st.just("s"),
    version=st.just(1),
    status=st.sampled_from(["active", "ended"]),
    title=st.none() | words,
    prompt=st.none() | words,
    model=st.none() | words,
    provider=st.none(),
    configuration=st.none() | st.just({"n": 1}),
    messages=st.lists(
        messages, max_size=6, unique_by=(lambda one: one.seq, lambda one: one.position)
    ).map(tuple),
)


@pytest.fixture
def session() -> Iterator[Session]:
    with SessionStore.open(":memory:") as store:
        yield store.create("s")


def said(side: AsOf) -> Any:
    """All that is compared."""
    return (
        [getattr(side, name) for name in SETTINGS],
        [[getattr(message, name) for name in FIELDS] for message in side.messages],
    )


def kinds(found: Diff) -> list[tuple[str, int | None, int | None]]:
    return [
        (change.kind, change.before.seq if change.before else None,
         change.after.seq if change.after else None)
        for change in found.messages
    ]  # fmt: skip


# -- what holds of every diff --------------------------------------------------------------------


@quick
@given(side=sides, same_log=st.booleans())
def test_a_moment_does_not_differ_from_itself(side: AsOf, same_log: bool) -> None:
    assert not diff(side, side, same_log=same_log)


@settings(quick, max_examples=budget(300))
@given(before=sides, after=sides, same_log=st.booleans())
def test_applied_to_the_one_side_it_gives_what_the_other_says(
    before: AsOf, after: AsOf, same_log: bool
) -> None:
    found = diff(before, after, same_log=same_log)
    assert said(found.apply(before)) == said(after)
    assert bool(found) == (said(before) != said(after))


@quick
@given(history=operations, everything=st.booleans())
def test_it_leads_from_any_version_of_any_session_to_any_other(
    history: list[Operation], everything: bool
) -> None:
    with store_of(()) as store:
        sessions: list[Session] = []
        apply(store, sessions, ("append", 0, 0, 0))
        for operation in history:
            apply(store, sessions, operation)
        moments = [
            one.as_of(version, history=everything)
            for one in sessions
            for version in {0, one.version // 2, one.version}
        ]
        for before in moments:
            for after in moments[-4:]:
                assert said(diff(before, after).apply(before)) == said(after)


def test_it_is_not_applied_to_another_side(session: Session) -> None:
    session.append("user", "one")
    before = session.as_of()
    session.set_title("t")
    session.retract(1)
    found = diff(before, session.as_of())
    with pytest.raises(InvalidValueError, match="another title"):
        found.apply(replace(before, title="other"))
    with pytest.raises(InvalidValueError, match="another message"):
        found.apply(replace(before, messages=()))


# -- how messages are aligned --------------------------------------------------------------------


def test_the_same_event_is_the_same_message_whatever_it_says(session: Session) -> None:
    for text in ("same", "same", "same"):
        session.append("user", text)
    then = session.as_of()
    session.consolidate(1)
    assert kinds(diff(then, session.as_of())) == [("removed", 1, None)]
    fork = session.fork("f")
    fork.append("user", "same")
    assert kinds(diff(session.as_of(), fork.as_of())) == [("added", None, 4)]


def test_what_both_have_is_the_same_though_more_is_said_alike_elsewhere() -> None:
    def message(seq: int, position: int, text: str) -> MessageView:
        return MessageView(seq=seq, role="user", position=position, text=text)

    said_twice = ["one", "two", "three"]
    before = [*(message(n, n, text) for n, text in enumerate(said_twice, 1)), message(9, 9, "x")]
    after = [message(9, 9, "x"), *(message(n, n + 90, t) for n, t in enumerate(said_twice, 1))]
    sides = [replace(_EMPTY, messages=tuple(side)) for side in (before, after)]
    assert [kind for kind, _, _ in kinds(diff(*sides))] == ["removed"] * 3 + ["added"] * 3
    apart = diff(*sides, same_log=False)
    assert kinds(apart) == [("added", None, 9), ("removed", 9, None)]


_EMPTY = AsOf(
    name="s", version=1, status="active", title=None, prompt=None, model=None, provider=None,
    configuration=None, messages=(),
)  # fmt: skip


def test_runs_without_a_common_past_are_aligned_by_what_is_said() -> None:
    with SessionStore.open(":memory:") as store:
        one, other = store.create("one"), store.create("other")
        other.append("system", "only here")
        for session, call_id in ((one, "c1"), (other, "c2")):
            session.append("user", "go")
            call = ToolCall(id=call_id, name="look", arguments={"n": 1})
            session.append("assistant", tool_calls=[call], tokens=5)
            session.append("tool", "found", call_id=call_id)
        found = diff(one.as_of(), other.as_of())
        assert kinds(found) == [("added", None, 1), ("changed", 2, 3), ("changed", 3, 4)]
        assert [field.name for field in found.messages[1].fields] == ["tool_calls"]
        assert [field.name for field in found.messages[2].fields] == ["call_id"]


def test_a_message_that_says_nearly_the_same_was_changed() -> None:
    with SessionStore.open(":memory:") as store:
        one, other = store.create("one"), store.create("other")
        one.append("assistant", "I will refund the 80 for order 17 now.")
        other.append("assistant", "I will refund the 50 for order 17 now.")
        one.append("assistant", "nothing alike")
        other.append("assistant", "something else altogether")
        assert kinds(diff(one.as_of(), other.as_of())) == [
            ("changed", 1, 1), ("removed", 2, None), ("added", None, 2),
        ]  # fmt: skip


def test_positions_of_another_log_mean_nothing() -> None:
    with SessionStore.open(":memory:") as store, SessionStore.open(":memory:") as elsewhere:
        sides = []
        for one, texts in ((store, ("a", "b")), (elsewhere, ("b", "c"))):
            session = one.create("s")
            for text in texts:
                session.append("user", text)
            sides.append(session.as_of())
        found = diff(*sides, same_log=False)
        assert kinds(found) == [("removed", 1, None), ("added", None, 2)]


# -- moments -------------------------------------------------------------------------------------


@quick
@given(history=operations)
def test_the_history_of_a_moment_has_each_message_in_its_state_then(
    history: list[Operation],
) -> None:
    with store_of(()) as store:
        sessions: list[Session] = []
        apply(store, sessions, ("append", 0, 0, 0))
        seen: list[tuple[Session, int, Any]] = []
        for operation in history:
            apply(store, sessions, operation)
            seen += [(one, one.version, tuple(one.history())) for one in sessions]
        for session, version, then in seen:
            assert session.as_of(version, history=True).messages == then


def test_what_is_in_force_is_compared_too(session: Session) -> None:
    session.append("user", "one")
    before = session.as_of()
    session.set_title("t")
    session.change_prompt("p")
    session.change_model("m", "q")
    session.change_configuration({"n": 1})
    session.end()
    found = diff(before, session.as_of())
    assert [(one.name, one.before, one.after) for one in found.settings] == [
        ("status", "active", "ended"), ("title", None, "t"), ("prompt", None, "p"),
        ("model", None, "m"), ("provider", None, "q"), ("configuration", None, {"n": 1}),
    ]  # fmt: skip
    assert found.messages == ()


def test_a_compaction_shows_as_state_in_the_history(session: Session) -> None:
    for text in ("one", "two"):
        session.append("user", text)
    session.compact(1, 1, "note")
    found = diff(session.as_of(At.before_compaction(1), history=True), session.as_of(history=True))
    assert kinds(found) == [("changed", 1, 1), ("added", None, 3)]
    [state] = found.messages[0].fields
    assert (state.name, state.before, state.after) == ("state", "active", "compacted")


def test_erased_messages_are_compared_as_erased() -> None:
    with populated(":memory:") as store:
        root, fork = store.session("root"), store.session("fork")
        [position] = [e.position for e in root.events() if isinstance(e.event, ev.MessageAppended)
                      and e.event.seq == 1]  # fmt: skip
        then = root.as_of(At.seq(4))
        root.erase_events([position])
        found = diff(then, root.as_of(At.seq(4)))
        assert [field.name for field in found.messages[0].fields] == ["text", "erased"]
        assert not diff(root.as_of(At.seq(1)), root.as_of(At.seq(1)))
        root.erase()
        fork.erase()
        for at in range(root.version):
            found = diff(root.as_of(at, history=True), fork.as_of(history=True))
            assert "hello" not in repr(found)
