"""Messages as Anthropic's messages API takes them, by the rules of `eventstore.conversation.turns`.

The system prompt stands apart, and messages alternate between user and assistant, each a list of
content blocks (https://docs.anthropic.com/en/api/messages). So:

1. What is no assistant's is the user's: notes and other messages of role system too, as text in
   their place. Neighbours of one role are one message.
2. The results of an assistant's calls are the first blocks of the user's message that follows.
3. A conversation that does not begin with the user begins with `BEGINNING`, said by the user.
4. Thinking is given back where the provider's own items make valid blocks of it: whole blocks as
   they are, and the text joined to a signature that was kept apart from it. Other thinking is not
   sent: a provider refuses it without its signature.
5. A call's input is an object; arguments that are none are its field ``arguments``. A call without
   an id gets one.
6. Text that is empty is left out, and a message of which nothing is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from eventstore import codec
from eventstore.conversation.turns import UNANSWERED, Asked, Unanswered, said, turns
from eventstore.errors import EventFormatError
from eventstore.store.views import MessageView

Block: TypeAlias = dict[str, Any]

BEGINNING = "[what came before is not in this context]"


def to_anthropic(
    messages: Sequence[MessageView],
    *,
    prompt: str | None = None,
    limit: int | None = None,
    unanswered: Unanswered = "placeholder",
) -> dict[str, Any]:
    """``system`` (left out without a prompt) and ``messages`` of a request for these messages."""
    made: list[Block] = []
    for role, group, calls in turns(messages, limit=limit, unanswered=unanswered):
        if role == "assistant":
            _add(made, "assistant", _assistant(group, calls))
            _add(made, "user", [_result(asked) for asked in calls if asked.answered])
        else:
            _add(made, "user", _blocks(said(group[0])))
    if made and made[0]["role"] == "assistant":
        made.insert(0, {"role": "user", "content": [_text(BEGINNING)]})
    return {"messages": made} if prompt is None else {"system": prompt, "messages": made}


def _add(made: list[Block], role: str, blocks: list[Block]) -> None:
    """Add blocks to the last message if it is of this role, else as a new message."""
    if not blocks:
        return
    if made and made[-1]["role"] == role:
        made[-1]["content"].extend(blocks)
    else:
        made.append({"role": role, "content": blocks})


def _assistant(group: Sequence[MessageView], calls: Sequence[Asked]) -> list[Block]:
    blocks = [block for message in group for block in _thinking(message)]
    for message in group:
        blocks.extend(_blocks(said(message)))
    blocks.extend(
        {"type": "tool_use", "id": one.id, "name": one.call.name, "input": _input(one)}
        for one in calls
    )
    return blocks


def _thinking(message: MessageView) -> list[Block]:
    """The provider's thinking blocks, with the text put back into the only one that lacks it."""
    items = [item for item in message.reasoning_items or () if isinstance(item, dict)]
    signed = [item for item in items if item.get("type") == "thinking" and "signature" in item]
    apart = [item for item in signed if "thinking" not in item]
    blocks = []
    for item in items:
        if item.get("type") == "redacted_thinking" or (item in signed and item not in apart):
            blocks.append(item)
        elif len(apart) == 1 and item is apart[0] and message.reasoning is not None:
            blocks.append({"type": "thinking", "thinking": message.reasoning, **item})
    return blocks


def _input(asked: Asked) -> dict[str, Any]:
    arguments = asked.call.arguments
    if isinstance(arguments, str):
        try:
            decoded = codec.decode(arguments.encode("utf-8", "surrogatepass"))
        except EventFormatError:
            decoded = None
        if isinstance(decoded, dict):
            return decoded
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def _result(asked: Asked) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": asked.id}
    if asked.result is None:
        block["content"] = UNANSWERED
        return block
    content = said(asked.result)
    block["content"] = _blocks(content) if isinstance(content, list) else content or ""
    if asked.result.failed:
        block["is_error"] = True
    return block


def _blocks(content: str | list[Any] | None) -> list[Block]:
    if not isinstance(content, list):
        return [_text(content)] if content else []
    blocks = [_block(part) for part in content]
    return [block for block in blocks if block != _text("")]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _block(part: Any) -> Block:
    """A typed part in Anthropic's form; one that it does not know becomes its JSON as text."""
    match part:
        case str(text) | {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return _text(text)
        case {"type": "image" | "document", "source": {"type": _}}:
            return dict(part)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return {"type": "image", "source": _source(url)}
        case _:
            return _text(codec.encode(part).decode())


def _source(url: str) -> Block:
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        kind = head.removeprefix("data:")
        return {"type": "base64", "media_type": kind, "data": data}
    return {"type": "url", "url": url}
