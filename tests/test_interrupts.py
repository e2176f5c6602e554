"""Ctrl-C hits the main thread between any two steps; nobody may be left without an answer."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from eventstore import SessionStore
from eventstore.log import interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no os.kill with SIGINT")

APPENDING = textwrap.dedent(
    """
    import os, random, signal, sys, threading, time
    from eventstore import SessionStore
    from eventstore.errors import EventStoreError

    store = SessionStore.open(sys.argv[1], durability="normal")
    session = store.create("a")
    answered, refused, over = [], [], threading.Event()

    def append(name):
        number = 0
        while not over.is_set():
            number += 1
            text = f"{name}-{number}"
            try:
                answered.append((session.append("user", text), text))
            except EventStoreError as error:
                refused.append(error)

    def interrupt():
        for _ in range(80):
            time.sleep(random.uniform(0.002, 0.02))
            os.kill(os.getpid(), signal.SIGINT)
        over.set()

    threads = [threading.Thread(target=append, args=(name,), daemon=True) for name in sys.argv[2]]
    for thread in threads:
        thread.start()
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    interrupts = 0
    while not over.is_set():
        try:
            append("main")
        except KeyboardInterrupt:
            interrupts += 1
    for thread in (interrupting, *threads):
        thread.join(20)
        assert not thread.is_alive(), "a thread was left waiting"
    stored = {message.seq: message.text for message in session.history()}
    assert all(stored[seq] == text for seq, text in answered), "an answered append is lost"
    assert store.verify() == [] and store.check() == []
    store.close()
    print(len(answered) > 0, interrupts > 0)
    """
)


@pytest.mark.parametrize("others", ["bcde", ""])
def test_nothing_is_lost_or_left_waiting_when_the_main_thread_is_interrupted(
    tmp_path: Path, others: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", APPENDING, str(tmp_path / "s.db"), others],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


def test_an_interrupt_during_a_commit_is_delivered_after_it(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")

        def interrupted(_: object) -> None:
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            store.log.transact(interrupted)
        assert session.append("user", "goes on") == 1


def test_an_interrupt_ends_exclusive_work_at_once_and_nothing_of_it_is_stored(
    tmp_path: Path,
) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("a")
        reached: list[str] = []

        def long_work(transaction: object) -> None:
            transaction.create_stream("half")  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGINT)
            time.sleep(0)
            reached.append("the end")

        with pytest.raises(KeyboardInterrupt):
            store.log.transact(long_work, exclusive=True)
        assert reached == []
        assert store.get("half") is None
        assert store.session("a").append("user", "goes on") == 1


def test_other_threads_and_other_handlers_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    entered = []

    def enter() -> None:
        with interrupts.deferred():
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [before]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.deferred():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    """As Ctrl-C does, and a step in which Python notices."""
    signal.raise_signal(signal.SIGINT)
    time.sleep(0)


def test_an_interrupt_waits_for_the_end_of_the_outermost_deferral() -> None:
    before = signal.getsignal(signal.SIGINT)
    reached = []

    def nested() -> None:
        with interrupts.deferred():
            with interrupts.deferred():
                interrupt()
                reached.append("the end of the inner one")
            assert interrupts.pending()
            reached.append("the end of the outer one")

    with pytest.raises(KeyboardInterrupt):
        nested()
    assert len(reached) == 2
    assert not interrupts.pending()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_deferral_where_interrupts_are_allowed_delivers_its_own() -> None:
    before = signal.getsignal(signal.SIGINT)

    def deferring() -> None:
        with interrupts.deferred():
            interrupt()

    with interrupts.deferred():
        with interrupts.allowed():
            with pytest.raises(KeyboardInterrupt):
                deferring()
            assert signal.getsignal(signal.SIGINT) is before
        assert not interrupts.pending()
        with interrupts.allowed(), pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before
