"""Rows of Hermes's tables as commands.

What the adapter gives back of a row equal is not kept a second time; every other column is kept in
the record of the event.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from typing import Any

from msgspec.structs import replace

from eventstore.adapters.hermes import messages, rows
from eventstore.events.catalogue import RecordImported, UsageRecorded
from eventstore.importers.hermes.source import SourceMessage
from eventstore.redaction import marks
from eventstore.session import commands as do
from eventstore.session.commands import Command, Message
from eventstore.session.decisions import ROLE
from eventstore.session.state import SessionState

FORMAT = "hermes"

#: The key under which a session's tokens are recorded, as Hermes counts them: by the session.
USAGE_KEY = "hermes"

#: What stands before content that is no text.
_PARTS = "\x00json:"

_COUNTERS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
_USAGE = (*_COUNTERS, "estimated_cost_usd")
_CONFIGURED = ("model_config", *rows.BILLING, rows.ACTUAL_COST, *rows.PRICING)
_SECONDS_MAX = 2**53 / 1_000_000


#: Columns that a message holds as they are, and its fields.
_HELD = {
    "role": "role", "content": "content", "tool_call_id": "call_id", "tool_name": "tool_name",
    "finish_reason": "finish_reason", "reasoning": "reasoning", "token_count": "tokens",
}  # fmt: skip


class UnreadableError(Exception):
    """A row that is no message; the text says why."""


def micros(seconds: Any, otherwise: int | None = None) -> int | None:
    """A time of the source in µs, or another when it is none."""
    if isinstance(seconds, int | float) and isfinite(seconds) and 0 < seconds < _SECONDS_MAX:
        return round(seconds * 1_000_000)
    return otherwise


def damaged(at: int | None) -> Command:
    """The command for a row that is kept and is no message."""
    event = RecordImported(format=FORMAT, kind="message", damaged=True, occurred_at=at)
    return do.AddEvent(event=event)


def to_message(found: SourceMessage, at: int | None) -> tuple[Message, dict[str, Any], list[str]]:
    """The message of a row, the columns that it does not hold, and what is wrong with some.

    Raises `UnreadableError` when it is none.
    """
    row, kept, wrong = found.row, set[str](), list[str]()
    role, content = row["role"], row["content"]
    if not isinstance(role, str) or not ROLE.fullmatch(role):
        raise UnreadableError(f"the role is {role!r}")
    if content is not None and not isinstance(content, str):
        raise UnreadableError(f"the content is {content!r}")
    parts = _parts(content)
    if parts is not None and f"{_PARTS}{json.dumps(parts)}" == content:
        kept.add("content")
    decoded = {name: _decoded(row, name, kept, wrong) for name in ("tool_calls", *messages.OPAQUE)}
    try:
        message = messages.to_message(
            role,
            None if parts is not None else content,
            **{name: _text(row, name) for name in ("tool_name", "reasoning", "finish_reason")},
            tool_call_id=_text(row, "tool_call_id"),
            token_count=row.get("token_count") if type(row.get("token_count")) is int else None,
            tool_calls=decoded["tool_calls"],
            reasoning_details=decoded["reasoning_details"],
            codex_reasoning_items=decoded["codex_reasoning_items"],
            occurred_at=at,
        )
    except (ValueError, TypeError) as error:
        raise UnreadableError(str(error)) from error
    if parts is not None:
        message = replace(message, content=parts)
    kept |= {name for name, field in _HELD.items() if row.get(name) == getattr(message, field)}
    rest = {name: row[name] for name in row if row[name] is not None and name not in kept}
    return message, rest, wrong


def _parts(content: str | None) -> list[Any] | None:
    if content is None or not content.startswith(_PARTS):
        return None
    try:
        value = json.loads(content[len(_PARTS) :])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _decoded(row: dict[str, Any], name: str, kept: set[str], wrong: list[str]) -> Any:
    text = row.get(name)
    if text is None:
        return None
    try:
        value = json.loads(text)
        if json.dumps(value) == text:
            kept.add(name)
    except (ValueError, TypeError, RecursionError) as error:
        wrong.append(f"{name} is not JSON: {error}")
        return None
    return value


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    return value if isinstance(value, str) else None


# -- sessions ------------------------------------------------------------------------------------


def changed(old: dict[str, Any], new: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether one of these columns is another than when it was imported last."""
    return not all(marks.same(old.get(name), new.get(name)) for name in names)


def configuration(row: dict[str, Any], kept: dict[str, Any], calls: int) -> dict[str, Any]:
    """The session's configuration with what the row says; `calls` were made in its messages."""
    found = dict(kept)
    for name in (*rows.BILLING, *rows.PRICING, rows.ACTUAL_COST):
        if row.get(name) is not None:
            found[name] = row[name]
    text = row.get("model_config")
    if isinstance(text, str):
        found.pop(rows.MODEL_CONFIG, None)
        found.pop(rows.MODEL_CONFIG_TEXT, None)
        found |= _model_config(text)
    counted = row.get("tool_call_count")
    if isinstance(counted, int) and counted != calls:
        found[rows.CLEARED_CALLS] = calls - counted
    return found


def _model_config(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
        if json.dumps(value) == text:
            return {rows.MODEL_CONFIG: value}
    except (ValueError, RecursionError):
        pass
    return {rows.MODEL_CONFIG_TEXT: text}


def usage(row: dict[str, Any], at: int | None) -> UsageRecorded | None:
    """The tokens and cost that a row counts, None when it counts none."""
    counters = [_count(row.get(name)) for name in _COUNTERS]
    cost = row.get("estimated_cost_usd")
    known = isinstance(cost, int | float) and isfinite(cost)
    if not known and not any(counters):
        return None
    source = row.get("cost_source")
    return UsageRecorded(
        key=USAGE_KEY,
        model=_text(row, "model"),
        provider=_text(row, "billing_provider"),
        input=counters[0],
        output=counters[1],
        cache_read=counters[2],
        cache_write=counters[3],
        reasoning=counters[4],
        cost_nanos=round(cost * 1e9) if known and cost is not None else None,
        currency="USD" if known else None,
        cost_source=source if isinstance(source, str) else None,
        occurred_at=at,
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def of_the_row(
    old: dict[str, Any],
    new: dict[str, Any],
    state: SessionState,
    kept: Callable[[], dict[str, Any]],
    calls: int,
    last: int | None,
) -> list[Command]:
    """The commands for what has changed in a session's row; `last` is its latest time."""
    found: list[Command] = []
    if changed(old, new, ("model",)) and _text(new, "model") != state.model:
        found.append(do.ChangeModel(model=_text(new, "model"), occurred_at=last))
    if changed(old, new, ("system_prompt",)):
        found.append(do.ChangePrompt(prompt=_text(new, "system_prompt"), occurred_at=last))
    if changed(old, new, (*_CONFIGURED, "tool_call_count")):
        before = kept()
        after = configuration(new, before, calls)
        if not marks.same(before, after):
            found.append(do.ChangeConfiguration(configuration=after, occurred_at=last))
    if changed(old, new, _USAGE) and (counted := usage(new, last)) is not None:
        found.append(do.RecordUsage(usage=counted))
    if changed(old, new, ("title",)):
        found.append(do.SetTitle(title=_text(new, "title"), occurred_at=last))
    if changed(old, new, ("ended_at", "end_reason")):
        ended = micros(new.get("ended_at"))
        if ended is not None:
            found.append(do.End(reason=_text(new, "end_reason"), occurred_at=ended))
        elif old:
            found.append(do.Reopen())
    if new.get("archived") and not old.get("archived"):
        found.append(do.Archive(occurred_at=last))
    return found
