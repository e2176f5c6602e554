"""What the tests of what power-loop's session store promises share."""

from __future__ import annotations

from typing import Any

from eventstore.adapters import power_loop as ours
from eventstore.adapters.power_loop import SessionStore


def seqs(rows: list[ours.MessageRow]) -> list[int]:
    return [row.seq for row in rows]


def compact(store: SessionStore, first: int, last: int, **more: Any) -> tuple[int, int]:
    return store.record_compaction(
        "s", from_seq=first, to_seq=last, note_content="note", before_tokens=9, after_tokens=2,
        round_index=1, **more,
    )  # fmt: skip


def talking(store: SessionStore, messages: int) -> None:
    store.create_session(session_id="s")
    for number in range(messages):
        assert store.append_message("s", role="user", content=str(number)) == number + 1
