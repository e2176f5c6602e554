"""Many at the same time: first opens, events, and backfills."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, clean
from little_loops_support import call, transcript

from eventstore import SessionStore
from eventstore.adapters import little_loops as adapter
from eventstore.adapters.little_loops.opening import close_unused

ROOT = Path(__file__).parent.parent.parent.parent
THREADS = 8


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_unused()


def together(act: Callable[[int], None]) -> list[Exception]:
    """Run `act` in threads that start at once; what they raised."""
    start, failures = threading.Barrier(THREADS), list[Exception]()

    def work(number: int) -> None:
        start.wait()
        try:
            act(number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def processes(script: str, *arguments: str) -> None:
    """Run a script in some processes at once; all must succeed."""
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments, str(number)],
            cwd=ROOT, stderr=subprocess.PIPE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for number in range(4)
    ]  # fmt: skip
    for one in begun:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
    for one in begun:
        assert one.stdin is not None
        one.stdin.write(b"\n")
        one.stdin.flush()
    for one in begun:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said.decode()


PREAMBLE = (
    "import sys\n"
    "from eventstore.adapters import little_loops as adapter\n"
    "print('ready', flush=True); sys.stdin.readline()\n"
)


def _sends(path: Path) -> None:
    transport = adapter.SQLiteTransport(path)
    transport.send({"event": "route"})
    transport.close()


def _backfills(path: Path) -> None:
    nowhere = path.parent / "nowhere"
    adapter.backfill(path, issues_dir=nowhere, loops_dir=nowhere)


#: Every call that creates a store, and reads what is in it or writes.
FIRST_CALLS: tuple[Callable[[Path], Any], ...] = (
    adapter.ensure_db,
    lambda path: adapter.connect(path).close(),
    _sends,
    lambda path: adapter.recent(path, kind="loop"),
    lambda path: adapter.search(path, query="route"),
    _backfills,
)


@pytest.mark.parametrize("calls", [FIRST_CALLS[:1], FIRST_CALLS], ids=["one call", "every call"])
def test_threads_that_open_first_do_not_race(
    calls: Sequence[Callable[[Path], Any]], tmp_path: Path
) -> None:
    for count in range(budget(30)):
        path = tmp_path / f"{count}" / "s.db"

        def act(number: int, path: Path = path, count: int = count) -> None:
            calls[(number + count) % len(calls)](path)

        assert together(act) == []
        close_unused()


def test_processes_that_open_first_do_not_race(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / f"{number}" / "s.db"
        processes(PREAMBLE + "adapter.ensure_db(sys.argv[1])", str(path))
        assert adapter.recent(path, kind="loop") == []


def test_every_event_of_many_threads_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shared = adapter.SQLiteTransport(path)

    def act(number: int) -> None:
        own = adapter.SQLiteTransport(path)
        for count in range(20):
            transport = own if count % 2 else shared
            transport.send({"event": "route", "loop_name": f"{number}-{count}"})
        own.close()

    assert together(act) == []
    shared.close()
    rows = adapter.recent(path, kind="loop", limit=-1)
    assert len({row["loop_name"] for row in rows}) == THREADS * 20
    assert sorted(row["id"] for row in rows) == list(range(1, THREADS * 20 + 1))
    with SessionStore.open(path) as store:
        clean(store)


def test_every_event_of_many_processes_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    script = PREAMBLE + (
        "transport = adapter.SQLiteTransport(sys.argv[1])\n"
        "for count in range(20):\n"
        "    transport.send({'event': 'route', 'loop_name': f'{sys.argv[2]}-{count}'})\n"
        "transport.close()\n"
        "assert len(adapter.recent(sys.argv[1], kind='loop')) == 20\n"
    )
    processes(script, str(path))
    rows = adapter.recent(path, kind="loop", limit=-1)
    assert len({row["loop_name"] for row in rows}) == 80


def test_of_backfills_at_the_same_time_one_adds_a_row(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    lines = transcript(
        tmp_path / "t.jsonl", [call("Bash", {"n": n // 2}, f"s{n % 5}", "t") for n in range(50)]
    )
    added: list[int] = []
    nowhere = tmp_path / "nowhere"

    def act(_: int) -> None:
        counts = adapter.backfill(path, issues_dir=nowhere, loops_dir=nowhere, jsonl_files=[lines])
        added.append(counts["tools"])

    assert together(act) == []
    assert sorted(added) == [0] * (THREADS - 1) + [50]
    close_unused()
    script = PREAMBLE + (
        "from pathlib import Path\n"
        "adapter.backfill(sys.argv[1], issues_dir=Path('nowhere'), loops_dir=Path('nowhere'),"
        " jsonl_files=[Path(sys.argv[2])])\n"
    )
    other = tmp_path / "other.db"
    processes(script, str(other), str(lines))
    for store in (path, other):
        assert len(adapter.recent(store, kind="tool", limit=-1)) == 50


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_opens_the_store_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    script = (
        "import json, os, sys\n"
        "from eventstore.adapters import little_loops as adapter\n"
        "path = sys.argv[1]\n"
        "adapter.ensure_db(path)\n"
        "if os.fork() == 0:\n"
        "    transport = adapter.SQLiteTransport(path)\n"
        "    transport.send({'event': 'route', 'loop_name': 'child'})\n"
        "    transport.close()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(json.dumps([row['loop_name'] for row in adapter.recent(path, kind='loop')]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["child"]
