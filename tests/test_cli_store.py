"""Which store a command uses, and how it is opened."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import apsw
import pytest
from cli_support import db, run, spawn
from import_samples import DATA

from eventstore import SessionStore
from eventstore.cli.options import default_path
from eventstore.events.catalogue import MessageAppended, MessageContent
from eventstore.log.port import NewEvent
from eventstore.log.sqlite import SqliteLog

__all__ = ["db"]

SAMPLE = Path(str(files("eventstore.cli") / "demo_session.jsonl"))


# -- which file --------------------------------------------------------------------------------


def test_db_is_accepted_before_and_after_the_command(db: Path) -> None:
    expected = run("sessions", "--db", db).stdout
    assert "Tide tables" in expected
    assert run("--db", db, "sessions").stdout == expected
    assert run("--db", "elsewhere.db", "sessions", "--db", db).stdout == expected
    assert run("sessions", EVENTSTORE_DB=str(db)).stdout == expected
    assert run("--db", db, "sessions", EVENTSTORE_DB="elsewhere.db").stdout == expected
    assert run("sessions", "--db", db, EVENTSTORE_DB="elsewhere.db").stdout == expected


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_your_own_store_is_private(db: Path) -> None:
    assert run("import", SAMPLE).exit_code == 0
    folder = db.parent / "data" / "agent-eventstore"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "sessions.db").stat().st_mode) == 0o600
    assert "Tide table an hour late" in run("sessions").stdout


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/xdg"}, "/xdg"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "/home/ada/.local/share"),
        ("linux", {"XDG_DATA_HOME": ""}, "/home/ada/.local/share"),
        ("freebsd14", {}, "/home/ada/.local/share"),
        ("darwin", {"XDG_DATA_HOME": "/xdg"}, "/home/ada/Library/Application Support"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {"LOCALAPPDATA": ""}, "/home/ada/AppData/Local"),
    ],
)
def test_your_own_store_is_where_the_platform_keeps_data(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert default_path() == Path(expected) / "agent-eventstore" / "sessions.db"


def test_the_demo_leaves_your_own_store_alone(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(db.parent))
    before = db.read_bytes()
    done = run("demo", "--json", EVENTSTORE_DB=str(db))
    made = Path(json.loads(done.stdout)["db"])
    assert made.exists()
    assert made.parent.parent == db.parent
    assert db.read_bytes() == before
    assert not default_path().exists()


# -- how it is opened --------------------------------------------------------------------------


READING = [["sessions"], ["show", "chat-1"], ["resume", "chat-1"], ["log"], ["check"], ["verify"],
           ["doctor"]]  # fmt: skip


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_reading_does_not_write(words: list[str], db: Path) -> None:
    before = db.read_bytes()
    assert run(*words, "--db", db).exit_code == 0
    assert db.read_bytes() == before


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_reading_does_not_wait_for_a_writer(words: list[str], db: Path) -> None:
    connection = apsw.Connection(str(db))
    connection.execute("BEGIN IMMEDIATE")
    try:
        assert run(*words, "--db", db).exit_code == 0
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_projections_that_are_behind_are_caught_up_once(db: Path) -> None:
    log = SqliteLog(db)  # a program without projections
    event = MessageAppended(seq=7, role="user", content=MessageContent(text="late"))
    log.transact(lambda transaction: transaction.append(1, [NewEvent(event)]))
    log.close()
    assert "late" in run("show", "chat-1", "--db", db).stdout
    current = db.read_bytes()
    assert "late" in run("resume", "chat-1", "--db", db).stdout
    assert db.read_bytes() == current


def test_projections_of_another_version_are_derived_anew_once(db: Path) -> None:
    expected = run("sessions", "--json", "--db", db).stdout
    connection = apsw.Connection(str(db))
    connection.execute("UPDATE projections SET version = version + 1000")
    connection.close()
    assert run("sessions", "--json", "--db", db).stdout == expected
    assert run("check", "--db", db).exit_code == 0


def test_the_log_and_verify_work_whatever_became_of_the_projections(db: Path) -> None:
    expected = run("log", "--json", "--db", db).stdout
    connection = apsw.Connection(str(db))
    for name in ("sessions", "messages", "projections"):
        connection.execute(f"DROP TABLE {name}")
    connection.close()
    assert run("log", "--json", "--db", db).stdout == expected
    assert run("verify", "--db", db).exit_code == 0


# -- import ------------------------------------------------------------------------------------


def test_stdin_is_imported_like_a_file(db: Path) -> None:
    done = run("import", "-", "--json", "--db", db, input=SAMPLE.read_bytes())
    [report] = json.loads(done.stdout)
    assert (report["path"], report["format"]) == ("-", "claude-code")
    assert (report["records"], report["appended"]) == (13, 13)
    again = run("import", SAMPLE, "--json", "--db", db)
    [report] = json.loads(again.stdout)
    assert (again.exit_code, report["records"], report["appended"]) == (0, 13, 0)


def test_stdin_is_imported_from_a_pipe(db: Path) -> None:
    process = spawn("import", "-", "--format", "claude-code", "--db", db, stdin=-1)
    stdout, stderr = process.communicate(SAMPLE.read_bytes(), timeout=60)
    assert (process.returncode, stderr) == (0, b"")
    assert stdout.split()[-7:] == [b"claude-code", b"1", b"13", b"11", b"2", b"0", b"13"]


def test_what_was_imported_before_an_error_is_told(db: Path) -> None:
    unknown = db.with_name("notes.txt")
    unknown.write_text("just some notes\n")
    for option in ("--json", "--jsonl"):
        done = run("import", SAMPLE, unknown, option, "--db", db)
        assert done.exit_code == 1
        reports = [json.loads(line.strip(",")) for line in done.stdout.split("\n") if "{" in line]
        assert [report["path"] for report in reports] == [str(SAMPLE)]
        assert json.loads(done.stderr)["error"]["kind"] == "unknown_format"


def test_many_problems_are_told_in_part_and_given_in_full(db: Path) -> None:
    broken = db.with_name("broken.jsonl")
    broken.write_bytes(SAMPLE.read_bytes() + b"{broken\n" * 15)
    done = run("import", broken, "--json", "--db", db)
    assert done.exit_code == 0
    [report] = json.loads(done.stdout)
    assert report["problems"] == len(report["problem_details"]) == 15
    assert done.stderr.count("\n") == 11
    assert "5 more problems" in done.stderr


def test_an_erased_message_says_so(db: Path) -> None:
    with SessionStore.open(db) as store:
        store.session("chat-1").erase_events([5])
    assert (
        "#1 user  2026-01-05 10:11 · compacted\n    [erased]\n"
        in run("show", "chat-1", "--db", db).stdout
    )
    event = json.loads(run("log", "--json", "--content", "--db", db).stdout)[4]
    assert (event["content"], event["erased"]) == (None, True)
    assert "[erased]" in run("log", "--content", "--db", db).stdout
    assert run("verify", "--db", db).exit_code == 0


@pytest.mark.skipif(not DATA.exists(), reason=f"the real transcripts are not at {DATA}")
@pytest.mark.parametrize("folder", ["entire-claude-code", "claude-code-log", "derived-corruption"])
def test_real_transcripts_can_be_imported_listed_shown_and_verified(folder: str, db: Path) -> None:
    new = db.with_name("real.db")
    done = run("import", DATA / folder, "--json", "--db", new)
    assert done.exit_code == 0
    assert sum(report["appended"] for report in json.loads(done.stdout)) > 0
    listed = json.loads(run("sessions", "--json", "--all", "--db", new).stdout)
    for session in listed[:12]:
        for words in (["show"], ["resume"], ["log"]):
            for option in ([], ["--json"]):
                shown = run(*words, session["session_id"], *option, "--db", new)
                assert (shown.exit_code, shown.stderr) == (0, "")
    assert run("verify", "--db", new).exit_code == 0
    assert run("check", "--db", new).exit_code == 0
