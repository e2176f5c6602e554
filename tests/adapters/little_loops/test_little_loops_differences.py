"""What is different on purpose: each with its reason and a test that measures it on both.

An entry that is no difference any more fails. The table in `docs/adapters/little-loops.md` has all.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from little_loops_support import call, issue, original, outcome, transcript

from eventstore import SessionStore
from eventstore.adapters import little_loops as adapter
from eventstore.adapters.little_loops.opening import close_unused
from eventstore.importers import import_paths


class Difference(NamedTuple):
    """Why it is different, and what to do with either module and a path to see it."""

    reason: str
    act: Callable[[Any, Path], Any]


def _sent(module: Any, path: Path, **event: Any) -> list[dict[str, Any]]:
    transport = module.SQLiteTransport(path)
    try:
        transport.send({"event": "route", "ts": "t", **event})
    finally:
        transport.close()
    rows: list[dict[str, Any]] = module.recent(path, kind="loop")
    return rows


def _twice(module: Any, path: Path) -> list[Any]:
    issue(path.parent / "issues", "x.md", id="BUG-1")
    return [module.backfill(path, issues_dir=path.parent / "issues")["issues"] for _ in range(2)]


def _lines(module: Any, path: Path, *records: Any) -> dict[str, int]:
    lines = transcript(path.parent / "t.jsonl", list(records))
    counts: dict[str, int] = module.backfill(path, jsonl_files=[lines])
    return counts


def _undecodable(module: Any, path: Path) -> dict[str, int]:
    (path.parent / "t.jsonl").write_bytes(b"\xff\n" + json.dumps(CALL).encode() + b"\n")
    counts: dict[str, int] = module.backfill(path, jsonl_files=[path.parent / "t.jsonl"])
    return counts


def _searched(module: Any, path: Path, name: str, query: str) -> int:
    _sent(module, path, loop_name=name)
    return len(module.search(path, query=query))


def _statement(module: Any, path: Path, sql: str) -> list[Any]:
    connection = module.connect(path)
    try:
        return [tuple(row) for row in connection.execute(sql).fetchall()]
    finally:
        connection.close()


def _with_row_factory(module: Any, path: Path) -> list[Any]:
    connection = module.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return [tuple(row) for row in connection.execute("SELECT 1")]
    finally:
        connection.close()


def _of_a_connection(module: Any, path: Path, tell: Callable[[Any], Any]) -> Any:
    connection = module.connect(path)
    try:
        return tell(connection)
    finally:
        connection.close()


def _files(module: Any, path: Path) -> list[str]:
    module.ensure_db(path)
    return sorted(file.name for file in path.parent.iterdir())


def _after_a_deletion(module: Any, path: Path) -> list[int]:
    old = path if module is original() else path.with_name("old.db")
    transport = original().SQLiteTransport(old)
    for _ in range(3):
        transport.send({"event": "route", "ts": "t"})
    transport.close()
    connection = sqlite3.connect(old)
    connection.execute("DELETE FROM loop_events WHERE id = 2")
    connection.commit()
    connection.close()
    if old != path:
        with SessionStore.open(path) as store:
            import_paths(store, [old])
    return [row["id"] for row in module.recent(path, kind="loop")]


CALL = call("Bash", {}, "s1", "t")
SAID = {"type": "user", "sessionId": "s1", "timestamp": "t", "message": {"content": "hello"}}

#: In what the adapter is different from `little-loops` 1.106.0, as far as a few calls on both show
#: it each time. What takes long or depends on chance is under "Further" in the page.
DIFFERENCES = {
    "schema": Difference(
        "the adapter stands for schema 1; 1.106.0 has schema 2",
        lambda module, path: module.SCHEMA_VERSION,
    ),
    "kind message": Difference(
        "schema 1 has no messages; sessions of this engine have them whole",
        lambda module, path: module.recent(path, kind="message"),
    ),
    "messages in backfill": Difference(
        "the same: import transcripts with `eventstore import`",
        lambda module, path: _lines(module, path, SAID, CALL),
    ),
    "backfill twice": Difference("the original doubles every row", _twice),
    "a line that is a list": Difference(
        "the original raises AttributeError and stores nothing",
        lambda module, path: _lines(module, path, [1], CALL)["tools"],
    ),
    "a line without message": Difference(
        "the original raises AttributeError and stores nothing",
        lambda module, path: _lines(module, path, {"type": "assistant", "message": None}, CALL)[
            "tools"
        ],
    ),
    "a line that is not UTF-8": Difference(
        "the original raises UnicodeDecodeError and stores nothing",
        lambda module, path: _undecodable(module, path)["tools"],
    ),
    "a number over 64 bits": Difference(
        "the original raises OverflowError out of send",
        lambda module, path: _sent(module, path, retries=2**70)[0]["retries"],
    ),
    "half of a surrogate pair": Difference(
        "the original raises UnicodeEncodeError out of send",
        lambda module, path: _sent(module, path, state="\ud800")[0]["state"],
    ),
    "half of a pair in a query": Difference(
        "the original raises UnicodeEncodeError, which is a ValueError",
        lambda module, path: module.search(path, query="\ud800"),
    ),
    "a part of a Chinese word": Difference(
        "the original finds whole runs of Chinese, Japanese and Korean only",
        lambda module, path: _searched(module, path, "東京都庁", "京都"),
    ),
    "a letter with several marks": Difference(
        "the index of this engine takes off every mark, the original's the first",
        lambda module, path: _searched(module, path, "Vi\u1ec7t", "viet"),
    ),
    "a column that is not indexed": Difference(
        "the original has the other columns of a hit in the index, where nothing matches them",
        lambda module, path: _searched(module, path, "a", "kind : loop"),
    ),
    "a wrong query with limit 0": Difference(
        "the original does not look at a query of which it is to give no hit",
        lambda module, path: module.search(path, query='"', limit=0),
    ),
    "MATCH on a connection": Difference(
        "search_index is a view there; `search` finds",
        lambda module, path: _statement(
            module, path, "SELECT ref FROM search_index WHERE search_index MATCH 'a'"
        ),
    ),
    "rowid on a connection": Difference(
        "views have no rowid; `id` is one",
        lambda module, path: _statement(module, path, "SELECT rowid FROM loop_events"),
    ),
    "pragmas on a connection": Difference(
        "they tell of the store, and the rest are refused as writes",
        lambda module, path: [
            outcome(lambda sql=sql: _statement(module, path, sql))
            for sql in ("PRAGMA journal_mode", "PRAGMA quick_check", "PRAGMA cache_size = 9")
        ],
    ),
    "types of columns": Difference(
        "columns of views have neither types nor keys",
        lambda module, path: _statement(module, path, "PRAGMA table_info(loop_events)"),
    ),
    "tables of the file": Difference(
        "those of the store; the views are in sqlite_temp_schema",
        lambda module, path: _statement(
            module, path, "SELECT name FROM sqlite_master WHERE name = 'loop_events'"
        ),
    ),
    "several statements in execute": Difference(
        "reading more than one does no harm",
        lambda module, path: len(_statement(module, path, "SELECT 1; SELECT 2")),
    ),
    "reading in executemany": Difference(
        "there is nothing to write, which the original's is for",
        lambda module, path: _of_a_connection(
            module, path, lambda one: len(one.executemany("SELECT ?", [(1,)]).fetchall())
        ),
    ),
    "class of a connection": Difference(
        "the files of a store are opened with one SQLite only, which is not Python's",
        lambda module, path: _of_a_connection(
            module, path, lambda one: isinstance(one, sqlite3.Connection)
        ),
    ),
    "other methods of a connection": Difference(
        "it has what reading takes",
        lambda module, path: _of_a_connection(
            module,
            path,
            lambda one: [hasattr(one, name) for name in ("backup", "iterdump", "create_function")],
        ),
    ),
    "class of a row": Difference(
        "`sqlite3.Row` takes no cursor but those of `sqlite3`",
        lambda module, path: _of_a_connection(
            module, path, lambda one: isinstance(one.execute("SELECT 1").fetchone(), sqlite3.Row)
        ),
    ),
    "sqlite3.Row as row_factory": Difference("the same", _with_row_factory),
    "writing on a connection": Difference(
        "rows are written by events; a connection is for reading",
        lambda module, path: _statement(module, path, "DELETE FROM loop_events"),
    ),
    "no file": Difference(
        "every connection to `:memory:` is one to another, empty database",
        lambda module, path: str(module.ensure_db(":memory:")),
    ),
    "files beside it": Difference("the write-ahead log, of a file that is in use", _files),
    "gaps in id": Difference(
        "the adapter's `id` counts the rows there are, also those of an import",
        _after_a_deletion,
    ),
    "the original's own file": Difference(
        "it is imported into a new file, never taken over",
        lambda module, path: original().ensure_db(path) and module.recent(path, kind="loop"),
    ),
    "migrations": Difference(
        "there are no tables of its own to migrate",
        lambda module, path: hasattr(module, "_MIGRATIONS"),
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_on_purpose_is_one(name: str, tmp_path: Path) -> None:
    act = DIFFERENCES[name].act
    folders = [tmp_path / "theirs", tmp_path / "ours"]
    for folder in folders:
        folder.mkdir()
    theirs = outcome(lambda: act(original(), folders[0] / "s.db"))
    ours = outcome(lambda: act(adapter, folders[1] / "s.db"))
    close_unused()
    assert DIFFERENCES[name].reason
    assert ours != theirs, f"{name}: both give {ours}; take the entry out"


def test_the_page_lists_every_difference() -> None:
    page = Path(__file__).parent.parent.parent.parent / "docs/adapters/little-loops.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in DIFFERENCES if f"| {name} |" not in text] == []
