"""What is done while the disk fails: every command, a few to a scenario, each on its own store.

A step is *atomic* when all that it appends is one transaction; the others are made of several and
say so: after a fault a beginning of them may be there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from engine_support import populated

from eventstore import Message, SessionStore, ToolCall, snapshots
from eventstore.backup import backup
from eventstore.importers import import_paths


class Step(NamedTuple):
    """A command, and whether what it appends is one transaction."""

    name: str
    run: Callable[[SessionStore], Any]
    atomic: bool = True


class Scenario(NamedTuple):
    """Steps on one handle. Without a base the store does not exist before."""

    name: str
    steps: tuple[Step, ...]
    base: bool = True


def make_base(path: Path) -> None:
    """A store with every type of event, snapshots and a search index."""
    kept, snapshots.TAIL_MIN = snapshots.TAIL_MIN, 4
    try:
        with populated(path) as store:
            store.search("hello")
    finally:
        snapshots.TAIL_MIN = kept


def _text(size: int, seed: int) -> str:
    return "".join(chr(97 + (seed * 31 + i * i) % 26) for i in range(size))


def _append_calls(store: SessionStore) -> None:
    call = ToolCall(id="call_9", name="search", arguments={"q": "needle"})
    store.session("root").append_many(
        [
            Message(role="assistant", tool_calls=(call,), reasoning="why", tokens=3),
            Message(role="tool", content="found", call_id="call_9", tool_name="search"),
        ]
    )


def _import(store: SessionStore) -> None:
    folder = Path(store.path).parent / "transcripts"
    folder.mkdir(exist_ok=True)
    lines = [
        {
            "type": "user" if number % 2 == 0 else "assistant",
            "sessionId": "imported",
            "uuid": f"u{number}",
            "parentUuid": f"u{number - 1}" if number else None,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "message": {"role": "user" if number % 2 == 0 else "assistant", "content": "x" * 50},
        }
        for number in range(6)
    ]
    file = folder / "imported.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    list(import_paths(store, [file], format="claude-code"))


def _consume(store: SessionStore) -> None:
    consumer = store.consumer("billing")
    for _ in consumer.follow(live=False):
        pass


def _backup(store: SessionStore) -> None:
    backup(store.path, Path(store.path).parent / "copy.db", overwrite=True)


def _each(session: str, name: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
    return lambda store: getattr(store.session(session), name)(*arguments, **options)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "create a store",
        (
            Step("create", lambda store: store.create("root", title="T", prompt="P", key="c")),
            Step("append", _each("root", "append", "user", "hello")),
        ),
        base=False,
    ),
    Scenario(
        "append",
        (
            Step("append", _each("root", "append", "user", "one")),
            Step("append again", _each("root", "append", "user", "two", key="k9")),
            Step("append calls", _append_calls),
            Step("append a blob", _each("root", "append", "user", _text(70_000, 1))),
        ),
    ),
    Scenario(
        "a long text, over and over",
        tuple(
            Step(f"append {n}", _each("root", "append", "user", _text(60_000, n))) for n in range(6)
        ),
    ),
    Scenario(
        "change the context",
        (
            Step("append", _each("child", "append", "user", "more")),
            Step("compact", _each("child", "compact", 1, 2, "a note of two")),
            Step("consolidate", _each("child", "consolidate", 3)),
            Step("append for nothing", _each("child", "append", "user", "taken back")),
            Step("retract", _each("child", "retract", 4)),
            Step("clear", _each("root", "clear")),
        ),
    ),
    Scenario(
        "settings",
        (
            Step("title", _each("root", "set_title", "Unique", unique=True)),
            Step("prompt", _each("root", "change_prompt", "Another")),
            Step("usage", _each("root", "record_usage", "r9", input=4, output=2)),
            Step("suspend", _each("root", "suspend_tool_calls", {"a": 1}, ["call_1"])),
        ),
    ),
    Scenario(
        "sessions",
        (
            Step("fork", _each("root", "fork", "fork-2")),
            Step("spawn", _each("root", "spawn", "child-2")),
            Step("reparent", lambda store: store.session("child-2").reparent(None)),
            Step("close", _each("root", "close", cascade=True, reason="done")),
        ),
    ),
    Scenario(
        "erase",
        (
            Step("search", lambda store: store.search("hello")),
            Step("erase one", lambda store: store.session("root").erase_events([6], reason="r")),
            Step("erase all", lambda store: store.session("gone~1").erase(reason="r")),
            Step("close and erase", lambda store: store.session("other").erase(reason="r")),
        ),
    ),
    Scenario(
        "rebuild",
        (
            Step("rebuild", lambda store: store.rebuild()),
            Step("append", _each("root", "append", "user", "after")),
            Step("check", lambda store: store.check()),
        ),
    ),
    Scenario(
        "search",
        (
            Step("append", _each("root", "append", "user", "where is the needle")),
            Step("search", lambda store: store.search("needle")),
            Step("activities", lambda store: store.search_activities("path")),
        ),
    ),
    Scenario("consume", (Step("consume", _consume),)),
    Scenario("import", (Step("import", _import, atomic=False),)),
    Scenario("backup", (Step("backup", _backup),)),
    Scenario(
        "read",
        (
            Step("chat", _each("root", "chat")),
            Step("history", _each("root", "history")),
            Step("sessions", lambda store: list(store.sessions())),
            Step("verify", lambda store: store.verify()),
        ),
    ),
)


def by_name(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def copy_base(base: Path, folder: Path) -> Path:
    path = folder / "s.db"
    shutil.copy(base, path)
    path.chmod(0o600)
    return path
