"""A plain message's own way stores and remembers what the ordinary way does, byte by byte."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from engine_support import budget, clean, ticking
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import Message, Session, SessionStore
from eventstore.errors import EventStoreError
from eventstore.events import stored
from eventstore.log.blobs import BLOB_BYTES
from eventstore.log.engine import quoted
from eventstore.snapshots import TAIL_MIN

ROLES = ("user", "assistant", "tool", "system", "developer", "reviewer", "no role")

texts = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Lu", "Cc"]), max_size=3),
    st.sampled_from(["", '{"$blob": "x"}', "costs $5", "x" * BLOB_BYTES, "x" * (BLOB_BYTES - 20)]),
)
plain_messages = st.tuples(st.just("append"), st.sampled_from(ROLES), texts)
steps = st.one_of(
    plain_messages,
    plain_messages,
    st.tuples(st.just("many"), st.lists(st.tuples(st.sampled_from(ROLES[:4]), texts), max_size=3)),
    st.tuples(st.just("fill"), st.integers(TAIL_MIN - 3, TAIL_MIN + 3)),
    st.tuples(st.just("compact"), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.sampled_from(["end", "close", "create", "retract", "reopen"])),
)


def done(store: SessionStore, sessions: list[Session], step: tuple[Any, ...]) -> Any:
    """What a step answers, its error included."""
    session = sessions[-1]
    try:
        match step:
            case ("create",):
                sessions.append(store.create("s"))
            case ("append", role, text):
                return session.append(role, text)
            case ("many", messages):
                return session.append_many([Message(role=r, content=t) for r, t in messages])
            case ("fill", count):
                return [session.append("user", str(number)) for number in range(count)]
            case ("compact", first, size):
                return session.compact(first, first + size, "a note")
            case ("retract",):
                return session.retract(2)
            case (name,):
                return getattr(session, name)()
    except EventStoreError as error:
        return type(error), str(error)


def rows_of(store: SessionStore) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with store.log.snapshot() as connection:
        names = [name for (name,) in connection.execute(_TABLES).fetchall()]
        return {
            name: connection.execute(f"SELECT * FROM {quoted(name)}").fetchall() for name in names
        }


_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"


def after(path: Path, history: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The answers to a history, all rows, and what is remembered, with chance taken out."""
    numbers = itertools.count()

    def urandom(size: int) -> bytes:
        return bytes(next(numbers) % 256 for _ in range(size))

    with (
        mock.patch.object(os, "urandom", urandom),
        SessionStore.open(path, clock=ticking(), durability="normal") as store,
    ):
        sessions = [store.create("s")]
        answers = [done(store, sessions, step) for step in history]
        log = store.log
        remembered = dict(log._memory._committed), dict(log._transaction._streams._committed)
        clean(store)
        return answers, rows_of(store), remembered


@settings(max_examples=budget(40), deadline=None)
@given(st.lists(steps, max_size=12))
def test_both_ways_store_and_remember_the_same(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("plain")
    short = after(folder / "short.db", history)
    with mock.patch.object(stored, "store_plain", side_effect=ValueError):
        ordinary = after(folder / "ordinary.db", history)
    assert short == ordinary


@pytest.mark.parametrize("role", ROLES[:5])
def test_a_plain_message_goes_its_own_way(role: str, tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        with mock.patch("eventstore.store.executor.run_on", side_effect=AssertionError):
            session.append(role, "hello")
        assert session.message(1).role == role
