"""User and assistant records as messages.

A user's record becomes a user message; each tool result in it a message of the tool. An
assistant's record becomes one message: its text, its thinking as reasoning, its tool calls. Blocks
of other types are kept as parts. What is made shares the record's own objects, so that the record
kept beside it can refer to them.
"""

from __future__ import annotations

from typing import Any

from eventstore.events.catalogue import ToolCall
from eventstore.importers.claude_code.fields import enumerated, identifier
from eventstore.session.commands import Message

#: What Claude Code writes as the model of messages that no model wrote.
SYNTHETIC = "<synthetic>"


def messages_of(
    record: dict[str, Any], occurred_at: int | None, tools: dict[str, str]
) -> list[Message] | None:
    """The messages of a user or assistant record, None when it has not the shape of one.

    `tools` are names of tools by call id, for the results that have none.
    """
    message = record.get("message")
    if type(message) is not dict:
        return None
    content = message.get("content")
    if type(content) is str:
        blocks = [{"type": "text", "text": content}]
    elif type(content) is list and all(type(block) is dict for block in content):
        blocks = content
    else:
        return None
    if record.get("type") == "assistant":
        made = _assistant(message, blocks, occurred_at)
        return None if made is None else [made]
    return _user(blocks, occurred_at, tools)


def _user(
    blocks: list[dict[str, Any]], occurred_at: int | None, tools: dict[str, str]
) -> list[Message] | None:
    made: list[Message] = []
    others: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") != "tool_result":
            others.append(block)
            continue
        content = block.get("content")
        if content is not None and type(content) is not str and type(content) is not list:
            return None
        call_id = identifier(block.get("tool_use_id"))
        made.append(
            Message(
                role="tool",
                content=content,
                call_id=call_id,
                tool_name=None if call_id is None else tools.get(call_id),
                failed=block.get("is_error") is True,
                occurred_at=occurred_at,
            )
        )
    if others or not made:
        made.append(Message(role="user", content=_text_or_parts(others), occurred_at=occurred_at))
    return made


def _text_or_parts(blocks: list[dict[str, Any]]) -> str | list[Any]:
    """The text of a single plain text block, else the blocks."""
    if len(blocks) == 1 and blocks[0].get("type") == "text":
        text = blocks[0].get("text")
        if type(text) is str:
            return text
    return blocks


def _assistant(
    message: dict[str, Any], blocks: list[dict[str, Any]], occurred_at: int | None
) -> Message | None:
    reasoning: list[str] = []
    items: list[Any] = []
    calls: list[ToolCall] = []
    others: list[dict[str, Any]] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "thinking" and type(block.get("thinking")) is str:
            reasoning.append(block["thinking"])
            if len(block) > 2:
                items.append({key: block[key] for key in block if key != "thinking"})
        elif kind == "redacted_thinking":
            items.append(block)
        elif kind == "tool_use":
            name = block.get("name")
            if type(name) is not str:
                return None
            call_id = identifier(block.get("id"))
            calls.append(ToolCall(id=call_id, name=name, arguments=block.get("input")))
        else:
            others.append(block)
    model = identifier(message.get("model"))
    return Message(
        role="assistant",
        content=_text_or_parts(others) if others else None,
        tool_calls=tuple(calls),
        reasoning="\n\n".join(reasoning) if reasoning else None,
        reasoning_items=items or None,
        finish_reason=enumerated(message.get("stop_reason")),
        response_id=identifier(message.get("id")),
        model=None if model == SYNTHETIC else model,
        occurred_at=occurred_at,
    )
