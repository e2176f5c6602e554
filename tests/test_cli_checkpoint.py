"""``eventstore checkpoint`` and ``keys``: what an operator does, and what each exit code says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import apsw
import pytest
from checkpoint_support import copied, needs_cryptography, private_folders, put_back
from cli_support import db, golden, run

from eventstore import SessionStore
from eventstore.checkpoints import checkpoint as forms
from eventstore.checkpoints import keyfiles
from eventstore.checkpoints.keys import SignerKey

__all__ = ["db"]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_folders(tmp_path, monkeypatch)


@pytest.fixture
def key(tmp_path: Path) -> SignerKey:
    """The user's only key, always the same one."""
    made = SignerKey("example.com/agents", bytes(32))
    folder = keyfiles.keys_folder()
    folder.mkdir(parents=True)
    file = folder / f"{made.key_id.hex()}.key"
    file.touch(0o600)
    file.write_text(f"{made.secret}\n")
    return made


def shown(text: str, tmp_path: Path) -> str:
    text = re.sub(r"agent-eventstore/[0-9a-f]{32}", "agent-eventstore/<origin>", text)
    text = re.sub(r"(\\n|^)[A-Za-z0-9+/]{43}=", r"\1<base64>", text, flags=re.MULTILINE)
    text = re.sub(r"(\u2014 \S+ )[A-Za-z0-9+/]+=*", r"\1<signature>", text)
    return text.replace(str(tmp_path), "<dir>")


# -- goldens -----------------------------------------------------------------------------------


@needs_cryptography
@pytest.mark.parametrize("form", ["json", "txt"])
def test_what_checkpoints_say_is_as_shown(
    form: str, db: Path, key: SignerKey, tmp_path: Path
) -> None:
    as_json = ["--json"] if form == "json" else []
    anchor = f"file:{tmp_path}/anchor"
    done = run("checkpoint", "--anchor", anchor, "--db", db, *as_json)
    assert (done.exit_code, done.stderr) == (0, "")
    golden(f"checkpoint.{form}", times(shown(done.stdout, tmp_path)))
    if form == "json":
        (tmp_path / "note").write_text(json.loads(done.stdout)["note"])
    else:
        (tmp_path / "note").write_text(done.stdout)
    done = run("checkpoint", "--list", "--db", db, *as_json)
    assert (done.exit_code, done.stderr) == (0, "")
    golden(f"checkpoint-list.{form}", times(shown(done.stdout, tmp_path)))
    vkey = ["--vkey", str(key.verifier)]
    done = run("checkpoint", "--verify", tmp_path / "note", *vkey, "--db", db, *as_json)
    assert done.exit_code == 0
    golden(f"checkpoint-verify.{form}", shown(done.stdout, tmp_path))
    done = run("checkpoint", "--verify-anchors", "--anchor", anchor, *vkey, "--db", db, *as_json)
    assert done.exit_code == 0
    golden(f"checkpoint-anchors.{form}", shown(done.stdout, tmp_path))


def times(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "<time>", text)


@needs_cryptography
@pytest.mark.parametrize("form", ["json", "txt"])
def test_what_keys_say_is_as_shown(form: str, key: SignerKey, tmp_path: Path) -> None:
    done = run("keys", *(["--json"] if form == "json" else []))
    assert (done.exit_code, done.stderr) == (0, "")
    folder = str(keyfiles.keys_folder())
    golden(f"keys.{form}", done.stdout.replace(folder, "<keys>"))


# -- keys --------------------------------------------------------------------------------------


@needs_cryptography
def test_a_new_key_is_private_and_only_its_public_part_is_printed() -> None:
    done = run("keys", "new", "example.com/log")
    assert done.exit_code == 0
    [made] = keyfiles.listed()
    assert done.stdout.splitlines()[0] == str(made.verifier)
    path = Path(made.path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    secret = path.read_text().strip()
    assert secret.startswith("PRIVATE+KEY+example.com/log+")
    for words in (["keys"], ["keys", "list", "--json"], ["keys", "show"]):
        said = run(*words)
        assert said.exit_code == 0
        assert secret.rpartition("+")[2] not in said.output + done.output


@needs_cryptography
def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "my.key"
    assert run("keys", "new", "--key", file).exit_code == 0
    before = file.read_text()
    done = run("keys", "new", "--key", file)
    assert (done.exit_code, "never written over" in done.stderr) == (1, True)
    assert file.read_text() == before


@needs_cryptography
def test_a_key_is_shown_by_name_id_or_file(tmp_path: Path) -> None:
    run("keys", "new", "one")
    run("keys", "new", "two")
    first, second = sorted(keyfiles.listed(), key=lambda key: key.verifier.name)
    assert run("keys", "show", "one").stdout == f"{first.verifier}\n"
    assert run("keys", "show", second.verifier.key_id.hex()).stdout == f"{second.verifier}\n"
    assert run("keys", "show", "--key", first.path).stdout == f"{first.verifier}\n"
    assert run("keys", "show", EVENTSTORE_KEY=second.path).stdout == f"{second.verifier}\n"
    assert run("keys", "show", "three").exit_code == 1
    done = run("keys", "show")
    assert (done.exit_code, "there are 2 keys" in done.stderr) == (1, True)


def test_without_keys_there_is_nothing_to_list() -> None:
    done = run("keys")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "keys new" in done.stderr


@needs_cryptography
def test_a_key_that_others_can_read_is_refused(db: Path, tmp_path: Path) -> None:
    file = tmp_path / "my.key"
    run("keys", "new", "--key", file)
    file.chmod(0o644)
    done = run("checkpoint", "--key", file, "--db", db)
    assert (done.exit_code, "others can read" in done.stderr) == (1, True)


@needs_cryptography
def test_a_file_that_holds_no_key_is_an_error_that_does_not_show_it(
    db: Path, tmp_path: Path
) -> None:
    file = tmp_path / "my.key"
    file.touch(0o600)
    file.write_text("PRIVATE+KEY+n+00000000+c2VjcmV0IHNlY3JldA==\n")
    done = run("checkpoint", "--key", file, "--db", db)
    assert done.exit_code == 1
    assert "c2Vjcm" not in done.output
    assert run("checkpoint", "--key", tmp_path / "none", "--db", db).exit_code == 1


# -- checkpoints -------------------------------------------------------------------------------


def test_without_a_key_the_note_is_unsigned_and_that_is_said(db: Path) -> None:
    done = run("checkpoint", "--db", db)
    assert done.exit_code == 0
    assert "not signed" in done.stderr
    assert forms.read(done.stdout)[1].signatures == ()
    done = run("checkpoint", "--unsigned", "--db", db)
    assert (done.exit_code, done.stderr) == (0, "")


@needs_cryptography
def test_the_note_is_what_is_printed(db: Path, key: SignerKey, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text(run("checkpoint", "--db", db).stdout)
    found, written = forms.read(note.read_text())
    assert (found.size, len(written.signatures)) == (19, 1)
    done = run("checkpoint", "--verify", note, "--vkey", str(key.verifier), "--db", db)
    assert (done.exit_code, "signed by example.com/agents" in done.stderr) == (0, True)
    done = run("checkpoint", "--verify", "-", "--db", db, input=note.read_bytes())
    assert (done.exit_code, "no signature was verified" in done.stderr) == (0, True)


@needs_cryptography
def test_a_note_by_another_key_is_refused(db: Path, key: SignerKey, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text(run("checkpoint", "--db", db).stdout)
    other = SignerKey("other", bytes([1]) * 32).verifier
    done = run("checkpoint", "--verify", note, "--vkey", str(other), "--db", db)
    assert (done.exit_code, "no key that is trusted" in done.stderr) == (1, True)


def test_exit_code_3_where_the_log_is_not_what_it_was(db: Path, tmp_path: Path) -> None:
    copy = copied(db, "old.db")
    with SessionStore.open(db) as store:
        store.session("chat-1").append("user", "more")
    note = tmp_path / "note"
    note.write_text(run("checkpoint", "--db", db).stdout)
    put_back(copy, db)
    for words in (["checkpoint"], ["checkpoint", "--verify", note]):
        done = run(*words, "--db", db)
        assert (done.exit_code, done.stdout) == (3, "")
        assert "19 events" in done.stderr
        assert "20" in done.stderr
    done = run("checkpoint", "--verify", note, "--json", "--db", db)
    assert json.loads(done.stderr)["error"]["kind"] == "rollback_detected"
    with SessionStore.open(db) as store:
        store.session("chat-1").append("user", "another")
    done = run("checkpoint", "--unsigned", "--json", "--db", db)
    assert (done.exit_code, json.loads(done.stderr)["error"]["kind"]) == (3, "fork_detected")


def test_a_copy_can_be_made_a_log_of_its_own(db: Path) -> None:
    copy = copied(db, "old.db")
    with SessionStore.open(db) as store:
        store.session("chat-1").append("user", "more")
    last = forms.read(run("checkpoint", "--db", db).stdout)[0]
    put_back(copy, db)
    assert run("checkpoint", "--db", db).exit_code == 3
    done = run("checkpoint", "--as-new-log", "--db", db)
    assert (done.exit_code, "a new log begins" in done.stderr) == (0, True)
    assert forms.read(done.stdout)[0].origin != last.origin
    assert run("checkpoint", "--db", db).exit_code == 0
    assert last.origin in run("log", "agent-eventstore", "--db", db).stdout


def test_a_failed_anchor_is_exit_code_1_and_the_note_is_there(db: Path, tmp_path: Path) -> None:
    anchor = f"file:{tmp_path}/no/folder"
    done = run("checkpoint", "--anchor", anchor, "--db", db)
    assert (done.exit_code, "to be tried again" in done.stderr) == (1, True)
    assert forms.read(done.stdout)[0].size == 19
    (tmp_path / "no").mkdir()
    assert run("checkpoint", "--anchor", anchor, "--db", db).exit_code == 0
    assert (tmp_path / "no" / "folder").read_text().count("\n") == 1


def test_a_repository_is_an_anchor(db: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "r")], check=True)
    anchor = ["--anchor", f"git:{tmp_path}/r"]
    assert run("checkpoint", *anchor, "--db", db).exit_code == 0
    done = run("checkpoint", "--verify-anchors", *anchor, "--db", db)
    assert (done.exit_code, "the first 19 events are as noted" in done.stdout) == (0, True)
    connection = apsw.Connection(str(db))
    connection.execute(
        "UPDATE checkpoint_notes SET origin = origin || 'x'; UPDATE log_origins SET id = id || 'x'"
    )
    connection.close()
    assert run("checkpoint", "--verify-anchors", *anchor, "--db", db).exit_code == 3


def test_the_side_file_can_be_elsewhere_or_nowhere(db: Path, tmp_path: Path) -> None:
    side = tmp_path / "side"
    note = run("checkpoint", "--side-file", side, "--db", db).stdout
    assert side.read_text() == note
    assert run("checkpoint", "--no-side-file", "--db", db).stdout == note
    assert not (tmp_path / "xdg_state_home").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--list", "--verify-anchors"],
        ["--verify-anchors"],
        ["--side-file", "x", "--no-side-file"],
    ],
)
def test_options_that_exclude_each_other_are_wrong_usage(words: list[str], db: Path) -> None:
    assert run("checkpoint", *words, "--db", db).exit_code == 2


def test_wrong_arguments_are_told(db: Path, tmp_path: Path) -> None:
    assert run("checkpoint", "--anchor", "svn:x", "--db", db).exit_code == 1
    assert run("checkpoint", "--vkey", "x", "--list", "--db", db).exit_code == 1
    assert run("checkpoint", "--verify", tmp_path / "none", "--db", db).exit_code == 1
    done = run("checkpoint", "--list", "--db", db)
    assert (done.exit_code, "no checkpoint was made" in done.stderr) == (1, True)
    assert run("checkpoint", "--db", tmp_path / "none.db").exit_code == 1


# -- proofs ------------------------------------------------------------------------------------


def test_proofs_of_what_is_not_there_are_errors(db: Path) -> None:
    for words in (["20"], ["12", "--size", "11"], ["--from", "20"], ["12", "--size", "20"]):
        assert run("proof", *words, "--db", db).exit_code == 1
    for words in ([], ["12", "--from", "3"], ["0"]):
        assert run("proof", *words, "--db", db).exit_code == 2
