"""What is written beside a store: on the disk before it has its name, and its name as well."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoint_support import needs_cryptography, private_folders

from eventstore import SessionStore
from eventstore.backup import backup, restore
from eventstore.checkpoints import keyfiles, side_file
from eventstore.checkpoints.anchors import FileAnchor
from eventstore.exports.runner import export
from eventstore.salvage import salvage


class Disk:
    """What the disk was asked to keep, by inode, and the names that were given, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[int | str] = []
        fsync, replace = os.fsync, os.replace

        def noted_fsync(number: int) -> None:
            fsync(number)
            self.asked.append(os.fstat(number).st_ino)

        def noted_replace(old: str | Path, new: str | Path) -> None:
            replace(old, new)
            self.asked.append(os.fspath(new))

        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(os, "replace", noted_replace)

    def keeps(self, path: Path) -> bool:
        """Whether a file, or all of a folder, was synced before it got its name, and that after."""
        named = self.asked.index(str(path)) if str(path) in self.asked else None
        before, after = self.asked[:named], self.asked[named or 0 :]
        parts = [path, *path.rglob("*")] if path.is_dir() else [path]
        return path.parent.stat().st_ino in after and all(
            part.stat().st_ino in before for part in parts
        )


def backed_up(path: Path, folder: Path) -> Path:
    return Path(backup(path, folder / "copy.db").path)


def restored(path: Path, folder: Path) -> Path:
    backup(path, folder / "copy.db")
    return Path(restore(folder / "copy.db", path).path)


def salvaged(path: Path, folder: Path) -> Path:
    salvage(path, folder / "saved.db")
    return folder / "saved.db"


def exported(path: Path, folder: Path) -> Path:
    with SessionStore.open(path) as store:
        export(store, "events-jsonl", folder / "log.jsonl")
    return folder / "log.jsonl"


def bundled(path: Path, folder: Path) -> Path:
    with SessionStore.open(path) as store:
        export(store, "bundle", folder / "bundle")
    return folder / "bundle"


def noted(path: Path, folder: Path) -> Path:
    side_file.write(folder / "side.note", "a note")
    return folder / "side.note"


def anchored(path: Path, folder: Path) -> Path:
    FileAnchor(folder / "anchors.jsonl").submit("a note")
    return folder / "anchors.jsonl"


def key_made(path: Path, folder: Path) -> Path:
    return Path(keyfiles.create("example.com/log", folder / "a.key").path)


@pytest.mark.parametrize(
    "make",
    [
        backed_up,
        restored,
        salvaged,
        exported,
        bundled,
        noted,
        anchored,
        pytest.param(key_made, marks=needs_cryptography),
    ],
)
def test_a_file_beside_the_store_outlives_a_power_loss_with_its_name(
    make: Callable[[Path, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_folders(tmp_path, monkeypatch)
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("a").append("user", "hello")
    folder = tmp_path / "made"
    folder.mkdir()
    disk = Disk(monkeypatch)
    assert disk.keeps(make(tmp_path / "s.db", folder))
