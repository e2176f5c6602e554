"""What callers ask of a session. `decisions.decide` turns a command into events or refuses it.

Plain data: a command can be logged, queued or sent with others as one atomic batch.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from eventstore.events.catalogue import Event, Kind, Lifecycle, Run, ToolCall, UsageRecorded
from eventstore.log.port import Actor


class Message(Struct, frozen=True, kw_only=True):
    """A message to append. `content` is a text or a list of typed parts (JSON objects).

    `call_id` is the tool call that a tool's message answers and `failed` whether the tool
    reported an error; messages of one provider response share `response_id`; `key` makes a retry
    of the append safe; `record` belongs to importers (`eventstore.importers.records`).
    """

    role: str
    content: str | list[Any] | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    tool_name: str | None = None
    failed: bool = False
    reasoning: str | None = None
    reasoning_items: list[Any] | None = None
    metadata: dict[str, Any] | None = None
    round: int | None = None
    tokens: int | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    model: str | None = None
    actor: Actor | None = None
    key: str | None = None
    occurred_at: int | None = None
    record: Any = None


class Command(Struct, frozen=True, kw_only=True):
    """Base of every command on an existing session. Times are µs since 1970."""

    actor: Actor = Actor.UNKNOWN
    occurred_at: int | None = None
    key: str | None = None


class Create(Command, frozen=True, kw_only=True):
    """Begin a session; `parent` and `depth` are filled in by the store when it has a parent."""

    session_id: str
    kind: Kind = Kind.ROOT
    lifecycle: Lifecycle = Lifecycle.EPHEMERAL
    parent: int | None = None
    parent_depth: int | None = None
    depth_max: int = 8
    spawn_call_id: str | None = None
    source: str | None = None
    title: str | None = None
    prompt: str | None = None
    model: str | None = None
    provider: str | None = None
    configuration: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class Append(Command, frozen=True, kw_only=True):
    """Append messages, all or none."""

    messages: tuple[Message, ...]


class Compact(Command, frozen=True, kw_only=True):
    """Fold the active messages from_seq … to_seq (in active order) into a note."""

    from_seq: int
    to_seq: int
    note: Message
    tokens_before: int | None = None
    tokens_after: int | None = None
    trigger: str | None = None


class Consolidate(Command, frozen=True, kw_only=True):
    """Take the active messages up to and including to_seq out of the context, without a note."""

    to_seq: int


class CompactSet(Command, frozen=True, kw_only=True):
    """Fold active messages from anywhere, given as runs of seqs, into a note.

    It takes the place of the first of them in active order; of none, it comes last.
    """

    runs: tuple[Run, ...]
    note: Message
    tokens_before: int | None = None
    tokens_after: int | None = None
    trigger: str | None = None


class ConsolidateSet(Command, frozen=True, kw_only=True):
    """Take active messages from anywhere, given as runs of seqs, out of the context."""

    runs: tuple[Run, ...]


class Retract(Command, frozen=True, kw_only=True):
    """Rewind: retract from_seq and every active message after it."""

    from_seq: int


class Clear(Command, frozen=True, kw_only=True):
    """Retract every message."""


class RecordUsage(Command, frozen=True, kw_only=True):
    """Record the usage of a model call, or correct it under the same key."""

    usage: UsageRecorded


class SetTitle(Command, frozen=True, kw_only=True):
    """Give the session a title, or None to take it away; a `unique` one is claimed."""

    title: str | None
    unique: bool = False
    record: Any = None


class ChangePrompt(Command, frozen=True, kw_only=True):
    """Give the session another system prompt, or None."""

    prompt: str | None


class ChangeModel(Command, frozen=True, kw_only=True):
    """Switch the model."""

    model: str | None
    provider: str | None = None


class ChangeConfiguration(Command, frozen=True, kw_only=True):
    """Give the session another configuration, or None."""

    configuration: dict[str, Any] | None


class AdvanceRound(Command, frozen=True, kw_only=True):
    """Say which round the agent's loop is in."""

    round: int


class SuspendToolCalls(Command, frozen=True, kw_only=True):
    """Leave tool calls pending, with what is needed to take them up again."""

    payload: Any
    call_ids: tuple[str, ...] = ()


class SettleToolCalls(Command, frozen=True, kw_only=True):
    """Take up or drop the pending tool calls."""


class End(Command, frozen=True, kw_only=True):
    """End the conversation."""

    reason: str | None = None


class Reopen(Command, frozen=True, kw_only=True):
    """Make an ended or archived session active again."""


class Archive(Command, frozen=True, kw_only=True):
    """Put the session away."""


class Reparent(Command, frozen=True, kw_only=True):
    """Give the session another parent (by stream number), or none."""

    parent: int | None


class Close(Command, frozen=True, kw_only=True):
    """Close the session for good."""

    reason: str | None = None
    cascade_from: int | None = None


class AddEvent(Command, frozen=True, kw_only=True):
    """Append an event that no rule depends on: an activity, an imported record, a custom one."""

    event: Event
