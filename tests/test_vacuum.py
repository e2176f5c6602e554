"""Space that nothing uses goes back to the file system, and nobody loses anything by it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from engine_support import clean, ticking

from eventstore import Message, SessionStore, errors, vacuum
from eventstore.log.port import Recorded


def with_free_pages(path: Path) -> SessionStore:
    """A store of which much is free: a large session was erased, and the index made anew."""
    store = SessionStore.open(path, clock=ticking(), durability="normal")
    store.create("kept").append("user", "what stays")
    large = store.create("large")
    large.append_many([Message(role="user", content=f"words {n} " * 8_000) for n in range(40)])
    large.erase()
    return store


def stored(store: SessionStore) -> list[Recorded]:
    return list(store.events())


def test_free_pages_go_back_and_the_log_stays_as_it_was(tmp_path: Path) -> None:
    with with_free_pages(tmp_path / "s.db") as store:
        before = stored(store)
        told: list[tuple[int, int]] = []
        done = store.vacuum(progress=lambda at, end: told.append((at, end)))
        assert done.before.free_bytes > 1_000_000
        assert (done.full, done.cause, done.after.free_bytes) == (False, None, 0)
        assert done.after.file_bytes <= done.before.file_bytes - done.before.free_bytes
        assert done.after.file_bytes == Path(store.path).stat().st_size
        assert done.after.wal_bytes == 0
        assert told[-1] == (done.before.free_bytes, done.before.free_bytes)
        assert [at for at, _ in told] == sorted({at for at, _ in told})
        assert stored(store) == before
        assert store.session("kept").append("user", "more") == 2
        clean(store)


def test_when_the_time_is_up_it_says_what_is_left_and_goes_on_later(tmp_path: Path) -> None:
    with with_free_pages(tmp_path / "s.db") as store:
        done = store.vacuum(seconds=0)
        assert done.cause == f"the time was up: {done.before.free_bytes:,} bytes are still free"
        assert done.after.free_bytes == done.before.free_bytes
        assert store.vacuum(seconds=600).after.free_bytes == 0
        clean(store)


def test_writing_anew_packs_half_empty_pages_too(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", clock=ticking(), durability="normal") as store:
        for name in ("a", "b"):
            store.create(name)
        for number in range(400):
            store.session("ab"[number % 2]).append("user", f"{number} " * 300)
        store.session("a").erase()
        before = stored(store)
        assert store.vacuum().cause is None
        done = store.vacuum(full=True)
        assert done.full
        assert done.after.file_bytes < done.before.file_bytes * 3 // 4
        assert stored(store) == before
        clean(store)
        assert store.search("299").hits[0].name == "b"


def test_others_write_while_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with with_free_pages(path) as store, SessionStore.open(path, durability="normal") as other:
        going = threading.Event()
        writing = other.session("kept")

        def append(at: int, _: int) -> None:
            writing.append("user", f"at {at}")
            going.set()

        done = store.vacuum(progress=append)
        assert going.is_set()
        assert done.after.free_bytes < done.before.free_bytes // 10
        clean(store)


def test_a_reader_keeps_the_log_from_being_emptied_and_that_is_said(tmp_path: Path) -> None:
    with with_free_pages(tmp_path / "s.db") as store:
        with store.log.snapshot() as connection:
            connection.execute("SELECT count(*) FROM events").fetchall()
            done = store.vacuum()
        assert "held the write-ahead log" in str(done.cause)
        assert store.vacuum().cause is None


def test_a_store_in_memory_can_be_vacuumed() -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        session.append("user", "x" * 500_000)
        session.erase()
        assert store.vacuum().after.wal_bytes == 0
        assert store.vacuum(full=True).after.free_bytes == 0
        clean(store)


def test_a_store_that_was_opened_for_reading_is_refused(tmp_path: Path) -> None:
    with_free_pages(tmp_path / "s.db").close()
    with (
        SessionStore.open(tmp_path / "s.db", readonly=True) as store,
        pytest.raises(errors.ReadOnlyStoreError),
    ):
        vacuum.vacuum(store.log)
