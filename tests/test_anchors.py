"""Anchors: a note goes where it cannot be taken back, and one that fails holds nothing up."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from checkpoint_support import a_key, needs_cryptography, opened, private_folders
from test_checkpoints import append, cut, made_of, rewrite

from eventstore import SessionStore
from eventstore.checkpoints import checkpoint, comparing, notes
from eventstore.checkpoints.anchors import Anchor, FileAnchor, ReadableAnchor
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.git_anchor import GitAnchor, anchor_of
from eventstore.checkpoints.making import OFFERED_MAX, anchor_notes
from eventstore.checkpoints.notes import Anchoring
from eventstore.errors import (
    AnchorError,
    CheckpointError,
    ForkDetectedError,
    InvalidValueError,
    RollbackDetectedError,
    UnverifiedNoteError,
)

ORIGIN = f"agent-eventstore/{'5' * 32}"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_folders(tmp_path, monkeypatch)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("s").append("user", "hello")
    return path


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


@pytest.fixture(params=["file", "git"])
def anchor(
    request: pytest.FixtureRequest, tmp_path: Path, repository: Path
) -> FileAnchor | GitAnchor:
    if request.param == "file":
        return FileAnchor(tmp_path / "anchor.jsonl")
    return GitAnchor(repository)


def text_of(size: int, fill: int = 1, origin: str = ORIGIN) -> str:
    return Checkpoint(origin, size, bytes([fill]) * 32).text


def anchored(path: Path) -> list[Anchoring]:
    with SessionStore.open(path, readonly=True) as store, store.log.snapshot() as connection:
        return notes.anchorings(connection)


# -- the two built in --------------------------------------------------------------------------


def test_what_was_submitted_is_there_and_verifies(anchor: FileAnchor | GitAnchor) -> None:
    receipts = [anchor.submit(text_of(size)) for size in (1, 2, 3)]
    assert len(set(receipts)) == 3
    for size, receipt in enumerate(receipts, 1):
        anchor.verify(text_of(size), receipt)
    assert list(anchor.notes(ORIGIN)) == [text_of(size) for size in (1, 2, 3)]
    assert isinstance(anchor, ReadableAnchor)


def test_a_note_that_comes_twice_is_taken_twice(anchor: FileAnchor | GitAnchor) -> None:
    first, second = anchor.submit(text_of(1)), anchor.submit(text_of(1))
    anchor.verify(text_of(1), first)
    anchor.verify(text_of(1), second)


def test_a_receipt_of_another_note_does_not_verify(anchor: FileAnchor | GitAnchor) -> None:
    first = anchor.submit(text_of(1))
    anchor.submit(text_of(2))
    with pytest.raises(AnchorError):
        anchor.verify(text_of(2), first)
    with pytest.raises(AnchorError):
        anchor.verify(text_of(1), "f" * 40)
    with pytest.raises(AnchorError):
        anchor.verify(text_of(1), "--exec=x")


def test_each_log_has_notes_of_its_own(anchor: FileAnchor | GitAnchor) -> None:
    other = f"agent-eventstore/{'6' * 32}"
    foreign = "example.com/../../etc log"
    for origin in (ORIGIN, other, foreign):
        anchor.verify(text_of(1, origin=origin), anchor.submit(text_of(1, origin=origin)))
    for origin in (ORIGIN, other, foreign):
        assert list(anchor.notes(origin)) == [text_of(1, origin=origin)]


def test_a_file_anchor_is_one_line_of_json_a_note(tmp_path: Path) -> None:
    file = tmp_path / "anchor.jsonl"
    anchor = FileAnchor(file)
    for size in (1, 2):
        anchor.submit(text_of(size))
    lines = file.read_text().splitlines()
    assert [json.loads(line)["note"] for line in lines] == [text_of(1), text_of(2)]
    assert file.stat().st_mode & 0o077 == 0


def test_a_file_anchor_only_appends_also_after_a_torn_line(tmp_path: Path) -> None:
    file = tmp_path / "anchor.jsonl"
    file.write_text('{"note":"torn')
    anchor = FileAnchor(file)
    anchor.verify(text_of(1), anchor.submit(text_of(1)))
    assert file.read_text().startswith('{"note":"torn\n')
    assert list(anchor.notes(ORIGIN)) == [text_of(1)]


def test_a_file_anchor_whose_line_was_changed_does_not_verify(tmp_path: Path) -> None:
    file = tmp_path / "anchor.jsonl"
    anchor = FileAnchor(file)
    receipt = anchor.submit(text_of(12))
    file.write_text(file.read_text().replace("12", "13"))
    with pytest.raises(AnchorError, match="does not have"):
        anchor.verify(text_of(12), receipt)


def test_a_file_anchor_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "no" / "folder")
    with pytest.raises(AnchorError, match="did not take"):
        anchor.submit(text_of(1))
    with pytest.raises(AnchorError, match="cannot be read"):
        anchor.verify(text_of(1), "x")


def test_a_git_anchor_commits_one_file_and_nothing_else(repository: Path) -> None:
    (repository / "other").write_text("staged by somebody")
    git(repository, "add", "other")
    GitAnchor(repository).submit(text_of(7))
    assert git(repository, "show", "--format=%s", "--name-only").split("\n") == [
        "Checkpoint of 7 events", "", f"{ORIGIN}/checkpoint", "",
    ]  # fmt: skip
    assert git(repository, "status", "--porcelain") == "A  other\n"


def test_a_git_anchor_is_not_led_astray_by_its_surroundings(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    anchor = GitAnchor(repository)
    receipt = anchor.submit(text_of(1))
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git(repository, "rev-parse", "HEAD").strip() == receipt


def test_a_commit_that_left_the_branch_does_not_verify(repository: Path) -> None:
    anchor = GitAnchor(repository)
    anchor.submit(text_of(1))
    receipt = anchor.submit(text_of(2))
    git(repository, "reset", "--quiet", "--hard", "HEAD~1")
    with pytest.raises(AnchorError, match="merge-base"):
        anchor.verify(text_of(2), receipt)


def test_a_git_anchor_pushes_and_pushes_again_what_did_not_get_through(
    repository: Path, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    anchor = GitAnchor(repository, push=True)
    with pytest.raises(AnchorError, match="git push failed"):
        anchor.submit(text_of(1))
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    git(repository, "remote", "add", "origin", str(remote))
    git(repository, "config", "push.autoSetupRemote", "true")
    git(repository, "config", "push.default", "current")
    receipt = anchor.submit(text_of(1))
    assert git(remote, "rev-parse", "main").strip() == receipt


def test_a_folder_that_is_no_repository_is_an_anchor_error(tmp_path: Path) -> None:
    with pytest.raises(AnchorError, match="git"):
        GitAnchor(tmp_path / "none").submit(text_of(1))


def test_git_that_takes_too_long_is_given_up(repository: Path) -> None:
    with pytest.raises(AnchorError, match="could not be run"):
        GitAnchor(repository, seconds=0).submit(text_of(1))


def test_anchors_are_named_by_text(tmp_path: Path) -> None:
    for text in (f"file:{tmp_path}/x", f"git:{tmp_path}", f"git+push:{tmp_path}"):
        assert anchor_of(text).name == text
    for text in ("file:", "git", "svn:x", "", "/a/path"):
        with pytest.raises(InvalidValueError, match="is no anchor"):
            anchor_of(text)


# -- of a store --------------------------------------------------------------------------------


def test_a_note_goes_to_every_anchor_and_its_receipt_is_kept(
    path: Path, tmp_path: Path, repository: Path
) -> None:
    anchors: list[Anchor] = [FileAnchor(tmp_path / "a"), GitAnchor(repository)]
    with opened(path, anchors=anchors) as store:
        made = made_of(store)
        assert made.failures == []
        for anchor in anchors:
            [receipt] = [one.receipt for one in made.anchored if one.anchor == anchor.name]
            assert receipt is not None
            anchor.verify(made.note.note, receipt)
    assert {(one.anchor, one.receipt) for one in anchored(path)} == {
        (one.anchor, one.receipt) for one in made.anchored
    }


class Flaky:
    """An anchor that fails until it is mended, and keeps what it took."""

    name = "flaky:"

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.took: list[str] = []
        self.asked = 0

    def submit(self, note: str) -> str:
        self.asked += 1
        if self.broken is not None:
            raise self.broken
        self.took.append(note)
        return str(len(self.took))

    def verify(self, note: str, receipt: str) -> None:
        if self.took[int(receipt) - 1] != note:
            raise AnchorError("not what was taken")

    def notes(self, origin: str) -> Iterator[str]:
        yield from self.took


@pytest.mark.parametrize("broken", [AnchorError("it is Sunday"), ValueError("a mistake")])
def test_a_failed_anchor_loses_no_note_and_gets_it_with_the_next(
    path: Path, broken: Exception
) -> None:
    anchor = Flaky()
    anchor.broken = broken
    with opened(path, anchors=[anchor]) as store:
        first = made_of(store)
        assert [str(broken) in (one.failure or "") for one in first.failures] == [True]
        store.session("s").append("user", "more")
        second = made_of(store)
        assert len(second.failures) == 2
        assert anchor.asked == 2  # for the older one, and then no more
        anchor.broken = None
        store.session("s").append("user", "more")
        third = made_of(store)
    assert anchor.took == [first.note.note, second.note.note, third.note.note]
    assert [one.receipt for one in anchored(path)] == ["1", "2", "3"]
    assert all(one.failure is None for one in anchored(path))


@needs_cryptography
def test_an_anchor_that_fails_unasked_is_a_warning_and_is_remembered(path: Path) -> None:
    anchor = Flaky()
    anchor.broken = AnchorError("it is Sunday")
    with (
        opened(path, a_key(), anchors=[anchor]) as store,
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        store.session("s").close()
        store.close()
    assert [str(one.message) for one in told] == [
        "the checkpoint of 3 events waits for an anchor: it is Sunday"
    ]
    assert [(one.size, one.receipt) for one in anchored(path)] == [(3, None)]


def test_what_waits_can_be_anchored_without_a_new_note(path: Path) -> None:
    anchor = Flaky()
    anchor.broken = AnchorError("away")
    with opened(path, anchors=[anchor]) as store:
        made = made_of(store)
        anchor.broken = None
        [done] = anchor_notes(store, [anchor])
        assert (done.size, done.receipt) == (made.note.size, "1")
        assert anchor_notes(store, [anchor]) == []
        assert made_of(store).anchored == ()  # it has this note already
    assert anchor.took == [made.note.note]


def test_a_new_anchor_is_not_flooded_with_old_notes(path: Path) -> None:
    for _ in range(3):
        with opened(path) as store:
            made_of(store)
        append(path)
    anchor = Flaky()
    with opened(path, anchors=[anchor]) as store:
        made = made_of(store)
    assert anchor.took == [made.note.note]
    assert OFFERED_MAX >= 1


@needs_cryptography
def test_a_rewritten_log_is_caught_by_what_an_anchor_has(
    path: Path, anchor: FileAnchor | GitAnchor
) -> None:
    key = a_key()
    append(path)
    with opened(path, key, anchors=[anchor]) as store:
        made_of(store)
    append(path)
    with opened(path, key, anchors=[anchor]) as store:
        made_of(store)
        found = comparing.verify_anchor(store, anchor, [key.verifier])
        assert [one.checkpoint.size for one in found] == [3, 4]
        assert all(one.keys == (key.verifier,) for one in found)
    rewrite(path, 3)
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM checkpoint_notes")
    connection.close()
    with opened(path, key) as store:
        made_of(store)  # the right key signs it, and nothing of it is wrong by itself
        assert store.verify() == []
        with pytest.raises(ForkDetectedError) as caught:
            comparing.verify_anchor(store, anchor, [key.verifier])
    assert caught.value.size == 3


def test_a_log_that_was_cut_is_caught_by_what_an_anchor_has(
    path: Path, anchor: FileAnchor | GitAnchor
) -> None:
    append(path)
    with opened(path, anchors=[anchor]) as store:
        made_of(store)
    cut(path, 2)
    with opened(path) as store, pytest.raises(RollbackDetectedError):
        comparing.verify_anchor(store, anchor)


@needs_cryptography
def test_a_note_by_an_unknown_key_in_an_anchor_is_not_believed(
    path: Path, anchor: FileAnchor | GitAnchor
) -> None:
    with opened(path, a_key(), anchors=[anchor]) as store:
        made_of(store)
        with pytest.raises(UnverifiedNoteError):
            comparing.verify_anchor(store, anchor, [a_key("other", 3).verifier])


def test_an_anchor_that_lost_a_note_is_found(path: Path, tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "a")
    with opened(path, anchors=[anchor]) as store:
        made_of(store)
        store.session("s").append("user", "more")
        made_of(store)
        first, second = anchor.path.read_text().splitlines()
        anchor.path.write_text(f"{second}\n")
        with pytest.raises(AnchorError, match="does not have the note"):
            comparing.verify_anchor(store, anchor)
        anchor.path.write_text("")
        with pytest.raises(CheckpointError, match="has no note of this log"):
            comparing.verify_anchor(store, anchor)
        assert first != second


def test_an_anchor_that_gives_nothing_back_can_only_verify_receipts(path: Path) -> None:
    class Mute:
        name = "mute:"

        def submit(self, note: str) -> str:
            return "r"

        def verify(self, note: str, receipt: str) -> None:
            assert receipt == "r"

    with opened(path, anchors=[Mute()]) as store:
        made_of(store)
        with pytest.raises(AnchorError, match="cannot give back"):
            comparing.verify_anchor(store, Mute())


def test_a_log_without_checkpoints_is_in_no_anchor(path: Path, tmp_path: Path) -> None:
    with SessionStore.open(path) as store, pytest.raises(CheckpointError, match="no note"):
        comparing.verify_anchor(store, FileAnchor(tmp_path / "a"))


def test_notes_are_read_as_they_were_written(path: Path, tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "a")
    with opened(path, anchors=[anchor]) as store:
        made = made_of(store).note
    [kept] = anchor.notes(made.origin)
    assert checkpoint.read(kept)[0].root == made.root
