"""What a model is sent: the rules that `eventstore.conversation` states, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Session, SessionStore, ToolCall
from eventstore.conversation import ERASED, UNANSWERED, to_chat
from eventstore.store.views import MessageView


@pytest.fixture
def session() -> Iterator[Session]:
    with SessionStore.open(":memory:") as store:
        yield store.create("s")


def call(call_id: str, name: str = "bash", arguments: object = None) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


def roles(session: Session, **options: object) -> list[str]:
    return [message["role"] for message in session.chat(**options)]  # type: ignore[arg-type]


def test_the_prompt_comes_first_and_can_be_left_out(session: Session) -> None:
    session.append("user", "hi")
    session.change_prompt("Be brief.")
    assert session.chat()[0] == {"role": "system", "content": "Be brief."}
    assert roles(session, prompt=False) == ["user"]


def test_a_tool_call_has_openai_form_and_its_arguments_are_json_text(session: Session) -> None:
    session.append("assistant", tool_calls=[call("c1", arguments={"cmd": "ls", "n": 1})])
    session.append("tool", "a.txt", call_id="c1")
    asked, answered = session.chat()
    assert asked["tool_calls"][0]["function"]["name"] == "bash"
    assert json.loads(asked["tool_calls"][0]["function"]["arguments"]) == {"cmd": "ls", "n": 1}
    assert answered == {"role": "tool", "tool_call_id": "c1", "content": "a.txt"}


def test_arguments_given_as_text_stay_that_text(session: Session) -> None:
    session.append("assistant", tool_calls=[call("c1", arguments='{"half":')])
    assert session.chat()[0]["tool_calls"][0]["function"]["arguments"] == '{"half":'


def test_results_follow_their_call_even_when_a_user_spoke_in_between(session: Session) -> None:
    session.append("assistant", tool_calls=[call("c1"), call("c2")])
    session.append("user", "hurry")
    session.append("tool", "second", call_id="c2")
    session.append("tool", "first", call_id="c1")
    chat = session.chat()
    assert [m.get("content") for m in chat] == [None, "first", "second", "hurry"]


def test_an_orphaned_result_is_left_out(session: Session) -> None:
    session.append("user", "hi")
    session.append("tool", "whose?", call_id="nobody")
    assert roles(session) == ["user"]


def test_a_result_whose_call_was_cut_off_by_the_window_is_left_out(session: Session) -> None:
    session.append("user", "one")
    session.append("assistant", tool_calls=[call("c1")])
    session.append("tool", "result", call_id="c1")
    session.append("user", "two")
    assert [m["content"] for m in session.chat(limit=2)] == ["two"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("placeholder", ["assistant", "tool"]), ("keep", ["assistant"]), ("drop", [])],
)
def test_an_unanswered_call_follows_the_callers_rule(
    session: Session, rule: str, expected: list[str]
) -> None:
    session.append("assistant", tool_calls=[call("c1")])
    assert roles(session, unanswered=rule) == expected


def test_the_placeholder_says_that_there_was_no_result(session: Session) -> None:
    session.append("assistant", tool_calls=[call("c1")])
    assert session.chat()[1]["content"] == UNANSWERED


def test_a_call_id_used_twice_pairs_each_call_with_its_own_result(session: Session) -> None:
    for text in ("one", "two"):
        session.append("assistant", tool_calls=[call("c1")])
        session.append("tool", text, call_id="c1")
    assert [m["content"] for m in session.chat() if m["role"] == "tool"] == ["one", "two"]


def test_messages_of_one_response_become_one(session: Session) -> None:
    session.append("assistant", "thinking aloud", response_id="r1")
    session.append("assistant", tool_calls=[call("c1")], response_id="r1")
    session.append("tool", "ok", call_id="c1")
    session.append("assistant", "done", response_id="r2")
    chat = session.chat()
    assert [m["role"] for m in chat] == ["assistant", "tool", "assistant"]
    assert chat[0]["content"] == "thinking aloud"
    assert len(chat[0]["tool_calls"]) == 1


def test_a_window_begins_at_a_user_message(session: Session) -> None:
    for number in range(3):
        session.append("user", f"q{number}")
        session.append("assistant", f"a{number}")
    assert [m["content"] for m in session.chat(limit=3)] == ["q2", "a2"]


def test_a_window_without_a_user_message_is_given_as_it_is(session: Session) -> None:
    session.append("assistant", "one")
    session.append("assistant", "two")
    assert [m["content"] for m in session.chat(limit=1)] == ["two"]


def test_a_note_stands_where_the_folded_messages_stood(session: Session) -> None:
    for number in range(6):
        session.append("user", f"m{number}")
    session.compact(2, 4, "m1 to m3 in short")
    assert [m["content"] for m in session.chat()] == ["m0", "m1 to m3 in short", "m4", "m5"]


def test_erased_text_says_so(session: Session) -> None:
    session.append("user", "my PIN is 1234")
    message = session.message(1)
    assert message is not None
    session.erase_events([message.position])
    assert session.chat() == [{"role": "user", "content": ERASED}]


def test_images_take_openai_form_and_unknown_parts_become_text(session: Session) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    session.append(
        "user",
        [{"type": "text", "text": "see"}, {"type": "image", "source": source}, {"type": "odd"}],
    )
    assert session.chat()[0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": '{"type":"odd"}'},
    ]


def test_reasoning_is_given_only_when_asked_for(session: Session) -> None:
    session.append("assistant", "42", reasoning="six times seven")
    assert "reasoning_content" not in session.chat()[0]
    assert session.chat(reasoning=True)[0]["reasoning_content"] == "six times seven"


CALL_IDS = st.sampled_from(["a", "b", "c"])


@st.composite
def histories(draw: st.DrawFn) -> list[MessageView]:
    messages = []
    for seq in range(1, draw(st.integers(0, 14)) + 1):
        role = draw(st.sampled_from(["user", "assistant", "tool"]))
        calls = draw(st.lists(CALL_IDS, unique=True, max_size=2)) if role == "assistant" else []
        messages.append(
            MessageView(
                seq=seq,
                role=role,
                position=seq,
                text=draw(st.sampled_from(["", "text"])),
                tool_calls=[call(call_id) for call_id in calls] or None,
                call_id=draw(CALL_IDS) if role == "tool" else None,
                response_id=draw(st.sampled_from([None, "r"])) if role == "assistant" else None,
            )
        )
    return messages


@given(histories(), st.none() | st.integers(0, 14), st.sampled_from(["placeholder", "drop"]))
def test_every_call_is_answered_directly_after_it_and_nothing_else_is_a_result(
    messages: list[MessageView], limit: int | None, rule: str
) -> None:
    chat = to_chat(messages, limit=limit, unanswered=rule)  # type: ignore[arg-type]
    expected: list[str] = []
    for message in chat:
        if message["role"] == "tool":
            assert message["tool_call_id"] == expected.pop(0)
        else:
            assert expected == []
            expected = [asked["id"] for asked in message.get("tool_calls", ())]
    assert expected == []


@given(histories())
def test_no_users_message_is_lost(messages: list[MessageView]) -> None:
    chat = to_chat(messages)
    assert sum(m["role"] == "user" for m in chat) == sum(m.role == "user" for m in messages)
