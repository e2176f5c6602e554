"""Following: how late an event is, and what waiting for one costs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from engines import ThisEngine
from harness import Context, Row, result

from eventstore import SessionStore

#: Appends one message a line of its input, and prints when each was stored (µs since 1970).
_WRITER = """
import sys, time
from eventstore import SessionStore
with SessionStore.open(sys.argv[1], durability="normal") as store:
    session = store.create("written elsewhere")
    print("ready", flush=True)
    for line in sys.stdin:
        session.append("user", "hello")
        print(time.time_ns() // 1000, flush=True)
"""

#: Between two events, so that the file counts as quiet again.
PAUSE_SECONDS = 1.2


def measure(context: Context) -> Iterator[Row]:
    """Rows of latency in one process and between two, and of CPU while nothing happens."""
    path = context.folder / "follow.db"
    count = max(2, context.scale.reads // 4)
    with SessionStore.open(path, durability="normal") as store:
        yield result("follow, event of this process", ThisEngine.name, "ms", _within(store, count))
        between = _between(store, path, count)
        yield result("follow, event of another process", ThisEngine.name, "ms", between)
        seconds = 0.5 * max(1, context.scale.processes)
        yield result("follow, CPU while nothing happens", ThisEngine.name, "ms/s",
                     [_idle(store, seconds)])  # fmt: skip


def _within(store: SessionStore, count: int) -> list[float]:
    """How long after its append each event reaches a follower in another thread, in ms."""
    session = store.create("written here")
    seen: list[int] = []
    follower = store.follow(store.head, timeout=10)

    def read() -> None:
        for _ in range(count):
            next(follower)
            seen.append(time.perf_counter_ns())

    thread = threading.Thread(target=read)
    thread.start()
    stored = []
    for _ in range(count):
        time.sleep(0.02)
        session.append("user", "hello")
        stored.append(time.perf_counter_ns())
    thread.join()
    return [max(0.001, (at - since) / 1e6) for at, since in zip(seen, stored, strict=True)]


def _between(store: SessionStore, path: Path, count: int) -> list[float]:
    """The same for events that another process appends to a file that was quiet before."""
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    stored = []

    def write() -> None:
        for _ in range(count):
            time.sleep(PAUSE_SECONDS)  # the follower waits, and the file is quiet
            writer.stdin.write("\n")
            writer.stdin.flush()
            stored.append(int(writer.stdout.readline()))

    follower = store.follow(store.head, timeout=10)
    thread = threading.Thread(target=write)
    thread.start()
    seen = [(next(follower), time.time_ns() // 1000)[1] for _ in range(count)]
    thread.join()
    writer.stdin.close()
    writer.wait(30)
    return [max(0.001, (at - since) / 1000) for at, since in zip(seen, stored, strict=True)]


def _idle(store: SessionStore, seconds: float) -> float:
    """CPU time that a follower takes in a second in which nothing is appended, in ms."""
    thread = threading.Thread(target=list, args=(store.follow(store.head, timeout=seconds),))
    begin, since = time.process_time(), time.perf_counter()
    thread.start()
    thread.join()
    used = time.process_time() - begin
    return max(0.001, 1000 * used / (time.perf_counter() - since))
