"""What the machine does: clocks jump, locks fail, interpreters exit, files run out, odd names."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_support import clean, populated

from eventstore import Durability, SessionStore, errors
from eventstore.testing.faults import Fault, FaultyDisk, Kind

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of unix")


def script(source: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


# -- clocks ------------------------------------------------------------------------------------


JUMPS: dict[str, Callable[[], Callable[[], int]]] = {
    "stands still": lambda: lambda: 1_700_000_000_000_000,
    "runs backwards": lambda: itertools.count(1_700_000_000_000_000, -3_600_000_000).__next__,
    "jumps": lambda: lambda: random.Random(time.perf_counter_ns()).randrange(0, 4 * 10**15),
    "is before 1970": lambda: itertools.count(-1_000_000_000, 1_000_000).__next__,
    "is at 2554": lambda: itertools.count(2**64 // 1000, 1).__next__,
}


@pytest.mark.parametrize("name", JUMPS)
def test_the_order_is_that_of_appending_whatever_the_clock_does(name: str, tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", clock=JUMPS[name]()) as store:
        session = store.create("a", title="clocks")
        for number in range(20):
            session.append("user", f"message {number}")
        session.compact(1, 5, "a note")
        assert [event.position for event in store.events()] == list(range(1, 24))
        assert [m.text for m in session.messages()][1:] == [f"message {n}" for n in range(5, 20)]
        assert [one.session_id for one in store.sessions()] == ["a"]
        assert len(store.search("message", limit=50).hits) >= 20
        clean(store)


# -- locks -------------------------------------------------------------------------------------


def test_a_file_system_whose_locks_fail_is_told_and_stores_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("a").append("user", "before")
    failing = Fault(at=1, kind=Kind.LOCK, calls=1_000_000)
    with FaultyDisk([failing]), pytest.raises(errors.StoreError, match="lock"):
        SessionStore.open(path)
    with SessionStore.open(path) as store:
        assert [message.text for message in store.session("a").messages()] == ["before"]
        clean(store)


# -- exits -------------------------------------------------------------------------------------


EXITING = """
    import sys, threading
    from eventstore import SessionStore

    store = SessionStore.open(sys.argv[1])
    session = store.create("a")
    first = threading.Event()

    def append(name):
        for number in range(100_000):
            text = f"{name} {number}"
            seq = session.append("user", text)
            sys.stdout.write(f"{seq} {text}\\n")
            sys.stdout.flush()
            first.set()

    for name in "bcd":
        threading.Thread(target=append, args=(name,), daemon=True).start()
    first.wait()
    {end}
"""


@pytest.mark.parametrize("end", ["sys.exit(0)", "raise SystemError", "store.close()", "del store"])
def test_an_interpreter_that_ends_while_threads_append_loses_no_answer(
    end: str, tmp_path: Path
) -> None:
    process = script(EXITING.replace("{end}", end), tmp_path / "s.db")
    output, _ = process.communicate(timeout=60)
    answers = [line.split(" ", 1) for line in output.splitlines(keepends=True)
               if line.endswith("\n") and line.count(" ") == 2]  # fmt: skip
    with SessionStore.open(tmp_path / "s.db") as store:
        stored = {str(one.seq): one.text for one in store.session("a").history()}
        assert answers
        assert all(stored[seq] == text.rstrip("\n") for seq, text in answers)
        clean(store)


# -- Ctrl-C ------------------------------------------------------------------------------------


LONG: dict[str, str] = {
    "rebuild": "store.rebuild(progress=told)",
    "check": "store.check(progress=told)",
    "verify": "store.verify(progress=told)",
    "search": "told(); store.search('word')",
    "import": "told(); list(import_paths(store, [sys.argv[2]]))",
    "backup": "told(); backup(store.path, sys.argv[1] + '.copy', overwrite=True)",
}

INTERRUPTED = """
    import sys
    from eventstore import SessionStore
    from eventstore.backup import backup
    from eventstore.importers import import_paths

    def told(*_):
        print("working", flush=True)

    with SessionStore.open(sys.argv[1], durability="normal") as store:
        try:
            while True:
                {work}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


@unix_only
@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_in_long_work_ends_it_and_leaves_a_store_that_is_whole(
    name: str, tmp_path: Path
) -> None:
    path, transcript = tmp_path / "s.db", tmp_path / "t.jsonl"
    with populated(path) as store:
        session = store.create("long")
        for number in range(30):
            session.append("user", f"word {number}")
    transcript.write_text(
        "".join(
            f'{{"type":"user","sessionId":"t","uuid":"u{n}","parentUuid":null,'
            f'"timestamp":"2026-01-01T00:00:00Z","message":{{"role":"user","content":"w {n}"}}}}\n'
            for n in range(200)
        )
    )
    chance = random.Random(name)
    process = script(INTERRUPTED.replace("{work}", LONG[name]), path, transcript)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(chance.uniform(0, 0.05))
    process.send_signal(signal.SIGINT)
    output, told = process.communicate(timeout=60)
    assert (output.splitlines()[-1:], process.returncode) == (["interrupted"], 0), told
    (tmp_path / "s.db.copy").unlink(missing_ok=True)
    with SessionStore.open(path) as store:
        clean(store)
        store.session("long").append("user", "goes on")


# -- few files ---------------------------------------------------------------------------------


FEW_FILES = """
    import resource, sys
    from eventstore import SessionStore, errors

    store = SessionStore.open(sys.argv[1])
    session = store.create("a")
    session.append("user", "before")
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
    try:
        while True:
            held.append(open(sys.argv[1] + ".other", "a"))
    except OSError:
        pass
    session.append("user", "without one more file")
    try:
        print(len(session.history()))
        SessionStore.open(sys.argv[1] + ".second")
    except errors.EventStoreError as error:
        print(type(error).__name__)
    for file in held:
        file.close()
    print(len(session.history()))
    store.close()
"""


@unix_only
def test_a_process_without_file_descriptors_is_told_and_loses_nothing(tmp_path: Path) -> None:
    process = script(FEW_FILES, tmp_path / "s.db")
    output, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert output.split()[-1] == "2"
    assert output.split()[-2] in ("StoreError", "StoreBusyError"), output
    with SessionStore.open(tmp_path / "s.db") as store:
        clean(store)


# -- names -------------------------------------------------------------------------------------


ODD = [" ", "a b", "%41", "?mode=ro", "#x", "file:x", "a&b=c", "'", '"', ";--", "-db", "é", "日本",
       "🙂", "\u202e", "\n", "\t", "\x01", "a" * 200, "..x", "~x", "$HOME", "*", "[x]"]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_every_odd_name_of_a_folder_or_file_is_just_a_name(name: str, tmp_path: Path) -> None:
    if sys.platform == "win32" and any(one in name for one in '?"*\n\t\x01:'):
        pytest.skip("not a name on Windows")
    folder = tmp_path / name
    folder.mkdir()
    path = folder / f"{name}.db"
    with SessionStore.open(path, durability=Durability.NORMAL) as store:
        store.create("a").append("user", "hello")
        clean(store)
    with SessionStore.open(path, readonly=True) as store:
        assert [message.text for message in store.session("a").messages()] == ["hello"]
    assert {one.name for one in folder.iterdir()} <= {path.name, f"{name}.db-wal", f"{name}.db-shm"}
    assert os.listdir(tmp_path) == [name]
