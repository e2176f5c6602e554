"""Several processes and many threads on one file: nothing answered is lost, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, clean, tables_of

from eventstore import Message, SessionStore, errors

#: A writer: appends to a shared session and to one of its own, and tells each answer on a line.
WRITER = """
import os, sys
from eventstore import Message, SessionStore
path, name, count, durability = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
write = lambda line: os.write(1, line)
store = SessionStore.open(path, durability=durability)
own = store.create(f"own-{name}", key="create")
shared = store.session("shared")
write(b"ready\\n")
sys.stdin.readline()
number = 0
while count < 0 or number < count:
    text = f"{name}:{number}"
    if number % 3 == 2:
        seqs = shared.append_many([Message(role="user", content=f"{text}:{i}") for i in (0, 1)])
        write(f"shared {seqs[0]} {text}:0\\nshared {seqs[1]} {text}:1\\n".encode())
    else:
        write(f"shared {shared.append('user', text)} {text}\\n".encode())
    write(f"own-{name} {own.append('user', text)} {text}\\n".encode())
    own.record_usage(str(number % 5), input=1)
    number += 1
store.close()
write(b"closed\\n")
"""


def start(path: Path, name: str, count: int, durability: str = "normal") -> Any:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count), durability],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip


def answers_of(lines: list[bytes]) -> list[tuple[str, int, str]]:
    """The whole lines of a writer: what was answered before it ended."""
    found = []
    for line in lines:
        if line.endswith(b"\n") and line.count(b" ") == 2:
            session, seq, text = line.decode().split()
            found.append((session, int(seq), text))
    return found


def check_answers(store: SessionStore, answers: list[tuple[str, int, str]]) -> None:
    """Each answered message is there once, where it was said to be; nothing has a gap."""
    assert [r.position for r in store.events()] == list(range(1, store.head.position + 1))
    for info in store.sessions(statuses=None):
        session = store.session(info.session_id)
        history = session.history()
        assert [m.seq for m in history] == list(range(1, len(history) + 1))
        assert [r.version for r in session.events()] == list(range(1, session.version + 1))
        told = {seq: text for name, seq, text in answers if name == info.session_id}
        assert {m.seq: m.text for m in history if m.seq in told} == told
        texts = Counter(m.text for m in history)
        assert not [text for text, count in texts.items() if count > 1]
    assert len({(name, seq) for name, seq, _ in answers}) == len(answers)
    clean(store)


def test_four_processes_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        store.create("shared")
    writers = [start(path, f"w{number}", budget(60)) for number in range(4)]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    outputs: list[list[bytes]] = [[] for _ in writers]
    readers = [
        threading.Thread(target=lambda w=writer, o=output: o.extend(w.stdout))
        for writer, output in zip(writers, outputs, strict=True)
    ]
    for writer, reader in zip(writers, readers, strict=True):
        reader.start()
        writer.stdin.write(b"go\n")
    with SessionStore.open(path, durability="normal") as store:  # and a fifth, meanwhile
        while any(reader.is_alive() for reader in readers):
            store.session("shared").set_title(str(time.monotonic()))
            seqs = [m.seq for m in store.session("shared").messages()]
            assert seqs == list(range(1, len(seqs) + 1))
            time.sleep(0.02)
    for writer, reader in zip(writers, readers, strict=True):
        reader.join()
        assert writer.wait(60) == 0
        writer.stdin.close()
        writer.stdout.close()
    lines = [line for output in outputs for line in output]
    assert lines.count(b"closed\n") == 4
    with SessionStore.open(path) as store:
        answers = answers_of(lines)
        check_answers(store, answers)
        assert len(store.session("shared").history()) == sum(a[0] == "shared" for a in answers)


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_writers_killed_at_random_lose_nothing_that_was_answered(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "s.db"
    chance = random.Random(7)
    with SessionStore.open(path, durability="normal") as store:
        store.create("shared")
    answers: list[tuple[str, int, str]] = []
    for turn in range(budget(4)):
        writers = [start(path, f"{turn}{name}", -1, durability) for name in "ab"]
        for writer in writers:
            assert writer.stdout.readline() == b"ready\n"
        for writer in writers:
            writer.stdin.write(b"go\n")
        for writer in writers:
            time.sleep(chance.uniform(0.01, 0.25))
            os.kill(writer.pid, signal.SIGKILL)
        for writer in writers:
            answers += answers_of(writer.stdout.readlines())
            assert writer.wait(10) == -signal.SIGKILL
            writer.stdin.close()
            writer.stdout.close()
        with SessionStore.open(path, durability="normal") as store:
            check_answers(store, answers)
    assert len(answers) > 20
    with SessionStore.open(path) as store:
        before = tables_of(store)
        store.rebuild()
        assert tables_of(store) == before


OPENER = """
import sys
from eventstore import SessionStore
sys.stdin.readline()
with SessionStore.open(sys.argv[1]) as store:
    store.create(f"s{sys.argv[2]}").append("user", "x")
"""


def test_several_processes_may_create_the_file_at_once(tmp_path: Path) -> None:
    for turn in range(budget(3)):
        path = tmp_path / f"{turn}.db"
        openers = [
            subprocess.Popen(
                [sys.executable, "-c", OPENER, str(path), str(number)], stdin=subprocess.PIPE
            )
            for number in range(5)
        ]
        time.sleep(0.3)
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write(b"go\n")
            opener.stdin.close()
        assert [opener.wait(60) for opener in openers] == [0] * 5
        with SessionStore.open(path) as store:
            assert sorted(info.session_id for info in store.sessions()) == [
                f"s{number}" for number in range(5)
            ]
            clean(store)


@pytest.mark.parametrize("durability", ["normal", "full"])
@pytest.mark.parametrize("memory", [False, True])
def test_64_threads_on_one_store(tmp_path: Path, durability: str, memory: bool) -> None:
    path = ":memory:" if memory else tmp_path / "s.db"
    rounds = budget(12)
    with SessionStore.open(path, durability=durability) as store:
        store.create("shared")
        answers: list[tuple[str, int, str]] = []
        failures: list[BaseException] = []
        barrier = threading.Barrier(64)

        def run(name: int) -> None:
            try:
                own = store.create(f"own-{name}")
                shared = store.session("shared")
                barrier.wait()
                for number in range(rounds):
                    text = f"{name}:{number}"
                    if name % 4 == 0:
                        one_bad_request(store, number)
                    seq = shared.append("user", text)
                    answers.append(("shared", seq, text))
                    assert shared.message(seq).text == text  # type: ignore[union-attr]
                    answers.append((own.id, own.append("user", text), text))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(name,)) for name in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(answers) == 64 * rounds * 2
        assert len(store.session("shared").history()) == 64 * rounds
        check_answers(store, answers)


def one_bad_request(store: SessionStore, number: int) -> None:
    shared = store.session("shared")
    if number % 3 == 0:
        with pytest.raises(errors.UnknownMessageError):
            shared.retract(10**9)
    elif number % 3 == 1:
        with pytest.raises(errors.NotJSONError):
            shared.append_many(
                [Message(role="user", content="half"), Message(role="user", content=[{1: 2}])]
            )
    else:
        with pytest.raises(errors.SessionExistsError):
            store.create("shared")


def test_nobody_is_answered_before_the_commit(tmp_path: Path) -> None:
    """The commit is held up; whoever was answered by then was answered too early."""
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        session = store.create("a")
        held, go = threading.Event(), threading.Event()
        answered: list[int] = []
        early: list[list[int]] = []

        def hold(_: Any) -> None:
            held.set()
            go.wait(30)

        def at_commit() -> bool:
            time.sleep(0.1)  # for an answer to come too early
            early.append(list(answered))
            return False

        def append(number: int) -> None:
            session.append("user", str(number))
            answered.append(number)

        leader = threading.Thread(target=lambda: store.log.transact(hold, exclusive=True))
        leader.start()
        held.wait(30)
        threads = [threading.Thread(target=append, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        while len(store.log._group._queue) < 5:
            time.sleep(0.005)
        store.log._writer.set_commit_hook(at_commit)
        go.set()
        for thread in [leader, *threads]:
            thread.join()
        store.log._writer.set_commit_hook(None)
        assert early
        assert not any(early)
        assert sorted(answered) == [0, 1, 2, 3, 4]


def test_works_of_one_group_fail_alone_and_leave_no_gap(tmp_path: Path) -> None:
    """A leader is held up until many wait, so that they are certain to share a commit."""
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        session = store.create("a")
        held, go = threading.Event(), threading.Event()

        def hold(_: Any) -> None:
            held.set()
            go.wait(30)

        commits: list[int] = []
        store.log._writer.set_commit_hook(lambda: bool(commits.append(1)) and False)
        leader = threading.Thread(target=lambda: store.log.transact(hold, exclusive=True))
        leader.start()
        held.wait(30)
        outcomes: dict[int, Any] = {}

        def run(number: int) -> None:
            try:
                content: Any = [{1: 2}] if number % 3 == 0 else str(number)
                batch = [Message(role="user", content="half")] if number % 3 == 0 else []
                batch.append(Message(role="user", content=content))
                outcomes[number] = session.append_many(batch)[0]
            except errors.EventStoreError as error:
                outcomes[number] = type(error)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(30)]
        for thread in threads:
            thread.start()
        while len(store.log._group._queue) < 30:
            time.sleep(0.005)
        go.set()
        for thread in [leader, *threads]:
            thread.join()
        store.log._writer.set_commit_hook(None)
        bad = [number for number, outcome in outcomes.items() if outcome is errors.NotJSONError]
        assert sorted(bad) == list(range(0, 30, 3))
        assert len(commits) == 2, "the thirty did not share one commit"
        assert [m.seq for m in session.messages()] == list(range(1, 21))
        assert {m.seq: m.text for m in session.messages()} == {
            seq: str(number) for number, seq in outcomes.items() if number % 3
        }
        clean(store)


def test_an_interrupted_writer_answers_its_group_and_the_store_goes_on(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        session = store.create("a")

        def interrupted(_: Any) -> None:
            raise KeyboardInterrupt

        head = store.head
        with pytest.raises(KeyboardInterrupt):
            store.log.transact(interrupted)
        assert store.head == head
        assert session.append("user", "next") == 1
        clean(store)
