"""What the tests of the importers share: places, small transcripts, and what a store holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventstore import SessionStore
from eventstore.importers import FileReport, import_paths, records_of

SAMPLES = Path(__file__).parent / "samples" / "claude-code"
DATA = Path(
    os.environ.get("EVENTSTORE_TEST_DATA", Path(__file__).parents[1].parent / "shared" / "data")
)


def data_folder(name: str) -> Path:
    """A folder of real transcripts; skips the test when it is not there."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(
            f"the transcripts {name} are not here; set EVENTSTORE_TEST_DATA to their folder"
        )
    return folder


def user(uuid: str, text: str, **more: Any) -> bytes:
    return record("user", uuid, {"role": "user", "content": text}, **more)


def assistant(uuid: str, *blocks: dict[str, Any], **message: Any) -> bytes:
    content = {"role": "assistant", "content": list(blocks), **message}
    return record("assistant", uuid, content)


def record(kind: str, uuid: str, message: Any = None, **more: Any) -> bytes:
    value = {"type": kind, "uuid": uuid, "sessionId": "s", "message": message, **more}
    if message is None:
        del value["message"]
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def write(path: Path, *lines: bytes, end: bytes = b"\n") -> Path:
    path.write_bytes(b"\n".join(lines) + (end if lines else b""))
    return path


def import_one(store: SessionStore, path: Path, **options: Any) -> FileReport:
    [report] = import_paths(store, [path], **options)
    return report


def records(store: SessionStore, session_id: str) -> list[bytes | None]:
    session = store.get(session_id)
    return [] if session is None else [one.data for one in records_of(session)]


def everything(store: SessionStore) -> dict[str, list[Any]]:
    """What a store holds, session by session, without what differs from run to run."""
    sessions = store.sessions_with_prefix("")
    names = {one.stream: one.id for one in sessions}
    found = {}
    for session in sessions:
        state = session.state()
        events = [msgspec.to_builtins(one.event) for one in session.events()]
        found[session.id] = [names.get(state.parent or 0), events]
    return found
