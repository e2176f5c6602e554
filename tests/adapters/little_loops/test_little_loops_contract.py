"""Every promise of the original's module, and what the adapter does better on purpose.

Finer points of the same promises are in `test_little_loops_promises.py`.
`docs/adapters/little-loops.md` has the table of differences; those that can be measured beside the
original are in `test_little_loops_differences.py`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from engine_support import clean
from little_loops_support import (
    KINDS,
    LOOP_EVENTS,
    call,
    issue,
    loop_state,
    original,
    sent,
    started,
    transcript,
)

from eventstore import SessionStore, errors
from eventstore.adapters import little_loops as adapter
from eventstore.adapters.little_loops import shapes
from eventstore.adapters.little_loops.opening import close_unused
from eventstore.events.catalogue import FileTouched, LoopMoved, UserCorrected
from eventstore.store.derived import Registry

pytestmark = pytest.mark.usefixtures("own_folder")

# -- constants and opening -------------------------------------------------------------------------


def test_the_constants_are_those_of_schema_1() -> None:
    assert Path(".ll/session.db") == adapter.DEFAULT_DB_PATH
    assert adapter.SCHEMA_VERSION == 1
    connection = adapter.connect("s.db")
    rows = connection.execute("SELECT key, value FROM meta").fetchall()
    assert [tuple(row) for row in rows] == [("schema_version", "1")]
    connection.close()


@pytest.mark.parametrize("name", ["ensure_db", "connect", "search", "recent", "SQLiteTransport"])
def test_the_arguments_have_the_names_and_defaults_of_the_original(name: str) -> None:
    theirs = inspect.signature(getattr(original(), name)).parameters
    ours = inspect.signature(getattr(adapter, name)).parameters
    assert [(one.name, one.kind, one.default) for one in ours.values()] == [
        (one.name, one.kind, one.default) for one in theirs.values()
    ]


def test_backfill_has_the_arguments_of_the_original() -> None:
    theirs = inspect.signature(original().backfill).parameters
    ours = inspect.signature(adapter.backfill).parameters
    assert [(one.name, one.kind, one.default) for one in ours.values()] == [
        (one.name, one.kind, one.default) for one in theirs.values()
    ]


def test_ensure_db_makes_folders_and_gives_the_path_back(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "session.db"
    assert adapter.ensure_db(path) == path
    assert adapter.ensure_db(str(path)) == path
    assert path.is_file()


def test_every_call_begins_the_store_at_the_default_path() -> None:
    assert adapter.recent(kind="loop") == []
    assert Path(".ll/session.db").is_file()
    assert adapter.ensure_db() == Path(".ll/session.db")


def test_opening_again_keeps_what_is_there() -> None:
    sent("s.db", started("a"))
    adapter.ensure_db("s.db")
    close_unused()
    adapter.ensure_db("s.db")
    assert len(adapter.recent("s.db", kind="loop")) == 1


def test_the_file_is_a_store_of_this_engine() -> None:
    sent("s.db", started("a"))
    with SessionStore.open("s.db") as store:
        [one] = store.activities("loop")
        assert one.session == "little-loops"
        assert isinstance(one.event, LoopMoved)
        clean(store)


def test_a_file_that_was_replaced_is_opened_anew() -> None:
    sent("s.db", started("a"))
    for file in Path().glob("s.db*"):
        file.unlink()
    assert adapter.recent("s.db", kind="loop") == []


def test_a_database_of_the_original_is_refused_and_left_as_it_is() -> None:
    old = original()
    old.ensure_db("old.db")
    before = Path("old.db").read_bytes()
    with pytest.raises(sqlite3.DatabaseError, match="import --format little-loops OLD") as caught:
        adapter.ensure_db("old.db")
    assert isinstance(caught.value, errors.NotAStoreError)
    assert Path("old.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all, and long enough" * 50, b"x"])
def test_a_file_that_is_no_database_is_an_error_of_sqlite3(content: bytes) -> None:
    Path("s.db").write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError):
        adapter.ensure_db("s.db")
    assert Path("s.db").read_bytes() == content


def test_a_store_that_is_locked_is_an_error_of_sqlite3(monkeypatch: pytest.MonkeyPatch) -> None:
    sent("s.db", started("a"))

    def busy(*_: Any) -> int:
        raise errors.StoreBusyError("another process held the write lock")

    monkeypatch.setattr(Registry, "catch_up", busy)
    with pytest.raises(sqlite3.OperationalError, match="lacks the last"):
        adapter.recent("s.db", kind="loop")
    assert adapter.search("s.db", query="a") == []


def test_more_stores_than_are_kept_open_can_be_used() -> None:
    for number in range(12):
        sent(f"s{number}.db", started(f"loop{number}"))
    for number in range(12):
        assert adapter.recent(f"s{number}.db", kind="loop")[0]["loop_name"] == f"loop{number}"


# -- connect ---------------------------------------------------------------------------------------

COLUMNS = {
    "tool_events": ["id", "ts", "session_id", "tool_name", "args_hash", "result_size", "bytes_in",
                    "bytes_out", "cache_hit"],
    "file_events": ["id", "ts", "session_id", "path", "op", "issue_id", "git_sha"],
    "issue_events": ["id", "ts", "issue_id", "transition", "discovered_by"],
    "loop_events": ["id", "ts", "loop_name", "state", "transition", "retries"],
    "user_corrections": ["id", "ts", "session_id", "content", "source"],
    "search_index": ["content", "kind", "ref", "anchor", "ts"],
    "meta": ["key", "value"],
}  # fmt: skip


@pytest.mark.parametrize("table", COLUMNS)
def test_connect_shows_the_tables_of_the_original(table: str) -> None:
    connection = adapter.connect("s.db")
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description or ()]
    assert names[: len(COLUMNS[table])] == COLUMNS[table]
    connection.close()


def test_rows_are_found_by_name_and_by_place() -> None:
    sent("s.db", started("alpha", retries=3))
    connection = adapter.connect("s.db")
    row = connection.execute("SELECT * FROM loop_events WHERE loop_name = ?", ("alpha",)).fetchone()
    assert row["loop_name"] == row["LOOP_NAME"] == row[2] == row[-4] == "alpha"
    assert dict(row) == adapter.recent("s.db", kind="loop")[0]
    assert (len(row), row.keys(), row["retries"]) == (6, list(dict(row)), 3)
    assert tuple(row) == row[:]
    with pytest.raises(IndexError):
        row["no such column"]
    with pytest.raises(IndexError):
        row[99]
    same = connection.execute("SELECT * FROM loop_events WHERE loop_name = :n", {"n": "alpha"})
    assert same.fetchall() == [row]
    connection.row_factory = None
    assert connection.execute("SELECT 1, 2").fetchone() == (1, 2)
    connection.close()


def test_a_cursor_gives_rows_as_they_are_asked_for() -> None:
    sent("s.db", *(started(f"l{number}") for number in range(7)))
    connection = adapter.connect("s.db")
    cursor = connection.cursor()
    assert cursor.execute("SELECT id FROM loop_events ORDER BY id") is cursor
    assert cursor.fetchone()["id"] == 1
    assert [row["id"] for row in cursor.fetchmany(2)] == [2, 3]
    assert [row["id"] for row in cursor.fetchmany()] == [4]
    assert [row["id"] for row in cursor] == [5, 6, 7]
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []
    connection.close()


def test_connect_sees_what_is_recorded_later() -> None:
    connection = adapter.connect("s.db")
    sent("s.db", started("a"))
    adapter.recent("s.db", kind="loop")
    assert connection.execute("SELECT count(*) FROM loop_events").fetchone()[0] == 1
    connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO loop_events (ts) VALUES ('x')",
        "UPDATE loop_events SET ts = 'x'",
        "DELETE FROM loop_events",
        "DELETE FROM main.events",
        "CREATE TABLE mine (a)",
        "CREATE TEMP TABLE mine (a)",
        "DROP TABLE main.events",
        "DROP VIEW loop_events",
        "ATTACH 'other.db' AS other",
        "PRAGMA main.user_version = 7",
        "PRAGMA query_only = OFF",
        "VACUUM",
        "INSERT INTO meta VALUES ('a', 'b')",
        "INSERT INTO search_index VALUES ('a', 'b', 'c', 'd', 'e')",
    ],
)
def test_connect_refuses_writes_as_a_read_only_database_does(sql: str) -> None:
    sent("s.db", started("a"))
    connection = adapter.connect("s.db")
    with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        connection.execute(sql)
    with pytest.raises(sqlite3.OperationalError):
        connection.executemany(sql, [()])
    connection.close()
    assert len(adapter.recent("s.db", kind="loop")) == 1
    assert not Path("other.db").exists()


def test_errors_of_statements_are_those_of_sqlite3() -> None:
    connection = adapter.connect("s.db")
    for sql, error in (
        ("SELECT * FROM nothing", sqlite3.OperationalError),
        ("SELEC", sqlite3.OperationalError),
        ("SELECT ?", sqlite3.ProgrammingError),
        ("SELECT 1 LIMIT 'x'", sqlite3.IntegrityError),
    ):
        with pytest.raises(error) as caught:
            connection.execute(sql)
        assert isinstance(caught.value, errors.EventStoreError)
    connection.close()
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError, match="Cannot operate on a closed database"):
        connection.execute("SELECT 1")


def test_an_open_connection_holds_back_no_writer() -> None:
    connection = adapter.connect("s.db")
    rows = connection.execute("SELECT * FROM loop_events")
    with connection:
        sent("s.db", started("a"))
    assert rows.fetchall() == []
    assert connection.in_transaction is False
    connection.execute("BEGIN")
    assert connection.in_transaction is True
    connection.rollback()
    connection.commit()
    connection.close()


def test_the_rows_of_connect_are_those_of_recent_even_when_a_text_is_large() -> None:
    big = "long " * 20_000
    with SessionStore.open("s.db") as store:
        session = store.create("s1")
        for kind, row in (
            ("correction", {"ts": "t", "session_id": "s1", "content": big, "source": "me"}),
            ("file", {"ts": "t", "session_id": None, "path": "a/b", "op": "edit"}),
            ("tool", {"ts": "t", "tool_name": None, "bytes_in": 7, "bytes_out": 2**60}),
        ):
            text = row.get("content") or row.get("path") or "x"
            indexed = shapes.Indexed(str(text), "ref", "anchor")
            session.add_event(shapes.event_of(kind, row, indexed))
    connection = adapter.connect("s.db")
    for kind in ("correction", "file", "tool"):
        table = shapes.SHAPES[kind].table
        [row] = adapter.recent("s.db", kind=kind)
        assert [dict(one) for one in connection.execute(f"SELECT * FROM {table}")] == [row]
    assert adapter.recent("s.db", kind="correction")[0]["content"] == big
    assert adapter.recent("s.db", kind="tool")[0]["tool_name"] is None
    connection.close()


# -- recent ----------------------------------------------------------------------------------------


def test_recent_gives_the_newest_first() -> None:
    sent("s.db", *(started(f"l{number}") for number in range(30)))
    names = [row["loop_name"] for row in adapter.recent("s.db", kind="loop")]
    assert names == [f"l{number}" for number in range(29, 9, -1)]
    ids = [row["id"] for row in adapter.recent("s.db", kind="loop", limit=3)]
    assert ids == [30, 29, 28]


def test_a_limit_of_zero_gives_nothing_and_a_negative_one_everything() -> None:
    sent("s.db", *(started(f"l{number}") for number in range(25)))
    assert adapter.recent("s.db", kind="loop", limit=0) == []
    assert len(adapter.recent("s.db", kind="loop", limit=-1)) == 25
    assert adapter.search("s.db", query="loop_start", limit=0) == []
    assert len(adapter.search("s.db", query="loop_start", limit=-1)) == 25


@pytest.mark.parametrize("kind", ["", "loops", "message", "LOOP"])
def test_another_kind_is_a_value_error_that_lists_those_there_are(kind: str) -> None:
    with pytest.raises(ValueError, match=re.escape(str(sorted(KINDS)))):
        adapter.recent("s.db", kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_empty_in_a_new_store(kind: str) -> None:
    assert adapter.recent("s.db", kind=kind) == []


def test_all_five_kinds_come_back() -> None:
    """Of files and corrections the original writes none; an import, or another program, does."""
    sent("s.db", started("alpha"))
    issue(Path(".issues"), "P2-BUG-7-x.md", id="BUG-7", discovered_by="audit")
    lines = transcript(Path("t.jsonl"), [call("Bash", {}, "s1", "2026-05-22T10:00:00Z")])
    adapter.backfill("s.db", jsonl_files=[lines])
    with SessionStore.open("s.db") as store:
        session = store.session("s1")
        row = {"ts": "t1", "session_id": "s1", "path": "src/a.py", "op": "edit",
               "issue_id": "BUG-7", "git_sha": "abc"}  # fmt: skip
        said = {"ts": "t2", "session_id": "s1", "content": "no, the other one", "source": "chat"}
        session.add_event(shapes.event_of("file", row, shapes.Indexed("src/a.py", "src/a.py", "")))
        session.add_event(shapes.event_of("correction", said, None))
    assert adapter.recent("s.db", kind="file") == [{"id": 1, **row}]
    assert adapter.recent("s.db", kind="correction") == [{"id": 1, **said}]
    assert adapter.recent("s.db", kind="tool")[0]["tool_name"] == "Bash"
    assert adapter.recent("s.db", kind="issue")[0]["issue_id"] == "BUG-7"
    assert adapter.recent("s.db", kind="loop")[0]["loop_name"] == "alpha"
    assert [hit["kind"] for hit in adapter.search("s.db", query="src")] == ["file"]


def test_what_another_program_recorded_shows_what_it_has() -> None:
    with SessionStore.open("s.db", clock=lambda: 1_767_603_600_000_000) as store:
        session = store.create("a")
        session.add_event(FileTouched(operation="copied"))
        session.add_event(UserCorrected(occurred_at=1_000_000))
        session.add_event(LoopMoved(state="idle", transition="woken", retries=2))
    [row] = adapter.recent("s.db", kind="file")
    assert (row["op"], row["ts"], row["path"]) == ("copied", "2026-01-05T09:00:00Z", None)
    assert adapter.recent("s.db", kind="correction")[0]["ts"] == "1970-01-01T00:00:01Z"
    [row] = adapter.recent("s.db", kind="loop")
    assert (row["state"], row["transition"], row["retries"]) == ("idle", "woken", 2)
    connection = adapter.connect("s.db")
    assert dict(connection.execute("SELECT * FROM loop_events").fetchone()) == row
    connection.close()


def test_erasure_takes_the_text_of_a_row_everywhere() -> None:
    sent("s.db", started("secretname", retries=4), started("other"))
    assert adapter.search("s.db", query="secretname")
    with SessionStore.open("s.db") as store:
        [position] = [one.position for one in store.activities("loop") if one.number == 1]
        store.session("little-loops").erase_events([position], by="me", reason="asked")
        clean(store)
    row = adapter.recent("s.db", kind="loop")[-1]
    assert (row["id"], row["loop_name"], row["transition"], row["retries"]) == (
        1, None, "loop_start", 4,
    )  # fmt: skip
    assert row["ts"] == "2026-05-22T10:00:00Z"
    assert adapter.search("s.db", query="secretname") == []
    connection = adapter.connect("s.db")
    assert dict(connection.execute("SELECT * FROM loop_events").fetchone()) == row
    assert connection.execute("SELECT count(*) FROM search_index").fetchone()[0] == 1
    connection.close()
    close_unused()
    assert b"secretname" not in Path("s.db").read_bytes()


# -- search ----------------------------------------------------------------------------------------


def test_search_gives_what_the_index_has_best_first() -> None:
    sent("s.db", started("alpha beta gamma delta"), started("alpha", ts="t2"))
    hits = adapter.search("s.db", query="alpha")
    assert [hit["ts"] for hit in hits] == ["t2", "2026-05-22T10:00:00Z"]
    assert list(hits[0]) == ["content", "kind", "ref", "anchor", "ts", "score"]
    assert hits[0]["score"] < hits[1]["score"] < 0
    expected = ("alpha loop_start", "loop", "alpha", ".loops/alpha.yaml")
    assert (hits[0]["content"], hits[0]["kind"], hits[0]["ref"], hits[0]["anchor"]) == expected


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("alpha AND one", ["alpha one"]),
        ("alpha OR two", ["alpha one", "beta two"]),
        ("alpha NOT one", []),
        ("alp*", ["alpha one"]),
        ('"beta two"', ["beta two"]),
        ("content : beta", ["beta two"]),
        ("NEAR(beta two)", ["beta two"]),
        ("^beta", ["beta two"]),
        ("ALPHA", ["alpha one"]),
        ("gamma", []),
        ("and", []),
    ],
)
def test_search_takes_the_syntax_of_fts5(query: str, found: list[str]) -> None:
    sent("s.db", started("alpha one"), started("beta two"))
    assert sorted(hit["ref"] for hit in adapter.search("s.db", query=query)) == found


@pytest.mark.parametrize("query", ["", "rate-limit", "BUG-490", '"', "(", "a AND", "*", "a.b"])
def test_what_is_no_fts5_syntax_is_a_value_error(query: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"invalid FTS query {query!r}")):
        adapter.search("s.db", query=query)


def test_chinese_japanese_and_korean_substrings_are_found() -> None:
    sent("s.db", started("東京都庁 café"))
    for query in ("京都", '"京都"', "京*", "東京都庁", "content:京都", "cafe AND 都"):
        assert len(adapter.search("s.db", query=query)) == 1, query
    assert adapter.search("s.db", query="京庁") == []


# -- the transport ---------------------------------------------------------------------------------


def test_the_transport_is_one_of_little_loops() -> None:
    original()
    from little_loops.transport import Transport

    transport = adapter.SQLiteTransport("s.db")
    assert isinstance(transport, Transport)
    transport.close()


@pytest.mark.parametrize("event", LOOP_EVENTS)
def test_the_events_of_loops_are_recorded(event: str) -> None:
    sent("s.db", {"event": event, "loop_name": "a", "state": "s", "ts": "t"})
    [row] = adapter.recent("s.db", kind="loop")
    assert (row["transition"], row["state"]) == (event, "s")


@pytest.mark.parametrize("event", [{}, {"event": "issue.closed"}, {"event": None}, {"event": 5}])
def test_other_events_are_ignored(event: dict[str, Any]) -> None:
    sent("s.db", event)
    assert adapter.recent("s.db", kind="loop") == []


def test_a_completed_loop_has_its_outcome_as_state() -> None:
    sent(
        "s.db",
        {"event": "loop_complete", "state": "s", "outcome": "ok"},
        {"event": "loop_complete", "state": "s"},
        {"event": "loop_start", "state": "s", "outcome": "ok"},
    )
    assert [row["state"] for row in adapter.recent("s.db", kind="loop")] == ["s", "s", "ok"]


def test_a_loop_without_name_has_none_and_no_anchor() -> None:
    sent("s.db", {"event": "route", "loop_name": ""}, {"event": "route"})
    assert [row["loop_name"] for row in adapter.recent("s.db", kind="loop")] == [None, None]
    assert {(hit["ref"], hit["anchor"]) for hit in adapter.search("s.db", query="route")} == {
        ("", "")
    }


@pytest.mark.parametrize(
    ("given", "stored"),
    [(3, 3), (True, 1), (0, 0), ("3", None), (2.5, None), (None, None), (2**60, 2**60)],
)
def test_retries_are_kept_when_they_are_a_whole_number(given: Any, stored: int | None) -> None:
    sent("s.db", started("a", retries=given))
    found = adapter.recent("s.db", kind="loop")[0]["retries"]
    assert (type(found), found) == (type(stored), stored)


def test_without_a_time_the_present_is_written_to_the_second() -> None:
    sent("s.db", {"event": "route", "ts": ""}, {"event": "route"})
    for row in adapter.recent("s.db", kind="loop"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["ts"])


def test_texts_that_no_column_could_hold_are_kept() -> None:
    sent("s.db", started("half \ud800 of a pair", state="nul\x00in it", retries=10**30))
    [row] = adapter.recent("s.db", kind="loop")
    assert (row["loop_name"], row["state"]) == ("half \ud800 of a pair", "nul\x00in it")
    assert row["retries"] == 10**30


def test_after_close_nothing_is_recorded_and_nothing_fails() -> None:
    transport = adapter.SQLiteTransport("s.db")
    transport.close()
    transport.close()
    transport.send(started("late"))
    assert adapter.recent("s.db", kind="loop") == []


def test_a_corrupt_file_disables_the_sink_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Path("s.db").write_bytes(b"no database, though one was there" * 40)
    with caplog.at_level(logging.WARNING):
        transport = adapter.SQLiteTransport("s.db")
    assert "s.db" in caplog.text
    transport.send(started("a"))
    transport.close()


def test_a_write_that_fails_is_logged_and_stops_no_loop(caplog: pytest.LogCaptureFixture) -> None:
    transport = adapter.SQLiteTransport("s.db")
    assert transport._shared is not None
    transport._shared.store.close()
    with caplog.at_level(logging.WARNING):
        transport.send(started("a"))
    assert "loop_start" in caplog.text
    transport.close()


def test_a_folder_that_cannot_be_made_is_an_os_error() -> None:
    Path("file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OSError, match="file"):
        adapter.SQLiteTransport("file/below/s.db")


def test_rows_go_on_when_their_session_was_closed_or_erased() -> None:
    sent("s.db", started("a"))
    with SessionStore.open("s.db") as store:
        store.session("little-loops").close()
    sent("s.db", started("b"))
    with SessionStore.open("s.db") as store:
        store.session("little-loops").erase()
    sent("s.db", started("c"))
    names = [row["loop_name"] for row in adapter.recent("s.db", kind="loop")]
    assert names == ["c", None, "a"]


# -- backfill --------------------------------------------------------------------------------------


def test_folders_that_are_not_there_are_skipped() -> None:
    assert adapter.backfill("s.db") == {"issues": 0, "loops": 0, "tools": 0}
    nothing = adapter.backfill("s.db", issues_dir=Path("no"), loops_dir="no", jsonl_files=["no"])
    assert nothing == {"issues": 0, "loops": 0, "tools": 0}


def test_issues_come_from_the_head_of_their_files() -> None:
    issue(
        Path(".issues/bugs"),
        "P1-BUG-1-x.md",
        id="BUG-1",
        status="completed",
        captured_at="2026-01-01",
        completed_at="2026-01-02T03:04:05Z",
        discovered_by="me",
    )
    issue(Path(".issues/enhancements"), "P3-ENH-2.md", id="ENH-2", captured_at="2026-01-01")
    issue(Path(".issues"), "ENH-3.md", id="ENH-3", discovered_date="2025-12-31")
    issue(Path(".issues"), "a-note.md", title="without an id")  # fmt: skip
    assert adapter.backfill("s.db") == {"issues": 3, "loops": 0, "tools": 0}
    rows = {row["issue_id"]: row for row in adapter.recent("s.db", kind="issue")}
    assert [rows[name]["ts"] for name in ("BUG-1", "ENH-2", "ENH-3")] == [
        "2026-01-02T03:04:05Z", "2026-01-01", "2025-12-31",
    ]  # fmt: skip
    assert (rows["BUG-1"]["transition"], rows["BUG-1"]["discovered_by"]) == ("done", "me")
    assert rows["ENH-2"]["transition"] == "open"
    [hit] = adapter.search("s.db", query='"BUG-1"')
    assert (hit["ref"], hit["anchor"]) == ("BUG-1", str(Path(".issues/bugs/P1-BUG-1-x.md")))


def test_an_issue_without_any_date_has_an_empty_time() -> None:
    issue(Path(".issues"), "x.md", id="X-1")
    adapter.backfill("s.db")
    assert adapter.recent("s.db", kind="issue")[0]["ts"] == ""


def test_loops_come_from_their_state_files() -> None:
    loop_state(
        Path(".loops"),
        ".running",
        "now",
        loop_name="fix",
        current_state="test",
        state="old",
        updated_at="2026-01-02",
        started_at="2026-01-01",
    )
    loop_state(Path(".loops"), ".history", "then", state="done", started_at="2026-01-01")
    loop_state(Path(".loops"), "elsewhere", "never", loop_name="never")  # fmt: skip
    Path(".loops/.history/broken.json").write_text("{", encoding="utf-8")
    Path(".loops/.history/list.json").write_text("[1]", encoding="utf-8")
    assert adapter.backfill("s.db") == {"issues": 0, "loops": 2, "tools": 0}
    newest, oldest = adapter.recent("s.db", kind="loop")
    assert oldest == {"id": 1, "ts": "2026-01-02", "loop_name": "fix", "state": "test",
                      "transition": "backfill", "retries": None}  # fmt: skip
    assert (newest["loop_name"], newest["state"], newest["ts"]) == ("then", "done", "2026-01-01")


def test_tool_calls_come_from_transcripts() -> None:
    arguments = {"b": 1, "a": ["é"]}
    lines = transcript(
        Path("t.jsonl"),
        [
            {"type": "user", "message": {"content": "hello"}},
            call("Bash", arguments, "s1", "2026-01-01T00:00:00Z", id="toolu_1"),
            call("Read", {}, None, "2026-01-01T00:00:01Z"),
            {"type": "assistant", "message": {"content": "no list"}},
        ],
    )
    assert adapter.backfill("s.db", jsonl_files=[lines]) == {"issues": 0, "loops": 0, "tools": 2}
    read, bash = adapter.recent("s.db", kind="tool")
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]
    assert bash == {
        "id": 1, "ts": "2026-01-01T00:00:00Z", "session_id": "s1", "tool_name": "Bash",
        "args_hash": digest, "result_size": None, "bytes_in": None, "bytes_out": None,
        "cache_hit": None,
    }  # fmt: skip
    assert (read["tool_name"], read["session_id"]) == ("Read", None)
    assert adapter.search("s.db", query="Bash")[0]["anchor"] == "t.jsonl"
    with SessionStore.open("s.db") as store:
        calls = {one.session: one.event for one in store.activities("tool")}
        assert calls["s1"].call_id == "toolu_1"
        assert "little-loops" in calls


def test_backfill_takes_what_it_can_from_odd_lines() -> None:
    good = call("Bash", {}, "s1", "2026-01-01T00:00:00Z")
    escaped = json.dumps(call("Grep", {}, "s1", "t")).replace("tool_use", "tool\\u005fuse")
    strange = '{"type": "assistant", "message": {"content": [{"type": "tool_use", "input": NaN}]}}'
    odd: list[Any] = ["[1, 2]", '"text"', "7", "null", "{", '{"type": "assistant"}', "\ufeff{}",
                      {"type": "assistant", "message": None},
                      {"type": "assistant", "message": ["tool_use"]},
                      {"type": "assistant", "message": {"content": None}},
                      {"type": "assistant", "message": {"content": ["tool_use", None, 5]}},
                      "[" * 100_000]  # fmt: skip
    lines = transcript(Path("t.jsonl"), [*odd, good, *odd, escaped, strange])
    Path("bytes.jsonl").write_bytes(b"\xff\xfe\n" + json.dumps(good).encode() + b"\n")
    Path(".issues").mkdir()
    Path(".issues/bytes.md").write_bytes(b"---\nid: \xff\n---\n")
    Path(".issues/folder.md").mkdir()
    counts = adapter.backfill("s.db", jsonl_files=[lines, Path("bytes.jsonl")])
    assert counts == {"issues": 0, "loops": 0, "tools": 4}
    names = [row["tool_name"] for row in adapter.recent("s.db", kind="tool")]
    assert names == ["Bash", "", "Grep", "Bash"]


def test_a_second_backfill_adds_nothing_and_a_grown_source_what_is_new() -> None:
    issue(Path(".issues"), "P1-BUG-1.md", id="BUG-1", status="open")
    loop_state(Path(".loops"), ".running", "a", state="one", updated_at="t1")
    first = [call("Bash", {"n": n // 2}, "s1", "2026-01-01T00:00:00Z") for n in range(6)]
    lines = transcript(Path("t.jsonl"), first)
    assert adapter.backfill("s.db", jsonl_files=[lines]) == {"issues": 1, "loops": 1, "tools": 6}
    for _ in range(2):
        assert adapter.backfill("s.db", jsonl_files=[lines]) == {
            "issues": 0, "loops": 0, "tools": 0,
        }  # fmt: skip
    issue(Path(".issues"), "P1-BUG-1.md", id="BUG-1", status="done")
    loop_state(Path(".loops"), ".running", "a", state="two", updated_at="t2")
    transcript(Path("t.jsonl"), [*first, call("Read", {}, "s2", "2026-01-02T00:00:00Z")])
    Path("t.jsonl").rename("moved.jsonl")
    assert adapter.backfill("s.db", jsonl_files=[Path("moved.jsonl")]) == {
        "issues": 1, "loops": 1, "tools": 1,
    }  # fmt: skip
    assert len(adapter.recent("s.db", kind="tool", limit=-1)) == 7
    with SessionStore.open("s.db") as store:
        clean(store)


def test_backfill_does_not_bring_back_what_was_erased() -> None:
    lines = transcript(Path("t.jsonl"), [call("Bash", {}, "s1", "2026-01-01T00:00:00Z", id="t1")])
    issue(Path(".issues"), "P1-BUG-1.md", id="BUG-1", completed_at="2026-01-01T00:00:00Z")
    adapter.backfill("s.db", jsonl_files=[lines])
    with SessionStore.open("s.db") as store:
        store.session("s1").erase()
        store.session("little-loops").erase()
    assert adapter.backfill("s.db", jsonl_files=[lines]) == {"issues": 0, "loops": 0, "tools": 0}


@pytest.mark.parametrize("name", ["", "a" * 600, "x~3", "erased:x", "tab\there", "little-loops"])
def test_rows_of_sessions_with_impossible_ids_are_kept(name: str) -> None:
    lines = transcript(Path("t.jsonl"), [call("Bash", {}, name, "2026-01-01T00:00:00Z")])
    assert adapter.backfill("s.db", jsonl_files=[lines])["tools"] == 1
    assert adapter.recent("s.db", kind="tool")[0]["session_id"] == name
    assert adapter.backfill("s.db", jsonl_files=[lines])["tools"] == 0


def test_rows_of_a_closed_session_are_kept() -> None:
    with SessionStore.open("s.db") as store:
        store.create("s1").close()
    lines = transcript(Path("t.jsonl"), [call("Bash", {}, "s1", "2026-01-01T00:00:00Z")])
    assert adapter.backfill("s.db", jsonl_files=[lines])["tools"] == 1
    assert adapter.recent("s.db", kind="tool")[0]["session_id"] == "s1"
    with SessionStore.open("s.db") as store:
        assert [one.session_id for one in store.sessions()] == ["little-loops"]
