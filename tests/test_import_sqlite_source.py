"""Foreign SQLite files are read whole, and nothing of them or beside them changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.errors import ImportFailedError
from eventstore.importers.sqlite_source import is_sqlite, reading

#: Made in another process: only one SQLite library may touch a file in this one.
MAKE = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.executescript(sys.argv[2])
if sys.argv[3] == "die":
    os._exit(0)  # what is in the write-ahead log stays there
connection.close()
"""


def made(path: Path, script: str, end: str = "close") -> None:
    subprocess.run([sys.executable, "-c", MAKE, str(path), script, end], check=True)


def beside(path: Path) -> dict[str, tuple[bytes, int]]:
    return {
        file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()
    }


SCRIPT = """
PRAGMA journal_mode = {mode};
CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY, "a b" TEXT, data BLOB);
CREATE TABLE other (x);
INSERT INTO "odd ""name" VALUES (1, 'text', x'00ff'), (2, NULL, 'as text'), (3, 'ünï', 1.5);
"""


@pytest.mark.parametrize(("mode", "end"), [("DELETE", "close"), ("WAL", "close"), ("WAL", "die")])
def test_all_rows_are_read_and_no_file_changes(tmp_path: Path, mode: str, end: str) -> None:
    path = tmp_path / "with ? and # and %41.db"
    made(path, SCRIPT.format(mode=mode), end)
    assert (path.with_name(path.name + "-wal").exists()) is (end == "die")
    before = beside(path)
    with reading(path) as source:
        assert source.tables == {'odd "name': ("id", "a b", "data"), "other": ("x",)}
        columns = ("id", "a b", "data", "absent")
        rows = [row.values for row in source.rows('odd "name', columns, order=("id", "absent"))]
        [second] = source.rows('odd "name', ("data",), where={"id": 2, "a b": None})
    assert [tuple(row.values()) for row in rows] == [
        (1, "text", b"\x00\xff", None),
        (2, None, "as text", None),
        (3, "ünï", 1.5, None),
    ]
    assert second.values == {"data": "as text"}
    assert beside(path) == before


def test_a_text_that_is_not_utf8_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made(path, "CREATE TABLE t (x TEXT); INSERT INTO t VALUES (CAST(x'61ff62' AS TEXT)), ('ok');")
    with reading(path) as source:
        first, second = source.rows("t", ("x",))
    assert first.values == {"x": "a\ufffdb"}
    assert first.damaged == {"x": "not UTF-8: invalid start byte at byte 1"}
    assert (second.values, second.damaged) == ({"x": "ok"}, {})


def test_what_is_no_database_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database, but long enough to be looked at" * 20)
    assert not is_sqlite(path.read_bytes())
    with pytest.raises(ImportFailedError, match="not a SQLite database"), reading(path):
        pass
    with pytest.raises(ImportFailedError, match="cannot be read"), reading(tmp_path / "none.db"):
        pass
    assert not (tmp_path / "none.db").exists()


def test_a_missing_table_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made(path, "CREATE TABLE t (x)")
    with reading(path) as source, pytest.raises(ImportFailedError, match=r"'nope'.*\['t'\]"):
        list(source.rows("nope", ("x",)))


def test_rows_before_damage_are_given(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    rows = ", ".join(f"({number}, '{'x' * 900}')" for number in range(100))
    made(path, f"CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES {rows};")
    data = bytearray(path.read_bytes())
    page = 4096 * 20
    data[page : page + 4096] = os.urandom(4096)
    path.write_bytes(data)
    found: list[int] = []

    def read() -> None:
        with reading(path) as source:
            for row in source.rows("t", ("id", "x")):
                found.append(row.values["id"])

    with pytest.raises(ImportFailedError, match="damaged"):
        read()
    assert found == list(range(len(found)))
    assert 0 < len(found) < 100


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made(path, "CREATE TABLE t (x); INSERT INTO t VALUES (1);")

    def read() -> None:
        with reading(path) as source:
            assert [row.values["x"] for row in source.rows("t", ("x",))] == [1]
            made(path, "INSERT INTO t VALUES (2);")

    with pytest.raises(ImportFailedError, match="import it again"):
        read()
