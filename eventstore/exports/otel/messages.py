"""Messages as the conventions' JSON has them: a role and parts, each with a type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from eventstore.store.views import MessageView

JSONObject: TypeAlias = dict[str, Any]


def input_message(message: MessageView) -> JSONObject:
    """What a model was sent: a user's, a tool's or a system's message."""
    if message.call_id is not None:
        response: Any = message.parts if message.text is None else message.text
        part = {"type": "tool_call_response", "id": message.call_id, "response": response}
        parts = [erased(message)] if message.erased else [part]
    else:
        parts = _parts(message)
    return {"role": message.role, "parts": parts}


def output_message(pieces: Sequence[MessageView]) -> JSONObject:
    """What a model answered, in one message or in pieces."""
    parts = [part for piece in pieces for part in _parts(piece)]
    calls = any(piece.tool_calls for piece in pieces)
    reason = pieces[-1].finish_reason or ("tool_call" if calls else "stop")
    return {"role": pieces[0].role, "parts": parts, "finish_reason": reason}


def erased(message: MessageView) -> JSONObject:
    """The part that stands for text that was erased."""
    return {"type": "erased", "event_pos": message.position}


def _parts(message: MessageView) -> list[JSONObject]:
    if message.erased:
        return [erased(message)]
    parts: list[JSONObject] = []
    if message.reasoning:
        parts.append({"type": "reasoning", "content": message.reasoning})
    content = message.text if message.parts is None else message.parts
    if content:
        parts += content_parts(content)
    for call in message.tool_calls or ():
        parts.append(
            {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        )
    return parts


def content_parts(content: str | list[Any]) -> list[JSONObject]:
    """A text, or typed parts of which texts are given in the conventions' form."""
    parts: list[JSONObject] = []
    for one in [content] if isinstance(content, str) else content:
        match one:
            case str(text) | {"type": "text" | "input_text" | "output_text", "text": str(text)}:
                parts.append({"type": "text", "content": text})
            case {"type": str()}:
                parts.append(one)
            case _:
                parts.append({"type": "unknown", "content": one})
    return parts
