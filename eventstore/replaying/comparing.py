"""Whether two requests ask the same of a model, and how they differ.

Compared is what a model reads: roles, texts and parts, tool calls by name and arguments, which call
a result answers. The rest of a message (annotations, reasoning that is sent back, the name of a
tool beside its result) is left out, as are the options of the request: they are not recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import unified_diff
from typing import Any

import msgspec

from eventstore import codec
from eventstore.errors import EventFormatError, InvalidValueError

#: What a comparison can be told to leave out: the system prompt, the ids of tool calls, and how
#: many blanks and line ends stand between words.
IGNORABLE = ("system", "ids", "blanks")

Messages = Sequence[Mapping[str, Any]]
Normal = list[dict[str, Any]]


def checked(ignore: Collection[str]) -> frozenset[str]:
    """What to leave out; raises `InvalidValueError` for what cannot be."""
    names = frozenset({ignore} if isinstance(ignore, str) else ignore)
    if not names <= set(IGNORABLE):
        raise InvalidValueError(
            f"what can be left out of a comparison is {', '.join(IGNORABLE)}, not {sorted(names)}"
        )
    return names


def normalised(messages: Messages, ignore: Collection[str] = ()) -> Normal:
    """Messages with what is compared alone; raises `InvalidValueError` for what is no message."""
    return [_message(message, ignore) for message in messages]


def without_prompt(expected: Normal, made: Normal, prompted: bool) -> tuple[Normal, Normal]:
    """Both requests without their system prompts; `prompted` says that the expected one has one.

    Where it has none, a system message at its beginning is a note and stays, and so does its like.
    """
    rest = expected[1:] if prompted else expected
    if made and made[0]["role"] == "system" and made[:1] != rest[:1]:
        made = made[1:]
    return rest, made


def _role(message: Mapping[str, Any]) -> str:
    role = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(role, str):
        raise InvalidValueError(
            f"a chat message is a mapping with a role and a content, not {str(message)[:200]!r}"
        )
    return "system" if role == "developer" else role


def _message(message: Mapping[str, Any], ignore: Collection[str]) -> dict[str, Any]:
    role = _role(message)
    shown: dict[str, Any] = {"role": role}
    if role != "tool" and message.get("name") is not None:
        shown["name"] = message["name"]
    shown["content"] = _content(message.get("content"), ignore)
    calls = [call_of(call) for call in message.get("tool_calls") or ()]
    if calls:
        shown["tool_calls"] = [
            {key: value for key, value in call.items() if key != "id" or "ids" not in ignore}
            for call in calls
        ]
    if message.get("tool_call_id") is not None and "ids" not in ignore:
        shown["tool_call_id"] = message["tool_call_id"]
    return shown


def _content(content: Any, ignore: Collection[str]) -> Any:
    """A text; a list of parts where there is more than one, or one that is no text."""
    if isinstance(content, str | None):
        text = content or ""
        return " ".join(text.split()) if "blanks" in ignore else text
    parts = [
        _content(part["text"], ignore)
        if isinstance(part, Mapping) and part.get("type") == "text" and "text" in part
        else part
        for part in content
    ]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts


def call_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call of a chat message: its id, name and arguments as a value."""
    function = call.get("function")
    if not isinstance(function, Mapping) or "name" not in function:
        raise InvalidValueError(
            f"a tool call has a function with a name, as chat APIs give it, not {str(call)[:200]!r}"
        )
    return {
        "id": call.get("id"),
        "name": function["name"],
        "arguments": arguments_of(function.get("arguments")),
    }


def arguments_of(arguments: Any) -> Any:
    """Arguments as a value: JSON text is decoded, other text stays, none is an empty object."""
    if arguments is None or arguments == "":
        return {}
    if not isinstance(arguments, str):
        return arguments
    try:
        return codec.decode(arguments.encode("utf-8", "surrogatepass"))
    except EventFormatError:
        return arguments


def difference(expected: Any, made: Any) -> str:
    """A unified diff of two values as indented JSON, the expected one first."""
    return "\n".join(unified_diff(_lines(expected), _lines(made), "expected", "made", lineterm=""))


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    return msgspec.json.format(codec.encode(value), indent=2).decode().split("\n")
