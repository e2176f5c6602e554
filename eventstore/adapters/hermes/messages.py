"""Messages between Hermes's rows and the engine's events.

Tool calls in the shape that providers give them become the engine's own; fields they have beyond
it, and calls of any other shape, are kept beside them in the message's metadata, so that what was
stored comes back equal.
"""

from __future__ import annotations

import json
from operator import attrgetter
from sqlite3 import ProgrammingError
from typing import Any

from eventstore.adapters.hermes.errors import missing, require_text
from eventstore.events.catalogue import ToolCall
from eventstore.session.commands import Message
from eventstore.store.views import MessageView

#: Keys of a message's metadata.
RAW_CALLS, EXTRA_FIELDS = "tool_calls", "tool_call_fields"
OPAQUE = ("reasoning_details", "codex_reasoning_items")
_NO_OPAQUE = dict[str, Any].fromkeys(OPAQUE)

_CALL = {"id", "type", "function"}
_FUNCTION = {"name", "arguments"}


def as_json(value: Any) -> Any:
    """The value as JSON would give it back; raises what `json.dumps` raises."""
    return json.loads(json.dumps(value))


def to_message(
    role: str,
    content: str | None,
    *,
    tool_name: str | None = None,
    tool_calls: Any = None,
    tool_call_id: str | None = None,
    token_count: int | None = None,
    finish_reason: str | None = None,
    reasoning: str | None = None,
    reasoning_details: Any = None,
    codex_reasoning_items: Any = None,
    occurred_at: int | None = None,
) -> Message:
    """The engine's message; raises what binding the values to Hermes's table would raise."""
    if role is None:
        raise missing("messages.role")
    for name, value in (
        ("role", role), ("content", content), ("tool_call_id", tool_call_id),
        ("tool_name", tool_name), ("finish_reason", finish_reason), ("reasoning", reasoning),
    ):  # fmt: skip
        require_text(value, name)
    if token_count is not None and type(token_count) is not int:
        raise ProgrammingError(
            f"Error binding token_count: {token_count!r} is not supported; give a whole number"
        )
    metadata: dict[str, Any] = {}
    for name, opaque in zip(OPAQUE, (reasoning_details, codex_reasoning_items), strict=True):
        if opaque:
            metadata[name] = as_json(opaque)
    calls = _to_calls(tool_calls, metadata)
    return Message(
        role=role,
        content=content,
        tool_name=tool_name,
        tool_calls=calls,
        call_id=tool_call_id,
        tokens=token_count,
        finish_reason=finish_reason,
        reasoning=reasoning,
        metadata=metadata or None,
        occurred_at=occurred_at,
    )


def _to_calls(given: Any, metadata: dict[str, Any]) -> tuple[ToolCall, ...]:
    """The engine's calls; what they cannot hold goes into `metadata`.

    What is no list counts as one call, even when it is empty.
    """
    if given is None or given == []:
        return ()
    value: Any = as_json(given) if given else None
    listed: list[Any] = value if isinstance(given, list) else [value]
    if isinstance(given, list) and _are_regular(listed):
        extra = [{key: call[key] for key in call if key not in _CALL} for call in listed]
        if any(extra):
            metadata[EXTRA_FIELDS] = extra
    else:
        metadata[RAW_CALLS] = value
    return tuple(_to_call(number, call) for number, call in enumerate(listed))


def _are_regular(calls: list[Any]) -> bool:
    ids = set()
    for call in calls:
        if not isinstance(call, dict) or not call.keys() >= _CALL or call["type"] != "function":
            return False
        function, call_id = call["function"], call["id"]
        if not _is_id(call_id) or call_id in ids:
            return False
        if not isinstance(function, dict) or function.keys() != _FUNCTION:
            return False
        if not isinstance(function["name"], str):
            return False
        ids.add(call_id)
    return True


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()


def _to_call(number: int, call: Any) -> ToolCall:
    """A call of any shape; without an id of its own it is named by its place in the message."""
    fields = call if isinstance(call, dict) else {}
    function = fields.get("function")
    function = function if isinstance(function, dict) else fields
    name, call_id = function.get("name"), fields.get("id")
    return ToolCall(
        id=call_id if _is_id(call_id) else f"call_{number}",
        name=name if isinstance(name, str) else "",
        arguments=function.get("arguments"),
    )


def tool_calls_of(message: MessageView) -> Any:
    """The tool calls as they were given, None when there were none."""
    metadata = message.metadata
    if metadata and RAW_CALLS in metadata:
        return metadata[RAW_CALLS]
    if not message.tool_calls:
        return None
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in message.tool_calls
    ]
    if metadata and EXTRA_FIELDS in metadata:
        for call, fields in zip(calls, metadata[EXTRA_FIELDS], strict=True):
            call.update(fields)
    return calls


def content_of(message: MessageView) -> Any:
    """The text of a message, or its typed parts; None once it is erased."""
    return message.text if message.parts is None else message.parts


def message_row(session_id: str, message: MessageView) -> dict[str, Any]:
    """Every column of a message's row, in the table's order; tool calls decoded."""
    row = {
        "id": message.position,
        "session_id": session_id,
        "role": message.role,
        "content": message.text if message.parts is None else message.parts,
        "tool_call_id": message.call_id,
        "tool_calls": tool_calls_of(message),
        "tool_name": message.tool_name,
        "timestamp": message.at / 1_000_000,
        "token_count": message.tokens,
        "finish_reason": message.finish_reason,
        "reasoning": message.reasoning,
        **_NO_OPAQUE,
    }
    if message.metadata:
        for name in OPAQUE:
            if name in message.metadata:
                row[name] = json.dumps(message.metadata[name])
    return row


def chat_message(message: MessageView) -> dict[str, Any]:
    """The message as a model is sent it; the model's reasoning goes with its own messages only."""
    content = message.text if message.parts is None else message.parts
    chat: dict[str, Any] = {"role": message.role, "content": content}
    if message.call_id:
        chat["tool_call_id"] = message.call_id
    if message.tool_name:
        chat["tool_name"] = message.tool_name
    if message.tool_calls and (calls := tool_calls_of(message)):
        chat["tool_calls"] = calls
    if message.role == "assistant":
        if message.reasoning:
            chat["reasoning"] = message.reasoning
        if message.metadata:
            for name in OPAQUE:
                if value := message.metadata.get(name):
                    chat[name] = value
    return chat


def in_order(messages: list[MessageView]) -> list[MessageView]:
    """By time, and by row id where times are equal; nearly always they are in order already."""
    times = [message.at for message in messages]
    if times == sorted(times):
        return messages
    return sorted(messages, key=attrgetter("at", "position"))
