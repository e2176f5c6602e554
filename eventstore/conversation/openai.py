"""Messages as OpenAI chat messages, by the rules of `eventstore.conversation.turns`.

Arguments of calls are JSON text. A part of a type that chat does not know becomes its JSON as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from eventstore import codec
from eventstore.conversation.turns import ERASED, UNANSWERED, Asked, Unanswered, turns
from eventstore.events.catalogue import ToolCall
from eventstore.store.views import MessageView

ChatMessage: TypeAlias = dict[str, Any]


def to_chat(
    messages: Sequence[MessageView],
    *,
    prompt: str | None = None,
    limit: int | None = None,
    unanswered: Unanswered = "placeholder",
    reasoning: bool = False,
) -> list[ChatMessage]:
    """The OpenAI chat messages for these active messages.

    With `reasoning`, the model's thinking is given as ``reasoning_content``.
    """
    chat: list[ChatMessage] = []
    if prompt is not None:
        chat.append({"role": "system", "content": prompt})
    for role, group, asked in turns(messages, limit=limit, unanswered=unanswered):
        if role == "assistant":
            chat += _assistant(group, asked, reasoning)
        else:
            chat.append(_plain(group[0]))
    return chat


def _plain(message: MessageView) -> ChatMessage:
    chat: ChatMessage = {"role": message.role, "content": _content(message)}
    if message.name is not None:
        chat["name"] = message.name
    return chat


def _assistant(
    group: Sequence[MessageView], calls: Sequence[Asked], reasoning: bool
) -> list[ChatMessage]:
    chat: ChatMessage = {"role": "assistant", "content": _joined(group)}
    if group[0].name is not None:
        chat["name"] = group[0].name
    if calls:
        chat["tool_calls"] = [_call(asked.call) for asked in calls]
    if reasoning:
        thoughts = [message.reasoning for message in group if message.reasoning]
        if thoughts:
            chat["reasoning_content"] = "\n".join(thoughts)
    if calls:
        return [chat, *[_answer(asked) for asked in calls if asked.answered]]
    if chat["content"] is None:
        if "reasoning_content" not in chat:
            return []
        chat["content"] = ""
    return [chat]


def _answer(asked: Asked) -> ChatMessage:
    content = UNANSWERED if asked.result is None else _content(asked.result)
    return {
        "role": "tool",
        "tool_call_id": asked.call.id,
        "content": "" if content is None else content,
    }


def _call(call: ToolCall) -> ChatMessage:
    arguments = call.arguments
    if not isinstance(arguments, str):
        arguments = codec.encode({} if arguments is None else arguments).decode()
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _joined(group: Sequence[MessageView]) -> Any:
    contents = [content for message in group if (content := _content(message)) not in (None, "")]
    if not contents:
        return None
    if len(contents) == 1:
        return contents[0]
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(contents)
    parts: list[Any] = []
    for content in contents:
        parts.extend([{"type": "text", "text": content}] if isinstance(content, str) else content)
    return parts


def _content(message: MessageView) -> Any:
    if message.erased:
        return ERASED
    return message.text if message.parts is None else [_part(part) for part in message.parts]


def _part(part: Any) -> Any:
    """A typed part in OpenAI's form; one that chat does not know becomes its JSON as text."""
    match part:
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image_url" | "input_audio" | "file"}:
            return part
        case {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}:
            return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
        case {"type": "image", "source": {"type": "url", "url": url}}:
            return {"type": "image_url", "image_url": {"url": url}}
        case str():
            return {"type": "text", "text": part}
        case _:
            return {"type": "text", "text": codec.encode(part).decode()}
