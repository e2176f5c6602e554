"""The output is a contract: what each command prints is pinned, JSON and text."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import apsw
import pytest
from cli_support import START, db, golden, run

from eventstore import SessionStore

__all__ = ["db"]

COMMANDS: dict[str, list[str]] = {
    "sessions": ["sessions"],
    "sessions-all": ["sessions", "--all", "-n", "2"],
    "sessions-at": ["sessions", "--at", "position:9"],
    "show": ["show", "chat-1"],
    "show-hostile": ["show", "other"],
    "show-at": ["show", "chat-1", "--at", "6"],
    "show-time": ["show", "chat-1", "--at", "2026-01-05T10:11:15Z"],
    "resume": ["resume", "chat-1"],
    "resume-at": ["resume", "chat-1", "--at", "6", "--limit", "2"],
    "resume-before": ["resume", "chat-1", "--at", "before:1"],
    "context": ["context", "chat-1"],
    "context-openai": ["context", "chat-1", "--at", "before:1", "--format", "openai"],
    "context-anthropic": ["context", "chat-1", "--at", "seq:3", "--format", "anthropic"],
    "context-hostile": ["context", "other"],
    "diff": ["diff", "chat-1", "--from", "before:1", "--to", "after:1"],
    "diff-all": ["diff", "chat-1", "--from", "seq:4", "--all"],
    "diff-sessions": ["diff", "chat-1", "other"],
    "log": ["log"],
    "log-content": ["log", "chat-1", "-n", "4", "--content"],
    "search": ["search", "it OR 潮汐 OR fix*"],
    "search-newest": ["search", "hours NOT nothing", "--newest", "-n", "2"],
    "search-context": ["search", "look", "-C", "1"],
    "search-hostile": ["search", "owned"],
    "replay": ["replay", "chat-1"],
    "replay-until": [
        "replay",
        "chat-1",
        "--from",
        "5",
        "--type",
        "prompt.changed",
        "--until",
        "tool=read and text~look",
    ],
    "replay-hostile": ["replay", "other"],
    "tree": ["tree"],
    "tree-session": ["tree", "chat-1"],
    "consumers": ["consumers"],
    "stats": ["stats"],
    "stats-model": ["stats", "--by", "model"],
    "stats-day": ["stats", "--by", "day"],
    "stats-lineage": ["stats", "--by", "lineage", "-n", "2"],
    "rebuild": ["rebuild"],
    "check": ["check"],
    "verify": ["verify"],
    "doctor": ["doctor"],
}
LISTINGS = [
    name
    for name, words in COMMANDS.items()
    if words[0] in ("sessions", "show", "search", "stats", "log", "replay", "tree", "consumers")
]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_json_is_as_promised(name: str, db: Path) -> None:
    done = run(*COMMANDS[name], "--json", "--db", db)
    assert (done.exit_code, done.stderr) == (0, "")
    json.loads(done.stdout_bytes)
    golden(f"{name}.json", done.stdout_bytes.decode())


@pytest.mark.parametrize("name", LISTINGS)
def test_json_lines_are_the_elements_of_the_array(name: str, db: Path) -> None:
    array = json.loads(run(*COMMANDS[name], "--json", "--db", db).stdout_bytes)
    lines = run(*COMMANDS[name], "--jsonl", "--db", db).stdout_bytes.splitlines()
    expected = array["messages"] if name.startswith("show") else array
    assert [json.loads(line) for line in lines] == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_the_text_is_as_shown(name: str, db: Path) -> None:
    done = run(*COMMANDS[name], "--db", db)
    assert (done.exit_code, done.stderr) == (0, "")
    golden(f"{name}.txt", done.stdout_bytes.decode())


@pytest.mark.parametrize("form", ["json", "txt"])
def test_what_the_doctor_finds_and_fixes_is_as_shown(form: str, db: Path) -> None:
    connection = apsw.Connection(str(db))
    connection.execute("DELETE FROM usage; CREATE TABLE diary (day TEXT)")
    connection.close()
    done = run("doctor", "--fix", "--db", db, *(["--json"] if form == "json" else []))
    assert (done.exit_code, done.stderr) == (0, "")
    golden(f"doctor-fix.{form}", done.stdout_bytes.decode())


@pytest.mark.parametrize("form", ["json", "txt"])
@pytest.mark.parametrize("name", ["proof", "proof-growth"])
def test_what_proofs_say_is_as_shown(name: str, form: str, db: Path) -> None:
    words = {"proof": ["12", "--size", "19"], "proof-growth": ["--from", "12"]}[name]
    done = run("proof", *words, *(["--json"] if form == "json" else []), "--db", db)
    assert (done.exit_code, done.stderr) == (0, "")
    golden(f"{name}.{form}", done.stdout)


@pytest.mark.parametrize("form", ["json", "txt"])
def test_what_salvage_saves_and_loses_is_as_shown(form: str, db: Path) -> None:
    connection = apsw.Connection(str(db), flags=apsw.SQLITE_OPEN_READONLY)
    [[page]] = connection.execute("SELECT min(pageno) FROM dbstat WHERE name = 'contents'")
    connection.close()
    data = bytearray(db.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = bytes(4096)
    db.write_bytes(data)
    as_json = ["--json"] if form == "json" else []
    done = run("salvage", db, db.with_name("new.db"), *as_json)
    assert (done.exit_code, done.stderr) == (3, "")
    golden(f"salvage.{form}", re.sub("salvage-[0-9a-f]{12}", "salvage-…", done.stdout))


def erased(db: Path) -> None:
    """After a backup, two events of one session and another session wholly."""
    run("backup", db, db.with_name("backup.db"))
    with SessionStore.open(db, clock=itertools.count(START + 10**9).__next__) as store:
        chat = store.session("chat-1")
        chat.erase_events([one.position for one in chat.history()[:2]], by="desk", reason="r 1")
        store.session("other").erase()


@pytest.mark.parametrize("form", ["json", "txt"])
def test_what_backup_and_restore_say_is_as_shown(form: str, db: Path) -> None:
    as_json = ["--json"] if form == "json" else []
    erased(db)
    done = run("backup", db, db.with_name("second.db"), *as_json)
    assert (done.exit_code, done.stderr) == (0, "")
    size = re.compile(r'[0-9,]+( bytes)|("bytes": )[0-9]+')
    golden(f"backup.{form}", size.sub(r"\g<2>0\1", done.stdout))
    done = run("erasures", "--db", db, *as_json)
    assert (done.exit_code, done.stderr) == (0, "")
    golden(f"erasures.{form}", re.sub(r"\b[0-9a-f]{32}\b", "<uid>", done.stdout))
    done = run("restore", db.with_name("backup.db"), db, *as_json)
    assert (done.exit_code, done.stderr) == (0, "")
    golden(f"restore.{form}", done.stdout.replace(str(db.parent), "<dir>"))


@pytest.fixture
def transcripts(db: Path) -> Path:
    """A folder with the demo's transcript, with one damaged line, and an empty file."""
    folder = db.parent / "transcripts"
    folder.mkdir()
    with as_file(files("eventstore.cli") / "demo_session.jsonl") as sample:
        shutil.copy(sample, folder / "a.jsonl")
    with (folder / "a.jsonl").open("ab") as file:
        file.write(b'{"type": "user", \n')
    (folder / "b.jsonl").touch()
    return folder


def test_the_json_of_import_is_as_promised(db: Path, transcripts: Path) -> None:
    done = run("import", transcripts, "--json", "--db", db)
    assert done.exit_code == 0
    golden("import.json", done.stdout_bytes.decode())
    golden("import.stderr", done.stderr)
    for report in json.loads(done.stdout_bytes):
        for name in ("records", "messages", "tool_calls", "problems", "appended"):
            assert type(report[name]) is int


def test_the_json_lines_of_import_are_its_reports(db: Path, transcripts: Path) -> None:
    array = json.loads(run("import", transcripts, "--json", "--db", db.with_name("1.db")).stdout)
    lines = run("import", transcripts, "--jsonl", "--db", db.with_name("2.db")).stdout.splitlines()
    assert [json.loads(line) for line in lines] == array


def test_the_text_of_import_is_as_shown(db: Path, transcripts: Path) -> None:
    done = run("import", "transcripts", "--db", db)
    assert done.exit_code == 0
    golden("import.txt", done.stdout)


def test_the_json_of_the_demo_is_as_promised(db: Path) -> None:
    done = run("demo", "--json", "--db", db.with_name("new.db"))
    assert (done.exit_code, done.stderr) == (0, "")
    json.loads(done.stdout_bytes)
    golden("demo.json", done.stdout_bytes.decode())


def test_the_demo_tells_its_story(db: Path) -> None:
    done = run("demo", "--db", db.with_name("new.db"))
    assert (done.exit_code, done.stderr) == (0, "")
    golden("demo.txt", done.stdout_bytes.decode())


def test_the_json_of_fork_is_as_promised(db: Path) -> None:
    done = run("fork", "chat-1", "--at", "seq:3", "--id", "again", "--json", "--db", db)
    assert (done.exit_code, done.stderr) == (0, "")
    shown = json.loads(done.stdout_bytes)["session"]
    assert (shown["origin"], shown["origin_version"], shown["active_messages"]) == ("chat-1", 7, 3)
    times = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", done.stdout_bytes.decode())
    golden("fork.json", times)


def test_fork_prints_the_new_id_alone(db: Path) -> None:
    done = run("fork", "chat-1", "--at", "before:1", "--id", "again", "--db", db)
    assert (done.exit_code, done.stdout) == (0, "again\n")
    assert done.stderr == "eventstore: a fork of chat-1 at version 8, with 4 active messages\n"
    past = run("resume", "chat-1", "--at", "before:1", "--json", "--db", db)
    assert run("resume", "again", "--json", "--db", db).stdout == past.stdout
    made = run("fork", "chat-1", "--db", db).stdout.strip()
    assert run("show", made, "--db", db).exit_code == 0
    assert run("fork", "chat-1", "--id", "again", "--db", db).exit_code == 1
    assert run("fork", "chat-1", "--at", "0", "--db", db).exit_code == 1


def test_the_json_of_fixture_is_as_promised(db: Path) -> None:
    done = run("fixture", "chat-1", "--json", "--db", db)
    assert (done.exit_code, done.stderr) == (0, "")
    golden("fixture.json", done.stdout_bytes.decode())
    golden("fixture-file.txt", Path("replay_chat_1.json").read_text("utf-8"))
    golden("fixture-test.txt", Path("test_replay_chat_1.py").read_text("utf-8"))


def test_errors_are_json_too(db: Path) -> None:
    done = run("show", "nobody", "--json", "--db", db)
    assert (done.exit_code, done.stdout) == (1, "")
    golden("error.json", done.stderr)
