"""Finer points of what the original's module promises, call by call."""

from __future__ import annotations

import inspect
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from little_loops_support import (
    call,
    issue,
    loop_state,
    original,
    outcome,
    sent,
    started,
    transcript,
)

from eventstore import errors
from eventstore.adapters import little_loops as adapter
from eventstore.adapters.little_loops import transport as transport_module
from eventstore.adapters.little_loops.connection import ASKING

pytestmark = pytest.mark.usefixtures("own_folder")

# -- paths -----------------------------------------------------------------------------------------

#: Every call that opens a store, with the path to open.
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "ensure_db": lambda module, path: module.ensure_db(path),
    "connect": lambda module, path: module.connect(path),
    "recent": lambda module, path: module.recent(path, kind="loop"),
    "search": lambda module, path: module.search(path, query="a"),
    "backfill": lambda module, path: module.backfill(path),
    "SQLiteTransport": lambda module, path: module.SQLiteTransport(path),
}


@pytest.mark.parametrize("path", [":memory:", Path(":memory:")], ids=["text", "path"])
@pytest.mark.parametrize("name", [name for name in CALLS if name != "SQLiteTransport"])
def test_a_database_in_memory_is_refused_by_every_call(name: str, path: Path | str) -> None:
    with pytest.raises(sqlite3.OperationalError, match="give the path of a file") as caught:
        CALLS[name](adapter, path)
    assert isinstance(caught.value, errors.EventStoreError)
    assert list(Path().iterdir()) == []


def test_a_database_in_memory_disables_the_sink(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        sent(":memory:", started("a"))
    assert "give the path of a file" in caplog.text
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("path", ["folder", "", "file/s.db", "file/below/s.db", "file/a/b/s.db"])
@pytest.mark.parametrize("name", CALLS)
def test_where_no_file_can_be_is_the_error_of_the_original(name: str, path: str) -> None:
    Path("folder").mkdir()
    Path("file").write_text("in the way", encoding="utf-8")
    theirs = outcome(lambda: CALLS[name](original(), path))
    ours = outcome(lambda: CALLS[name](adapter, path))
    assert ours.error == theirs.error
    assert (ours.error is None) == (name == "SQLiteTransport" and path in ("folder", ""))


# -- values that do not fit -----------------------------------------------------------------------


def beside(act: Callable[[Any, str], Any]) -> tuple[Any, Any]:
    """What this gives with the original and with the adapter, of whose rows one says alpha."""
    outcomes = []
    for module, path in ((original(), "theirs.db"), (adapter, "ours.db")):
        transport = module.SQLiteTransport(path)
        for name in ("alpha", "beta", "5"):
            transport.send(started(name))
        transport.close()
        outcomes.append(outcome(lambda module=module, path=path: act(module, path)))
    return outcomes[0], outcomes[1]


def kind_of(value: Any) -> str:
    return type(value).__name__


WRONG_LIMITS = [None, "x", b"1", 2.5, float("nan"), 1e300, object(), 2**63, -(2**63) - 1]
ODD_LIMITS = ["2", " 2.0 ", 2.0, True, 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("limit", [*WRONG_LIMITS, *ODD_LIMITS], ids=kind_of)
def test_a_limit_of_another_type_is_what_it_is_for_the_original(limit: Any) -> None:
    theirs, ours = beside(lambda module, path: module.recent(path, kind="loop", limit=limit))
    assert ours == theirs
    found, sought = beside(lambda module, path: len(module.search(path, query="5", limit=limit)))
    assert sought == found
    assert (ours.error is None) == (sought.error is None) == (limit in ODD_LIMITS)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("alpha\0beta", 1), ("alpha\0\"", 1), ("\0", None), (None, None), (5, 1), (7, 0),
        (True, 0), (b"alpha", 1), (b"x", 0), (bytearray(b"alpha"), 1), (b'"', None), (2.5, None),
        (1e300, None), (object(), None), (10**30, None),
    ],
    ids=kind_of,
)  # fmt: skip
def test_a_query_of_another_type_is_what_it_is_for_the_original(
    query: Any, found: int | None
) -> None:
    theirs, ours = beside(lambda module, path: len(module.search(path, query=query)))
    assert ours == theirs
    assert ours.value == found


@pytest.mark.parametrize(
    ("sql", "values", "error"),
    [
        ("SELECT ?", (10**30,), "OverflowError"),
        ("SELECT ?", (object(),), "ProgrammingError"),
        ("SELECT ?", ("\ud800",), "ValueError"),
        ("SELECT ?", {"a": 1}, "ProgrammingError"),
        ("SELECT :a", {"b": 1}, "ProgrammingError"),
        ("SELECT 1", (1,), "ProgrammingError"),
        ("SELECT 1\0", (), "ProgrammingError"),
        (5, (), "TypeError"),
    ],
    ids=kind_of,
)
def test_what_a_statement_cannot_take_is_the_error_of_the_original(
    sql: Any, values: Any, error: str
) -> None:
    theirs, ours = beside(lambda module, path: module.connect(path).execute(sql, values).fetchall())
    assert ours == theirs
    assert ours.error == error


def test_errors_of_values_are_those_of_this_engine_too() -> None:
    for limit in ("x", object(), 10**30):
        with pytest.raises(errors.EventStoreError):
            adapter.recent("s.db", kind="loop", limit=limit)  # type: ignore[arg-type]


# -- pragmas on a connection ----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ASKING))
def test_a_pragma_that_only_tells_is_answered_and_changes_nothing(name: str) -> None:
    connection = adapter.connect("s.db")
    told = [tuple(row) for row in connection.execute(f"PRAGMA {name}")]
    assert told
    assert [tuple(row) for row in connection.execute(f"pragma main.{name.upper()}")] == told
    for value in ("1", "'delete'"):
        for sql in (f"PRAGMA {name} = {value}", f"PRAGMA {name}({value})"):
            with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly"):
                connection.execute(sql)
    assert [tuple(row) for row in connection.execute(f"PRAGMA {name}")] == told
    connection.close()


@pytest.mark.parametrize(
    "name", ["wal_checkpoint", "optimize", "incremental_vacuum", "shrink_memory", "nonsense"]
)
def test_a_pragma_that_does_something_is_refused(name: str) -> None:
    connection = adapter.connect("s.db")
    with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        connection.execute(f"PRAGMA {name}")
    connection.close()


def test_the_columns_of_a_table_are_told_in_any_letter_case() -> None:
    connection = adapter.connect("s.db")
    for sql in ("PRAGMA table_info(loop_events)", "PRAGMA TABLE_INFO('loop_events')"):
        names = [row["name"] for row in connection.execute(sql)]
        assert names == ["id", "ts", "loop_name", "state", "transition", "retries"]
    connection.close()


# -- search ----------------------------------------------------------------------------------------


def test_search_gives_as_many_as_asked_and_twenty_unless_told() -> None:
    sent("s.db", *(started(f"l{number}") for number in range(25)))
    assert len(adapter.search("s.db", query="start")) == 20
    assert len(adapter.search("s.db", query="start", limit=3)) == 3


@pytest.mark.parametrize("query", ["yaml", "loops", "2026*", "loop"])
def test_only_the_content_of_a_row_is_searched(query: str) -> None:
    """Kind, ref, anchor and time are there and not indexed."""
    sent("s.db", {"event": "route", "loop_name": "alpha", "ts": "2026-05-22T10:00:00Z"})
    assert adapter.search("s.db", query=query) == []


@pytest.mark.parametrize("query", ["BUG-490", "rate-limit"])
def test_a_hyphen_says_which_column_there_is_none_of(query: str) -> None:
    with pytest.raises(ValueError, match="no such column"):
        adapter.search("s.db", query=query)


# -- the transport ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["__init__", "send", "close"])
def test_the_methods_of_the_transport_take_what_the_originals_take(name: str) -> None:
    theirs = inspect.signature(getattr(original().SQLiteTransport, name)).parameters
    ours = inspect.signature(getattr(adapter.SQLiteTransport, name)).parameters
    assert [(one.name, one.kind, one.default) for one in ours.values()] == [
        (one.name, one.kind, one.default) for one in theirs.values()
    ]


def test_the_present_is_that_of_utc() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    sent("s.db", {"event": "route"})
    [row] = adapter.recent("s.db", kind="loop")
    told = datetime.strptime(row["ts"], "%Y-%m-%dT%H:%M:%S%z")
    assert before <= told <= datetime.now(UTC)
    assert adapter.search("s.db", query="route")[0]["ts"] == row["ts"]


def test_true_is_stored_as_the_number_one() -> None:
    sent("s.db", started("a", retries=True))
    assert type(adapter.recent("s.db", kind="loop")[0]["retries"]) is int
    connection = adapter.connect("s.db")
    row = connection.execute("SELECT retries, typeof(retries) FROM loop_events").fetchone()
    assert tuple(row) == (1, "integer")
    connection.close()


def test_a_store_that_is_busy_or_cannot_be_opened_stops_no_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(*_: Any, **__: Any) -> Any:
        raise errors.StoreBusyError("another process held the write lock")

    transport = adapter.SQLiteTransport("s.db")
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(transport_module, "record", busy)
        transport.send(started("a"))
        patched.setattr("eventstore.adapters.little_loops.opening.Shared", busy)
        disabled = adapter.SQLiteTransport("other.db")
    assert "loop_start" in caplog.text
    assert "other.db" in caplog.text
    disabled.send(started("lost"))
    disabled.close()
    transport.send(started("b"))
    transport.close()
    assert [row["loop_name"] for row in adapter.recent("s.db", kind="loop")] == ["b"]


#: Holds the write lock of each file for some seconds.
HOLDER = """
import sqlite3, sys, time
seconds, *files = sys.argv[1:]
held = [sqlite3.connect(file, isolation_level=None) for file in files]
for one in held:
    one.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(seconds))
for one in held:
    one.execute("ROLLBACK")
"""


def sent_while_held(seconds: float, transports: dict[str, Any]) -> None:
    """Send an event on each transport while another process holds the lock of its file."""
    holder = [sys.executable, "-c", HOLDER, str(seconds), *transports]
    with subprocess.Popen(holder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        for transport in transports.values():
            transport.send(started("late"))


def test_an_event_waits_for_another_process_that_writes() -> None:
    transport = adapter.SQLiteTransport("s.db")
    sent_while_held(0.5, {"s.db": transport})
    transport.close()
    assert [row["loop_name"] for row in adapter.recent("s.db", kind="loop")] == ["late"]


@pytest.mark.slow
def test_an_event_waits_longer_than_the_five_seconds_of_the_original() -> None:
    """The original's comes first: it gives up, then the lock is still held for a while."""
    modules = {"theirs.db": original(), "ours.db": adapter}
    transports = {path: module.SQLiteTransport(path) for path, module in modules.items()}
    sent_while_held(8, transports)
    for transport in transports.values():
        transport.close()
    found = {path: len(module.recent(path, kind="loop")) for path, module in modules.items()}
    assert found == {"theirs.db": 0, "ours.db": 1}


# -- backfill --------------------------------------------------------------------------------------


def test_every_tool_call_of_a_line_is_a_row_and_only_the_assistants_are() -> None:
    record = call("Bash", {"n": 1}, "s1", "t")
    record["message"]["content"].append({"type": "tool_use", "name": "Read", "input": {}})
    asked = call("Grep", {}, "s1", "t") | {"type": "user"}
    untyped = call("Glob", {}, "s1", "t")
    del untyped["type"]
    lines = transcript(Path("t.jsonl"), [record, asked, untyped])
    assert adapter.backfill("s.db", jsonl_files=[lines])["tools"] == 2
    names = [row["tool_name"] for row in adapter.recent("s.db", kind="tool")]
    assert names == ["Read", "Bash"]


def test_only_json_files_right_in_the_two_folders_are_loops() -> None:
    path = loop_state(Path(".loops"), ".running", "now", state="go")
    for name in ("now.lock", "now.json.tmp", "now.pid"):
        path.with_name(name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    loop_state(Path(".loops"), ".history/2026-05", "deeper", state="done")
    assert adapter.backfill("s.db")["loops"] == 1


def test_a_captured_time_comes_before_that_of_the_discovery() -> None:
    issue(Path(".issues"), "x.md", id="X-1", captured_at="2026-01-02", discovered_date="2026-01-01")
    adapter.backfill("s.db")
    assert adapter.recent("s.db", kind="issue")[0]["ts"] == "2026-01-02"


def test_the_folders_may_be_given_as_texts() -> None:
    issue(Path("mine"), "x.md", id="X-1")
    loop_state(Path("own"), ".history", "a", state="done")
    lines = transcript(Path("t.jsonl"), [call("Bash", {}, "s1", "t")])
    counts = adapter.backfill("s.db", issues_dir="mine", loops_dir="own", jsonl_files=[str(lines)])
    assert counts == {"issues": 1, "loops": 1, "tools": 1}
