"""What reads return: plain values, text included. Times are µs since 1970."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from eventstore.events.catalogue import (
    ContextCompacted,
    MessageAppended,
    MessageContent,
    Run,
    ToolCall,
)
from projections.queries.messages import MessageRow

_NOTHING = MessageContent()


class SessionInfo(Struct, frozen=True, kw_only=True):
    """A session as a list shows it.

    `name` finds it: the id, or ``id~n`` for an incarnation before the newest. `parent` and
    `origin` are such names.
    """

    name: str
    session_id: str
    incarnation: int
    title: str | None
    status: str
    kind: str
    lifecycle: str
    depth: int
    parent: str | None
    origin: str | None
    origin_version: int | None
    source: str | None
    model: str | None
    provider: str | None
    round: int
    version: int
    messages: int
    active_messages: int
    compactions: int
    tool_calls: int
    preview: str | None
    created_at: int
    updated_at: int
    last_message_at: int | None


class MessageView(Struct, frozen=True, omit_defaults=True):
    """A message with its text.

    `state` is active, compacted, consolidated, retracted or cleared; `stands_for` are the runs of
    seqs that a compaction's note took the place of; `erased` says that the text was erased, and
    `redacted` that marks took the place of texts in it after it was stored.
    """

    seq: int
    role: str
    position: int
    state: str = "active"
    text: str | None = None
    parts: list[Any] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
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
    at: int = 0
    stands_for: tuple[Run, ...] = ()
    inherited: bool = False
    erased: bool = False
    redacted: bool = False


class AsOf(Struct, frozen=True, kw_only=True):
    """A session as it was at a version: what is in force, and its messages.

    `name` finds the session now.
    """

    name: str
    version: int
    status: str
    title: str | None
    prompt: str | None
    model: str | None
    provider: str | None
    configuration: dict[str, Any] | None
    messages: tuple[MessageView, ...]


class ToolCallView(Struct, frozen=True, kw_only=True):
    """A tool call with its result, as far as there is one and neither was erased."""

    call_id: str
    seq: int
    name: str | None
    arguments: Any
    called_at: int
    result_seq: int | None
    result: str | list[Any] | None
    failed: bool | None
    answered_at: int | None


class CompactionView(Struct, frozen=True, kw_only=True):
    """A compaction: the note's seq and text, and what it stands for."""

    number: int
    version: int
    seq: int
    from_seq: int
    to_seq: int
    runs: tuple[Run, ...]
    count: int
    note: str | None
    round: int | None
    tokens_before: int | None
    tokens_after: int | None
    trigger: str | None
    at: int


def message_view(row: MessageRow, state: str | None = None) -> MessageView:
    """The view of a row of `messages`; `state` overrides the row's, for a read of the past."""
    event = row.event
    content = event.content or _NOTHING
    call_id = finish_reason = response_id = model = None
    failed = False
    stands_for: tuple[Run, ...] = ()
    if type(event) is MessageAppended:
        call_id, failed = event.call_id, event.failed
        finish_reason, response_id, model = event.finish_reason, event.response_id, event.model
    else:
        assert type(event) is ContextCompacted
        stands_for = event.runs
    # By place: resuming makes hundreds of these, and names cost four times as much.
    return MessageView(
        row.seq, event.role, row.position, state or row.state,
        content.text, content.parts, content.name, content.tool_calls, call_id, content.tool_name,
        failed, content.reasoning, content.reasoning_items, content.metadata,
        event.round, event.tokens, finish_reason, response_id, model,
        event.occurred_at or row.recorded_at, stands_for, row.inherited,
        row.committed and event.content is None, row.redacted,
    )  # fmt: skip
