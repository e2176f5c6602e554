"""Conversations for fine-tuning: valid by OpenAI's rules, and what the model had before it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, ticking
from histories import histories, play
from hypothesis import HealthCheck, given, settings

from eventstore import Session, SessionStore, ToolCall, errors
from eventstore.exports.runner import export

#: The form of a line, from OpenAI's reference of chat messages and of fine-tuning files.
SCHEMA = {
    "$defs": {
        "content": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {
                            "type": {"enum": ["text", "image_url", "input_audio", "file"]}
                        },
                    },
                },
            ]
        },
        "call": {
            "type": "object",
            "required": ["id", "type", "function"],
            "properties": {
                "id": {"type": "string"},
                "type": {"const": "function"},
                "function": {
                    "type": "object",
                    "required": ["name", "arguments"],
                    "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
    },
    "type": "object",
    "required": ["messages"],
    "properties": {
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    {
                        "properties": {
                            "role": {"enum": ["system", "user", "developer"]},
                            "content": {"$ref": "#/$defs/content"},
                            "name": {"type": "string"},
                        },
                        "required": ["role", "content"],
                        "additionalProperties": False,
                    },
                    {
                        "properties": {
                            "role": {"const": "assistant"},
                            "content": {"anyOf": [{"$ref": "#/$defs/content"}, {"type": "null"}]},
                            "name": {"type": "string"},
                            "tool_calls": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"$ref": "#/$defs/call"},
                            },
                        },
                        "required": ["role"],
                        "additionalProperties": False,
                    },
                    {
                        "properties": {
                            "role": {"const": "tool"},
                            "content": {"$ref": "#/$defs/content"},
                            "tool_call_id": {"type": "string"},
                        },
                        "required": ["role", "content", "tool_call_id"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
        "tools": {"type": "array", "items": {"type": "object", "required": ["type", "function"]}},
    },
    "additionalProperties": False,
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with SessionStore.open(tmp_path / "s.db", clock=ticking()) as store:
        yield store


def conversation(store: SessionStore, name: str) -> Session:
    session = store.create(name, prompt="Be brief.")
    session.append("user", "Where to?")
    session.append("assistant", tool_calls=[ToolCall(id="c1", name="find", arguments={"q": 1})])
    session.append("tool", "Rome", call_id="c1")
    session.append("assistant", "Rome.")
    return session


def exported(store: SessionStore, **options: Any) -> tuple[list[Any], list[str]]:
    out, said = io.BytesIO(), list[str]()
    export(store, "openai", out, record=False, tell=said.append, **options)
    return [json.loads(line) for line in out.getvalue().splitlines()], said


def test_a_line_is_what_the_model_had_before_it(store: SessionStore) -> None:
    session = conversation(store, "trip")
    [line], said = exported(store)
    assert line == {"messages": session.chat()}
    assert [one["role"] for one in line["messages"]] == [
        "system", "user", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert said == []


def test_a_new_example_begins_after_each_compaction(store: SessionStore) -> None:
    session = conversation(store, "trip")
    before = session.chat()
    session.compact(1, 3, "They want to travel.")
    session.append("user", "And then?")
    session.append("assistant", "Home.")
    middle = session.chat()
    session.compact(5, 6, "All is told.")
    session.change_prompt("Be long.")
    found, _ = exported(store)
    assert [line["messages"] for line in found] == [before, middle, session.chat()]


def test_sessions_of_which_something_was_erased_are_left_out_and_counted(
    store: SessionStore,
) -> None:
    conversation(store, "kept")
    for number in range(2):
        session = conversation(store, f"erased {number}")
        session.erase_events([session.messages()[number].position])
    prompt = conversation(store, "erased prompt")
    prompt.erase_events([event.position for event in prompt.events()][1:2])
    found, said = exported(store)
    assert len(found) == 1
    assert said == ["left out 3 of the sessions: something in them was erased"]
    found, said = exported(store, options={"erased": "keep"})
    assert len(found) == 4
    assert said == []
    assert any(one["content"] == "[erased]" for line in found for one in line["messages"])


def test_sessions_in_which_no_model_answered_are_left_out_and_counted(store: SessionStore) -> None:
    conversation(store, "kept")
    store.create("silent").append("user", "hello?")
    found, said = exported(store)
    assert len(found) == 1
    assert said == ["left out 1 of the sessions: no model answered in them"]


def test_tools_of_the_configuration_come_along_if_they_have_openais_form(
    store: SessionStore,
) -> None:
    session = conversation(store, "trip")
    tool = {"type": "function", "function": {"name": "find", "parameters": {}}}
    session.change_configuration({"tools": [tool]})
    assert exported(store)[0][0]["tools"] == [tool]
    session.change_configuration({"tools": ["find"]})
    assert "tools" not in exported(store)[0][0]


def test_there_is_nothing_without_texts(store: SessionStore) -> None:
    with pytest.raises(errors.ExportFailedError, match="nothing without"):
        exported(store, content="none")
    assert store.head.position == 0


@settings(max_examples=budget(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_any_history_gives_valid_lines(history: list[Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = jsonschema.Draft202012Validator(SCHEMA)
    with SessionStore.open(":memory:", clock=ticking()) as store:
        play(store, history)
        found, _ = exported(store, options={"erased": "keep"})
    for line in found:
        validator.validate(line)
        answers(line["messages"])


def answers(messages: list[Any]) -> None:
    """After each assistant's message its calls are answered, each once, and nothing else is."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
        else:
            assert waiting == []
            waiting = [call["id"] for call in message.get("tool_calls", ())]
    assert waiting == []
