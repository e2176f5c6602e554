"""Sessions as conversations for fine-tuning, one a line, in OpenAI's chat format.

A line is what the model had before it at some moment, with its answers: the active messages, notes
of compactions among them. Where the context was compacted a line ends with it, and the next one
begins with the note: no line holds messages that the model could not see together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from eventstore import codec
from eventstore.conversation import ChatMessage, to_chat
from eventstore.errors import ExportFailedError, InvalidValueError
from eventstore.exports import past
from eventstore.exports.past import Past
from eventstore.exports.registry import Request
from eventstore.visible import encodable

#: What is done with sessions of which something was erased.
_ERASED = ("drop", "keep")


class OpenAI(Struct, frozen=True):
    """Exporter of chat messages; the option `erased` keeps sessions of which parts were erased."""

    name: str = "openai"
    description: str = "OpenAI chat messages for fine-tuning, one conversation a line"
    suffix: str = ".jsonl"
    lossless: bool = False
    options: dict[str, str] = field(
        default_factory=lambda: {
            "erased": "drop sessions of which something was erased, or keep them; else drop"
        }
    )

    def check(self, options: Mapping[str, str], content: str) -> None:
        """Refuse options that there are not, and conversations without texts."""
        if options.get("erased", "drop") not in _ERASED:
            raise InvalidValueError(f"erased is one of {', '.join(_ERASED)}")
        if content != "full":
            raise ExportFailedError("the format openai holds texts only; there is nothing without")

    def export(self, request: Request) -> None:
        """Write a line for each context of each session."""
        out = request.stream()
        keep = request.options.get("erased", "drop") == "keep"
        dropped = silent = 0
        for one in past.sessions(request):
            if not keep and _is_erased(one):
                dropped += 1
                continue
            written = 0
            for example in _examples(one):
                out.write(_encoded(example) + b"\n")
                written += 1
            silent += not written
        if dropped:
            request.say(f"left out {dropped:,} of the sessions: something in them was erased")
        if silent:
            request.say(f"left out {silent:,} of the sessions: no model answered in them")


def _is_erased(one: Past) -> bool:
    if one.state.prompt_position is not None and one.prompt() is None:
        return True
    return any(message.erased for message in one.messages())


def _examples(one: Past) -> Iterator[dict[str, Any]]:
    """The contexts before each compaction, and the last one, in which a model answered."""
    versions = [compaction.version - 1 for compaction in one.compactions()]
    for version in (*versions, one.state.version):
        messages = one.session.messages(version)
        chat = to_chat(messages, prompt=one.session.prompt(version))
        if not any(_is_answer(message) for message in chat):
            continue
        example: dict[str, Any] = {"messages": chat}
        tools = (one.session.configuration(version) or {}).get("tools")
        if isinstance(tools, list) and tools and all(map(_is_tool, tools)):
            example["tools"] = tools
        yield example


def _is_answer(message: ChatMessage) -> bool:
    return bool(message["role"] == "assistant")


def _is_tool(value: Any) -> bool:
    """Whether a tool in a session's configuration is described as OpenAI's chat has it."""
    match value:
        case {"type": "function", "function": {"name": str()}}:
            return True
    return False


def _encoded(value: Any) -> bytes:
    """JSON that every parser takes: no halves of surrogate pairs."""
    data = codec.encode(value)
    return data if b"\\ud" not in data else codec.encode(_clean(value))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {encodable(key): _clean(item) for key, item in value.items()}
    return value
