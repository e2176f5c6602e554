"""A plain message's own way stores and remembers what the ordinary way does, byte by byte."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from engine_support import budget, clean, ticking
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import Message, Session, SessionStore
from eventstore.adapters import power_loop
from eventstore.errors import AppendUnknownError, EventStoreError, StoreClosedError
from eventstore.log.blobs import BLOB_BYTES
from eventstore.log.engine import quoted
from eventstore.snapshots import TAIL_MIN
from eventstore.store import plain

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
    with mock.patch.object(plain, "_decide", return_value=None):
        ordinary = after(folder / "ordinary.db", history)
    assert short == ordinary


@pytest.mark.parametrize("role", ROLES[:5])
def test_a_plain_message_goes_its_own_way(role: str, tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        with mock.patch("eventstore.store.executor.run_on", side_effect=AssertionError):
            session.append(role, "hello")
        assert session.message(1).role == role


def test_a_plain_message_that_finds_another_one_leading_is_stored_with_it(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        session.append("user", "first")
        done: list[int] = []
        thread = threading.Thread(target=lambda: done.append(session.append("user", "second")))

        def while_leading(_: object) -> None:
            thread.start()
            while not store.log._group._queue:
                time.sleep(0.001)

        store.log.transact(while_leading)
        thread.join()
        assert done == [2]
        assert [one.text for one in session.messages()] == ["first", "second"]


def test_a_plain_message_that_comes_after_the_close_is_refused(tmp_path: Path) -> None:
    """Also one that was let in before and finds the store closed when its turn comes."""
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        session.append("user", "first")
        group = store.log._group
        if_alone = group.if_alone

        def overtaken(*values: Any) -> Any:
            group.if_alone = if_alone  # type: ignore[method-assign]
            closing = threading.Thread(target=store.close)
            closing.start()
            closing.join()
            return if_alone(*values)

        group.if_alone = overtaken  # type: ignore[method-assign]
        with pytest.raises(StoreClosedError):
            session.append("user", "second")
    with SessionStore.open(tmp_path / "s.db") as store:
        assert [one.text for one in store.session("a").messages()] == ["first"]
        assert store.verify() == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM sessions",
        "INSERT INTO messages SELECT stream, 2, position, 2, role, state, kind, inherited, round, "
        "tokens, folded_version, removed_version FROM messages",
    ],
)
def test_rows_that_the_log_does_not_give_are_made_anew(tmp_path: Path, damage: str) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        session.append("user", "first")
        log = store.log
        log._writer.execute(damage)
        log._data_version = log._writer.data_version()  # nobody noticed
        with mock.patch("eventstore.store.executor.run_on", side_effect=AssertionError):
            assert session.append("user", "second") == 2
        assert [one.text for one in session.messages()] == ["first", "second"]
        assert store.check() == []


def test_a_plain_message_that_cannot_be_committed_leaves_nothing(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        session.append("user", "first")
        log = store.log
        log._writer.set_commit_hook(lambda: True)
        with pytest.raises(AppendUnknownError):
            session.append("user", "second")
        log._writer.set_commit_hook(None)
        assert session.append("user", "third") == 2
        assert [one.text for one in session.messages()] == ["first", "third"]
        assert store.verify() == []
        assert store.check() == []


def test_two_stores_on_one_file_append_plain_messages_in_turns(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as one, SessionStore.open(path) as other:
        one.create("a")
        chance = random.Random(0)
        texts = [str(number) for number in range(60)]
        for seq, text in enumerate(texts, start=1):
            store = one if chance.random() < 0.5 else other
            assert store.session("a").append("user", text) == seq
        assert [message.text for message in other.session("a").messages()] == texts
        assert one.verify() == []
        assert one.check() == []


def test_an_id_that_is_a_number_is_not_the_stream_with_that_number(tmp_path: Path) -> None:
    class Name(str):
        __slots__ = ()

    with power_loop.SessionStore.open(tmp_path / "s.db") as store:
        store.create_session(session_id="s")
        store.append_message("s", role="user", content="one")
        with pytest.raises(ValueError, match="unknown session: 1"):
            store.append_message(1, role="user", content="lost")  # type: ignore[arg-type]
        assert store.append_message(Name("s"), role="user", content="two") == 2
        assert [row.content for row in store.load_all_messages("s")] == ["one", "two"]
