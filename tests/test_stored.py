"""Events to stored bytes: those stored together are stored, and refused, as each by itself."""

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


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(["message", "title", "round", "usage", "custom"]))
    match kind:
        case "message":
            content = draw(st.none() | st.builds(
                ev.MessageContent, text=st.none() | st.text(),
                parts=st.none() | st.lists(Values | Odd, max_size=3),
                metadata=st.none() | st.dictionaries(st.text(), Values | Odd, max_size=2),
            ))  # fmt: skip
            role = draw(st.sampled_from(["user", "tool", "\ud800"]) | st.text(max_size=4))
            return ev.MessageAppended(seq=draw(st.integers(1, 2**54)), role=role, content=content)
        case "title":
            return ev.TitleSet(content=ev.TitleContent(title=draw(st.text())))
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


@settings(max_examples=budget(300), deadline=None)
@given(st.lists(events(), max_size=6))
def test_events_are_stored_together_as_each_by_itself(batch: list[Event]) -> None:
    alone = [form_or_error(event) for event in batch]
    refusals = [form for form in alone if isinstance(form, str)]
    if refusals:
        with pytest.raises(errors.EventStoreError) as caught:
            stored.store_all(batch)
        assert str(caught.value) in refusals
    else:
        assert stored.store_all(batch) == alone


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
