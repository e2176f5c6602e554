"""Small inputs that fuzzing starts from, one of each kind; made when they are needed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
from engine_support import populated

SAMPLES = Path(__file__).parent.parent / "samples"

_POWER_LOOP = (
    "CREATE TABLE sessions (session_id TEXT, created_at REAL, updated_at REAL, system_prompt TEXT,"
    " model TEXT, config_json TEXT, status TEXT, kind TEXT, parent_session_id TEXT)",
    "CREATE TABLE messages (session_id TEXT, seq INTEGER, role TEXT, name TEXT, content TEXT,"
    " tool_calls_json TEXT, tool_call_id TEXT, round_index INTEGER, state TEXT, created_at REAL)",
    "CREATE TABLE compactions (session_id TEXT, compact_seq INTEGER, note_seq INTEGER,"
    " from_seq INTEGER, to_seq INTEGER, before_tokens INTEGER, after_tokens INTEGER)",
    "CREATE TABLE session_state (session_id TEXT, round_index INTEGER, pending_json TEXT)",
    "INSERT INTO sessions VALUES ('s', 1700000000.5, 1700000001.5, 'prompt', 'm', '{\"a\": 1}',"
    " 'active', 'root', NULL)",
    "INSERT INTO messages VALUES ('s', 1, 'user', NULL, 'hello', NULL, NULL, 0, 'compacted', 1.0)",
    "INSERT INTO messages VALUES ('s', 2, 'assistant', NULL, NULL,"
    ' \'[{"id": "c", "function": {"name": "f", "arguments": "{}"}}]\', NULL, 0, \'active\', 2.0)',
    "INSERT INTO messages VALUES ('s', 3, 'tool', 'f', 'done', NULL, 'c', 0, 'active', 3.0)",
    "INSERT INTO messages VALUES ('s', 4, 'system', NULL, 'note', NULL, NULL, 0, 'active', 4.0)",
    "INSERT INTO compactions VALUES ('s', 1, 4, 1, 1, 100, 10)",
    "INSERT INTO session_state VALUES ('s', 2, '[]')",
)

_HERMES = (
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    "INSERT INTO schema_version VALUES (6)",
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT NOT NULL, model TEXT, title TEXT,"
    " system_prompt TEXT, parent_session_id TEXT, started_at REAL, ended_at REAL, end_reason TEXT,"
    " message_count INTEGER, input_tokens INTEGER, output_tokens INTEGER)",
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id TEXT, role TEXT, content TEXT,"
    " tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, timestamp REAL, token_count INTEGER,"
    " finish_reason TEXT, reasoning TEXT)",
    "INSERT INTO sessions VALUES ('s', 'cli', 'm', 'Title', 'p', NULL, 1.5, 9.5, 'done', 2, 3, 4)",
    "INSERT INTO messages VALUES (1, 's', 'user', 'hello', NULL, NULL, NULL, 2.5, 3, NULL, NULL)",
    "INSERT INTO messages VALUES (2, 's', 'assistant', 'hi', NULL, '[]', NULL, 3.5, 3, 'stop', '')",
)

_LITTLE_LOOPS = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)",
    "INSERT INTO meta VALUES ('schema_version', '1')",
    "CREATE TABLE tool_events (id INTEGER PRIMARY KEY, ts TEXT, session_id TEXT, tool_name TEXT,"
    " args_hash TEXT, result_size INTEGER)",
    "CREATE TABLE issue_events (id INTEGER PRIMARY KEY, ts TEXT, issue_id TEXT, transition TEXT)",
    "CREATE TABLE loop_events (id INTEGER PRIMARY KEY, ts TEXT, loop_name TEXT, state TEXT,"
    " transition TEXT, retries INTEGER)",
    "CREATE TABLE search_index (content TEXT, kind TEXT, ref TEXT, anchor TEXT, ts TEXT)",
    "INSERT INTO tool_events VALUES (1, '2026-01-01T00:00:00Z', 's', 'Bash', 'ab', 10)",
    "INSERT INTO loop_events VALUES (1, '2026-01-01T00:00:01Z', 'loop', 'running', 'next', 0)",
)

_NANOBOT: tuple[dict[str, Any], ...] = (
    {"_type": "metadata", "key": "cli:direct", "created_at": "2026-01-01T00:00:00",
     "updated_at": "2026-01-01T00:00:09", "metadata": {}, "last_consolidated": 1},
    {"role": "user", "content": "hello", "timestamp": "2026-01-01T00:00:01"},
    {"role": "assistant", "content": "hi", "tool_calls": [], "timestamp": "2026-01-01T00:00:02"},
)  # fmt: skip


def _database(statements: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.db"
        connection = apsw.Connection(str(path))
        for statement in statements:
            connection.execute(statement).fetchall()
        connection.close()
        return path.read_bytes()


def seeds(target: str) -> list[bytes]:
    """What the fuzzing of a target starts from."""
    match target:
        case "claude-code":
            return [file.read_bytes() for file in sorted(SAMPLES.glob("claude-code/**/*.jsonl"))]
        case "nanobot":
            return [b"".join(json.dumps(line).encode() + b"\n" for line in _NANOBOT)]
        case "power-loop":
            return [_database(_POWER_LOOP)]
        case "hermes":
            return [_database(_HERMES)]
        case "little-loops":
            return [_database(_LITTLE_LOOPS)]
        case "query" | "search":
            typed = ('what is "docker compose" OR my.app NOT dep*', "a@b.c it's", "容器 docker",
                     'NEAR("a b", 3) AND text : x', '"', "*", "a" * 50)  # fmt: skip
            return [text.encode() for text in typed]
        case "codec":
            values = ('{"a":[1,2.5,"\\ud800",null,true],"b":{"c":"\\u0000"}}', "[1e5,-0.0,1e-7]",
                      '{"a":1,"a":2}', '"\\u0000"', "9007199254740993", "[[[[[]]]]]")  # fmt: skip
            return [value.encode() for value in values]
        case "store":
            return [bytes([n, 0, n, 255, 17 * n % 256]) * 3 for n in range(6)]
        case _:
            raise ValueError(target)


def store_bytes() -> bytes:
    """A store with every type of event, closed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.db"
        with populated(path) as store:
            store.search("hello")
        return path.read_bytes()
