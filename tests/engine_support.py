"""What the engine's tests share."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from eventstore import Message, SessionStore, ToolCall
from eventstore.events import catalogue as ev

#: Multiplies the number of examples, processes' work and byte flips: 1 is what CI runs.
BUDGET = float(os.environ.get("EVENTSTORE_TEST_BUDGET", "1"))


def budget(count: int) -> int:
    """`count`, scaled by the budget; at least 1."""
    return max(1, round(count * BUDGET))


def ticking(start: int = 1_700_000_000_000_000, step: int = 1_000) -> Any:
    """A clock that goes on by `step` µs with every look."""
    return itertools.count(start, step).__next__


def texts(session: Any, at: int | None = None) -> list[tuple[int, str | None]]:
    return [(message.seq, message.text) for message in session.messages(at)]


def clean(store: SessionStore) -> None:
    """The log verifies, and every projection is what the log gives."""
    assert store.verify() == []
    assert store.check() == []


def tables_of(store: SessionStore) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the built-in projections."""
    found = {}
    with store.log.snapshot() as connection:
        for projection in store.derived.builtin:
            for table in projection.tables:
                rows = connection.execute(f"SELECT * FROM {table}").fetchall()
                found[table] = sorted(rows, key=repr)
    return found


BIG = "0123456789abcdef" * 4100  # 64 KiB and a little, kept as a blob


def populate(store: SessionStore) -> dict[str, Any]:
    """Every type of event, blobs, keys, a fork, an incarnation and erasures."""
    root = store.create(
        "root", title="Title", prompt="Prompt", model="m1", provider="p1",
        configuration={"temperature": 0.5}, metadata={"cwd": "somewhere"}, source="test", key="c1",
    )  # fmt: skip
    call = ToolCall(id="call_1", name="search", arguments={"q": "needle"})
    root.append_many(
        [
            Message(role="user", content="hello 🙂", key="k1"),
            Message(role="assistant", tool_calls=(call,), reasoning="thinking", tokens=7),
            Message(role="tool", content=BIG, call_id="call_1", tool_name="search"),
            Message(role="assistant", content=[{"type": "text", "text": "done"}]),
        ]
    )
    root.append("user", BIG)
    root.compact(1, 3, "a note", tokens_before=100, tokens_after=10, trigger="manual")
    root.consolidate(6)
    root.append("user", "to be retracted")
    root.retract(7)
    root.record_usage("r1", input=10, cache_read=3, output=5, cost=0.25, model="m1")
    root.record_usage("r1", input=11, cache_read=3, output=6, cost=0.5, model="m1")
    root.change_model("m2")
    root.change_prompt(None)
    root.change_configuration({"temperature": 0.7})
    root.advance_round(3)
    root.suspend_tool_calls({"state": [1, 2]}, ["call_1"])
    root.settle_tool_calls()
    free: list[ev.Event] = [
        ev.ToolCalled(call_id="call_1", status="ok", duration=5,
                      content=ev.ActivityContent(subject="search")),
        ev.FileTouched(operation="read", content=ev.ActivityContent(subject="a/path")),
        ev.IssueMoved(from_state="open", to_state="done"),
        ev.LoopMoved(state="s", transition="t", retries=1),
        ev.UserCorrected(content=ev.ActivityContent(subject="no, the other one")),
        ev.ExportCreated(format="jsonl", to_version=3,
                         content=ev.ExportContent(recipient="auditor")),
        ev.RecordImported(format="jsonl", kind="note", content=ev.Content(record={"a": [1, None]})),
        ev.CustomEvent(name="x.acme.moved", data={"n": 1}, content={"why": "because"}),
    ]  # fmt: skip
    for event in free:
        root.add_event(event)
    fork = root.fork("fork", at=6)
    fork.append("user", "in the fork")
    child = root.spawn("child")
    child.append("user", "child's message")
    other = store.create("other")
    child.reparent(other)
    other.end("enough")
    other.reopen()
    other.archive()
    other.append("user", "cleared soon")
    other.clear()
    gone = store.create("gone", title="secret title")
    gone.append("user", "secret")
    gone.close(reason="over")
    again = store.create("gone")
    again.append("user", "second incarnation")
    return {"root": root, "fork": fork, "child": child, "other": other, "gone": gone,
            "again": again}  # fmt: skip


def populated(path: Path | str, **options: Any) -> SessionStore:
    store = SessionStore.open(path, durability="normal", clock=ticking(), **options)
    populate(store)
    return store


__all__ = [
    "BIG",
    "BUDGET",
    "budget",
    "clean",
    "populate",
    "populated",
    "tables_of",
    "texts",
    "ticking",
]
