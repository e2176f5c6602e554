"""Connections that are lent to readers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import apsw
import pytest

from eventstore import SessionStore
from eventstore.errors import CorruptStoreError
from eventstore.events import catalogue as ev
from eventstore.log import engine
from eventstore.log.engine import Durability
from eventstore.log.readers import Readers
from eventstore.log.reading import head_of
from eventstore.store import activities, reads

_ALL = "SELECT position FROM events"
_DAMAGE = (
    "DROP TRIGGER contents_are_only_wiped; UPDATE contents SET body = '{' "
    "WHERE position = (SELECT max(position) - 1 FROM contents)"
)


def _fail(rows: Iterable[object]) -> None:
    for _ in rows:
        raise ZeroDivisionError


def _fail_on_a_snapshot(store: SessionStore) -> None:
    with store.log.snapshot() as connection:
        _fail(connection.execute(_ALL))


def _fail_on_a_reader(store: SessionStore) -> None:
    with store.log.reader() as connection:
        _fail(connection.execute(_ALL))


@pytest.mark.parametrize("read", [_fail_on_a_snapshot, _fail_on_a_reader])
def test_after_a_read_that_failed_the_next_one_sees_what_was_appended(
    tmp_path: Path, read: Callable[[SessionStore], None]
) -> None:
    with SessionStore.open(tmp_path / "a.db") as store:
        session = store.create("a")
        session.append("user", "one")
        with pytest.raises(ZeroDivisionError) as raised:
            read(store)
        session.append("user", "two")
        with store.log.reader() as connection:
            assert head_of(connection).position == 3
        assert raised.tb.tb_next  # which keeps the statement alive meanwhile


def _leaves_no_statement(store: SessionStore, read: Callable[[SessionStore], None]) -> None:
    with store.log.reader() as connection:
        connection.execute(_DAMAGE)
    with pytest.raises((CorruptStoreError, ZeroDivisionError)) as raised:
        read(store)
    with store.log.reader() as connection:
        assert connection.txn_state() == apsw.SQLITE_TXN_NONE
    assert raised.tb.tb_next  # which would keep it alive


def _read_views(store: SessionStore) -> None:
    store.activities("tool")


def _read_one_by_one(store: SessionStore) -> None:
    with activities.numbered(store.log, store.derived, "tool", -1) as found:
        list(found)


def _fail_while_reading_one_by_one(store: SessionStore) -> None:
    with activities.numbered(store.log, store.derived, "tool", -1) as found:
        _fail(found)


@pytest.mark.parametrize("read", [_read_views, _read_one_by_one, _fail_while_reading_one_by_one])
def test_reading_activities_that_fails_leaves_no_statement_open(
    read: Callable[[SessionStore], None],
) -> None:
    with SessionStore.open(":memory:") as store:  # which has one connection for all
        session = store.create("a")
        for number in range(3):
            content = ev.ActivityContent(subject=f"tool {number}")
            session.add_event(ev.ToolCalled(content=content))
        assert len(store.activities()) == 3
        _leaves_no_statement(store, read)


def _read_messages(store: SessionStore) -> None:
    store.session("a").messages()


def _fail_while_reading_messages(store: SessionStore) -> None:
    reads.state_and_each(store.log, store.session("a").stream, None, _fail)


@pytest.mark.parametrize("read", [_read_messages, _fail_while_reading_messages])
def test_reading_messages_that_fails_leaves_no_statement_open(
    read: Callable[[SessionStore], None],
) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        for number in range(3):
            session.append("user", f"message {number}")
        _leaves_no_statement(store, read)


def test_closing_while_others_read_closes_every_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of giving back and closing comes first."""
    apsw.Connection(str(tmp_path / "a.db")).close()
    opened: list[apsw.Connection] = []

    def connect(path: str, *_: object, **__: object) -> apsw.Connection:
        opened.append(apsw.Connection(path))
        return opened[-1]

    monkeypatch.setattr(engine, "connect", connect)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            readers = Readers(str(tmp_path / "a.db"), Durability.NORMAL, readonly=False)
            _lend_while_closing(readers)
            for connection in opened:
                with pytest.raises(apsw.ConnectionClosedError):
                    connection.execute("SELECT 1")
            assert opened
            opened.clear()
    finally:
        sys.setswitchinterval(interval)


def _lend_while_closing(readers: Readers) -> None:
    closing = threading.Event()

    def lend() -> None:
        while True:
            last = closing.is_set()
            readers.give_back(readers.take())
            if last:
                return

    threads = [threading.Thread(target=lend) for _ in range(4)]
    for thread in threads:
        thread.start()
    closing.set()
    readers.close()
    for thread in threads:
        thread.join()
