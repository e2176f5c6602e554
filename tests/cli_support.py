"""What the command line's tests share: running it, a store whose every value is known, goldens."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from eventstore import Kind, Message, SessionStore, ToolCall
from eventstore.cli import main

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden" / "cli"

#: 2026-01-05T10:11:12.123456Z
START = 1_767_607_872_123_456

#: What a message could try on a terminal: retitle the window, go up and overwrite, reorder.
HOSTILE = "\x1b]0;owned\x07 \x1b[2K\x1b[1A\r$ rm -rf \x9b31m \u202egnp.exe\x7f\b"


def run(*arguments: str | Path, input: bytes | None = None, **environment: str) -> Result:  # noqa: A002
    """Run the command in this process."""
    return CliRunner().invoke(
        main, [str(one) for one in arguments], input=input, env=environment, prog_name="eventstore"
    )


def spawn(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "eventstore.cli", *map(str, arguments)],
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        **options,
    )


def build(path: Path) -> None:
    """The store that the goldens show: a compacted session with a sub-agent, and three others."""
    clock = itertools.count(START, 1_000_000).__next__
    with SessionStore.open(path, clock=clock) as store:
        chat = store.create(
            "chat-1", title="Tide tables", prompt="You are terse.", model="m-1", source="example"
        )
        chat.append("user", "Why is high water an hour late?", round=1)
        call = ToolCall(id="call-1", name="read", arguments={"path": "tides.py"})
        chat.append("assistant", "I will look.", tool_calls=[call], tokens=12, response_id="r-1")
        chat.append("tool", "utc + 2 hours", call_id="call-1", tool_name="read")
        helper = store.create("chat-1/helper", parent=chat, kind=Kind.SUBAGENT, source="example")
        helper.append("user", "Find the harbour's time zone.")
        chat.append("assistant", "It adds two hours, in winter too.")
        chat.compact(1, 4, "Cause found: a fixed offset.", tokens_before=900, tokens_after=40)
        chat.append("user", [{"type": "text", "text": "Fix it: 潮汐表"}, {"type": "blob", "n": 1}])
        chat.record_usage("r-1", input=10, output=5, cost=0.25)
        other = store.create("other", source="elsewhere")
        other.append_many([Message(role="user", content=HOSTILE, metadata={"k": [1, None]})])
        other.append("assistant", "half \ud83d an emoji", reasoning="hm")
        other.end("done")
        store.create("over").close()
        store.consumer("indexer").commit(next(store.events(after=11)))


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The store of `build`, with the local time zone UTC and no settings from outside."""
    monkeypatch.setenv("TZ", "UTC")
    if hasattr(time, "tzset"):
        time.tzset()
    for name in ("EVENTSTORE_DB", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sessions.db"
    build(path)
    yield path
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


def golden(name: str, output: str) -> None:
    """The output is what the golden file shows; hashes and temporary paths are left out of it.

    ``UPDATE_GOLDENS=1`` writes the file instead: read the difference before you commit it.
    """
    shown = re.sub(r"\b[0-9a-f]{64}\b", "<hash>", output)
    shown = re.sub(r"[^\s\"]*/([\w-]+\.(?:db|jsonl))\b", r"<dir>/\1", shown)
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDENS"):
        path.write_bytes(shown.encode("utf-8", "surrogatepass"))
    assert shown.encode("utf-8", "surrogatepass") == path.read_bytes()
