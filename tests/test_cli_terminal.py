"""What people see: nothing that could harm a terminal, colour and progress only on one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import pytest
from cli_support import HOSTILE, ROOT, db, run
from hypothesis import given
from hypothesis import strategies as st

from eventstore import SessionStore
from eventstore.cli.output import iso, table
from eventstore.cli.sessions import session_table
from eventstore.cli.text import cut, inline, local_time, on_one_line, visible, width_of

__all__ = ["db"]

SAMPLE = files("eventstore.cli") / "demo_session.jsonl"
WORDS = [["sessions", "--all"], ["show", "other"], ["resume", "other"], ["log", "--content"],
         ["replay", "other"], ["tree"]]  # fmt: skip

#: Control characters that no output may hold: all but tab and line end.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def on_terminal(*arguments: str | Path, columns: int = 80, **environment: str) -> str:
    """What the command shows on a terminal of this width."""
    pty = pytest.importorskip("pty", reason="there are no pseudo terminals here")
    fcntl, struct, termios = __import__("fcntl"), __import__("struct"), __import__("termios")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "eventstore.cli", *map(str, arguments)],
        stdin=slave, stdout=slave, stderr=slave,
        env={**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", "PAGER": "cat", **environment},
    )  # fmt: skip
    os.close(slave)
    data = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        data += piece
    os.close(master)
    assert process.wait(60) in (0, 1)
    return data.decode().replace("\r\n", "\n")


# -- what came from a message --------------------------------------------------------------------


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_control_characters_of_messages_never_reach_the_terminal(
    words: list[str], db: Path
) -> None:
    for option in ([], ["--json"]):
        done = run(*words, *option, "--db", db)
        assert done.exit_code == 0
        assert CONTROL.findall(done.stdout_bytes.decode()) == []
    assert "owned" in run("show", "other", "--db", db).stdout


def test_json_gives_every_message_back_as_it_was(db: Path) -> None:
    messages = json.loads(run("show", "other", "--json", "--db", db).stdout_bytes)["messages"]
    assert [message["text"] for message in messages] == [HOSTILE, "half \ud83d an emoji"]


def test_a_title_cannot_break_out_of_its_line(db: Path) -> None:
    with SessionStore.open(db) as store:
        store.create("titled", title="a\r\nb\x07\u2028c\u202ed")
    for words in (["sessions"], ["show", "titled"]):
        assert "a b\\x07 c\\u202ed\n" in run(*words, "--db", db).stdout
    ambiguous = run("show", "i\x1b\n", "--db", db).stderr
    assert ambiguous.count("\n") == 1
    assert "\x1b" not in ambiguous


@given(st.text(alphabet=st.characters()) | st.text("\ud800\x1b\x9b\n\t\r潮e\u0301", max_size=9))
def test_visible_text_is_harmless_printable_and_keeps_the_rest(text: str) -> None:
    shown = visible(text)
    assert CONTROL.findall(shown) == []
    shown.encode()
    assert "\n" not in inline(text)
    assert "\t" not in inline(text)
    if text.isprintable() and text.isascii():
        assert shown == text == inline(text)


@given(st.text("ab潮e\u0301…", max_size=20), st.integers(0, 24))
def test_cut_text_fits(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width
    if width_of(text) <= width:
        assert cut(text, width) == text


def test_the_cells_of_a_text_are_counted() -> None:
    assert width_of("abc") == 3
    assert width_of("潮汐") == 4
    assert width_of("e\u0301") == 1
    assert on_one_line(" a\n b\tc ") == "a b c"


# -- tables ------------------------------------------------------------------------------------


def test_a_table_is_aligned_and_cuts_one_column_only() -> None:
    rows = [["潮汐", "1", "a long title that is cut"], ["x", "22", "short"]]
    lines = table(("NAME", "N", "TITLE"), rows, right=(1,), flexible=2, width=24)
    assert lines[1:] == ["潮汐   1  a long title …", "x     22  short"]
    assert [width_of(line) for line in lines[1:]] == [24, 15]


def test_a_list_of_sessions_fits_the_terminal(db: Path) -> None:
    with SessionStore.open(db) as store:
        for number in range(3):
            name = f"5f3a9c1e-7b2d-4e68-9a41-0d6c8e2b7f1{number}"
            store.create(name, title="A title that is much too long for " + "narrow " * 20)
        store.create("5f3a9c1e-7b2d", title="its id begins the others")
        infos = store.sessions(statuses=None)
        assert max(map(len, session_table(infos, None)[1:])) > 200
        for width in (100, 120, 300):
            lines = session_table(infos, width)[1:]
            assert max(map(width_of, lines)) <= width
            for info, line in zip(infos, lines, strict=True):
                found = store.find(line.split("  ")[0])
                assert found.id == info.session_id


# -- colour, pager, progress -------------------------------------------------------------------


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_there_is_no_colour_without_a_terminal(words: list[str], db: Path) -> None:
    assert "\x1b" not in run(*words, "--db", db).stdout


def test_colour_on_a_terminal_obeys_no_color(db: Path) -> None:
    plain = on_terminal("show", "chat-1", "--no-pager", "--db", db, NO_COLOR="1")
    assert "\x1b" not in plain
    coloured = on_terminal("show", "chat-1", "--no-pager", "--db", db)
    assert "\x1b[32m\x1b[1m#1 user" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert on_terminal("show", "chat-1", "--no-pager", "--db", db, NO_COLOR="") == coloured


def test_long_text_is_paged_on_a_terminal_only(db: Path, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged\nexec cat\n")
    pager.chmod(0o755)
    for words in (["show", "chat-1"], ["log"]):
        assert "paged" in on_terminal(*words, "--db", db, PAGER=str(pager))
        assert "paged" not in on_terminal(*words, "--no-pager", "--db", db, PAGER=str(pager))
        assert "paged" not in run(*words, "--db", db, PAGER=str(pager)).stdout
    assert "paged" not in on_terminal("sessions", "--db", db, PAGER=str(pager))
    assert "paged" not in on_terminal("show", "chat-1", "--json", "--db", db, PAGER=str(pager))


def test_progress_is_shown_on_a_terminal_only(db: Path) -> None:
    new = db.with_name("new.db")
    shown = on_terminal("import", str(SAMPLE), "--db", new)
    assert "\rimporting demo_session.jsonl: 0.0 MB" in shown
    assert "importing" not in shown.split("\r")[-1], "the line is gone at the end"
    assert run("import", str(SAMPLE), "--db", new).stderr == ""
    assert "verifying 19 of 19 events" in on_terminal("verify", "--db", db)


def test_the_log_fits_the_terminal(db: Path) -> None:
    lines = on_terminal("log", "--no-pager", "--db", db, columns=90).rstrip("\n").split("\n")
    assert len(lines) == 19
    assert max(map(width_of, lines)) <= 90


# -- times -------------------------------------------------------------------------------------


def test_json_times_are_utc_to_the_microsecond(db: Path) -> None:
    assert iso(1_767_607_872_123_456) == "2026-01-05T10:11:12.123456Z"
    assert iso(0) == "1970-01-01T00:00:00.000000Z"
    assert iso(-1) == "1969-12-31T23:59:59.999999Z"
    assert iso(None) is None
    for session in json.loads(run("sessions", "--json", "--db", db).stdout):
        assert datetime.fromisoformat(session["created_at"]).tzinfo is not None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be set here")
def test_times_for_people_are_local(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    assert local_time(1_767_607_872_123_456) == "2026-01-05 15:41"
    assert "2026-01-05 15:41" in run("sessions", "--db", db).stdout


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2026-01-05T10:11:27.123456Z", 1),
        ("2026-01-05T10:11:27.123457Z", 0),
        ("2026-01-05T11:11:26.5+01:00", 1),
        ("2026-01-05T10:11:20", 8),
        ("2026-01-05", 19),
        ("20000d", 19),
        ("3000w", 19),
        ("1s", 0),
        ("5m", 0),
        ("2h", 0),
        ("today", 0),
        ("yesterday", 0),
    ],
)
def test_since_takes_moments_and_spans(since: str, count: int, db: Path) -> None:
    lines = run("log", "--since", since, "--jsonl", "--db", db).stdout.splitlines()
    assert len(lines) == count


def test_the_last_events_are_the_last_that_match(db: Path) -> None:
    def positions(*words: str) -> list[int]:
        output = run("log", *words, "--json", "--db", db).stdout
        return [event["position"] for event in json.loads(output)]

    assert positions("-n", "2") == [18, 19]
    assert positions("-n", "0") == list(range(1, 20))
    assert positions("chat-1", "-n", "3") == [11, 12, 13]
    assert positions("--since", "2026-01-05", "-n", "2") == [18, 19]
    assert positions("chat-1/helper", "--since", "2026-01-05", "-n", "9") == [8, 9]
