"""Connections that are lent to readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from eventstore import SessionStore
from eventstore.log.reading import head_of

_ALL = "SELECT position FROM events"


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
