"""A backup is a beginning of the log, whoever writes meanwhile; a restore keeps erased what was."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest
from cli_support import ROOT, db, run
from engine_support import BIG, clean, populated, ticking

from eventstore import SessionStore, errors
from eventstore.backup import backup, erasures, exported, restore

__all__ = ["db"]

SECRET = "swordfish"


def raw(folder: Path, name: str) -> bytes:
    """Every byte of a store's files."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{name}*")))


def names(folder: Path) -> list[str]:
    """The files of a folder, without what a reader of the store leaves beside it."""
    beside = ("s.db-wal", "s.db-shm", "backup.db-wal", "backup.db-shm")
    return sorted(path.name for path in folder.iterdir() if path.name not in beside)


def events_of(path: Path, upto: int | None = None) -> list[tuple[int, bytes]]:
    with SessionStore.open(path, readonly=True) as store:
        return [(one.position, one.leaf) for one in store.events(upto=upto, content=False)]


# -- backup ----------------------------------------------------------------------------------------


def test_a_backup_is_the_same_store(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        store.search("hello")
        made = backup(store.path, tmp_path / "b.db")
        assert made.head == store.head
        assert made.findings == ()
    with SessionStore.open(tmp_path / "b.db", readonly=True) as copy:
        clean(copy)
    assert events_of(tmp_path / "b.db") == events_of(tmp_path / "s.db")
    assert made.size == (tmp_path / "b.db").stat().st_size
    if os.name == "posix":
        assert (tmp_path / "b.db").stat().st_mode & 0o777 == 0o600


WRITER = """
import sys
from eventstore import SessionStore
with SessionStore.open(sys.argv[1], durability="normal") as store:
    session = store.create("process")
    print("ready", flush=True)
    while not sys.stdin.closed and session.version < 100_000:
        session.append("user", "from a process " + "x" * 500)
        if session.version % 50 == 0:
            print(session.version, flush=True)
"""


def test_writers_go_on_during_a_backup_which_is_a_beginning_of_the_log(tmp_path: Path) -> None:
    path, stop = tmp_path / "s.db", threading.Event()
    written = 0
    with SessionStore.open(path, durability="normal") as store:
        store.create("big").append_many([])
        for number in range(40):
            store.session("big").append("user", f"{number} {BIG}")
        failures: list[BaseException] = []

        def write(name: str) -> None:
            session = store.create(name)
            try:
                while not stop.is_set():
                    session.append("user", "from a thread " + "y" * 500)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=(f"thread-{n}",)) for n in range(2)]
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for thread in threads:
            thread.start()
        try:
            for number in range(3):
                before = store.head.position
                made = backup(path, tmp_path / f"b{number}.db")
                written += store.head.position - before
                assert made.findings == ()
                assert made.head.position >= before
        finally:
            stop.set()
            process.kill()
            process.wait()
            process.stdout.close()
            assert process.stdin is not None
            process.stdin.close()
            for thread in threads:
                thread.join()
        assert failures == []
        assert store.verify() == []
    assert written > 0
    everything = events_of(path)
    for number in range(3):
        copy = tmp_path / f"b{number}.db"
        found = events_of(copy)
        assert found == everything[: len(found)]
        with SessionStore.open(copy) as store:
            clean(store)


@pytest.mark.parametrize("part", ["bytes", "events"])
def test_an_interrupted_backup_leaves_no_half_file(tmp_path: Path, part: str) -> None:
    populated(tmp_path / "s.db").close()

    def stop(what: str, *_: int) -> None:
        if what == part:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(tmp_path / "s.db", tmp_path / "b.db", progress=stop)
    assert names(tmp_path) == ["s.db"]
    (tmp_path / "b.db").write_bytes(b"the one before")
    with pytest.raises(KeyboardInterrupt):
        backup(tmp_path / "s.db", tmp_path / "b.db", overwrite=True, progress=stop)
    assert (tmp_path / "b.db").read_bytes() == b"the one before"


def test_a_backup_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    populated(tmp_path / "s.db").close()
    backup(tmp_path / "s.db", tmp_path / "b.db")
    before = (tmp_path / "b.db").read_bytes()
    with pytest.raises(errors.StoreError, match="exists already"):
        backup(tmp_path / "s.db", tmp_path / "b.db")
    assert (tmp_path / "b.db").read_bytes() == before
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("later")
    assert backup(tmp_path / "s.db", tmp_path / "b.db", overwrite=True).head.position > 0
    with SessionStore.open(tmp_path / "b.db", readonly=True) as copy:
        assert copy.get("later") is not None
    with pytest.raises(errors.StoreError, match="the store itself"):
        backup(tmp_path / "s.db", tmp_path / "s.db", overwrite=True)
    with pytest.raises(errors.StoreError, match="directory"):
        backup(tmp_path / "s.db", tmp_path, overwrite=True)
    with SessionStore.open(tmp_path / "b.db") as copy:
        copy.create("in use")
        with pytest.raises(errors.StoreError, match="in use"):
            backup(tmp_path / "s.db", tmp_path / "b.db", overwrite=True)


def test_a_damaged_store_is_not_copied(tmp_path: Path) -> None:
    populated(tmp_path / "s.db").close()
    data = bytearray((tmp_path / "s.db").read_bytes())
    for page in range(3, len(data) // 4096, 2):
        data[page * 4096 : page * 4096 + 4096] = random.Random(page).randbytes(4096)
    (tmp_path / "s.db").write_bytes(data)
    with pytest.raises(errors.StoreError, match="damaged"):
        backup(tmp_path / "s.db", tmp_path / "b.db")
    assert names(tmp_path) == ["s.db"]


def test_a_store_whose_log_was_changed_is_copied_and_that_is_told(db: Path) -> None:
    connection = apsw.Connection(str(db))
    connection.execute("DROP TRIGGER events_are_immutable; UPDATE events SET actor = 5")
    connection.close()
    done = run("backup", db, db.with_name("b.db"), "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["findings"] > 0
    assert db.with_name("b.db").exists()


# -- restore ---------------------------------------------------------------------------------------


def erased_after_a_backup(path: Path, file: Path) -> dict[str, int]:
    """Secrets of every kind, a backup, and then they are erased; the positions by name."""
    with SessionStore.open(path, clock=ticking()) as store:
        session = store.create("some", title=f"title {SECRET}")
        session.append("user", f"message {SECRET}", key="k")
        session.append("user", f"large {SECRET} {BIG}")
        session.append("user", "harmless")
        whole = store.create(f"named-{SECRET}", prompt=SECRET)
        whole.append("user", f"all of {SECRET}")
        whole.fork("a-fork").append("user", "in the fork")
        store.search(SECRET)
        assert backup(path, file).head == store.head
        messages = session.history()
        store.create("since").append("user", "after the backup")
        session.erase_events([messages[0].position, messages[1].position], by="desk", reason="r1")
        session.erase_events([2], by="desk")
        whole.erase(by="desk", reason="all")
        store.session("since").erase(by="desk")
        assert store.verify() == []
        return {"message": messages[0].position, "large": messages[1].position}


def is_restored_without_secrets(path: Path) -> None:
    assert SECRET.encode() not in raw(path.parent, "s.db")
    with SessionStore.open(path) as store:
        clean(store)
        assert store.session("some").messages()[2].text == "harmless"
        assert [one.erased for one in store.session("some").messages()] == [True, True, False]
        assert not store.search(SECRET).hits
        assert store.get("since") is None
        assert store.search("harmless").hits
        reasons = {one.reason for one in erasures(path)}
    assert {"r1", "all"} <= reasons
    assert SECRET.encode() not in raw(path.parent, "s.db")


@pytest.mark.parametrize("source", ["the store there", "another store", "a list"])
def test_what_was_erased_since_is_erased_again(tmp_path: Path, source: str) -> None:
    (tmp_path / "live").mkdir()
    path, file = tmp_path / "live" / "s.db", tmp_path / "backup.db"
    positions = erased_after_a_backup(path, file)
    assert SECRET.encode() in file.read_bytes()
    sources: list[Path] = []
    if source == "another store":
        sources = [path.rename(tmp_path / "old.db")]
    elif source == "a list":
        sources = [tmp_path / "erasures.json"]
        sources[0].write_text(json.dumps(exported(erasures(path))))
        assert SECRET not in sources[0].read_text()
        path.unlink()
    done = restore(file, path, erasures_from=sources)
    assert set(positions.values()) <= set(done.erased)
    assert (done.replaced is None) == bool(sources)
    is_restored_without_secrets(path)
    assert SECRET.encode() in file.read_bytes()  # the backup is as it was


def test_the_restored_store_is_the_backup_and_goes_on(tmp_path: Path) -> None:
    path, file = tmp_path / "s.db", tmp_path / "backup.db"
    with populated(path) as store:
        backup(path, file)
        end = store.head.position
        store.create("since").append("user", "lost by the restore")
    done = restore(file, path)
    assert done.head.position == end
    assert events_of(path) == events_of(file)
    with SessionStore.open(path) as store:
        clean(store)
        assert store.get("since") is None
        store.create("since again").append("user", "and on")
        clean(store)
    assert done.replaced is not None
    with SessionStore.open(done.replaced) as old:  # nothing is thrown away
        assert old.session("since").messages()[0].text == "lost by the restore"
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_an_event_of_another_history_at_the_same_place_is_not_erased(tmp_path: Path) -> None:
    """After a restore positions are given out again; only the leaf tells events apart."""
    path, file, second = tmp_path / "s.db", tmp_path / "b.db", tmp_path / "b2.db"
    with SessionStore.open(path, clock=ticking()) as store:
        store.create("a").append("user", "first")
    backup(path, file)
    with SessionStore.open(path, clock=ticking(1_800_000_000_000_000)) as store:
        store.session("a").append("user", "one way")
        store.session("a").erase_events([3])
    listed = tmp_path / "erasures.json"
    listed.write_text(json.dumps(exported(erasures(path))))
    restore(file, path)
    with SessionStore.open(path, clock=ticking(1_900_000_000_000_000)) as store:
        store.session("a").append("user", "the other way")
        assert store.head.position == 3
    backup(path, second)
    done = restore(second, path, erasures_from=[listed])
    assert done.erased == ()
    with SessionStore.open(path) as store:
        assert store.session("a").messages()[1].text == "the other way"


def test_without_any_word_on_erasures_it_refuses(tmp_path: Path) -> None:
    path, file = tmp_path / "s.db", tmp_path / "backup.db"
    erased_after_a_backup(path, file)
    path.unlink()
    with pytest.raises(errors.InvalidValueError, match="what was erased"):
        restore(file, path)
    assert names(tmp_path) == ["backup.db"]
    assert restore(file, path, without_erasures=True).erased == ()
    assert SECRET.encode() in path.read_bytes()


def test_a_store_that_cannot_be_read_is_no_word_on_erasures(tmp_path: Path) -> None:
    path, file = tmp_path / "s.db", tmp_path / "backup.db"
    erased_after_a_backup(path, file)
    listed = tmp_path / "erasures.json"
    listed.write_text(json.dumps(exported(erasures(path))))
    path.write_bytes(random.Random(0).randbytes(50_000))
    broken = path.read_bytes()
    with pytest.raises(errors.StoreError, match="cannot be learnt"):
        restore(file, path)
    assert path.read_bytes() == broken
    done = restore(file, path, erasures_from=[listed])
    assert done.erased
    assert done.replaced is not None
    assert Path(done.replaced).read_bytes() == broken


@pytest.mark.parametrize("by", ["this process", "another process"])
def test_a_store_in_use_is_not_replaced(tmp_path: Path, by: str) -> None:
    path, file = tmp_path / "s.db", tmp_path / "backup.db"
    with populated(path):
        backup(path, file)
    if by == "this process":
        with SessionStore.open(path, readonly=True) as store:
            assert store.head.position
            with pytest.raises(errors.StoreBusyError, match="in use"):
                restore(file, path)
    else:
        script = (
            "import sys; from eventstore import SessionStore\n"
            "store = SessionStore.open(sys.argv[1]); print(store.head.position, flush=True)\n"
            "sys.stdin.read(); store.create('still there'); print(store.verify())"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(errors.StoreBusyError, match="in use"):
            restore(file, path)
        assert process.communicate()[0].strip() == b"[]"
    assert "s.db.partial" not in names(tmp_path)
    assert restore(file, path).head.position > 0


@pytest.mark.parametrize("part", ["bytes", "events"])
def test_an_interrupted_restore_leaves_the_store_as_it_was(tmp_path: Path, part: str) -> None:
    path, file = tmp_path / "s.db", tmp_path / "backup.db"
    erased_after_a_backup(path, file)
    before = events_of(path)

    def stop(what: str, *_: int) -> None:
        if what == part:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(file, path, progress=stop)
    assert names(tmp_path) == ["backup.db", "s.db"]
    assert events_of(path) == before


def test_a_backup_that_does_not_verify_is_not_restored(tmp_path: Path) -> None:
    path, file = tmp_path / "s.db", tmp_path / "backup.db"
    with populated(path):
        backup(path, file)
    connection = apsw.Connection(str(file))
    connection.execute("DROP TRIGGER events_are_immutable; UPDATE events SET actor = 5")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(errors.CorruptStoreError, match="does not verify"):
        restore(file, path)
    assert path.read_bytes() == before
    shutil.copy(path, file)
    with pytest.raises(errors.StoreError, match="backup itself"):
        restore(path, path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "other", "erasures": []}'])
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path, file = tmp_path / "s.db", tmp_path / "backup.db"
    with populated(path):
        backup(path, file)
    (tmp_path / "e.json").write_text(text)
    before = path.read_bytes()
    with pytest.raises(errors.InvalidValueError):
        restore(file, path, erasures_from=[tmp_path / "e.json"])
    assert path.read_bytes() == before


# -- the commands --------------------------------------------------------------------------------


def test_the_commands_take_the_store_from_db_or_as_an_argument(db: Path) -> None:
    assert run("backup", "b.db", "--db", db).exit_code == 0
    assert run("backup", "b.db", "--db", db).exit_code == 1
    assert run("backup", db, "b.db", "--overwrite").exit_code == 0
    assert run("backup", db, "b.db", "--db", db).exit_code == 2
    assert run("backup", "a", "b", "c").exit_code == 2
    assert run("restore", "b.db", "new.db").exit_code == 1
    done = run("restore", "b.db", "new.db")
    assert "--without-erasures" in done.stderr
    assert run("restore", "b.db", "new.db", "--without-erasures").exit_code == 0
    assert run("verify", "--db", "new.db").exit_code == 0
    both = ["--without-erasures", "--erasures-from", db]
    assert run("restore", "b.db", "new.db", *both).exit_code == 2
    assert run("restore", "b.db", "--db", db).exit_code == 0
    assert run("restore", "none.db", "--db", db).exit_code == 1
