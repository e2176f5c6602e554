"""power-loop's messages as this engine's, and back, without loss.

Most messages fit: OpenAI's tool calls become `ToolCall`, `meta` the metadata. What does not fit is
kept in the metadata under the one key `EXTRA`: ``{"power_loop": {"meta": …, "tool_calls": …,
"role": …}}``, in which what fits is left out. Metadata of the caller's that look so are wrapped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from eventstore.adapters.power_loop.errors import BindingError, MissingValueError
from eventstore.adapters.power_loop.rows import (
    MessageRow,
    MessageState,
    SessionKind,
    SessionRow,
    SessionStatus,
    SubagentLifecycle,
)
from eventstore.errors import NotJSONError
from eventstore.events.catalogue import ToolCall
from eventstore.session.commands import Message
from eventstore.session.decisions import ROLE
from eventstore.store.views import MessageView
from projections.queries.details import SessionDetails

#: The key that wraps what has no place of its own.
EXTRA = "power_loop"

#: The usual roles, which need no closer look.
USUAL_ROLES = frozenset({"user", "assistant", "tool", "system"})

#: What a message has whose own role this engine does not allow.
OTHER_ROLE = "other"

#: The name of a compaction's note.
NOTE = "compact_note"

#: A text that SQLite takes for a number where a number is asked for.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

_STATES = {"active": MessageState.ACTIVE}

#: Looking a value up is quicker than asking the enumeration.
_STATUSES = {"archived": SessionStatus.ARCHIVED}
_KINDS = {one.value: one for one in SessionKind}
_LIFECYCLES = {one.value: one for one in SubagentLifecycle}


def plain(value: Any) -> Any:
    """The value as JSON gives it back: lists for tuples, texts for keys that are numbers.

    Raises `TypeError` or `ValueError` for what JSON cannot hold, as `json.dumps` does.
    """
    return json.loads(json.dumps(value, ensure_ascii=False))


def given_seq(value: Any, what: str) -> int:
    """The seq; raises `MissingValueError` without one, `BindingError` for no whole number."""
    if value is None:
        raise MissingValueError(f"{what} is the seq of a message, not None")
    if not isinstance(value, int):
        raise BindingError(f"{what} is a whole number, not {type(value).__name__}")
    return int(value)


def compared_seq(value: Any) -> int | None:
    """The seq that SQLite finds equal to this value, None where it finds none."""
    if isinstance(value, int):
        return int(value)
    if value is None or isinstance(value, bytes):
        return None
    if isinstance(value, str):
        value = value.strip(" \t\n\v\f\r")
        if not _NUMBER.fullmatch(value):
            return None
        value = float(value)
    if not isinstance(value, float):
        raise BindingError(f"a seq is a whole number, not {type(value).__name__}")
    return int(value) if value.is_integer() and abs(value) < 1 << 63 else None


def message_of(
    *,
    role: str,
    content: str | None = None,
    tool_calls: Sequence[dict[str, Any]] | None = None,
    tool_call_id: str | None = None,
    name: str | None = None,
    round_index: int | None = None,
    meta: dict[str, Any] | None = None,
    occurred_at: int | None = None,
) -> Message:
    """The message to append; `occurred_at` is in µs.

    Raises `BindingError` for a content that is no text, `MissingValueError` without a role.
    """
    if content is not None and not isinstance(content, str):
        raise BindingError(
            f"a message's content is a text or None, not {type(content).__name__}; give other "
            "values as JSON text"
        )
    if role is None:
        raise MissingValueError("a message needs a role: user, assistant, tool, system")
    metadata = stored_plain(meta, "meta")
    calls: tuple[ToolCall, ...] = ()
    extra: dict[str, Any] = {}
    if tool_calls:
        given = plain(tool_calls)
        calls = _calls_of(given)
        if _dicts_of(calls) != given:
            extra["tool_calls"] = given
    if not isinstance(role, str) or (role not in USUAL_ROLES and not ROLE.fullmatch(role)):
        extra["role"], role = _text(role, "role"), OTHER_ROLE
    if extra or (metadata and EXTRA in metadata and len(metadata) == 1):
        metadata = {EXTRA: {**extra, "meta": metadata} if metadata else extra}
    is_tool = role == "tool"
    return Message(
        role=role,
        content=content,
        tool_calls=calls,
        call_id=tool_call_id,
        name=None if is_tool else name,
        tool_name=name if is_tool else None,
        round=round_index,
        metadata=metadata,
        occurred_at=occurred_at,
    )


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BindingError(f"a message's {what} is a text, not {type(value).__name__}")
    return value


def _calls_of(given: Any) -> tuple[ToolCall, ...]:
    """The calls among these objects that have a name."""
    found = []
    for call in given if isinstance(given, list) else ():
        if not isinstance(call, dict):
            continue
        function = call.get("function", call)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            continue
        call_id = call.get("id")
        found.append(
            ToolCall(
                id=call_id if isinstance(call_id, str) else None,
                name=function["name"],
                arguments=function.get("arguments"),
            )
        )
    return tuple(found)


def _dicts_of(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """The calls as OpenAI writes them."""
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls
    ]


def row_of(session_id: str, view: MessageView) -> MessageRow:
    """The row of a stored message."""
    role, metadata = view.role, view.metadata
    calls = _dicts_of(view.tool_calls) if view.tool_calls else None
    if metadata is not None and len(metadata) == 1 and EXTRA in metadata:
        extra = metadata[EXTRA]
        role = extra.get("role", role)
        calls = extra.get("tool_calls", calls)
        metadata = extra.get("meta")
    content = view.text
    if view.parts is not None:
        content = json.dumps(view.parts, ensure_ascii=False)
    return MessageRow(
        session_id,
        view.seq,
        role,
        view.tool_name if view.name is None else view.name,
        content,
        calls,
        view.call_id,
        view.round,
        _STATES.get(view.state, MessageState.COMPACTED_OUT),
        metadata or {},
        view.at // 1000,
    )


def stored_plain(value: Any, what: str) -> Any:
    """As `plain`, None for what is empty; `NotJSONError` for what is no object."""
    if not value:
        return None
    value = plain(value)
    if not isinstance(value, dict):
        raise NotJSONError(f"{what} is a dict, not {type(value).__name__}")
    return value


def session_row(found: SessionDetails) -> SessionRow:
    """The row of a session. What this engine calls ended is active to power-loop."""
    return SessionRow(
        found.session_id,
        found.created_at // 1000,
        found.active_at // 1000,
        found.prompt,
        found.model,
        found.configuration or {},
        _STATUSES.get(found.status, SessionStatus.ACTIVE),
        _KINDS[found.kind],
        found.parent,
        found.spawn_call_id,
        found.depth,
        _LIFECYCLES[found.lifecycle],
        found.metadata or {},
    )
