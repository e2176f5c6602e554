"""A session's rows as the commands that its past must have been."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eventstore.adapters.power_loop.messages import message_of
from eventstore.importers.power_loop.source import Tables
from eventstore.session import runs
from eventstore.session.commands import (
    Append,
    Command,
    CompactSet,
    ConsolidateSet,
    Message,
)

#: The role that stands in for a message that the file lacks, so that all others keep their seqs.
MISSING = "missing"


class History:
    """The messages of one session: seqs 1 … `last`, gaps filled."""

    def __init__(self, tables: Tables, session_id: str, begun: int) -> None:
        self._tables = tables
        self._place = f"session {session_id!r}"
        self.messages: dict[int, Message] = {}
        self.tool_calls = 0
        self._states: dict[int, Any] = {}
        for row in tables.rows("messages", session_id):
            self._take(row, begun)
        self.last = max(self.messages, default=0)
        self.found = len(self.messages)
        self._fill(begun)
        self._notes = {row["note_seq"]: row for row in tables.rows("compactions", session_id)}

    def _take(self, row: dict[str, Any], begun: int) -> None:
        seq = row["seq"]
        if type(seq) is not int or seq < 1:
            self._tables.tell(f"{self._place} has a message number {seq!r}, which was left out")
            return
        place = f"{self._place}, message {seq}"
        calls = self._tables.json(row["tool_calls_json"], f"{place}: tool_calls_json")
        meta = self._tables.json(row["meta_json"], f"{place}: meta_json")
        self.tool_calls += len(calls) if isinstance(calls, list) else 0
        self._states[seq] = row["state"]
        self.messages[seq] = message_of(
            role=text_of(row["role"]) or MISSING,
            content=text_of(row["content"]),
            tool_calls=calls if isinstance(calls, list) else None,
            tool_call_id=text_of(row["tool_call_id"]),
            name=text_of(row["name"]),
            round_index=row["round_index"] if type(row["round_index"]) is int else None,
            meta=meta if isinstance(meta, dict) else None,
            occurred_at=us_of(row["created_at"], begun),
        )

    def _fill(self, begun: int) -> None:
        at, missing = begun, []
        for seq in range(1, self.last + 1):
            message = self.messages.get(seq)
            if message is None:
                missing.append(seq)
                self.messages[seq] = Message(role=MISSING, occurred_at=at)
                self._states[seq] = "missing"
            else:
                at = message.occurred_at or at
        if missing:
            self._tables.tell(
                f"{self._place} lacks the messages {list(runs.from_numbers(missing))} "
                "(first, how many); empty ones of role 'missing' keep the others' numbers"
            )

    def commands(self, after: int, active: runs.Runs) -> Iterator[Command]:
        """The commands for the messages after a seq, `active` being what is active before them."""
        for seq in range(after + 1, self.last + 1):
            message, row = self.messages[seq], self._notes.get(seq)
            if row is None:
                yield Append(messages=(message,))
            else:
                taken = runs.chosen(active, self._folded(row))
                active = runs.without(active, taken)
                yield CompactSet(
                    runs=taken, note=message,
                    tokens_before=row["before_tokens"], tokens_after=row["after_tokens"],
                )  # fmt: skip
            active = runs.appended(active, seq)
        gone = [seq for seq in runs.numbers_of(active) if self._states.get(seq) != "active"]
        if gone:
            yield ConsolidateSet(runs=runs.from_numbers(sorted(gone)))

    def _folded(self, row: dict[str, Any]) -> runs.Runs:
        """What a compaction took: of its range, what is not active at the end."""
        first, last = row["from_seq"], row["to_seq"]
        seqs = range(max(1, first), min(last, self.last) + 1)
        return runs.from_numbers(seq for seq in seqs if self._states.get(seq) != "active")

    def wrongly_gone(self, active: runs.Runs) -> list[int]:
        """Messages that the file calls active and that are not, given what is."""
        there = set(runs.numbers_of(active))
        return [
            seq for seq, state in self._states.items() if state == "active" and seq not in there
        ]


def text_of(value: Any) -> str | None:
    """A value of a text column as text."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def us_of(value: Any, otherwise: int) -> int:
    """A time of the file (ms) in µs, which is never 0: that would mean that none is known."""
    return max(1, value * 1000) if type(value) is int else otherwise
