"""Databases of power-loop are imported: what the original reads, the adapter reads afterwards."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from eventstore import SessionStore as Engine
from eventstore.adapters import power_loop as ours
from eventstore.importers import FileReport, import_paths
from eventstore.redaction import redact

#: Tables as power-loop 8 makes them, under a prefix, as far as they are read.
V8 = """
CREATE TABLE p_sessions (session_id TEXT PRIMARY KEY, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, system_prompt TEXT, model TEXT, config_json TEXT, status TEXT,
  kind TEXT, parent_session_id TEXT, spawn_tool_call_id TEXT, spawn_depth INTEGER, lifecycle TEXT,
  metadata_json TEXT);
CREATE TABLE p_messages (session_id TEXT, seq INTEGER, role TEXT, name TEXT, content TEXT,
  tool_calls_json TEXT, tool_call_id TEXT, round_index INTEGER, state TEXT, meta_json TEXT,
  send_index INTEGER, created_at INTEGER, PRIMARY KEY (session_id, seq));
CREATE TABLE p_compactions (session_id TEXT, compact_seq INTEGER, note_seq INTEGER,
  from_seq INTEGER, to_seq INTEGER, before_tokens INTEGER, after_tokens INTEGER,
  round_index INTEGER, created_at INTEGER, PRIMARY KEY (session_id, compact_seq));
CREATE TABLE p_usage_rounds (session_id TEXT, send_index INTEGER, round_index INTEGER,
  prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER, cached_tokens INTEGER,
  model TEXT, created_at INTEGER);
CREATE TABLE p_session_state (session_id TEXT PRIMARY KEY, next_seq INTEGER, round_index INTEGER,
  last_compact_seq INTEGER, pending_json TEXT);
INSERT INTO p_sessions VALUES ('s', 1000, 9000, 'Be brief.', 'm', '{"a":1}', 'archived', 'root',
  NULL, NULL, 0, 'ephemeral', NULL),
  ('child', 2000, 2000, NULL, NULL, NULL, 'active', 'subagent', 'gone', 'c1', 2, 'linked', NULL);
INSERT INTO p_messages VALUES
  ('s', 1, 'user', NULL, 'one', NULL, NULL, 0, 'compacted_out', NULL, 0, 1001),
  ('s', 3, 'user', NULL, 'kept', NULL, NULL, 0, 'active', NULL, 0, 1003),
  ('s', 4, 'tool', 't', 'orphan', NULL, 'c', 0, 'dropped', NULL, 0, 1004),
  ('s', 5, 'system', 'compact_note', 'note', NULL, NULL, 0, 'active',
   '{"from_seq":1,"to_seq":3,"ord":1}', 0, 1005),
  ('s', 6, 'assistant', NULL, 'bad', '{no json', NULL, 0, 'active', NULL, 0, 1006);
INSERT INTO p_compactions VALUES ('s', 1, 5, 1, 3, 10, 2, 0, 1005);
INSERT INTO p_usage_rounds VALUES ('s', 0, 0, 10, 5, 15, 4, 'm', 1007),
  ('s', 1, 0, 20, 5, 25, 0, 'm', 1008);
INSERT INTO p_session_state VALUES ('s', 7, 3, 1, '{"tool_call_ids":["c"]}'),
  ('child', 1, 0, 0, NULL);
"""

MAKE = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])"


def imported(target: Path, source: Path) -> FileReport:
    with Engine.open(target, durability="normal") as store:
        [report] = import_paths(store, [source])
        assert store.verify() == []
        assert store.check() == []
    return report


def everything(store: Any, ids: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in ids:
        row, state = store.get_session(one), store.get_state(one)
        found[one] = (
            row and asdict(row), state and asdict(state),
            [asdict(each) for each in store.load_active_messages(one)],
            [asdict(each) for each in store.load_all_messages(one)],
            [asdict(each) for each in store.list_compactions(one)],
            [asdict(each) for each in store.list_children(one)],
        )  # fmt: skip
    return found


def test_what_the_original_wrote_reads_the_same_after_import(tmp_path: Path) -> None:
    theirs = pytest.importorskip("power_loop.runtime.session_store")
    path, ids = tmp_path / "power.db", ["root", "child", "free", "below", "dangling"]
    store = theirs.SessionStore.open(path)
    call = {"id": "c1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    store.create_session(
        session_id="root", system_prompt="P", model="m", config={"x": [1]}, metadata={"é": None}
    )
    store.create_session(session_id="child", parent_session_id="root", spawn_tool_call_id="c1")
    store.create_session(session_id="gone")
    for name, parent, life in (
        ("free", "gone", theirs.SubagentLifecycle.DETACHED),
        ("below", "free", theirs.SubagentLifecycle.LINKED),
    ):
        store.create_session(session_id=name, parent_session_id=parent, lifecycle=life)
    store.close_session("gone")
    store.create_session(session_id="lost")
    store.create_session(session_id="dangling", parent_session_id="lost")
    store.close_session("lost", cascade=False)
    for number in range(8):
        store.append_message(
            "root", role="Odd" if number == 5 else "user", content=f"text {number}",
            tool_calls=[call, {"odd": number}] if number == 2 else None, round_index=number,
            meta={"power_loop": number} if number == 3 else None,
        )  # fmt: skip
        if number in (4, 6):
            store.record_compaction(
                "root", from_seq=number - 3, to_seq=number, note_content="note", before_tokens=9,
                after_tokens=None, round_index=number, note_meta={"k": 1},
            )  # fmt: skip
    store.set_round_index("root", 4)
    store.set_pending("root", {"tool_call_ids": ["c1"], "assistant_seq": 3})
    store.record_usage(
        "root", round_index=1, prompt_tokens=None, completion_tokens=3, total_tokens=9, model="m"
    )
    store.append_message("child", role="user", content="hi")
    store.archive_session("child")
    before = everything(store, ids)
    usage = [dict(row) for row in store._conn.execute("SELECT * FROM usage_rounds")]
    copy = tmp_path / "copy.db"  # with its write-ahead log, as beside a running agent
    for ending in ("", "-wal"):
        shutil.copyfile(f"{path}{ending}", f"{copy}{ending}")
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    target = tmp_path / "ours" / "store.db"
    target.parent.mkdir()
    report = imported(target, copy)
    assert report.problems == []
    assert report.messages == 11
    assert {n: (tmp_path / n).read_bytes() for n in files} == files
    with ours.SessionStore.open(target) as adapter:
        assert everything(adapter, ids) == before
        assert [asdict(row) for row in adapter.list_usage("root")] == usage
        head = adapter.engine.head
    assert imported(target, copy).appended == 0
    store.append_message("root", role="user", content="later")
    store.record_compaction(
        "root", from_seq=1, to_seq=9, note_content="2", before_tokens=1, after_tokens=1,
        round_index=5,
    )  # fmt: skip
    store.update_session_prompt("free", "Q")
    before = everything(store, ids)
    store.close()
    assert imported(target, path).appended == 2
    with ours.SessionStore.open(target) as adapter:
        assert everything(adapter, ids) == before
        assert adapter.engine.head.position == head.position + 3


def test_a_database_of_version_8_is_imported_and_what_is_odd_is_told(tmp_path: Path) -> None:
    source, target = tmp_path / "v8.db", tmp_path / "store.db"
    subprocess.run([sys.executable, "-c", MAKE, str(source), V8], check=True)
    report = imported(target, source)
    assert report.format == "power-loop"
    told = " ".join(problem.reason for problem in report.problems)
    assert "lacks the messages [(2, 1)]" in told
    assert "message 6: tool_calls_json is not JSON" in told
    assert len(report.problems) == 2
    with ours.SessionStore.open(target) as adapter:
        rows = adapter.load_all_messages("s")
        assert [(row.seq, row.role, row.content) for row in rows] == [
            (1, "user", "one"), (2, "missing", None), (3, "user", "kept"), (4, "tool", "orphan"),
            (5, "system", "note"), (6, "assistant", "bad"),
        ]  # fmt: skip
        assert [row.seq for row in adapter.load_active_messages("s")] == [3, 5, 6]
        # The engine has the note where power-loop 8 has it: before what was kept.
        assert [one.seq for one in adapter.engine.session("s").messages()] == [5, 3, 6]
        child, session = adapter.get_session("child"), adapter.get_session("s")
        assert child is not None
        assert (child.parent_session_id, child.spawn_depth) == ("gone", 2)
        assert session is not None
        assert (session.status, session.updated_at) == (ours.SessionStatus.ARCHIVED, 9000)
        usage = adapter.engine.session("s").usage()
        assert (usage.calls, usage.input, usage.cache_read, usage.output) == (2, 26, 4, 10)
    assert imported(target, source).appended == 0


def test_another_history_under_the_same_id_is_told_and_not_mixed_in(tmp_path: Path) -> None:
    source, target = tmp_path / "v8.db", tmp_path / "store.db"
    subprocess.run([sys.executable, "-c", MAKE, str(source), V8], check=True)
    imported(target, source)
    change = "UPDATE p_messages SET content = 'other' WHERE seq = 3"
    subprocess.run([sys.executable, "-c", MAKE, str(source), change], check=True)
    report = imported(target, source)
    assert any("message 3 differs" in problem.reason for problem in report.problems)
    assert report.appended == 0


def test_what_was_redacted_is_not_taken_in_again(tmp_path: Path) -> None:
    source, target = tmp_path / "v8.db", tmp_path / "store.db"
    subprocess.run([sys.executable, "-c", MAKE, str(source), V8], check=True)
    mail = "ada.lovelace@example.org"
    change = (
        f"UPDATE p_messages SET content = 'mail {mail}' WHERE seq = 3; "
        f"UPDATE p_sessions SET system_prompt = 'you are {mail}' WHERE session_id = 's'; "
        f"""UPDATE p_session_state SET pending_json = '{{"to":"{mail}"}}' WHERE session_id = 's'"""
    )
    subprocess.run([sys.executable, "-c", MAKE, str(source), change], check=True)
    imported(target, source)
    with Engine.open(target) as store:
        assert len(redact(store).places) == 3
    again = imported(target, source)
    assert again.appended == 0
    assert not any("differs" in problem.reason for problem in again.problems)


def test_sessions_in_undamaged_pages_are_imported(tmp_path: Path) -> None:
    source, target = tmp_path / "v8.db", tmp_path / "store.db"
    rows = "".join(
        f"INSERT INTO p_sessions SELECT 'x{n}', 1, 1, NULL, NULL, NULL, 'active', 'root', NULL, "
        f"NULL, 0, 'linked', NULL; INSERT INTO p_messages SELECT 'x{n}', 1, 'user', NULL, "
        f"'{'text ' * 700}', NULL, NULL, 0, 'active', NULL, 0, 5; "
        for n in range(30)
    )
    subprocess.run([sys.executable, "-c", MAKE, str(source), V8 + rows], check=True)
    data = bytearray(source.read_bytes())
    page = (len(data) // 4096 - 8) * 4096
    data[page : page + 4096] = b"\x07" * 4096
    source.write_bytes(data)
    report = imported(target, source)
    assert any("damaged" in problem.reason for problem in report.problems)
    with ours.SessionStore.open(target) as adapter:
        whole = sum(bool(adapter.load_all_messages(f"x{n}")) for n in range(30))
    assert 20 <= whole < 30


def test_values_of_wrong_types_are_told_and_the_rest_is_imported(tmp_path: Path) -> None:
    source, target = tmp_path / "v8.db", tmp_path / "store.db"
    odd = "".join(
        f"INSERT INTO p_sessions SELECT {name}, {begun}, 1, {prompt}, NULL, {config}, 'active', "
        f"'root', NULL, NULL, 0, 'linked', NULL; "
        for name, begun, prompt, config in (
            ("x'ff'", 1, "NULL", "NULL"), ("NULL", 1, "NULL", "NULL"), ("'c' || char(10)", 1, 7, 7),
            ("'list'", 1, "NULL", "'[1]'"), ("'late'", "'never'", "x'61ff'", "'{oops'"),
        )
    )  # fmt: skip
    odd += (
        "INSERT INTO p_messages SELECT 'late', seq, role, name, x'62', tool_calls_json, 5, 'r', "
        "state, '[]', 0, 'when' FROM p_messages WHERE seq < 5; INSERT INTO p_compactions "
        "SELECT 'late', 1, 4, NULL, 'x', 1, 1, 1, 1; "
        "INSERT INTO p_messages VALUES ('list', -1, 'user', NULL, '', NULL, NULL, 0, 'active', "
        "NULL, 0, 1);"
    )
    subprocess.run([sys.executable, "-c", MAKE, str(source), V8 + odd], check=True)
    report = imported(target, source)
    with ours.SessionStore.open(target) as adapter:
        assert len(adapter.load_all_messages("s")) == 6
        late = adapter.get_session("late")
        assert late is not None
        assert (late.system_prompt, late.created_at) == ("a\ufffd", 1)
    told = "\n".join(problem.reason for problem in report.problems)
    for name in ("b'\\xff'", "None", "'c\\n'", "'late'", "'list'"):
        assert f"session {name} was not imported whole" in told, told
    assert imported(target, source).appended == 0
