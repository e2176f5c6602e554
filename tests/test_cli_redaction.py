"""``eventstore redact``, ``retain`` and ``hold``: what they print, refuse and answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli_support import START, db, golden, run  # noqa: F401
from redaction_support import SECRETS, files_hold

from eventstore import SessionStore

KEY = SECRETS["api-key"][5]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("one", title=f"with {KEY}").append("user", f"my {KEY} and {KEY}")
        store.create("two").append("user", "harmless")
    return path


def told(done: Any) -> Any:
    return json.loads(done.stdout)


def test_a_dry_run_lists_places_without_the_secret(path: Path) -> None:
    done = run("redact", "--all", "--dry-run", "--db", path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "one",
        "       2  title.set                 api-key@1 in title",
        f"          sk-p… ({len(KEY)} characters)",
        "       3  message.appended 1        api-key@1 in text ×2",
        f"          sk-p… ({len(KEY)} characters), sk-p… ({len(KEY)} characters)",
        "3 texts in 2 events to redact",
    ]
    assert KEY[:10] not in done.stdout
    assert files_hold(path, KEY)


def test_redacting_from_the_command_line(path: Path) -> None:
    assert run("redact", "--all", "--db", path).exit_code == 2  # nobody can be asked
    assert run("redact", "--yes", "--db", path).exit_code == 2
    assert run("redact", "one", "--all", "--yes", "--db", path).exit_code == 2
    done = run("redact", "on", "--yes", "--by", "me", "--json", "--db", path)
    assert done.exit_code == 0
    shape = told(done)
    assert (shape["complete"], shape["dry_run"], len(shape["places"])) == (True, False, 2)
    assert shape["places"][1]["replaced"] == [{"part": "text", "detector": "api-key@1", "count": 2}]
    assert files_hold(path, KEY) == []
    again = run("redact", "--all", "--yes", "--db", path)
    assert (again.exit_code, again.stdout) == (1, "")
    assert run("verify", "--db", path).exit_code == 0


def test_detectors_are_listed_and_chosen(path: Path) -> None:
    shape = told(run("redact", "--list-detectors", "--json"))
    assert {one["name"] for one in shape if one["default"]} == {
        "api-key", "jwt", "private-key", "secret", "email",
    }  # fmt: skip
    assert run("redact", "--all", "--detector", "email", "--yes", "--db", path).exit_code == 1
    wrong = run("redact", "--all", "--detector", "nose", "--yes", "--db", path)
    assert wrong.exit_code == 1
    assert "there is no detector 'nose'" in wrong.stderr


def test_a_hold_stops_both_and_is_named(path: Path, tmp_path: Path) -> None:
    placed = run("hold", "place", "one", "case", "--by", "legal", "--json", "--db", path)
    assert [one["hold"] for one in told(placed)] == ["case"]
    named = run("redact", "one", "--yes", "--db", path)
    assert (named.exit_code, named.stdout) == (1, "")
    assert "'case' by legal" in named.stderr
    every = run("redact", "--all", "--yes", "--json", "--db", path)
    assert (every.exit_code, told(every)["held"][0]["session"]) == (1, "one")
    policies = tmp_path / "p.toml"
    policies.write_text("[[policy]]\nname = 'p'\ndo = 'erase'\nolder_than = '0min'\n")
    planned = told(run("retain", "--policy", policies, "--dry-run", "--json", "--db", path))
    done = told(run("retain", "--policy", policies, "--yes", "--json", "--db", path))
    assert done["steps"] == planned["steps"]
    assert [one["session"] for one in done["steps"]] == ["two"]
    assert [one["session"] for one in done["held"]] == ["one"]
    assert done["bytes_after"] > 0
    assert run("hold", "list", "--db", path).stdout.startswith("one  case, placed ")
    released = run("hold", "release", "one", "case", "--db", path)
    assert released.stdout == "released case; 0 holds left\n"
    assert run("hold", "list", "--db", path).exit_code == 1
    last = run("retain", "--policy", policies, "--yes", "--by", "me", "--db", path)
    assert last.exit_code == 0
    assert last.stdout.splitlines()[0] == "p: erase"
    assert run("retain", "--policy", policies, "--yes", "--db", path).exit_code == 1
    assert run("verify", "--db", path).exit_code == 0
    assert files_hold(path, KEY, "harmless") == []


@pytest.mark.parametrize("form", ["json", "txt"])
def test_what_the_commands_say_is_as_shown(form: str, db: Path) -> None:  # noqa: F811
    as_json = ["--json"] if form == "json" else []
    with SessionStore.open(db, clock=lambda: START + 10**9) as store:
        store.session("chat-1").append("user", "mail ada@example.org, PASSWORD=open-sesame-1")
        for name in ("other", "over"):
            store.session(name).place_hold("case-17", by="legal desk", reason="dispute")
    done = run("redact", "--all", "--yes", "--db", db, *as_json)
    assert done.exit_code == 1  # two sessions are held
    golden(f"redact.{form}", done.stdout)
    policies = db.with_name("retention.toml")
    policies.write_text(
        "[[policy]]\nname = 'idle'\ndo = 'erase-content'\nolder_than = '1d'\n"
        "types = ['message.appended']\n"
    )
    done = run("retain", "--policy", policies, "--dry-run", "--db", db, *as_json)
    assert (done.exit_code, done.stderr) == (0, "")
    now = re.sub(r'("at": )"[^"]*"', r'\1"<now>"', done.stdout)
    golden(f"retain.{form}", re.sub(r'("bytes_\w+": )[0-9]+', r"\g<1>0", now))
    done = run("hold", "list", "--db", db, *as_json)
    assert (done.exit_code, done.stderr) == (0, "")
    golden(f"hold.{form}", done.stdout)


@pytest.mark.parametrize(
    "wrong",
    [["place", "one"], ["release"], ["list", "one", "case"], ["keep"],
     ["release", "one", "case", "--until", "2099-01-01"]],
)  # fmt: skip
def test_wrong_usage_of_hold_is_told(path: Path, wrong: list[str]) -> None:
    assert run("hold", *wrong, "--db", path).exit_code == 2


def test_a_wrong_file_of_policies_is_told(path: Path, tmp_path: Path) -> None:
    policies = tmp_path / "p.toml"
    policies.write_text("[[policy]]\nname = 'p'\n")
    done = run("retain", "--policy", policies, "--dry-run", "--json", "--db", path)
    assert done.exit_code == 1
    assert json.loads(done.stderr)["error"]["kind"] == "invalid_value"
    assert run("retain", "--policy", policies, "--db", path).exit_code in (1, 2)
    assert run("retain", "--db", path).exit_code == 2
