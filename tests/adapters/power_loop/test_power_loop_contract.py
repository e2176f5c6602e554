"""What power-loop's session store promises, line by line, without the original installed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from power_loop_support import compact, seqs, talking

from eventstore import SessionStore as Engine
from eventstore.adapters import power_loop as ours
from eventstore.adapters.power_loop import SessionStore, SubagentLifecycle
from eventstore.errors import EventStoreError


def test_names_and_values_are_the_originals() -> None:
    assert ours.DEFAULT_DB_PATH == "./power_loop_sessions.db"
    assert ours.MAX_SPAWN_DEPTH == 3
    enums = (ours.SessionKind, ours.SessionStatus, ours.SubagentLifecycle, ours.MessageState)
    values = {enum.__name__: [member.value for member in enum] for enum in enums}
    assert values == {
        "SessionKind": ["root", "subagent"],
        "SessionStatus": ["active", "archived"],
        "SubagentLifecycle": ["ephemeral", "linked", "detached"],
        "MessageState": ["active", "compacted_out"],
    }
    assert ours.SessionKind.ROOT == "root"


def test_open_makes_folders_and_expands_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with SessionStore.open("~/a/b/c.db") as store:
        assert store.path == str(tmp_path / "a" / "b" / "c.db")
        assert store.engine.log.durability == "normal"
    with SessionStore.open(tmp_path / "full.db", durability="full") as store:
        assert store.engine.log.durability == "full"
    with SessionStore.open(":memory:") as store:
        assert store.path == ":memory:"


def test_the_file_is_reached_through_the_engine_only(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        assert not hasattr(store, "_conn")
        assert isinstance(store.engine, Engine)
        assert SessionStore(store.engine, store.path).create_session(session_id="s") == "s"


def test_a_database_of_the_original_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('CREATE TABLE t (x)')"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError, match="import --format power-loop"):
        SessionStore.open(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["old.db"]


def test_use_after_close_raises_and_closing_twice_is_harmless(store: SessionStore) -> None:
    store.close()
    store.close()
    for call in (
        lambda: store.get_session("s"),
        lambda: store.append_message("s", role="user"),
        lambda: store.load_active_messages("s"),
        store.create_session,
    ):
        with pytest.raises(sqlite3.ProgrammingError) as caught:
            call()
        assert isinstance(caught.value, EventStoreError)


def test_threads_share_one_store(store: SessionStore) -> None:
    store.create_session(session_id="s")

    def work() -> None:
        for _ in range(25):
            store.append_message("s", role="user", content="x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seqs(store.load_all_messages("s")) == list(range(1, 101))


def test_a_session_is_created_with_defaults(store: SessionStore) -> None:
    for given in (None, ""):
        name = store.create_session(session_id=given)
        assert name.startswith("sess_")
        assert len(name) == 5 + 24
        row = store.get_session(name)
        assert row is not None
        assert (row.config, row.metadata, row.spawn_depth) == ({}, {}, 0)
        assert (row.status, row.kind, row.lifecycle) == ("active", "root", "ephemeral")
        assert row.created_at == row.updated_at
        state = store.get_state(name)
        assert state == ours.SessionStateRow(name, 1, 0, 0, None)
    assert store.get_session("nobody") is None


def test_children_are_subagents_one_level_deeper_and_three_at_most(store: SessionStore) -> None:
    with pytest.raises(ValueError, match="parent session not found: nobody"):
        store.create_session(parent_session_id="nobody")
    above = store.create_session()
    for depth in (1, 2, 3):
        below = store.create_session(parent_session_id=above, kind=ours.SessionKind.ROOT)
        row = store.get_session(below)
        assert row is not None
        assert (row.kind, row.spawn_depth, row.parent_session_id) == ("subagent", depth, above)
        assert store.list_children(above) == [row]
        above = below
    with pytest.raises(ValueError, match="spawn depth 4 exceeds max 3"):
        store.create_session(parent_session_id=above)
    alone = store.get_session(store.create_session(kind=ours.SessionKind.SUBAGENT))
    assert alone is not None
    assert (alone.kind, alone.spawn_depth) == ("subagent", 0)


def test_an_id_that_is_taken_is_refused_and_free_once_closed(store: SessionStore) -> None:
    store.create_session(session_id="s")
    store.append_message("s", role="user", content="before")
    with pytest.raises(sqlite3.IntegrityError):
        store.create_session(session_id="s")
    assert store.close_session("s") == 1
    assert store.close_session("s") == 0
    assert store.get_session("s") is None
    store.create_session(session_id="s")
    assert store.load_all_messages("s") == []
    # The history remains in the log.
    assert [one.text for one in store.engine.session("s~1").history()] == ["before"]
    assert store.get_session("s~1") is None


def test_archiving_keeps_the_session_open_for_messages(store: SessionStore) -> None:
    store.archive_session("nobody")
    store.create_session(session_id="s")
    store.archive_session("s")
    row = store.get_session("s")
    assert row is not None
    assert row.status is ours.SessionStatus.ARCHIVED
    assert row.updated_at > row.created_at
    assert store.append_message("s", role="user") == 1


def test_the_prompt_changes_and_touches_updated_at(store: SessionStore) -> None:
    store.update_session_prompt("nobody", "x")
    store.create_session(session_id="s", system_prompt="one")
    store.update_session_prompt("s", "two")
    row = store.get_session("s")
    assert row is not None
    assert row.system_prompt == "two"
    assert row.updated_at > row.created_at
    store.update_session_prompt("s", None)
    row = store.get_session("s")
    assert row is not None
    assert row.system_prompt is None


def test_closing_cascades_except_to_detached_children(store: SessionStore) -> None:
    store.create_session(session_id="top")
    for life in SubagentLifecycle:
        store.create_session(session_id=life.value, parent_session_id="top", lifecycle=life)
        store.create_session(session_id=f"{life.value}-below", parent_session_id=life.value)
    assert store.close_session("top") == 5
    free = store.get_session("detached")
    assert free is not None
    assert (free.parent_session_id, free.spawn_depth, free.kind) == (None, 1, "subagent")
    assert [row.session_id for row in store.list_children("detached")] == ["detached-below"]
    assert store.counts("linked") == dict.fromkeys(store.counts("top"), 0)


def test_closing_without_cascade_leaves_children_with_the_parents_id(store: SessionStore) -> None:
    store.create_session(session_id="top")
    store.create_session(session_id="below", parent_session_id="top")
    assert store.close_session("top", cascade=False) == 1
    [row] = store.list_children("top")
    assert (row.session_id, row.parent_session_id) == ("below", "top")


def test_messages_come_back_as_they_were_given(store: SessionStore) -> None:
    talking(store, 0)
    with pytest.raises(ValueError, match="unknown session: nobody"):
        store.append_message("nobody", role="user")
    call = {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    store.append_message("s", role="assistant", tool_calls=[call, {"odd": [1]}], meta={"k": 1})
    store.append_message("s", role="tool", content="42", tool_call_id="c", name="t", round_index=3)
    store.append_message("s", role="user", tool_calls=[], content="\0 and 🙂")
    first, second, third = store.load_all_messages("s")
    assert (first.tool_calls, first.meta, first.content) == ([call, {"odd": [1]}], {"k": 1}, None)
    assert (second.content, second.tool_call_id, second.name) == ("42", "c", "t")
    assert (second.round_index, second.meta, second.tool_calls) == (3, {}, None)
    assert (third.tool_calls, third.content) == (None, "\0 and 🙂")
    assert store.get_message("s", 2) == second
    assert store.get_message("s", 9) is None
    row = store.get_session("s")
    assert row is not None
    assert row.updated_at == third.created_at > row.created_at
    assert store.load_active_messages("nobody") == store.load_all_messages("nobody") == []
    assert store.get_message("nobody", 1) is None


def test_what_cannot_be_bound_is_refused_and_the_session_goes_on(store: SessionStore) -> None:
    talking(store, 1)
    with pytest.raises(sqlite3.ProgrammingError):
        store.append_message("s", role="user", content=["a", "list"])  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        store.append_message("s", role=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        store.append_message("s", role="user", meta={"x": object()})
    assert store.append_message("s", role="user") == 2


def test_a_compaction_marks_its_range_and_adds_a_note(store: SessionStore) -> None:
    talking(store, 4)
    assert compact(store, 1, 2, note_meta={"k": 1, "from_seq": 77}) == (1, 5)
    note = store.get_message("s", 5)
    assert note is not None
    assert (note.role, note.name, note.content) == ("system", "compact_note", "note")
    assert note.meta == {
        "k": 1, "compacted_at_round": 1, "from_seq": 1, "to_seq": 2, "original_tokens": 9,
        "summary_tokens": 2,
    }  # fmt: skip
    assert [row.state.value for row in store.load_all_messages("s")] == [
        "compacted_out", "compacted_out", "active", "active", "active",
    ]  # fmt: skip
    [row] = store.list_compactions("s")
    assert (row.compact_seq, row.note_seq, row.from_seq, row.to_seq) == (1, 5, 1, 2)
    assert (row.before_tokens, row.after_tokens, row.round_index) == (9, 2, 1)
    assert store.get_state("s") == ours.SessionStateRow("s", 6, 0, 1, None)


def test_an_active_note_comes_after_what_was_kept(store: SessionStore) -> None:
    talking(store, 4)
    compact(store, 1, 2)
    assert seqs(store.load_active_messages("s")) == [3, 4, 5]
    assert [one.seq for one in store.engine.session("s").messages()] == [5, 3, 4]


def test_a_range_may_hold_notes_be_inverted_or_reach_beyond_the_end(store: SessionStore) -> None:
    talking(store, 4)
    compact(store, 1, 2)
    assert compact(store, 4, 5) == (2, 6)
    assert seqs(store.load_active_messages("s")) == [3, 6]
    assert compact(store, 9, 1) == (3, 7)
    assert seqs(store.load_active_messages("s")) == [3, 6, 7]
    assert compact(store, 7, 99) == (4, 8)
    assert seqs(store.load_active_messages("s")) == [3, 6, 8]
    assert [(row.from_seq, row.to_seq) for row in store.list_compactions("s")] == [
        (1, 2), (4, 5), (9, 1), (7, 99),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="unknown session"):
        store.record_compaction(
            "nobody", from_seq=1, to_seq=1, note_content="", before_tokens=None, after_tokens=None,
            round_index=None,
        )  # fmt: skip
    assert store.engine.check() == []


def test_round_and_pending_leave_updated_at(store: SessionStore) -> None:
    store.set_round_index("nobody", 1)
    store.set_pending("nobody", {"x": 1})
    assert store.get_state("nobody") is None
    talking(store, 0)
    before = store.get_session("s")
    store.set_round_index("s", 4)
    store.set_pending("s", {"tool_call_ids": ["c"]})
    assert store.get_state("s") == ours.SessionStateRow("s", 1, 4, 0, {"tool_call_ids": ["c"]})
    store.set_pending("s", {})
    assert store.get_state("s") == ours.SessionStateRow("s", 1, 4, 0, None)
    assert store.get_session("s") == before


def test_usage_is_kept_once_a_round_and_as_it_was_given(store: SessionStore) -> None:
    talking(store, 0)
    for number, tokens in ((2, (1, 2, 3)), (1, (5, 6, 11)), (2, (None, 7, 9))):
        prompt, completion, total = tokens
        store.record_usage(
            "s", round_index=number, prompt_tokens=prompt, completion_tokens=completion,
            total_tokens=total, model="m",
        )  # fmt: skip
    found = [
        (row.round_index, row.prompt_tokens, row.completion_tokens, row.total_tokens, row.model)
        for row in store.list_usage("s")
    ]
    assert found == [(1, 5, 6, 11, "m"), (2, None, 7, 9, "m")]
    assert store.engine.session("s").usage().total == 20
    assert store.list_usage("nobody") == []
    with pytest.raises(ValueError, match="unknown session"):
        store.record_usage(
            "nobody", round_index=1, prompt_tokens=1, completion_tokens=1, total_tokens=2
        )


WRITER = """
import sys
from eventstore.adapters.power_loop import SessionStore
with SessionStore.open(sys.argv[1]) as store:
    for number in range(int(sys.argv[2])):
        store.append_message("s", role="user", content=f"{sys.argv[3]} {number}")
        if number % 20 == 10:
            store.record_compaction("s", from_seq=1, to_seq=5, note_content="n",
                                    before_tokens=None, after_tokens=None, round_index=None)
"""


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    path, count = tmp_path / "a.db", 60
    with SessionStore.open(path) as store:
        store.create_session(session_id="s")
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(count), name])
            for name in ("a", "b")
        ]
        assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
        rows = store.load_all_messages("s")
        assert seqs(rows) == list(range(1, 2 * count + 2 * 3 + 1))
        for name in ("a", "b"):
            own = [row.content for row in rows if (row.content or "").startswith(f"{name} ")]
            assert own == [f"{name} {number}" for number in range(count)]
        assert store.engine.verify() == []
        assert store.engine.check() == []
