"""The tables: their columns, and the rows that sessions give.

Times are timestamps in µs, UTC. Columns of JSON hold JSON text. `session` joins the tables.
No name is a word of SQL, so that nobody has to quote one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from msgspec import Struct, to_builtins

from eventstore import codec
from eventstore.exports.past import Past
from eventstore.store.views import CompactionView, MessageView, ToolCallView
from projections.queries.usage import UsageCall

#: A column's name and type: text, json, int, bool or time.
Column: TypeAlias = tuple[str, str]
Row: TypeAlias = tuple[Any, ...]

SESSIONS: tuple[Column, ...] = (
    ("session", "text"), ("session_id", "text"), ("incarnation", "int"), ("stream", "int"),
    ("version", "int"), ("title", "text"), ("prompt", "text"), ("status", "text"),
    ("kind", "text"), ("lifecycle", "text"), ("depth", "int"), ("parent", "text"),
    ("origin", "text"), ("origin_version", "int"), ("source", "text"), ("model", "text"),
    ("provider", "text"), ("messages", "int"), ("active_messages", "int"), ("compactions", "int"),
    ("tool_calls", "int"), ("created_at", "time"), ("updated_at", "time"),
    ("last_message_at", "time"), ("erased", "bool"),
)  # fmt: skip
MESSAGES: tuple[Column, ...] = (
    ("session", "text"), ("stream", "int"), ("seq", "int"), ("position", "int"), ("role", "text"),
    ("kind", "text"), ("state", "text"), ("inherited", "bool"), ("text", "text"),
    ("parts", "json"), ("name", "text"), ("tool_calls", "json"), ("call_id", "text"),
    ("tool_name", "text"), ("failed", "bool"), ("reasoning", "text"), ("metadata", "json"),
    ("round", "int"), ("tokens", "int"), ("finish_reason", "text"), ("response_id", "text"),
    ("model", "text"), ("stands_for", "json"), ("appended_at", "time"), ("erased", "bool"),
)  # fmt: skip
TOOL_CALLS: tuple[Column, ...] = (
    ("session", "text"), ("stream", "int"), ("call_id", "text"), ("seq", "int"), ("name", "text"),
    ("arguments", "json"), ("called_at", "time"), ("result_seq", "int"), ("result", "json"),
    ("failed", "bool"), ("answered_at", "time"), ("erased", "bool"),
)  # fmt: skip
USAGE: tuple[Column, ...] = (
    ("session", "text"), ("stream", "int"), ("key", "text"), ("position", "int"),
    ("round", "int"), ("model", "text"), ("provider", "text"), ("input", "int"),
    ("cache_read", "int"), ("cache_write", "int"), ("output", "int"), ("reasoning", "int"),
    ("cost_nanos", "int"), ("currency", "text"), ("cost_source", "text"), ("recorded_at", "time"),
)  # fmt: skip
COMPACTIONS: tuple[Column, ...] = (
    ("session", "text"), ("stream", "int"), ("number", "int"), ("version", "int"), ("seq", "int"),
    ("from_seq", "int"), ("to_seq", "int"), ("runs", "json"), ("count", "int"), ("note", "text"),
    ("round", "int"), ("tokens_before", "int"), ("tokens_after", "int"), ("trigger", "text"),
    ("compacted_at", "time"),
)  # fmt: skip

TABLES: dict[str, tuple[Column, ...]] = {
    "sessions": SESSIONS,
    "messages": MESSAGES,
    "tool_calls": TOOL_CALLS,
    "usage": USAGE,
    "compactions": COMPACTIONS,
}


class Texts(Struct, frozen=True):
    """What goes out of texts: everything, or nothing (`shown` False)."""

    shown: bool

    def text(self, value: str | None) -> str | None:
        """A text that a person or a model wrote."""
        return value if self.shown else None

    def json(self, value: Any) -> str | None:
        """A value that they wrote, as JSON text."""
        return json(value) if self.shown else None


def json(value: Any) -> str | None:
    """A value as JSON text, None for none."""
    return None if value is None else codec.encode(value).decode()


def rows(past: Past, texts: Texts) -> Iterator[tuple[str, Row]]:
    """Every row that a session gives, with its table's name."""
    yield "sessions", _session(past, texts)
    head = (past.info.name, past.session.stream)
    for message in past.messages():
        yield "messages", head + _message(message, texts)
    for call in past.tool_calls():
        yield "tool_calls", head + _tool_call(call, texts)
    for usage in past.usage():
        yield "usage", head + _usage(usage)
    for compaction in past.compactions():
        yield "compactions", head + _compaction(compaction, texts)


def _session(past: Past, texts: Texts) -> Row:
    info = past.info
    return (
        info.name, info.session_id, info.incarnation, past.session.stream, info.version,
        texts.text(info.title), texts.text(past.prompt()) if texts.shown else None, info.status,
        info.kind, info.lifecycle, info.depth, info.parent, info.origin, info.origin_version,
        info.source, info.model, info.provider, info.messages, info.active_messages,
        info.compactions, info.tool_calls, info.created_at, info.updated_at, info.last_message_at,
        info.session_id.startswith("erased:"),
    )  # fmt: skip


def _message(one: MessageView, texts: Texts) -> Row:
    calls = None if one.tool_calls is None else to_builtins(one.tool_calls)
    return (
        one.seq, one.position, one.role, "note" if one.stands_for else "message", one.state,
        one.inherited, texts.text(one.text), texts.json(one.parts), texts.text(one.name),
        texts.json(calls), one.call_id, texts.text(one.tool_name), one.failed,
        texts.text(one.reasoning), texts.json(one.metadata), one.round, one.tokens,
        one.finish_reason, one.response_id, one.model, json(one.stands_for or None), one.at,
        one.erased,
    )  # fmt: skip


def _tool_call(one: ToolCallView, texts: Texts) -> Row:
    return (
        one.call_id, one.seq, texts.text(one.name), texts.json(one.arguments), one.called_at,
        one.result_seq, texts.json(one.result), one.failed, one.answered_at,
        one.name is None,
    )  # fmt: skip


def _usage(one: UsageCall) -> Row:
    return (
        one.key, one.position, one.round, one.model, one.provider, one.input, one.cache_read,
        one.cache_write, one.output, one.reasoning, one.cost_nanos, one.currency, one.cost_source,
        one.at,
    )  # fmt: skip


def _compaction(one: CompactionView, texts: Texts) -> Row:
    return (
        one.number, one.version, one.seq, one.from_seq, one.to_seq, json(one.runs), one.count,
        texts.text(one.note), one.round, one.tokens_before, one.tokens_after, one.trigger, one.at,
    )  # fmt: skip
