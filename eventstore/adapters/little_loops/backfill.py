"""`backfill`: rows for what issue files, the state of loops and transcripts say.

What a run finds is compared with what is stored, and only the rest is added. So a second run adds
nothing, one over grown sources what is new, and of two at the same time one adds it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from eventstore.adapters.little_loops.errors import of_the_store
from eventstore.adapters.little_loops.frontmatter import frontmatter
from eventstore.adapters.little_loops.opening import DEFAULT_DB_PATH, using
from eventstore.adapters.little_loops.shapes import (
    BACKFILLED,
    KIND_OF,
    Indexed,
    event_of,
    home,
    identity,
)
from eventstore.store.activities import Placed, record

logger = logging.getLogger(__name__)

_TYPE = re.compile(r"(BUG|ENH|FEAT|EPIC)-\d+")
_PRIORITY = re.compile(r"P\d")


def backfill(
    db: Path | str = DEFAULT_DB_PATH,
    *,
    issues_dir: Path | str | None = None,
    loops_dir: Path | str | None = None,
    jsonl_files: Iterable[Path | str] | None = None,
) -> dict[str, int]:
    """Add rows for issues, loops and the tool calls of transcripts; how many of each were added.

    The folders are ``.issues`` and ``.loops`` unless given. What is not there is skipped; files and
    lines that cannot be read are skipped and logged.
    """
    found = [
        *_issues(Path(".issues") if issues_dir is None else Path(issues_dir)),
        *_loops(Path(".loops") if loops_dir is None else Path(loops_dir)),
    ]
    for file in jsonl_files or ():
        found += _tools(Path(file))
    with using(db) as store, of_the_store():
        added = record(store.log, store.derived, found, home(), once=identity) if found else []
    counts = Counter(KIND_OF[type(one.event)] for one in added)
    return {"issues": counts["issue"], "loops": counts["loop"], "tools": counts["tool"]}


def _issues(folder: Path) -> Iterator[Placed]:
    """One row an issue file with an id, in order of the paths."""
    for path in sorted(folder.rglob("*.md")) if folder.is_dir() else ():
        text = _text_of(path)
        fields = {} if text is None else frontmatter(text)
        if not fields.get("id"):
            continue
        issue_id, status = str(fields["id"]), str(fields.get("status", "open"))
        captured, completed = fields.get("captured_at"), fields.get("completed_at")
        kind = _known(fields.get("type")) or _first(_TYPE.search(path.name), 1)
        row = {
            "ts": str(completed or captured or fields.get("discovered_date") or ""),
            "issue_id": issue_id,
            "transition": status,
            "discovered_by": _said(fields.get("discovered_by")),
            "issue_type": kind,
            "priority": _known(fields.get("priority")) or _first(_PRIORITY.match(path.name), 0),
            "completed_date": completed[:10] if isinstance(completed, str) else None,
            "captured_at": _said(captured),
            "completed_at": _said(completed),
        }
        indexed = Indexed(f"{issue_id} {status} {kind or ''}", issue_id, str(path))
        yield Placed(None, event_of("issue", row, indexed))


def _known(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _said(value: Any) -> str | None:
    return str(value) if value else None


def _first(match: re.Match[str] | None, group: int) -> str | None:
    return None if match is None else match[group]


def _loops(folder: Path) -> Iterator[Placed]:
    """One row a state file of a loop, those that run first."""
    for part in (".running", ".history"):
        inner = folder / part
        for path in sorted(inner.glob("*.json")) if inner.is_dir() else ():
            text = _text_of(path)
            state_of = {} if text is None else _json(text, path)
            if not isinstance(state_of, dict) or text is None:
                continue
            name = str(state_of.get("loop_name") or path.stem)
            state = state_of.get("current_state") or state_of.get("state")
            row = {
                "ts": str(state_of.get("updated_at") or state_of.get("started_at") or ""),
                "loop_name": name,
                "state": _said(state),
                "transition": BACKFILLED,
            }
            indexed = Indexed(f"{name} {state or ''}", name, str(path))
            yield Placed(None, event_of("loop", row, indexed))


def _tools(path: Path) -> Iterator[Placed]:
    """One row a tool call in a transcript of Claude Code."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                # What has no such word, nor letters written as numbers, holds no tool call.
                if '"tool_use"' in line or "\\u" in line:
                    yield from _calls(line.strip(), path)
    except OSError:
        logger.warning("skipped: %s cannot be read", path, exc_info=True)


def _calls(line: str, path: Path) -> Iterator[Placed]:
    record = _json(line, path) if line else None
    if not isinstance(record, dict) or record.get("type") != "assistant":
        return
    message = record.get("message")
    blocks = message.get("content") if isinstance(message, dict) else None
    session_id = record.get("sessionId")
    ts = str(record.get("timestamp") or "")
    for block in blocks if isinstance(blocks, list) else ():
        if not isinstance(block, dict) or block.get("type") != "tool_use":
            continue
        name = str(block.get("name", ""))
        row = {
            "ts": ts,
            "session_id": None if session_id is None else str(session_id),
            "tool_name": name,
            "args_hash": _hash_of(block.get("input", {})),
        }
        call_id = block.get("id")
        own = call_id if isinstance(call_id, str) and call_id.isprintable() else None
        event = event_of("tool", row, Indexed(name, name, str(path)), call_id=own)
        yield Placed(row["session_id"], event)


def _hash_of(arguments: Any) -> str:
    """A short digest of a call's arguments."""
    text = json.dumps(arguments, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        logger.warning("skipped: %s cannot be read", path, exc_info=True)
        return None


def _json(text: str, path: Path) -> Any:
    """The value that a text says, None for one that is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass  # it knows no NaN and no lone surrogates
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        logger.warning("skipped: no JSON in %s", path)
        return None
