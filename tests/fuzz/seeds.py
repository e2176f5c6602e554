"""Small inputs that fuzzing starts from, one of each kind; made when they are needed."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import apsw
from engine_support import populated, ticking

from eventstore import SessionStore, ToolCall
from eventstore.backup.erasures import Erasure, erasures, exported
from eventstore.bundles.files import write_tar
from eventstore.bundles.writing import write_bundle
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.keys import SignerKey
from eventstore.exports.runner import export
from eventstore.replaying import scripts
from eventstore.replaying.exchanges import script_of
from eventstore.store.points import At

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
        case "store" | "salvage":
            return [bytes([n, 0, n, 255, 17 * n % 256]) * 3 for n in range(6)]
        case _:
            return _sent(target)


#: The key that signed what is sent, and the seed that it is made of.
_SEED = bytes(range(32))
SENT_KEY = "example.com/log+d455c521+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"

#: The text of the note that fuzzing of notes starts from.
SIGNED = f"agent-eventstore/x\n3\n{'A' * 43}=\n"

_POLICIES = (
    '[[policy]]\nname = "old"\ndo = "erase"\nolder_than = "30d"\nkind = "subagent"\n'
    '[[policy]]\nname = "small"\ndo = "erase"\nabove = "1.5 kB"\nsource = ["a", "b"]\n'
    '[[policy]]\nname = "texts"\ndo = "erase-content"\nolder_than = "1 h"\nstatus = "active"\n'
    'types = ["message.appended", "x.acme.moved"]\n'
)
_POINTS = ("12", "seq:40", "round:3", "position:9", "before:1", "after:1", "2026-01-05T10:00+01:00",
           "time:2h", " 7 d", "yesterday", "2026-W01-1", "9" * 30, "seq:" + "9" * 25,
           "0001-01-01", "9999-12-31T23:59:59.999999-12:00", "٣", "version:-1")  # fmt: skip


def _sent(target: str) -> list[bytes]:
    match target:
        case "bundle":
            return [sent_bundle(), sent_bundle(whole=False)]
        case "events-jsonl":
            return [_lines()]
        case "notes":
            signed = str(_signer().sign(SIGNED))
            kept = json.dumps({"note": signed}).encode() + b"\n"
            return [signed.encode(), signed.partition("\n\n")[0].encode() + b"\n", kept]
        case "keys":
            return [SENT_KEY.encode(), _signer().secret.encode() + b"\n", b"a+00000000+AA=="]
        case "erasures":
            return [_erasures()]
        case "policies":
            return [_POLICIES.encode()]
        case "fixture":
            return [_fixture()]
        case "times":
            return [text.encode() for text in _POINTS]
        case _:
            raise ValueError(target)


def _signer() -> SignerKey:
    return SignerKey("example.com/log", _SEED)


def small_store(path: Path | str) -> SessionStore:
    """A session with a tool call, a fork, an activity, and one erased message."""
    store = SessionStore.open(path, durability="normal", clock=ticking())
    first = store.create("a", title="Title", source="a")
    first.append("user", "hello")
    call = ToolCall(id="c", name="f", arguments={"n": 1})
    first.append("assistant", "I look.", tool_calls=[call], round=1)
    first.append("tool", "found", call_id="c", tool_name="f")
    first.append("assistant", "secret")
    first.erase_events([first.history()[-1].position], by="desk", reason="asked")
    first.compact(1, 2, "a note")
    first.fork("b").append("user", "other")
    return store


@cache
def sent_store() -> bytes:
    """The small store as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        small_store(path).close()
        return path.read_bytes()


@cache
def sent_bundle(whole: bool = True) -> bytes:
    """A signed bundle of two events that has an older checkpoint, or of a session, as .tar."""
    with tempfile.TemporaryDirectory() as folder:
        place, out = Path(folder) / "b", io.BytesIO()
        place.mkdir()
        with SessionStore.open(Path(folder) / "s.db", clock=ticking()) as store:
            store.create("a").append("user", "hello")
            heads = [store.tree_head(size) for size in (1, 2)]
            texts = [Checkpoint("agent-eventstore/x", one.size, one.root).text for one in heads]
            older, newest = (str(_signer().sign(text)) for text in texts)
            chosen = None if whole else [store.session("a")]
            write_bundle(store, place, newest, sessions=chosen, older=[older])
        write_tar(place, out)
        return out.getvalue()


def _lines() -> bytes:
    out = io.BytesIO()
    with small_store(":memory:") as store:
        export(store, "events-jsonl", out, record=False)
    return out.getvalue()


def _erasures() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        with small_store(path) as store:
            one = list(store.events())[2]
        (found,) = erasures(path)
        more = Erasure(uid=found.uid, scope="messages", by="b", reason=None,
                                events=((one.version, one.leaf.hex()),))  # fmt: skip
        return json.dumps(exported([found, more])).encode()


def _fixture() -> bytes:
    with small_store(":memory:") as store:
        return scripts.encode(script_of(store.session("a"), 0, At.seq(3)))


def store_bytes() -> bytes:
    """A store with every type of event, closed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.db"
        with populated(path) as store:
            store.search("hello")
        return path.read_bytes()
