"""Exit codes and messages: what went wrong is said in one line, never in a traceback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
import pytest
from cli_support import ROOT, db, run, spawn

from eventstore import SessionStore

__all__ = ["db"]

READING = [["sessions"], ["show", "x"], ["resume", "x"], ["log"], ["check"], ["verify"],
           ["doctor"], ["replay", "x"], ["fixture", "x"], ["tree"], ["consumers"]]  # fmt: skip


def damage(path: Path, sql: str) -> None:
    """Change the file behind the program's back."""
    with SessionStore.open(path, readonly=True) as store, store.log.reader() as connection:
        triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        names = [name for (name,) in triggers.fetchall()]
    connection = apsw.Connection(str(path))
    for name in names:
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute(sql)
    connection.close()


# -- 1: failed, or nothing found ---------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [*READING, ["rebuild"], ["fork", "x"]], ids=lambda words: words[0]
)
def test_only_import_and_demo_create_a_store(words: list[str], db: Path) -> None:
    missing = db.with_name("missing.db")
    done = run(*words, "--db", missing)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"eventstore: error: there is no store at {missing}")
    assert done.stderr.count("\n") == 1
    assert not missing.exists()


@pytest.mark.parametrize("words", [*READING, ["rebuild"], ["import", "f"]], ids=lambda w: w[0])
def test_a_file_that_is_no_store_is_left_alone(words: list[str], db: Path) -> None:
    other = db.with_name("f")
    other.write_bytes(b"not a database at all\n" * 100)
    done = run(*words, "--db", other)
    assert done.exit_code == 1
    assert done.stderr == f"eventstore: error: {other} is not a SQLite database\n"
    assert other.read_bytes() == b"not a database at all\n" * 100


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_reading_does_not_make_an_empty_file_a_store(words: list[str], db: Path) -> None:
    empty = db.with_name("empty.db")
    empty.touch()
    assert run(*words, "--db", empty).exit_code == 1
    assert empty.stat().st_size == 0


def test_a_directory_is_no_store(db: Path) -> None:
    done = run("sessions", "--db", db.parent)
    assert done.exit_code == 1
    assert "is a directory" in done.stderr


@pytest.mark.parametrize("command", ["show", "resume", "log", "replay"])
def test_an_id_is_found_by_a_unique_beginning(command: str, db: Path) -> None:
    assert run(command, "oth", "--db", db).stdout == run(command, "other", "--db", db).stdout
    assert run(command, "chat-1", "--db", db).exit_code == 0, "an exact id is not ambiguous"
    unknown = run(command, "nobody", "--db", db)
    assert unknown.exit_code == 1
    assert "no session id starts with 'nobody'" in unknown.stderr
    ambiguous = run(command, "chat", "--db", db)
    assert ambiguous.exit_code == 1
    assert "2 session ids start with 'chat': chat-1, chat-1/helper" in ambiguous.stderr
    invalid = run(command, "\udcff", "--db", db)
    assert invalid.exit_code == 1
    assert "not UTF-8" in invalid.stderr


@pytest.mark.parametrize("command", ["show", "resume"])
def test_a_version_that_never_was_is_refused(command: str, db: Path) -> None:
    done = run(command, "chat-1", "--at", "12", "--db", db)
    assert done.exit_code == 1
    assert done.stderr == "eventstore: error: session 'chat-1' has versions 0 to 11, not 12\n"


@pytest.mark.parametrize(
    "words",
    [["sessions", "--source", "none"], ["log", "--since", "now+"], ["log", "--since", "0s"]],
)
def test_nothing_found_is_exit_code_1(words: list[str], db: Path) -> None:
    if words[-1] == "now+":
        words = [*words[:-1], "2999-01-01"]
    for option, empty in (("--json", "[]\n"), ("--jsonl", "")):
        done = run(*words, option, "--db", db)
        assert (done.exit_code, done.stdout) == (1, empty)
    done = run(*words, "--db", db)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("eventstore: no ")


def test_an_import_that_finds_no_record_is_exit_code_1(db: Path) -> None:
    folder = db.with_name("empty")
    folder.mkdir()
    done = run("import", folder, "--json", "--db", db)
    assert (done.exit_code, done.stdout) == (1, "[]\n")
    assert done.stderr == "eventstore: no records found\n"


def test_a_file_of_no_known_format_is_named(db: Path) -> None:
    unknown = db.with_name("notes.txt")
    unknown.write_text("just some notes\n")
    done = run("import", unknown, "--db", db)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"eventstore: error: {unknown} is in none of the known formats")


def test_a_folder_with_a_file_that_cannot_be_imported_fails_and_imports_the_rest(db: Path) -> None:
    folder = db.with_name("mixed")
    folder.mkdir()
    (folder / "a.jsonl").write_text("just some notes\n")
    (folder / "b.jsonl").write_text(
        '{"type":"summary","summary":"kept","leafUuid":"u","sessionId":"mixed"}\n{damaged\n'
    )
    done = run("import", folder, "--json", "--db", db)
    assert done.exit_code == 1
    assert [report["appended"] for report in json.loads(done.stdout)] == [0, 2]
    assert "1 file could not be imported" in done.stderr
    assert run("show", "mixed", "--source", "--db", db).stdout.endswith("{damaged\n")
    (folder / "a.jsonl").unlink()
    assert run("import", folder, "--db", db).exit_code == 0


def test_the_demo_never_touches_a_file_that_exists(db: Path) -> None:
    before = db.read_bytes()
    done = run("demo", "--db", db)
    assert done.exit_code == 1
    assert "exists; the demo only makes new stores" in done.stderr
    assert db.read_bytes() == before


def test_an_error_of_the_system_is_one_line_too(db: Path) -> None:
    blocked = db.with_name("file")
    blocked.touch()
    done = run("import", blocked, XDG_DATA_HOME=str(blocked))
    assert done.exit_code == 1
    assert done.stderr.startswith("eventstore: error: [Errno ")
    error = json.loads(run("import", blocked, "--json", XDG_DATA_HOME=str(blocked)).stderr)
    assert error["error"]["kind"] in ("not_a_directory", "file_exists")


def test_an_error_kind_is_the_errors_name(db: Path) -> None:
    def kind(*words: str | Path) -> str:
        error: dict[str, Any] = json.loads(run(*words, "--json").stderr)
        assert list(error) == ["error"]
        assert list(error["error"]) == ["kind", "message"]
        return str(error["error"]["kind"])

    assert kind("sessions", "--db", db.with_name("no.db")) == "store_missing"
    assert kind("sessions", "--db", db.parent) == "not_a_store"
    assert kind("show", "chat", "--db", db) == "ambiguous_session"
    assert kind("show", "chat-1", "--at", "99", "--db", db) == "invalid_range"


# -- 2: wrong usage ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["show"],
        ["import"],
        ["import", "no-such-file.jsonl"],
        ["import", "-", "--format", "telepathy"],
        ["sessions", "--status", "lost"],
        ["sessions", "--all", "--status", "ended"],
        ["sessions", "--json", "--jsonl"],
        ["sessions", "-n", "0"],
        ["resume", "chat-1", "--limit", "0"],
        ["show", "chat-1", "--at", "-1"],
        ["log", "--since", "a while ago"],
        ["log", "--since", "999999999999d"],
        ["rebuild", "nonsense"],
        ["verify", "--jsonl"],
        ["demo", "--db", ":memory:"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(words: list[str], db: Path) -> None:
    done = run("--db", db, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Usage: eventstore" in done.stderr


# -- 3: an integrity problem -------------------------------------------------------------------


def test_verify_finds_what_was_changed(db: Path) -> None:
    damage(db, "UPDATE contents SET body = replace(body, 'hour', 'year') WHERE position = 5")
    done = run("verify", "--db", db)
    assert done.exit_code == 3
    assert "event 5: content: the content is not what was committed to\n" in done.stdout
    assert "19 events, 1 finding: the log was changed" in done.stdout
    found = run("verify", "--json", "--db", db)
    assert found.exit_code == 3
    answer = json.loads(found.stdout)
    assert answer["ok"] is False
    assert [one["position"] for one in answer["findings"]] == [5]
    assert answer["findings"][0]["kind"] == "content"


def test_check_finds_what_the_log_does_not_give_and_rebuild_puts_it_right(db: Path) -> None:
    damage(db, "UPDATE sessions SET messages = 99 WHERE stream = 1")
    done = run("check", "--db", db)
    assert done.exit_code == 3
    assert "2 differences; run `eventstore rebuild`" in done.stdout
    answer = json.loads(run("check", "--json", "--db", db).stdout)
    assert answer["ok"] is False
    assert {(one["table"], one["kind"]) for one in answer["differences"]} == {
        ("sessions", "extra"),
        ("sessions", "missing"),
    }
    assert run("check", "lineage", "--db", db).exit_code == 0
    assert run("rebuild", "sessions", "--db", db).exit_code == 0
    assert run("check", "--db", db).exit_code == 0


@pytest.mark.parametrize("words", [["show", "chat-1"], ["log", "--content"]], ids=lambda w: w[0])
def test_a_damaged_store_is_exit_code_3(words: list[str], db: Path) -> None:
    damage(db, "UPDATE contents SET body = '{' WHERE position = 5")
    done = run(*words, "--db", db)
    assert done.exit_code == 3
    assert done.stderr.startswith("eventstore: error: event 5 ")
    assert json.loads(run(*words, "--json", "--db", db).stderr)["error"]["kind"] == "corrupt_store"


def test_verify_goes_on_where_pages_are_damaged(db: Path) -> None:
    data = bytearray(db.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    db.write_bytes(data)
    done = run("verify", "--json", "--db", db)
    assert done.exit_code == 3
    if done.stdout:
        assert json.loads(done.stdout)["ok"] is False
    else:
        assert json.loads(done.stderr)["error"]["kind"] == "corrupt_store"


# -- 130: interrupted --------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_an_interrupt_is_exit_code_130(db: Path, options: list[str]) -> None:
    process = spawn("import", "-", "--db", db, *options, stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        for _ in range(200):  # stdin is spooled to a temporary file once the import runs
            time.sleep(0.02)
            if db.with_name("sessions.db-wal").exists():
                break
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    if options:
        assert json.loads(stderr)["error"]["kind"] == "interrupted"
    else:
        assert stderr == b"eventstore: error: interrupted\n"


# -- the process -------------------------------------------------------------------------------


def test_it_runs_as_a_module(db: Path) -> None:
    process = spawn("sessions", "--db", db)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, b"")
    assert stdout.decode() == run("sessions", "--db", db).stdout


def test_a_closed_pipe_is_silent(db: Path) -> None:
    with SessionStore.open(db) as store:
        session = store.create("long")
        for number in range(200):
            session.append("user", f"{number} " + "x" * 2_000)
    process = spawn("log", "--content", "--jsonl", "--db", db)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 1
    process.stderr.close()


def test_a_stdout_that_is_not_utf_8_does_not_break_the_text(db: Path) -> None:
    process = spawn("show", "chat-1", "--db", db, env={"PYTHONIOENCODING": "latin-1"})
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, b"")
    assert b"Fix it: \\u6f6e\\u6c50\\u8868" in stdout


def test_the_modules_can_be_imported_without_running_anything() -> None:
    code = "import eventstore.cli.__main__, eventstore.cli; print(eventstore.cli.main.name)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "main\n", "")
