"""What power-loop's session store promises of files, errors, orders and failures."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import apsw
import pytest
from power_loop_support import compact, seqs, talking

from eventstore.adapters import power_loop as ours
from eventstore.adapters.power_loop import SessionStore, SubagentLifecycle
from eventstore.errors import EventStoreError

USAGE = {"round_index": 1, "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
COMPACTION = {
    "from_seq": 1, "to_seq": 1, "note_content": "n", "before_tokens": 1, "after_tokens": 1,
    "round_index": 1,
}  # fmt: skip


# -- files -----------------------------------------------------------------------------------------


def test_open_takes_the_default_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SessionStore.open() as store:
        store.create_session(session_id="s")
    assert (tmp_path / ours.DEFAULT_DB_PATH).is_file()
    with SessionStore.open() as store:
        assert store.get_session("s") is not None


def test_a_store_in_memory_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SessionStore.open(":memory:") as store:
        store.create_session(session_id="s")
        assert list(tmp_path.iterdir()) == []


def test_leaving_the_context_closes_and_lets_errors_through() -> None:
    with pytest.raises(KeyError), SessionStore.open(":memory:") as store:
        raise KeyError
    with pytest.raises(sqlite3.ProgrammingError):
        store.get_session("s")


def test_two_stores_in_one_process_share_a_file(tmp_path: Path) -> None:
    with (
        SessionStore.open(tmp_path / "s.db") as first,
        SessionStore.open(tmp_path / "s.db") as second,
    ):
        first.create_session(session_id="s")
        for number in range(6):
            writer = (first, second)[number % 2]
            assert writer.append_message("s", role="user", content=str(number)) == number + 1
        assert first.load_all_messages("s") == second.load_all_messages("s")
        assert compact(second, 1, 2) == (1, 7)
        assert seqs(first.load_active_messages("s")) == [3, 4, 5, 6, 7]
        first.close()
        assert second.append_message("s", role="user", content="alone") == 8
        assert second.close_session("s") == 1
        assert second.engine.verify() == second.engine.check() == []


def test_a_file_that_stays_locked_is_an_operational_error_and_nothing_else_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create_session(session_id="s")
        monkeypatch.setattr(store.engine.log, "_busy_seconds", 0.1)
        other = apsw.Connection(str(tmp_path / "s.db"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            store.append_message("s", role="user", content="x")
        other.close()
        assert store.append_message("s", role="user", content="x") == 1


# -- every call ------------------------------------------------------------------------------------

CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "create_session": ((), {}),
    "get_session": (("s",), {}),
    "list_children": (("s",), {}),
    "archive_session": (("s",), {}),
    "close_session": (("s",), {}),
    "update_session_prompt": (("s", "x"), {}),
    "append_message": (("s",), {"role": "user", "content": "x"}),
    "load_active_messages": (("s",), {}),
    "load_all_messages": (("s",), {}),
    "get_message": (("s", 1), {}),
    "record_compaction": (("s",), COMPACTION),
    "list_compactions": (("s",), {}),
    "get_state": (("s",), {}),
    "set_round_index": (("s", 1), {}),
    "set_pending": (("s", {"x": 1}), {}),
    "record_usage": (("s",), USAGE),
    "list_usage": (("s",), {}),
    "counts": (("s",), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_after_close_raises_programming_error(store: SessionStore, name: str) -> None:
    store.create_session(session_id="s")
    store.close()
    args, options = CALLS[name]
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        getattr(store, name)(*args, **options)
    assert isinstance(caught.value, EventStoreError)


def test_no_call_is_missing_above() -> None:
    public = {
        name for name, value in vars(SessionStore).items() if callable(value) and name[0] != "_"
    }
    assert public == {*CALLS, "close"}


# -- names, ids, orders ----------------------------------------------------------------------------


def test_names_of_members_and_fields_are_the_originals() -> None:
    enums = (ours.SessionKind, ours.SessionStatus, ours.SubagentLifecycle, ours.MessageState)
    assert [list(enum.__members__) for enum in enums] == [
        ["ROOT", "SUBAGENT"], ["ACTIVE", "ARCHIVED"], ["EPHEMERAL", "LINKED", "DETACHED"],
        ["ACTIVE", "COMPACTED_OUT"],
    ]  # fmt: skip
    for enum in enums:
        assert enum.__mro__[1] is str
        assert [str(one) for one in enum] == [f"{enum.__name__}.{one.name}" for one in enum]
    rows = (ours.SessionRow, ours.MessageRow, ours.SessionStateRow, ours.CompactionRow)
    assert [" ".join(one.name for one in fields(row)) for row in rows] == [
        "session_id created_at updated_at system_prompt model config status kind parent_session_id "
        "spawn_tool_call_id spawn_depth lifecycle metadata",
        "session_id seq role name content tool_calls tool_call_id round_index state meta "
        "created_at",
        "session_id next_seq round_index last_compact_seq pending",
        "session_id compact_seq note_seq from_seq to_seq before_tokens after_tokens round_index "
        "created_at",
    ]


def test_ids_are_hex(store: SessionStore) -> None:
    assert re.fullmatch("sess_[0-9a-f]{24}", store.create_session())


def test_what_a_session_was_created_with_is_read(store: SessionStore) -> None:
    store.create_session(session_id="top")
    store.create_session(
        session_id="s", system_prompt="p", model="m", config={"a": [1]}, metadata={"é": None},
        parent_session_id="top", spawn_tool_call_id="c", lifecycle=SubagentLifecycle.LINKED,
    )  # fmt: skip
    row = store.get_session("s")
    assert row is not None
    assert (row.system_prompt, row.model) == ("p", "m")
    assert (row.config, row.metadata) == ({"a": [1]}, {"é": None})
    assert (row.spawn_tool_call_id, row.lifecycle) == ("c", "linked")
    assert type(row.created_at) is int
    assert row.created_at == 1_700_000_000_002


def test_children_come_in_order_of_their_creation(store: SessionStore) -> None:
    store.create_session(session_id="top")
    names = ["m", "z", "a", "k"]
    for name in names:
        store.create_session(session_id=name, parent_session_id="top")
    store.append_message("m", role="user", content="x")
    assert [row.session_id for row in store.list_children("top")] == names


def test_nothing_is_paged(store: SessionStore) -> None:
    talking(store, 1200)
    assert seqs(store.load_all_messages("s")) == list(range(1, 1201))
    assert seqs(store.load_active_messages("s")) == list(range(1, 1201))
    for number in range(40):
        compact(store, number + 1, number + 1)
    assert [row.compact_seq for row in store.list_compactions("s")] == list(range(1, 41))
    for _ in range(300):
        store.create_session(parent_session_id="s")
    assert len(store.list_children("s")) == 300


def test_counts_are_of_rows_in_the_tables_of_the_original(store: SessionStore) -> None:
    talking(store, 3)
    compact(store, 1, 2)
    store.record_usage("s", **USAGE)
    assert store.counts("s") == {
        "sessions": 1, "messages": 4, "compactions": 1, "usage_rounds": 1, "session_state": 1,
    }  # fmt: skip
    store.close_session("s")
    assert set(store.counts("s").values()) == {0}


# -- values of another type ------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["1", " 1\n", "+1.0", "1e0", 1.0, True])
def test_a_seq_is_compared_as_sqlite_compares_it(store: SessionStore, given: Any) -> None:
    talking(store, 2)
    assert store.get_message("s", given) == store.load_all_messages("s")[0]


@pytest.mark.parametrize(
    "given", [None, "", "x", "1_0", "1.5", "٣", "nan", 1.5, float("inf"), 1e300, b"1", 0, -1]
)
def test_no_message_has_a_seq_that_is_no_number(store: SessionStore, given: Any) -> None:
    talking(store, 2)
    assert store.get_message("s", given) is None


def test_a_seq_that_cannot_be_bound_is_a_programming_error(store: SessionStore) -> None:
    talking(store, 1)
    with pytest.raises(sqlite3.ProgrammingError):
        store.get_message("s", [1])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["from_seq", "to_seq"])
def test_a_range_needs_two_seqs(store: SessionStore, name: str) -> None:
    talking(store, 2)
    with pytest.raises(sqlite3.IntegrityError, match=f"{name} is the seq of a message"):
        store.record_compaction("s", **{**COMPACTION, name: None})
    for odd in ("1", 1.0, [1]):
        with pytest.raises(sqlite3.ProgrammingError, match=f"{name} is a whole number"):
            store.record_compaction("s", **{**COMPACTION, name: odd})
    assert store.list_compactions("s") == []
    assert store.record_compaction("s", **COMPACTION) == (1, 3)


def test_metadata_that_are_no_dict_are_refused(store: SessionStore) -> None:
    talking(store, 0)
    for odd in ([1], "x", 5):
        with pytest.raises(sqlite3.ProgrammingError, match="meta is a dict"):
            store.append_message("s", role="user", meta=odd)  # type: ignore[arg-type]
    pairs: Any = [("k", 1)]
    assert store.record_compaction("s", **COMPACTION, note_meta=pairs) == (1, 1)
    assert store.load_all_messages("s")[0].meta["k"] == 1


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_token_counts_are_whole_numbers(store: SessionStore, name: str) -> None:
    talking(store, 0)
    for odd in (-1, 1.5, "3"):
        with pytest.raises(ValueError, match="token counts are whole numbers"):
            store.record_usage("s", **{**USAGE, name: odd})
    assert store.list_usage("s") == []


# -- failures --------------------------------------------------------------------------------------


class FailingDiskError(Exception):
    """What stands for a failing disk."""


FAILING: dict[str, Callable[[SessionStore], object]] = {
    "append": lambda store: store.append_message("s", role="user", content="x"),
    "append with more": lambda store: store.append_message("s", role="user", meta={"k": 1}),
    "compact": lambda store: compact(store, 1, 2),
    "close": lambda store: store.close_session("s"),
    "create": lambda store: store.create_session(session_id="new", parent_session_id="s"),
    "usage": lambda store: store.record_usage("s", **{**USAGE, "prompt_tokens": None}),
}


def everything(store: SessionStore) -> list[Any]:
    return [
        getattr(store, name)(one)
        for one in ("s", "child", "new")
        for name in (
            "get_session", "get_state", "load_all_messages", "load_active_messages",
            "list_compactions", "list_usage",
        )
    ]  # fmt: skip


def fails_at(store: SessionStore, nth: int, call: Callable[[SessionStore], object]) -> bool:
    """Whether the call failed when its statement that writes, counted from 1, did."""
    left = nth

    def trace(_cursor: Any, sql: str, _bindings: Any) -> bool:
        nonlocal left
        if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "REPLACE", "COMMIT")):
            left -= 1
            if left == 0:
                raise FailingDiskError
        return True

    writer = store.engine.log._writer
    writer.exec_trace = trace
    try:
        with suppress(FailingDiskError, EventStoreError):
            call(store)
            return False
        return True
    finally:
        writer.exec_trace = None


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_between_two_statements_leaves_nothing_and_appends_go_on(
    tmp_path: Path, name: str
) -> None:
    for nth in range(1, 20):
        with SessionStore.open(tmp_path / f"{nth}.db") as store:
            talking(store, 3)
            store.create_session(session_id="child", parent_session_id="s")
            before = everything(store)
            if not fails_at(store, nth, FAILING[name]):
                assert nth > 2
                return
            assert everything(store) == before
            assert store.append_message("s", role="user", content="next") == 4
            assert store.engine.verify() == store.engine.check() == []
    pytest.fail("the call has more than 19 statements that write")
