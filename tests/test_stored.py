"""Events to stored bytes: what is stored comes back equal, everything else is refused."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from engine_support import budget
from hypothesis import given, settings

from eventstore import errors
from eventstore.events import catalogue as ev
from eventstore.events import stored
from eventstore.events.catalogue import Event

Numbers = st.integers() | st.floats() | st.booleans() | st.none()
Values: st.SearchStrategy[Any] = st.recursive(
    Numbers | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)  # fmt: skip
#: Some of these have no JSON form, or come back as something else.
Odd = st.sampled_from([float("nan"), (1, 2), {1: 2}, b"bytes", {1, 2}, 10**400, "\ud800", "\ud83d"])


class Text(str):
    """A text, but not a plain one."""

    __slots__ = ()


#: Where a type is expected, these are it or look like it.
Plain: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.sampled_from(
        [0, 1, 7, -(2**53), 2**53 + 1, 2**70, 0.0, 1.5, "", "7", Text("7"), "\ud800", "\\ud800"]
    )
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(
        st.sampled_from(["message", "title", "created", "stranger", "round", "usage", "custom"])
    )
    match kind:
        case "message":
            content = draw(st.none() | st.builds(
                ev.MessageContent, text=st.none() | st.text(),
                parts=st.none() | st.lists(Values | Odd, max_size=3),
                metadata=st.none() | st.dictionaries(st.text(), Values | Odd, max_size=2),
            ))  # fmt: skip
            role = draw(st.sampled_from(["user", "tool", "\ud800"]) | st.text(max_size=4))
            return ev.MessageAppended(
                seq=draw(st.integers(1, 2**54)), role=role, content=content,
                round=draw(Plain), model=draw(Plain), failed=draw(Plain),
                call_ids=draw(st.sampled_from([(), ("a",), (5,), ("\ud800",), None])),
            )  # fmt: skip
        case "title":
            content = ev.TitleContent(title=draw(st.text() | Plain))
            return ev.TitleSet(content=content, cleared=draw(Plain))
        case "created":
            return ev.SessionCreated(kind=draw(st.sampled_from(["root", "other", ev.Kind.ROOT])))
        case "stranger":  # content of another type's class
            return ev.TitleSet(content=ev.PromptContent(prompt=draw(st.text())))
        case "round":
            return ev.RoundAdvanced(round=draw(st.integers(-(2**60), 2**60)))
        case "usage":
            return ev.UsageRecorded(key=draw(st.text(max_size=4)), input=draw(st.integers(0, 99)))
    return ev.CustomEvent(name=draw(st.sampled_from(["x.a.b", "a.b"])), data={"v": draw(Values)})


def form_or_error(event: Event) -> stored.StoredForm | str:
    try:
        return stored.store(event)
    except errors.EventStoreError as error:
        return str(error)


@settings(max_examples=budget(200), deadline=None)
@given(st.lists(events(), min_size=1, max_size=6))
def test_what_is_stored_comes_back_equal(batch: list[Event]) -> None:
    for event in batch:
        form = form_or_error(event)
        if isinstance(form, str):
            continue
        content = None
        if form.body is not None:
            content = stored.read_content(form.name, form.schema, form.body)
        assert stored.read(form.name, form.schema, form.facts, content) == event


@settings(max_examples=budget(200), deadline=None)
@given(events(), events())
def test_what_was_stored_before_does_not_change_what_is_accepted(one: Event, other: Event) -> None:
    first = form_or_error(one)
    form_or_error(other)
    assert form_or_error(one) == first


@pytest.mark.parametrize(
    "facts",
    [
        {"call_ids": (5,)}, {"call_ids": ("\ud800",)}, {"seq": 2**53 + 1}, {"seq": True},
        {"role": "\ud800"}, {"role": None}, {"content": ev.PromptContent(prompt="x")},
        {"content": ev.MessageContent(text="x", record=(1, 2))},
    ],
)  # fmt: skip
def test_a_value_that_does_not_come_back_is_refused_after_ones_like_it(facts: Any) -> None:
    content = ev.MessageContent(text="x")
    for call_ids in ((), ("a",)):
        stored.store(ev.MessageAppended(seq=1, role="user", content=content, call_ids=call_ids))
    odd = {"seq": 1, "role": "user", "content": content, **facts}
    with pytest.raises(errors.NotJSONError):
        stored.store(ev.MessageAppended(**odd))
