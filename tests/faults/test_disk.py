"""The disk itself: what it counts, how it fails, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from eventstore import SessionStore
from eventstore.errors import AppendUnknownError, EventStoreError
from eventstore.testing.faults import Disk, Fault, FaultyDisk, Kind, Mix, Outcome


def append_often(path: Path) -> None:
    with SessionStore.open(path) as store:
        session = store.create("a")
        for _ in range(100):
            session.append("user", "hello")


KEEP, LOSE, TEAR = Mix(1, 0), Mix(0, 1), Mix(0, 0)


def left(disk: Disk, folder: Path, mix: Mix, seed: int = 0) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    disk.after_power_loss(seed, folder, mix)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def disk() -> Disk:
    disk = Disk()
    disk.open("/d/file", lambda: b"old")
    return disk


def test_what_was_synced_survives_and_what_was_not_may_be_lost(disk: Disk, tmp_path: Path) -> None:
    disk.write("/d/file", 0, b"new")
    assert left(disk, tmp_path / "a", LOSE) == {"file": b"old"}
    assert left(disk, tmp_path / "b", KEEP) == {"file": b"new"}
    disk.sync("/d/file", folder=False)
    assert left(disk, tmp_path / "c", LOSE) == {"file": b"new"}


def test_a_torn_write_is_made_of_whole_sectors(disk: Disk, tmp_path: Path) -> None:
    disk.write("/d/file", 0, b"a" * 2048)
    disk.sync("/d/file", folder=False)
    disk.write("/d/file", 0, b"b" * 2048)
    seen = set()
    for seed in range(20):
        content = left(disk, tmp_path / str(seed), TEAR, seed)["file"]
        sectors = [content[at : at + 512] for at in range(0, 2048, 512)]
        seen.update("kept" if s == b"b" * 512 else "lost" if s == b"a" * 512 else "garbage"
                    for s in sectors)  # fmt: skip
    assert seen == {"kept", "lost", "garbage"}


def test_a_write_may_survive_while_an_earlier_one_is_lost(disk: Disk, tmp_path: Path) -> None:
    disk.write("/d/file", 0, b"A")
    disk.write("/d/file", 2, b"C")
    outcomes = {left(disk, tmp_path / str(n), Mix(0.5, 0.5), n)["file"] for n in range(40)}
    assert outcomes == {b"old", b"Ald", b"olC", b"AlC"}


def test_a_write_beyond_the_end_leaves_zeros_between(disk: Disk, tmp_path: Path) -> None:
    disk.write("/d/file", 5, b"!")
    assert left(disk, tmp_path / "a", KEEP) == {"file": b"old\0\0!"}


def test_a_truncation_is_pending_like_a_write(disk: Disk, tmp_path: Path) -> None:
    disk.truncate("/d/file", 1)
    assert left(disk, tmp_path / "a", LOSE) == {"file": b"old"}
    assert left(disk, tmp_path / "b", KEEP) == {"file": b"o"}


def test_the_name_of_a_new_file_survives_once_its_folder_is_synced(tmp_path: Path) -> None:
    def names(sync: Callable[[Disk], None], case: str) -> set[frozenset[str]]:
        found = set()
        for seed in range(20):
            disk = Disk()
            disk.open("/d/new", lambda: b"")
            disk.write("/d/new", 0, b"x")
            sync(disk)
            found.add(frozenset(left(disk, tmp_path / f"{case}{seed}", KEEP, seed)))
        return found

    here, gone = frozenset({"new"}), frozenset[str]()
    assert names(lambda disk: disk.sync("/d/new", folder=False), "a") == {here, gone}
    assert names(lambda disk: disk.sync("/d/new", folder=True), "b") == {here}


def test_a_removed_file_may_come_back_until_its_folder_is_synced(tmp_path: Path) -> None:
    found = set()
    for seed in range(20):
        disk = Disk()
        disk.open("/d/file", lambda: b"old")
        disk.remove("/d/file")
        found.add(frozenset(left(disk, tmp_path / str(seed), KEEP, seed)))
    assert found == {frozenset({"file"}), frozenset()}
    disk.sync_folder("/d")
    assert left(disk, tmp_path / "synced", KEEP) == {}


def test_a_failed_sync_may_lose_what_it_should_have_kept(disk: Disk, tmp_path: Path) -> None:
    disk.write("/d/file", 0, b"new")
    disk.drop_pending("/d/file")
    disk.sync("/d/file", folder=False)
    assert left(disk, tmp_path / "a", KEEP) == {"file": b"old"}


def test_a_disk_that_lies_keeps_nothing(tmp_path: Path) -> None:
    disk = Disk(lies=True)
    disk.open("/d/file", lambda: b"old")
    disk.write("/d/file", 0, b"new")
    disk.sync("/d/file", folder=True)
    assert left(disk, tmp_path / "a", LOSE) == {"file": b"old"}


def test_the_same_work_makes_the_same_calls(tmp_path: Path) -> None:
    def calls(name: str) -> object:
        with FaultyDisk() as disk, SessionStore.open(tmp_path / name) as store:
            store.create("a").append("user", "hello")
        return disk.plan.by_kind

    assert calls("one.db") == calls("two.db")


def test_the_fault_meets_the_call_that_was_chosen_and_no_other(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
    fault = Fault(at=1, kind=Kind.SYNC, file="-wal")
    with FaultyDisk([fault]) as disk, SessionStore.open(tmp_path / "s.db") as store:
        session = store.session("a")
        with pytest.raises(AppendUnknownError):
            session.append("user", "one")
        assert session.append("user", "two") in (1, 2)
    assert disk.plan.met == [(Kind.SYNC, str(tmp_path / "s.db-wal"))]


def test_a_full_disk_is_told_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("a")
    with FaultyDisk(capacity=50_000) as disk, SessionStore.open(path) as store:
        with pytest.raises(AppendUnknownError, match="full"):
            store.session("a").append("user", "x" * 100_000)
        disk.left = None
        assert store.session("a").append("user", "there is room again") == 1


def test_after_the_power_is_gone_every_call_fails(tmp_path: Path) -> None:
    with FaultyDisk([Fault(at=100, outcome=Outcome.POWER)]) as disk:
        with pytest.raises(EventStoreError):
            append_often(tmp_path / "s.db")
        before = disk.calls
        with pytest.raises(EventStoreError):
            SessionStore.open(tmp_path / "s.db")
        assert disk.calls > before


def test_outside_the_block_the_disk_is_the_real_one(tmp_path: Path) -> None:
    with FaultyDisk([Fault(at=1, calls=1_000_000)]), pytest.raises(EventStoreError):
        SessionStore.open(tmp_path / "s.db")
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("a")
    assert not [name for name in apsw.vfs_names() if name.startswith("faulty")]
