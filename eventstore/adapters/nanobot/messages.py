"""nanobot's message dicts as messages of the engine, and back.

Role, text or parts, name, tool calls and reasoning become the engine's own fields, so that
search, chat and tool calls see them. All other fields are kept in the message's metadata, under
``nanobot`` and ``fields``; a dict without a proper role is kept whole, under ``nanobot`` and
``whole``. `entry_of` gives back a dict equal to the one that `message_of` was given.
"""

from __future__ import annotations

import json
from typing import Any

from eventstore.adapters.nanobot.times import local_text, microseconds
from eventstore.events.catalogue import ToolCall
from eventstore.session.commands import Message
from eventstore.session.decisions import ROLE
from eventstore.store.views import MessageView

Entry = dict[str, Any]

#: ``created_at`` and ``updated_at`` of a session, as texts.
Times = dict[str, str | None]

#: What of a message's metadata is the adapter's.
_OURS = "nanobot"

#: In it: all other fields, a whole dict, the session's times in the last message of a save.
_FIELDS, _WHOLE, _SAVED = "fields", "whole", "saved"
#: The role of a message whose own is no role of the engine's.
_NO_ROLE = "unknown"


def plain(value: Any) -> Any:
    """A copy of `value` as JSON holds it: tuples as lists, keys as texts; texts are shared.

    Raises what `json.dumps` raises: `TypeError` for an object, `ValueError` for NaN or a circle.
    """
    if type(value) is dict and {*map(type, value), *map(type, value.values())} <= _TEXT:
        return dict(value)
    try:
        return _plain(value)
    except RecursionError:
        return _through_json(value)  # which knows whether it is a circle


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict and _TEXT.issuperset(map(type, value)):
        return {key: item if type(item) is str else _plain(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    return _through_json(value)


def _through_json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


_TEXT = frozenset({str})
_SCALARS = frozenset({str, bool, type(None)})


def message_of(entry: Entry, saved: Times | None, otherwise: int | None) -> Message:
    """The message for a plain dict; `otherwise` is when it was said if it does not tell.

    `saved` are the session's times when this is the last message of a save.
    """
    rest = dict(entry)
    marks: dict[str, Any] = {} if saved is None else {_SAVED: saved}
    at = microseconds(entry.get("timestamp")) or otherwise
    role = rest.pop("role", None)
    if type(role) is not str or not ROLE.fullmatch(role):
        return Message(role=_NO_ROLE, metadata={_OURS: {_WHOLE: entry, **marks}}, occurred_at=at)
    taken = {key: rest.pop(key) for key, fits in _FITS.items() if key in rest and fits(rest[key])}
    marks[_FIELDS] = rest
    name = taken.get("name")
    return Message(
        role=role,
        content=taken.get("content"),
        name=None if role == "tool" else name,
        tool_name=name if role == "tool" else None,
        tool_calls=tuple(_call(one) for one in taken.get("tool_calls", ())),
        call_id=taken.get("tool_call_id"),
        reasoning=taken.get("reasoning_content"),
        metadata={_OURS: marks},
        occurred_at=at,
    )


def entry_of(view: MessageView) -> Entry:
    """The dict of a stored message; also of one that others than the adapter appended."""
    content = view.text
    marks = _marks(view.metadata)
    if _WHOLE in marks:
        whole: Entry = marks[_WHOLE]
        return whole
    entry: Entry = {"role": view.role}
    if content is not None or view.parts is not None:
        entry["content"] = view.parts if content is None else content
    name = view.tool_name if view.role == "tool" and view.name is None else view.name
    if name is not None:
        entry["name"] = name
    if view.tool_calls is not None:
        entry["tool_calls"] = [_spelled(call) for call in view.tool_calls]
    if view.call_id is not None:
        entry["tool_call_id"] = view.call_id
    if view.reasoning is not None:
        entry["reasoning_content"] = view.reasoning
    if _FIELDS in marks:
        entry.update(marks[_FIELDS])
    else:
        entry.setdefault("content", "")
        entry["timestamp"] = local_text(view.at)
    return entry


def times_of(metadata: dict[str, Any] | None) -> Times | None:
    """The session's times that a message's metadata tells, None if it tells none."""
    times: Times | None = _marks(metadata).get(_SAVED)
    return times


def _marks(metadata: dict[str, Any] | None) -> dict[str, Any]:
    marks = None if metadata is None else metadata.get(_OURS)
    return marks if type(marks) is dict else {}


def _is_text(value: Any) -> bool:
    return type(value) is str


def _are_parts(value: Any) -> bool:
    if type(value) is list:
        return all(type(part) is dict and type(part.get("type")) is str for part in value)
    return type(value) is str


def _are_calls(value: Any) -> bool:
    return type(value) is list and bool(value) and all(map(_is_call, value))


def _is_call(value: Any) -> bool:
    if type(value) is not dict or value.keys() != {"id", "type", "function"}:
        return False
    function = value["function"]
    return (
        type(value["id"]) is str
        and value["type"] == "function"
        and type(function) is dict
        and function.keys() == {"name", "arguments"}
        and type(function["name"]) is str
    )


#: The fields that the engine has a place for, and what they must look like to go there.
_FITS = {
    "content": _are_parts,
    "name": _is_text,
    "tool_calls": _are_calls,
    "tool_call_id": _is_text,
    "reasoning_content": _is_text,
}


def _call(value: Entry) -> ToolCall:
    function = value["function"]
    return ToolCall(id=value["id"], name=function["name"], arguments=function["arguments"])


def _spelled(call: ToolCall) -> Entry:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
