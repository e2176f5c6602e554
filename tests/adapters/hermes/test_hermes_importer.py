"""Databases that Hermes Agent wrote, of schemas 6, 11 and 22, imported.

Where the original is installed it writes them (11); the tables of 6 and 22 are made here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from engine_support import clean
from hermes_original import open_original
from test_hermes_differential import COLUMNS, MESSAGE_COLUMNS, masked, plain

from eventstore import SessionStore, errors
from eventstore.adapters.hermes import SessionDB
from eventstore.importers import FileReport, import_paths
from eventstore.importers.registry import recognise
from eventstore.redaction import redact

#: The tables of schema 6.
SESSIONS_6 = (
    "id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, model TEXT, model_config TEXT, "
    "system_prompt TEXT, parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, "
    "end_reason TEXT, message_count INTEGER DEFAULT 0, tool_call_count INTEGER DEFAULT 0, "
    "input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0, "
    "cache_read_tokens INTEGER DEFAULT 0, cache_write_tokens INTEGER DEFAULT 0, "
    "reasoning_tokens INTEGER DEFAULT 0, billing_provider TEXT, billing_base_url TEXT, "
    "billing_mode TEXT, estimated_cost_usd REAL, actual_cost_usd REAL, cost_status TEXT, "
    "cost_source TEXT, pricing_version TEXT, title TEXT"
)
MESSAGES_6 = (
    "id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL, "
    "content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, timestamp REAL NOT NULL, "
    "token_count INTEGER, finish_reason TEXT, reasoning TEXT, reasoning_details TEXT, "
    "codex_reasoning_items TEXT"
)
#: What schema 22 has more of: of these tables, and of others.
SESSIONS_22 = (
    ", cwd TEXT, git_branch TEXT, profile_name TEXT, api_call_count INTEGER DEFAULT 0, "
    "handoff_state TEXT, rewind_count INTEGER NOT NULL DEFAULT 0, "
    "archived INTEGER NOT NULL DEFAULT 0"
)
MESSAGES_22 = (
    ", reasoning_content TEXT, codex_message_items TEXT, platform_message_id TEXT, "
    "observed INTEGER DEFAULT 0, active INTEGER NOT NULL DEFAULT 1, "
    "compacted INTEGER NOT NULL DEFAULT 0, api_content TEXT"
)

#: Runs statements on a database as Hermes does, in another process: with Python's own SQLite.
_WRITE = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode = WAL")
for sql, values in json.load(sys.stdin):
    connection.execute(sql, values)
connection.commit()
"""


def write(path: Path, *statements: tuple[str, Sequence[Any]]) -> None:
    subprocess.run(
        [sys.executable, "-c", _WRITE, str(path)], input=json.dumps(statements), text=True,
        check=True,
    )  # fmt: skip


def tables(schema: int) -> list[tuple[str, Sequence[Any]]]:
    more = schema == 22
    found: list[tuple[str, Sequence[Any]]] = [
        ("CREATE TABLE schema_version (version INTEGER NOT NULL)", ()),
        ("INSERT INTO schema_version VALUES (?)", (schema,)),
        (f"CREATE TABLE sessions ({SESSIONS_6}{SESSIONS_22 if more else ''})", ()),
        (f"CREATE TABLE messages ({MESSAGES_6}{MESSAGES_22 if more else ''})", ()),
    ]
    if more:
        found.append(("CREATE TABLE state_meta (key TEXT PRIMARY KEY, value TEXT)", ()))
    return found


def insert(table: str, **row: Any) -> tuple[str, Sequence[Any]]:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values())


def session(session_id: str, at: float, **row: Any) -> tuple[str, Sequence[Any]]:
    return insert("sessions", id=session_id, started_at=at, **{"source": "cli", **row})


def message(
    session_id: str, role: str, content: Any, at: float, **row: Any
) -> tuple[str, Sequence[Any]]:
    return insert(
        "messages", session_id=session_id, role=role, content=content, timestamp=at, **row
    )


def imported(store: SessionDB, path: Path) -> FileReport:
    [report] = import_paths(store.store, [path])
    assert report.format == "hermes"
    return report


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = SessionDB(tmp_path / "store.db", durability="normal")
    yield opened
    clean(opened.store)
    opened.close()


def said(store: SessionDB, session_id: str) -> list[Any]:
    return [row["content"] for row in store.get_messages(session_id)]


# -- what the original wrote -----------------------------------------------------------------------


def test_what_the_original_wrote_reads_as_the_original_reads_it(
    store: SessionDB, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    theirs = open_original(path)
    fill(theirs)
    report = imported(store, path)  # while it is open, its last rows in the write-ahead log
    assert report.problems == []
    listed = theirs.list_sessions_rich(
        limit=-1, include_children=True, project_compression_tips=False
    )
    assert report.sessions[0] == "root"
    assert report.records == len(listed) + theirs.message_count()
    rich = (*COLUMNS, "preview", "last_active")
    for mine, their in zip(store.list_sessions_rich(limit=-1), listed, strict=True):
        assert masked(mine, rich) == masked(their, rich)
        for name in ("started_at", "ended_at", "last_active"):
            assert mine[name] == pytest.approx(their[name], abs=1e-6)
    for row in listed:
        for mine, their in zip(
            store.get_messages(row["id"]), theirs.get_messages(row["id"]), strict=True
        ):
            assert masked({**mine, "id": 0}, MESSAGE_COLUMNS) == masked(
                {**their, "id": 0}, MESSAGE_COLUMNS
            )
            assert mine["timestamp"] == pytest.approx(their["timestamp"], abs=1e-6)
        mine_chat = store.get_messages_as_conversation(row["id"])
        their_chat = theirs.get_messages_as_conversation(row["id"])
        assert [plain(one) for one in mine_chat] == [plain(one) for one in their_chat]
    for title in ("plan", "PLAN", "other"):
        assert store.resolve_session_by_title(title) == theirs.resolve_session_by_title(title)
    assert len(store.search_messages("docker")) == len(theirs.search_messages("docker"))

    theirs.append_message("root", "user", "one more")
    theirs.end_session("child", "later")
    again = imported(store, path)
    assert again.appended == 3  # the message, and the rows of both sessions
    assert said(store, "root")[-1] == "one more"
    assert (store.get_session("child") or {})["end_reason"] == "later"
    assert (store.get_session("root") or {})["end_reason"] == "done"
    head = store.store.head
    assert imported(store, path).appended == 0
    assert store.store.head == head
    theirs.close()


def fill(db: Any) -> None:
    """A database with something in every column of schema 6."""
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    db.create_session(
        "root", "cli", model="m1", model_config={"b": 1, "a": 2}, system_prompt="prompt",
        user_id="u1",
    )  # fmt: skip
    db.append_message("root", "user", "hello docker\nand more")
    db.append_message(
        "root", "assistant", None, tool_calls=[call, {**call, "id": "c2", "extra": [1]}],
        reasoning="because", reasoning_details=[{"x": "é"}], codex_reasoning_items=[{"y": 1}],
        finish_reason="tool_calls", token_count=7,
    )  # fmt: skip
    db.append_message("root", "tool", "result", tool_call_id="c1", tool_name="search")
    db.append_message("root", "assistant", [{"type": "text", "text": "parts"}])
    db.append_message("root", "assistant", "odd", tool_calls=[{"name": "bare"}])
    db.append_message("root", "user", "nul \x00 inside")
    db.update_token_counts(
        "root", 10, 20, cache_read_tokens=3, estimated_cost_usd=0.5, actual_cost_usd=0.25,
        cost_status="estimated", cost_source="table", pricing_version="1", billing_provider="p",
        billing_base_url="https://example.org", billing_mode="api",
    )  # fmt: skip
    db.end_session("root", "done")
    db.set_session_title("root", "plan")
    db.create_session("child", "telegram", parent_session_id="root")
    db.append_message("child", "user", "again docker")
    db.set_session_title("child", "plan #2")
    db.create_session("empty", "cron")
    for number in range(12):
        db.create_session(f"deep{number}", "cli",
        parent_session_id=f"deep{number - 1}" if number else None)  # fmt: skip


# -- schema 6 --------------------------------------------------------------------------------------


def test_schema_6_is_imported_with_its_times_and_events(store: SessionDB, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write(
        path, *tables(6),
        session("s", 1000.5, model="m", title="plan", ended_at=1004.0, end_reason="done",
                system_prompt="p", model_config='{"a":1}', message_count=2),
        message("s", "user", "hello", 1001.25),
        message("s", "assistant", "hi", 1002.5),
    )  # fmt: skip
    before = path.read_bytes()
    report = imported(store, path)
    assert (report.records, report.messages, report.appended, report.problems) == (3, 2, 3, [])
    row = store.get_session("s") or {}
    assert (row["started_at"], row["ended_at"], row["end_reason"]) == (1000.5, 1004.0, "done")
    assert (row["title"], row["model"], row["model_config"]) == ("plan", "m", '{"a":1}')
    assert [one["timestamp"] for one in store.get_messages("s")] == [1001.25, 1002.5]
    types = [recorded.event.type if hasattr(recorded.event, "type") else recorded.event.name
             for recorded in store.store.session("s").events()]  # fmt: skip
    assert types == [
        "session.created", "message.appended", "message.appended", "record.imported",
        "model.changed", "prompt.changed", "configuration.changed", "title.set", "session.ended",
        "x.hermes.imported",
    ]  # fmt: skip
    assert path.read_bytes() == before, "the source is only read"


def test_importing_again_adds_what_is_new_and_undoes_nothing(
    store: SessionDB, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    write(path, *tables(6), session("s", 1000.0, title="old"), message("s", "user", "one", 1001.0))
    imported(store, path)
    assert imported(store, path).appended == 0
    store.set_session_title("s", "mine")
    store.append_message("s", "user", "said here")
    assert imported(store, path).appended == 0
    assert store.get_session_title("s") == "mine"
    write(
        path, message("s", "user", "two", 1002.0), session("t", 1003.0),
        ("UPDATE sessions SET ended_at = 1004, end_reason = 'over' WHERE id = 's'", ()),
    )  # fmt: skip
    assert imported(store, path).appended == 3
    assert sorted(said(store, "s")) == ["one", "said here", "two"]
    assert store.get_session_title("s") == "mine"
    assert (store.get_session("s") or {})["end_reason"] == "over"
    assert store.get_session("t") is not None


def test_an_imported_child_outlives_its_parent(store: SessionDB, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write(
        path, *tables(6), session("child", 1001.0, parent_session_id="parent"),
        session("parent", 1002.0), message("child", "user", "hello", 1003.0),
    )  # fmt: skip
    assert imported(store, path).sessions == ["parent", "child"]
    assert (store.get_session("child") or {})["parent_session_id"] == "parent"
    assert store.delete_session("parent") is True
    assert (store.get_session("child") or {})["parent_session_id"] is None
    assert said(store, "child") == ["hello"]


def test_an_erased_message_is_not_taken_in_again(store: SessionDB, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write(path, *tables(6), session("s", 1000.0), message("s", "user", "secret", 1001.0))
    imported(store, path)
    store.clear_messages("s")
    assert imported(store, path).appended == 0
    assert said(store, "s") == []


def test_what_was_redacted_is_not_taken_in_again(store: SessionDB, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    mail = "ada.lovelace@example.org"
    write(
        path, *tables(6),
        session("s", 1000.0, title=f"to {mail}", system_prompt=f"you are {mail}",
                model_config=json.dumps({"user": mail})),
        message("s", "user", f"mail {mail}", 1001.0),
    )  # fmt: skip
    imported(store, path)
    redact(store.store)
    head = store.store.head
    assert imported(store, path).appended == 0
    assert store.store.head == head
    assert said(store, "s") == ["mail [redacted: email]"]
    assert store.get_session_title("s") == "to [redacted: email]"


def test_deleted_and_foreign_sessions_are_told_and_left(store: SessionDB, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write(path, *tables(6), session("s", 1000.0), message("s", "user", "theirs", 1001.0))
    store.create_session("s", "cli")
    store.append_message("s", "user", "mine")
    report = imported(store, path)
    assert report.appended == 0
    assert "not imported from Hermes" in report.problems[0].reason
    assert said(store, "s") == ["mine"]
    store.store.session("s").close()
    report = imported(store, path)
    assert "is closed" in report.problems[0].reason


#: How many of the columns of schema 6 the schemas before it have: of sessions, of messages.
OLDER = {1: (14, 9), 2: (14, 10), 3: (14, 10), 4: (14, 10), 5: (25, 10)}


@pytest.mark.parametrize("schema", OLDER)
def test_schemas_before_6_are_imported_as_they_are(
    store: SessionDB, tmp_path: Path, schema: int
) -> None:
    of_sessions, of_messages = OLDER[schema]
    columns = SESSIONS_6.split(", ")
    path = tmp_path / "state.db"
    titled = [columns[-1]] if schema >= 3 else []
    more = {"finish_reason": "stop"} if schema >= 2 else {}
    write(
        path,
        ("CREATE TABLE schema_version (version INTEGER NOT NULL)", ()),
        ("INSERT INTO schema_version VALUES (?)", (schema,)),
        (f"CREATE TABLE sessions ({', '.join([*columns[:of_sessions], *titled])})", ()),
        (f"CREATE TABLE messages ({', '.join(MESSAGES_6.split(', ')[:of_messages])})", ()),
        session("s", 1000.5, model="m", input_tokens=5, **{"title": "plan"} if titled else {}),
        message("s", "user", "hello", 1001.25),
        message("s", "assistant", "hi", 1002.5, **more),
    )  # fmt: skip
    assert imported(store, path).problems == []
    row = store.get_session("s") or {}
    assert (row["model"], row["input_tokens"], row["started_at"]) == ("m", 5, 1000.5)
    assert row["title"] == ("plan" if titled else None)
    rows = store.get_messages("s")
    assert [one["content"] for one in rows] == ["hello", "hi"]
    assert rows[1]["finish_reason"] == more.get("finish_reason")


# -- schema 22 -------------------------------------------------------------------------------------


def test_schema_22_is_imported_with_what_was_summarised_and_taken_back(
    store: SessionDB, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    write(
        path, *tables(22),
        session("s", 1000.0, cwd="/somewhere", archived=1),
        message("s", "user", "old one", 1001.0, active=0, compacted=1),
        message("s", "assistant", "old two", 1002.0, active=0, compacted=1),
        message("s", "user", "summary", 1003.0),
        message("s", "user", "taken back", 1004.0, active=0),
        message("s", "assistant", "this too", 1005.0, active=0),
        message("s", "user", "instead", 1006.0, reasoning_content="kept"),
    )  # fmt: skip
    assert imported(store, path).problems == []
    assert said(store, "s") == ["summary", "instead"]
    handle = store.store.session("s")
    states = [(one.text, one.state) for one in handle.history()]
    assert states == [
        ("old one", "consolidated"), ("old two", "consolidated"), ("summary", "active"),
        ("taken back", "retracted"), ("this too", "retracted"), ("instead", "active"),
    ]  # fmt: skip
    assert handle.info().status == "archived"
    assert len(store.search_messages("old")) == 2
    assert store.search_messages("back") == []


def test_what_is_taken_back_or_summarised_after_an_import_is_so_after_the_next(
    store: SessionDB, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    write(path, *tables(22), session("s", 1000.0),
          *(message("s", "user", f"m{number}", 1000.0 + number) for number in range(1,
          6)))  # fmt: skip
    imported(store, path)
    write(
        path, ("UPDATE messages SET active = 0 WHERE id >= 4", ()),
        message("s", "user", "m6", 1006.0),
    )  # fmt: skip
    imported(store, path)
    assert said(store, "s") == ["m1", "m2", "m3", "m6"]
    write(
        path, ("UPDATE messages SET active = 0, compacted = 1 WHERE active = 1", ()),
        message("s", "user", "summary", 1007.0),
    )  # fmt: skip
    imported(store, path)
    assert said(store, "s") == ["summary"]
    head = store.store.head
    assert imported(store, path).appended == 0
    assert store.store.head == head


# -- damage ----------------------------------------------------------------------------------------


def test_damaged_rows_are_told_and_the_rest_is_imported(store: SessionDB, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write(
        path, *tables(6), session("s", 1000.0),
        message("s", "user", "good", 1001.0),
        message("s", "No Role", "kept", 1002.0),
        message("s", "assistant", "odd calls", 1003.0, tool_calls="{broken"),
        message("s", "user", None, 1004.0),
        ("INSERT INTO messages (session_id, role, content, timestamp) "
         "VALUES ('s', 'user', x'00ff', 1005)", ()),
        ("INSERT INTO messages (session_id, role, content, timestamp) "
         "VALUES ('s', 'user', CAST(x'62616420ff' AS TEXT), 1006)", ()),
        message("lost", "user", "orphan", 1007.0),
        session("bad~1", 1008.0),
        message("s", "user", "end", -1.0),
    )  # fmt: skip
    report = imported(store, path)
    reasons = " | ".join(problem.reason for problem in report.problems)
    for part in (
        "the role is 'No Role'",
        "tool_calls is not JSON",
        "not UTF-8",
        "has no row",
        "bytes",
    ):
        assert part in reasons
    assert said(store, "s") == ["good", "odd calls", None, "AP8=", "bad \ufffd", "end"]
    assert said(store, "lost") == ["orphan"]
    assert any(one.startswith("hermes-") for one in report.sessions)
    assert imported(store, path).appended == 0


def test_a_file_that_is_broken_inside_gives_what_can_be_read(
    store: SessionDB, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    rows = [message("s", "user", f"{number} " + "x" * 900, 1000.0 + number) for number in range(60)]
    write(path, *tables(6), session("s", 1000.0), *rows)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * 4096)
    report = imported(store, path)
    assert report.problems
    assert 0 < len(said(store, "s")) < 60


def test_other_databases_are_not_taken_for_one_of_hermes(store: SessionDB, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    write(path, ("CREATE TABLE sessions (id)", ()), ("CREATE TABLE messages (id)", ()))
    with pytest.raises(errors.UnknownFormatError):
        recognise(path)
    with pytest.raises(errors.ImportFailedError, match="no session database of Hermes"):
        list(import_paths(store.store, [path], format="hermes"))


def test_records_keep_what_the_engine_has_no_place_for(store: SessionDB, tmp_path: Path) -> None:
    from eventstore.importers import records_of

    path = tmp_path / "state.db"
    write(
        path, *tables(22), session("s", 1000.0, cwd="/somewhere"),
        message("s", "user", "x", 1001.0, platform_message_id="p1", observed=1),
    )  # fmt: skip
    imported(store, path)
    found = [json.loads(record.data or b"") for record in records_of(store.store.session("s"))]
    assert found[0] == {
        "id": 1, "session_id": "s", "timestamp": 1001.0, "platform_message_id": "p1",
        "observed": 1, "active": 1, "compacted": 0,
    }  # fmt: skip
    assert found[1]["cwd"] == "/somewhere"


def test_a_store_that_was_imported_is_a_store(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write(path, *tables(6), session("s", 1000.0), message("s", "user", "hello", 1001.0))
    with SessionStore.open(tmp_path / "store.db") as opened:
        [report] = import_paths(opened, [path])
        assert report.appended == 2
        assert opened.session("s").chat() == [{"role": "user", "content": "hello"}]
