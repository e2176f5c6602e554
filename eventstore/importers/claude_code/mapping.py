"""Records to commands.

Each record becomes at least one command, the first of which keeps the record. Messages, titles,
compactions, models and usage are understood; everything else, and every record of an unexpected
shape, is kept whole as an imported record under its own type.

Titles: a later one replaces an earlier one unless it is of a lesser kind; a title given by the
user is above one made by a model, and that above a summary. A summary counts only when it
summarises a record of this very session (its ``leafUuid``): agents write those of others as well.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from eventstore.events.catalogue import RecordImported, UsageRecorded
from eventstore.importers.attaching import FoldAll
from eventstore.importers.bounded import Recent
from eventstore.importers.claude_code.fields import count, enumerated, identifier, kind_of
from eventstore.importers.claude_code.messages import SYNTHETIC, messages_of
from eventstore.session.commands import (
    AddEvent,
    Append,
    ChangeModel,
    Command,
    Message,
    RecordUsage,
    SetTitle,
)

FORMAT = "claude-code"

#: Field with the title, by record type, in ascending rank.
_TITLES = {"summary": "summary", "ai-title": "aiTitle", "custom-title": "customTitle"}
_RANKS = {kind: rank for rank, kind in enumerate(_TITLES)}


class Mapped(Struct):
    """The commands of a record and what it counts for in the report."""

    commands: list[Command]
    messages: int = 0
    tool_calls: int = 0


def kept(kind: str, occurred_at: int | None = None, *, damaged: bool = False) -> Mapped:
    """A record kept whole under a kind, without further meaning."""
    event = RecordImported(format=FORMAT, kind=kind, damaged=damaged, occurred_at=occurred_at)
    return Mapped([AddEvent(event=event)])


class Mapping:
    """Maps the records of one session; feed it all of them in order.

    What it remembers is bounded and depends on the records alone, so that a grown file maps to
    the same commands as before and more.
    """

    def __init__(self) -> None:
        self._uuids: Recent[str, None] = Recent(65_536)
        self._tools: Recent[str, str] = Recent(4_096)
        self._usage: Recent[str, UsageRecorded] = Recent(1_024)
        self._boundary: dict[str, Any] = {}
        self._title_rank = 0

    def map(self, record: dict[str, Any], occurred_at: int | None) -> Mapped:
        """The commands for the session's next record."""
        uuid = record.get("uuid")
        if type(uuid) is str:
            self._uuids.add(uuid, None)
        kind = record.get("type")
        if kind == "assistant" or kind == "user":
            messages = messages_of(record, occurred_at, self._tools.values)
            if messages is not None:
                return self._conversation(record, messages)
        elif type(kind) is str and kind in _TITLES:
            title = self._title(record, kind)
            if title is not None:
                return Mapped([SetTitle(title=title, occurred_at=occurred_at)])
        elif kind == "system" and record.get("subtype") == "compact_boundary":
            metadata = record.get("compactMetadata")
            self._boundary = metadata if type(metadata) is dict else {}
        return kept(kind_of(record), occurred_at)

    def _conversation(self, record: dict[str, Any], messages: list[Message]) -> Mapped:
        first = messages[0]
        if first.role == "assistant":
            for call in first.tool_calls:
                if call.id is not None:
                    self._tools.add(call.id, call.name)
            commands = [Append(messages=(first,)), *self._model_and_usage(record, first)]
            return Mapped(commands, 1, len(first.tool_calls))
        if record.get("isCompactSummary") is True and len(messages) == 1 and first.role == "user":
            return Mapped([self._compaction(first)], 1)
        return Mapped([Append(messages=tuple(messages))], len(messages))

    def _compaction(self, note: Message) -> Command:
        boundary, self._boundary = self._boundary, {}
        return FoldAll(
            note=note,
            tokens_before=count(boundary.get("preTokens")),
            tokens_after=count(boundary.get("postTokens")),
            trigger=enumerated(boundary.get("trigger")),
        )

    def _title(self, record: dict[str, Any], kind: str) -> str | None:
        title, rank = record.get(_TITLES[kind]), _RANKS[kind]
        if type(title) is not str or not title or rank < self._title_rank:
            return None
        leaf = record.get("leafUuid")
        if kind == "summary" and (type(leaf) is not str or leaf not in self._uuids):
            return None
        self._title_rank = rank
        return title

    def _model_and_usage(self, record: dict[str, Any], message: Message) -> list[Command]:
        """What an assistant's record says besides, if it is news.

        The lines of one response repeat its usage; the later ones correct the earlier.
        """
        if record["message"].get("model") == SYNTHETIC:
            return []
        commands: list[Command] = []
        if message.model is not None:
            commands.append(ChangeModel(model=message.model, occurred_at=message.occurred_at))
        usage = _usage_of(record, message)
        if usage is not None:
            counters = _counters(usage)
            known = self._usage.get(usage.key)
            if known is None or _counters(known) != counters:
                commands.append(RecordUsage(usage=usage))
            self._usage.add(usage.key, usage)
        return commands


def _counters(usage: UsageRecorded) -> tuple[int, int, int, int]:
    return usage.input, usage.cache_read, usage.cache_write, usage.output


def _usage_of(record: dict[str, Any], message: Message) -> UsageRecorded | None:
    found = record["message"].get("usage")
    key = (
        message.response_id or identifier(record.get("requestId")) or identifier(record.get("uuid"))
    )
    if type(found) is not dict or key is None:
        return None
    return UsageRecorded(
        key=key,
        model=message.model,
        input=count(found.get("input_tokens")) or 0,
        cache_read=count(found.get("cache_read_input_tokens")) or 0,
        cache_write=count(found.get("cache_creation_input_tokens")) or 0,
        output=count(found.get("output_tokens")) or 0,
        occurred_at=message.occurred_at,
    )
