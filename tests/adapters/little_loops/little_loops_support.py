"""What the tests of this adapter share: the original, and the files that it reads."""

from __future__ import annotations

import importlib
import json
import sqlite3
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eventstore.adapters import little_loops as adapter

#: What `recent` knows at schema 1, which is what the adapter stands for.
KINDS = ("tool", "file", "issue", "loop", "correction")

LOOP_EVENTS = (
    "loop_start", "loop_resume", "loop_complete", "state_enter", "route", "retry_exhausted",
    "cycle_detected",
)  # fmt: skip


def original() -> Any:
    """The original module; skips the test where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("little_loops.session_store")
        except ImportError as error:
            pytest.skip(f"little-loops is not installed: {error}")


class Outcome(NamedTuple):
    """What a call gave: a value, or the kind of error that it raised."""

    value: Any
    error: str | None


#: What callers catch, the special before the general.
CAUGHT = (
    sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.IntegrityError,
    sqlite3.DatabaseError, ValueError, OverflowError, NotADirectoryError, FileExistsError, OSError,
)  # fmt: skip


def outcome(act: Callable[[], Any]) -> Outcome:
    """What this gives, or raises."""
    try:
        return Outcome(act(), None)
    except Exception as error:
        for kind in CAUGHT:
            if isinstance(error, kind):
                return Outcome(None, kind.__name__)
        return Outcome(None, type(error).__name__)


def sent(db: str | Path, *events: dict[str, Any]) -> None:
    """Send these events to the adapter's transport."""
    transport = adapter.SQLiteTransport(db)
    for event in events:
        transport.send(event)
    transport.close()


def started(name: str, ts: str = "2026-05-22T10:00:00Z", **more: Any) -> dict[str, Any]:
    """The event of a loop that starts."""
    return {"event": "loop_start", "loop_name": name, "ts": ts, **more}


def issue(folder: Path, name: str, **fields: str) -> Path:
    """An issue file with these fields at its head."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    head = "".join(f"{key}: {value}\n" for key, value in fields.items())
    path.write_text(f"---\n{head}---\nWhat is wrong.\n", encoding="utf-8")
    return path


def loop_state(folder: Path, part: str, name: str, **fields: Any) -> Path:
    """The state file of a loop; `part` is .running or .history."""
    (folder / part).mkdir(parents=True, exist_ok=True)
    path = folder / part / f"{name}.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


def call(name: str, arguments: Any, session: str | None, ts: str, **block: Any) -> dict[str, Any]:
    """A line of a transcript with one tool call."""
    use = {"type": "tool_use", "name": name, "input": arguments, **block}
    message = {"role": "assistant", "content": [{"type": "text", "text": "so"}, use]}
    return {"type": "assistant", "sessionId": session, "timestamp": ts, "message": message}


def transcript(path: Path, records: Sequence[Any]) -> Path:
    """A file with these records, one a line; a text is a line as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
