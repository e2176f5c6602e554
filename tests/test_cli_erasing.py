"""`eventstore erase` asks first, says what it did and what it left; `vacuum` gives figures."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkpoint_support import needs_cryptography
from cli_support import ROOT, START, db, golden, run

from eventstore import Message, SessionStore
from eventstore.events.catalogue import ExportContent, ExportCreated

__all__ = ["db"]

FORMS = pytest.mark.parametrize("form", ["json", "txt"])
CHOICE = ["chat-1", "--seq", "2", "--keep", "title"]
WORDS = ["--by", "privacy desk", "--reason", "request 12", "--basis", "GDPR 17(1)(b)"]


def related(db: Path) -> None:
    """A title, a fork, an export and a sub-agent that the call in message 2 has to do with."""
    with SessionStore.open(db, clock=itertools.count(START + 10**9).__next__) as store:
        chat = store.session("chat-1")
        chat.set_title("Time zones")
        chat.fork("chat-1/fork-1").append("user", "Again?")
        content = ExportContent(recipient="court")
        chat.add_event(ExportCreated(format="jsonl", to_version=chat.version, content=content))
        store.create("helper", parent=chat, spawn_call_id="call-1").append("user", "Find it.")


def ended(*arguments: str | Path, form: str) -> str:
    done = run(*arguments, *(["--json"] if form == "json" else []))
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout_bytes.decode()


@FORMS
def test_the_plan_and_the_receipt_are_as_shown(form: str, db: Path) -> None:
    related(db)
    before = db.read_bytes()
    golden(f"erase-plan.{form}", ended("erase", *CHOICE, "--dry-run", "--db", db, form=form))
    assert db.read_bytes() == before
    shown = ended("erase", *CHOICE, *WORDS, "--yes", "--db", db, form=form)
    golden(f"erase.{form}", shown)
    again = run("erase", *CHOICE, "--yes", "--db", db)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == "eventstore: there is nothing to erase\n"
    golden(f"erase-session.{form}", ended("erase", "chat-1", "--yes", "--db", db, form=form))
    assert run("show", "chat-1", "--db", db).exit_code == 1
    for command in ("verify", "check"):
        assert run(command, "--db", db).exit_code == 0


@needs_cryptography
def test_a_checkpoint_is_signed_afterwards_with_a_key(db: Path, tmp_path: Path) -> None:
    key = tmp_path / "log.key"
    assert run("keys", "new", "example.com/agents", "--key", key).exit_code == 0
    ended("erase", "other", "--yes", "--key", key, "--db", db, form="txt")
    [made] = json.loads(run("checkpoint", "--list", "--json", "--db", db).stdout)
    with SessionStore.open(db) as store:
        assert (made["reason"], made["size"]) == ("erasure", store.head.position)


def test_a_dry_run_of_a_search_finds_what_was_not_indexed_yet(db: Path) -> None:
    shown = ended("erase", "--search", "harbour", "--dry-run", "--db", db, form="txt")
    assert "message.appended 1" in shown
    with SessionStore.open(db) as store:
        assert not store.session("chat-1/helper").message(1).erased


@FORMS
def test_finishing_is_as_shown(form: str, db: Path) -> None:
    with SessionStore.open(db) as store, store.log.snapshot() as connection:
        connection.execute("SELECT count(*) FROM events").fetchall()
        done = run("erase", "other", "--yes", "--db", db)
        assert done.exit_code == 1
        assert re.search(r"not complete: .*held the write-ahead log.*erase --finish", done.stderr)
        held = run("erase", "--finish", "--db", db)
        assert (held.exit_code, held.stdout) == (1, "")
        assert "held the write-ahead log" in held.stderr
        doctor = json.loads(run("doctor", "--json", "--db", db).stdout)
        assert "file.erasures" in [one["code"] for one in doctor["findings"]]
    golden(f"erase-finish.{form}", ended("erase", "--finish", "--db", db, form=form))


@FORMS
def test_the_figures_of_vacuum_are_as_shown(form: str, db: Path) -> None:
    with SessionStore.open(db) as store:
        large = store.create("large")
        large.append_many([Message(role="user", content=f"{n}" * 200_000) for n in range(5)])
        large.erase()
    shown = ended("vacuum", "--db", db, form=form)
    golden(f"vacuum.{form}", re.sub(r"\d[\d,]*\d", "99", shown))
    packed = json.loads(run("vacuum", "--full", "--json", "--db", db).stdout)
    assert (packed["full"], packed["after"]["free_bytes"]) == (True, 0)
    late = run("vacuum", "--seconds", "0", "--db", db)
    assert (late.exit_code, late.stderr) == (0, "")
    assert run("vacuum", "--seconds", "1", "--full", "--db", db).exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["erase", "chat-1"], "nobody can be asked"),
        (["erase", "--yes"], "nothing was chosen"),
        (["erase", "chat-1", "--seq", "x", "--yes"], "no number and no range"),
        (["erase", "--metadata", "user", "--yes"], "is not KEY=VALUE"),
        (["erase", "chat-1", "--seq", "1", "--reason", "why is high water an hour late?", "--yes"],
         "repeats what is erased"),
        (["erase", "--search", "?", "--dry-run"], "no word"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_nothing_is_erased(
    words: list[str], message: str, db: Path
) -> None:
    before = run("log", "--content", "--db", db).stdout_bytes
    done = run(*words, "--db", db)
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert run("log", "--content", "--db", db).stdout_bytes == before


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_person_is_asked(answer: str, db: Path) -> None:
    pty = pytest.importorskip("pty", reason="there are no pseudo terminals here")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "eventstore.cli", "erase", "chat-1", "--seq", "1", "--db", str(db)],
        stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    os.close(slave)
    time.sleep(0.1)
    os.write(master, f"{answer}\n".encode())
    out, err = process.communicate(timeout=60)
    os.close(master)
    assert b"Erase this for good?" in err
    assert b"message.appended 1" in err
    assert process.returncode == (0 if answer == "y" else 1)
    assert (b"complete: no trace" in out) == (answer == "y")
    with SessionStore.open(db) as store:
        assert store.session("chat-1").message(1).erased == (answer == "y")
        assert store.session("chat-1").message(5).erased == (answer == "y")


def test_hostile_texts_do_no_harm_in_a_receipt(db: Path) -> None:
    with SessionStore.open(db) as store:
        content = ExportContent(recipient="\x1b[2Jcourt")
        store.session("other").add_event(
            ExportCreated(format="jsonl", to_version=9, content=content)
        )
    shown = run("erase", "other", "--only", "--seq", "1", "--yes", "--db", db).stdout
    assert "\\x1b[2Jcourt" in shown
    assert "\x1b" not in shown
