"""The past on the command line: points as people type them, contexts, differences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_support import START, db, run

from eventstore import SessionStore

__all__ = ["db"]


def version(db: Path, point: str) -> int:
    done = run("show", "chat-1", "--at", point, "--json", "--db", db)
    assert done.exit_code == 0, done.stderr
    return int(json.loads(done.stdout_bytes)["version"])


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("0", 0), ("11", 11), ("version:3", 3), ("seq:1", 5), (" seq:5 ", 9), ("position:9", 7),
        ("round:0", 4), ("round:1", 11), ("before:1", 8), ("after:1", 9),
        ("2026-01-05T10:11:15Z", 6), ("time:2026-01-05T11:11:15+01:00", 6), ("today", 11),
        ("1999-01-01", 0),
    ],
)  # fmt: skip
def test_a_point_can_be_typed(db: Path, point: str, expected: int) -> None:
    assert version(db, point) == expected


@pytest.mark.parametrize("point", ["seq:", "seq:x", "-1", "round:-1", "sequence:3", "never", ""])
def test_what_is_no_point_is_wrong_usage(db: Path, point: str) -> None:
    for command in ("show", "resume", "context"):
        done = run(command, "chat-1", f"--at={point}", "--db", db)
        assert (done.exit_code, done.stdout) == (2, ""), point


def test_a_point_that_is_not_there_fails_and_names_the_range(db: Path) -> None:
    done = run("resume", "chat-1", "--at", "seq:9", "--json", "--db", db)
    assert (done.exit_code, done.stdout) == (1, "")
    error = json.loads(done.stderr)["error"]
    assert error["kind"] == "unknown_message"
    assert "none above 6" in error["message"]


def test_sessions_takes_no_point_of_one_session(db: Path) -> None:
    done = run("sessions", "--at", "seq:1", "--db", db)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "seq:1" in done.stderr


def test_context_and_resume_agree(db: Path) -> None:
    for point in ("seq:3", "before:1", "after:1", "11"):
        words = ["chat-1", "--at", point, "--db", db]
        sent = json.loads(run("context", *words, "--json", "--format", "openai").stdout_bytes)
        assert sent["sent"] == json.loads(run("resume", *words, "--json").stdout_bytes)


def test_no_difference_is_said_and_nothing_printed(db: Path) -> None:
    words = ["diff", "chat-1", "--from", "9", "--to", "after:1", "--db", db]
    done = run(*words)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "eventstore: no difference\n")
    same = json.loads(run(*words, "--json").stdout_bytes)
    assert (same["settings"], same["messages"]) == ([], [])


def test_diff_needs_two_moments(db: Path) -> None:
    done = run("diff", "chat-1", "--db", db)
    assert done.exit_code == 2
    assert "--from" in done.stderr


def test_texts_of_several_lines_show_the_lines_that_differ(db: Path) -> None:
    with SessionStore.open(db, clock=lambda: START) as store:
        for name, word in (("p", "old"), ("q", "new")):
            session = store.create(name, prompt=f"first\n{word}\nlast")
            session.append("user", "same")
            session.append("assistant", f"one two three four five\nsix {word}\nseven eight nine")
            session.append("user", f"{word} end")
    done = run("diff", "p", "q", "--db", db)
    assert done.stdout == (
        "--- p at version 5\n+++ q at version 5\n"
        "~prompt:\n     @@ -1,3 +1,3 @@\n     first\n-    old\n+    new\n     last\n"
        "@@ 1 message unchanged @@\n"
        "~#2 assistant\n~    text:\n         @@ -1,3 +1,3 @@\n"
        "         one two three four five\n-        six old\n+        six new\n"
        "         seven eight nine\n"
        "-#3 user  2026-01-05 10:11\n-    old end\n+#3 user  2026-01-05 10:11\n+    new end\n"
    )
