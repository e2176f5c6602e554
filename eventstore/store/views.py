"""What reads return: plain values, text included. Times are µs since 1970."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apsw
from msgspec import Struct

from eventstore.events import stored
from eventstore.events.catalogue import (
    ContextCompacted,
    MessageAppended,
    MessageContent,
    Run,
    ToolCall,
)
from eventstore.log import reading
from eventstore.log.blobs import MARK_BYTE, has_marks
from projections.queries.messages import Columns

_APPENDED = (MessageAppended.type, MessageAppended.schema)
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


def message_views(
    connection: apsw.Connection, rows: Iterable[Columns], states: Mapping[int, str] | None = None
) -> Iterator[MessageView]:
    """The views of rows of messages; with `states`, by seq, those instead of the rows' own.

    A message that is not in `states` is active. In one loop without calls of our own for all but
    notes and what is not plain: resuming makes hundreds of these. One by one: who needs something
    else of each is done with it while it is in the processor's cache.
    """
    facts_of, content_of = stored.PRESENT[_APPENDED]
    read = reading.event_reader(reading.blob_fetcher(connection))
    for (position, name, schema, facts, body, seq, state, inherited, recorded_at,
         committed, wiped) in rows:  # fmt: skip
        event: Any = None
        content: MessageContent | None = None
        if (
            (name, schema) == _APPENDED
            and facts is not None
            and (body is None or MARK_BYTE not in body or not has_marks(body))
        ):
            try:
                event = facts_of(facts)
                content = _NOTHING if body is None else content_of(body)
            except stored.UNREAD:
                content = None
        if content is None:
            event = read(position, name, schema, facts, body)
            content = event.content or _NOTHING
        if states is not None:
            state = states.get(seq, "active")  # noqa: PLW2901
        erased = body is None and committed != 0
        redacted = body is not None and wiped != 0
        at = event.occurred_at or recorded_at
        if type(event) is ContextCompacted:
            marks = (inherited != 0, erased, redacted)
            yield _note(event, content, position, state, at, *marks)
            continue
        # By place: names cost four times as much.
        yield MessageView(
            seq, event.role, position, state,
            content.text, content.parts, content.name, content.tool_calls, event.call_id,
            content.tool_name, event.failed, content.reasoning, content.reasoning_items,
            content.metadata, event.round, event.tokens, event.finish_reason, event.response_id,
            event.model, at, (), inherited != 0, erased, redacted,
        )  # fmt: skip


def _note(
    event: ContextCompacted, content: MessageContent, position: int, state: str, at: int,
    inherited: bool, erased: bool, redacted: bool,
) -> MessageView:  # fmt: skip
    return MessageView(
        event.seq, event.role, position, state, content.text, content.parts, content.name,
        content.tool_calls, tool_name=content.tool_name, reasoning=content.reasoning,
        reasoning_items=content.reasoning_items, metadata=content.metadata, round=event.round,
        tokens=event.tokens, at=at, stands_for=event.runs, inherited=inherited, erased=erased,
        redacted=redacted,
    )  # fmt: skip
