"""How long an append takes among other writers, and whether one of them is starved."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from engines import ThisEngine
from harness import Context, Row, result

CHILD = Path(__file__).with_name("latency_child.py")

#: Writers of all processes together.
WRITERS = (1, 8, 64)

PROCESSES = (1, 4)


def measure(context: Context) -> Iterator[Row]:
    """Rows at both durabilities, for one process and for several."""
    scale = context.scale
    seconds = 0.25 if scale.quick else 3.0
    rounds = max(1, scale.thread_rounds)
    for durability in ("normal", "full"):
        for processes in PROCESSES:
            for wanted in WRITERS:
                writers = max(wanted, processes)  # one in each at least
                path = context.folder / f"latency-{durability}-{processes}-{writers}.db"
                measured = [
                    _together(context, path, durability, processes, writers, seconds)
                    for _ in range(rounds)
                ]
                label = f"append, writers/processes {writers}/{processes}, {durability}"
                yield from _rows(label, measured, seconds)


def _rows(label: str, measured: list[list[list[float]]], seconds: float) -> Iterator[Row]:
    """The rows of some rounds, each of which has the waits of each writer, in ms."""
    together = [sorted(wait for waits in round_ for wait in waits) for round_ in measured]
    rates = [len(waits) / seconds for waits in together]
    yield result(f"{label}, rate", ThisEngine.name, "messages/s", rates)
    for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        samples = [waits[int(part * (len(waits) - 1))] for waits in together]
        yield result(f"{label}, {name}", ThisEngine.name, "ms", samples)
    shares = []
    for round_ in measured:
        counts = [len(waits) for waits in round_]
        shares.append(max(0.001, min(counts) / mean(counts)))
    if len(measured[0]) > 1:
        yield result(f"{label}, slowest writer", ThisEngine.name, "of the mean", shares)


def _together(
    context: Context, path: Path, durability: str, processes: int, writers: int, seconds: float
) -> list[list[float]]:
    """The waits of each writer, each of which appends to a session of its own for that long."""
    command = [sys.executable, str(CHILD), str(path), durability, str(writers // processes)]
    texts = json.dumps(list(context.texts[:200])) + "\n"
    running = [
        subprocess.Popen(
            [*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(processes)
    ]
    for process in running:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(texts)
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
    begin = time.monotonic() + 0.1
    for process in running:
        assert process.stdin is not None
        process.stdin.write(f"{begin} {begin + seconds}\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    return [waits for output in outputs for waits in json.loads(output)]
