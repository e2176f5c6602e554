"""Messages as OpenAI chat messages: what a model would be sent.

The rules, in order:

1. A window of the last `limit` messages begins at a user's message or a compaction's note where it
   holds one; what comes before is left out, so that it never begins in the middle of a turn.
2. Assistant messages that follow each other and belong to one provider response become one.
3. Results stand directly after the message that made their calls, in the order of the calls. A
   result whose call is not in the window (an orphan) is left out.
4. A call without a result in the window is answered with a placeholder (`UNANSWERED`), or left
   out, or kept as it is, as the caller says: providers refuse a call without an answer.
5. Erased text reads `ERASED`.

A note stands where the messages it replaced stood; the system prompt comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from eventstore import codec
from eventstore.events.catalogue import ToolCall
from eventstore.store.views import MessageView

ChatMessage: TypeAlias = dict[str, Any]
Unanswered: TypeAlias = Literal["placeholder", "drop", "keep"]

UNANSWERED = "[no result was recorded for this tool call]"
ERASED = "[erased]"


def to_chat(
    messages: Sequence[MessageView],
    *,
    prompt: str | None = None,
    limit: int | None = None,
    unanswered: Unanswered = "placeholder",
    reasoning: bool = False,
) -> list[ChatMessage]:
    """The OpenAI chat messages for these active messages; see the module's rules.

    With `reasoning`, the model's thinking is given as ``reasoning_content``.
    """
    window = aligned(messages, limit)
    results = _results(window)
    chat: list[ChatMessage] = []
    if prompt is not None:
        chat.append({"role": "system", "content": prompt})
    for group in _grouped(window):
        first = group[0]
        if first.role == "tool":
            continue
        if first.role == "assistant":
            chat.extend(_assistant(group, results, unanswered, reasoning))
        else:
            chat.append(_plain(first))
    return chat


def aligned(messages: Sequence[MessageView], limit: int | None) -> Sequence[MessageView]:
    """The last `limit` messages, begun at a user's message or a note where there is one."""
    if limit is None or limit >= len(messages):
        return messages
    window = messages[len(messages) - limit :] if limit > 0 else ()
    for index, message in enumerate(window):
        if message.role == "user" or message.stands_for:
            return window[index:]
    return window


def _results(window: Sequence[MessageView]) -> dict[tuple[str, int], MessageView]:
    """Each result by its call's id and the seq of the message that made the call."""
    open_calls: dict[str, int] = {}
    found: dict[tuple[str, int], MessageView] = {}
    for message in window:
        for call in message.tool_calls or ():
            if call.id is not None:
                open_calls[call.id] = message.seq
        if message.call_id is not None and message.call_id in open_calls:
            found.setdefault((message.call_id, open_calls[message.call_id]), message)
    return found


def _grouped(window: Sequence[MessageView]) -> list[list[MessageView]]:
    """Neighbouring assistant messages of one response together, everything else alone."""
    groups: list[list[MessageView]] = []
    for message in window:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and message.role == last.role == "assistant"
            and message.response_id is not None
            and message.response_id == last.response_id
        ):
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def _plain(message: MessageView) -> ChatMessage:
    chat: ChatMessage = {"role": message.role, "content": _content(message)}
    if message.name is not None:
        chat["name"] = message.name
    return chat


def _assistant(
    group: Sequence[MessageView],
    results: dict[tuple[str, int], MessageView],
    unanswered: Unanswered,
    reasoning: bool,
) -> list[ChatMessage]:
    calls: list[ChatMessage] = []
    answers: list[ChatMessage] = []
    for message in group:
        for call in message.tool_calls or ():
            result = results.get((call.id or "", message.seq))
            if result is None and unanswered == "drop":
                continue
            calls.append(_call(call))
            if result is not None:
                answers.append(_result(call, _content(result)))
            elif unanswered == "placeholder":
                answers.append(_result(call, UNANSWERED))
    chat: ChatMessage = {"role": "assistant", "content": _joined(group)}
    if group[0].name is not None:
        chat["name"] = group[0].name
    if calls:
        chat["tool_calls"] = calls
    if reasoning:
        thoughts = [message.reasoning for message in group if message.reasoning]
        if thoughts:
            chat["reasoning_content"] = "\n".join(thoughts)
    if chat["content"] is None and not calls:
        if "reasoning_content" not in chat:
            return []
        chat["content"] = ""
    return [chat, *answers]


def _call(call: ToolCall) -> ChatMessage:
    arguments = call.arguments
    if not isinstance(arguments, str):
        arguments = codec.encode({} if arguments is None else arguments).decode()
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _result(call: ToolCall, content: Any) -> ChatMessage:
    return {"role": "tool", "tool_call_id": call.id, "content": "" if content is None else content}


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
    if message.parts is not None:
        return [_part(part) for part in message.parts]
    return message.text


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
