"""``eventstore export --format bundle`` and ``verify-bundle``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import apsw
import pytest
from bundle_support import KEY, VKEY, files_of, tar_of
from bundle_support import verify as by_both
from checkpoint_support import private_folders
from cli_support import db, golden, run

from eventstore import Checkpoints, SessionStore
from eventstore.checkpoints.keeping import make
from eventstore.exports.runner import export

__all__ = ["db"]

ORIGIN = "00112233445566778899aabbccddeeff"


@pytest.fixture(autouse=True)
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    private_folders(tmp_path, monkeypatch)
    path = tmp_path / "log.key"
    path.touch(0o600)
    path.write_text(KEY.secret + "\n")
    (tmp_path / "log.vkey").write_text(VKEY + "\n")
    return path


def note_of(path: Path) -> str:
    with SessionStore.open(path, checkpoints=Checkpoints(KEY, side_file=None)) as store:
        made = make(store)
    assert made is not None
    return made.note.note


@pytest.mark.parametrize("form", ["json", "txt"])
def test_what_it_says_is_as_shown(form: str, db: Path, key_file: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.txt"
    older.write_text(note_of(db))
    with SessionStore.open(db) as store:
        store.session("other").erase(by="desk")
    done = run(
        "export", "--all", "-f", "bundle", "-o", "out", "-O", f"key={key_file}", "--recipient",
        "Audit", "--db", db,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    words = ["--json"] if form == "json" else []
    done = run("verify-bundle", "out", "--key", "log.vkey", "--older", older, *words)
    assert done.exit_code == 0, done.output
    golden(f"verify-bundle.{form}", re.sub(r"/[0-9a-f]{32}", "/<origin>", done.stdout))
    assert by_both(Path("out"), older=[older]).exit == 0


def test_each_verdict_has_its_exit_code(db: Path, key_file: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.txt"
    older.write_text(note_of(db))
    made = run("export", "chat-1", "-f", "bundle-tar", "-o", "out.tar", "-O", f"key={key_file}",
               "--db", db)  # fmt: skip
    assert made.exit_code == 0, made.output
    assert run("verify-bundle", "out.tar", "--key", VKEY, "--older", older).exit_code == 0
    assert run("verify-bundle", "out.tar", "--key", VKEY).exit_code == 5
    assert run("verify-bundle", "out.tar").exit_code == 4
    data = Path("out.tar").read_bytes()
    Path("out.tar").write_bytes(data.replace(b"I will look", b"I will hide"))
    assert run("verify-bundle", "out.tar", "--key", VKEY).exit_code == 3
    assert run("verify-bundle", "no such bundle").exit_code == 3
    assert run("verify-bundle", "out.tar", "--older", "no such note").exit_code == 2


def test_a_bundle_holds_the_record_of_its_own_export(db: Path, key_file: Path) -> None:
    words = ["-f", "bundle", "-O", f"key={key_file}", "--recipient", "Audit", "--db", db]
    assert run("export", "chat-1", "-o", "one", *words).exit_code == 0
    last = json.loads(Path("one/events.jsonl").read_bytes().splitlines()[-1])
    assert (last["type"], last["session"]) == ("export.created", "chat-1")
    assert last["content"] == {"recipient": "Audit"}
    assert run("export", "--all", "-o", "all", *words).exit_code == 0
    lines = [json.loads(one) for one in Path("all/events.jsonl").read_bytes().splitlines()]
    assert [one["type"] for one in lines].count("export.created") == 2
    assert tar_of(Path("all")).read_bytes()


def test_content_none_and_types_withhold(db: Path, key_file: Path) -> None:
    words = ["export", "--all", "-f", "bundle", "-O", f"key={key_file}", "--db", db]
    assert run(*words, "-o", "none", "--content", "none").exit_code == 0
    assert by_both(Path("none")).told["shown"] == 0
    assert run(*words, "-o", "some", "-O", "types=title.set, session.ended").exit_code == 0
    lines = [json.loads(one) for one in Path("some/events.jsonl").read_bytes().splitlines()]
    assert {one["type"] for one in lines if "content" in one} == {"title.set", "session.ended"}
    assert run(*words, "-o", "one", "-O", "of=other").exit_code == 0
    assert by_both(Path("one")).exit == 5
    lines = [json.loads(one) for one in Path("one/events.jsonl").read_bytes().splitlines()]
    assert {one["session"] for one in lines if "content" in one} == {"other"}


def test_without_a_key_it_says_that_nobody_signed(db: Path) -> None:
    done = run("export", "--all", "-f", "bundle", "-o", "out", "--db", db)
    assert "not signed" in done.stderr
    assert by_both(Path("out")).verdict == "UNSIGNED"


def test_a_store_that_is_only_read_gives_the_bundle_of_its_newest_checkpoint(db: Path) -> None:
    words = ["export", "--all", "-f", "bundle", "-o", "out", "--no-record", "--db", db]
    done = run(*words)
    assert done.exit_code == 1
    assert "no checkpoint was made" in done.stderr
    assert not Path("out").exists()
    note = note_of(db)
    with SessionStore.open(db) as store:
        store.create("later")
    done = run(*words)
    assert done.exit_code == 0, done.stderr
    assert "ends where the newest checkpoint does" in done.stderr
    assert Path("out/checkpoint").read_text() == note
    assert by_both(Path("out")).exit == 5


def test_the_checkpoint_that_the_recipient_has_can_be_compared(
    db: Path, tmp_path: Path, key_file: Path
) -> None:
    """Also where the store keeps no such note any more: they may be forgotten, the log is not."""
    older = tmp_path / "older.txt"
    older.write_text(note_of(db))
    with SessionStore.open(db) as store:
        for number in range(40):
            store.create(f"more-{number}")
    with apsw.Connection(str(db)) as connection:
        connection.execute("DELETE FROM checkpoint_notes")
    connection.close()
    words = ["export", "chat-1", "-f", "bundle", "-O", f"key={key_file}", "--db", db]
    assert run(*words, "-o", "out", "-O", f"older={older}").exit_code == 0
    assert by_both(Path("out"), older=[older]).exit == 0
    missing = run(*words, "-o", "out2", "-O", "older=nowhere")
    assert missing.exit_code == 1
    assert not Path("out2").exists()


def test_the_api_takes_a_stream(db: Path, tmp_path: Path) -> None:
    with SessionStore.open(db, checkpoints=Checkpoints(KEY, side_file=None)) as store:
        with (tmp_path / "b.tar").open("wb") as out:
            export(store, "bundle-tar", out)
        export(store, "bundle", tmp_path / "b")
    assert by_both(tmp_path / "b.tar").exit == 5
    assert files_of(tmp_path / "b").keys() >= {"checkpoint", "events.jsonl", "manifest.json"}
