"""Many processes and threads on one file, while processes are killed and stopped at random.

    python tests/processes/storm.py [--processes 8] [--threads 8] [--seconds 60] [--seed N]
                                    [--durability full|normal] [--soak]

Prints what was covered and the seed; then every promise that did not hold. `--soak` takes an hour,
with pauses between appends. Runs on Linux, where it can be asked who holds a lock.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import secrets
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import mean

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import roles
from operations import SHARED
from outcomes import Run, Told, check
from roles import Plan

from eventstore import SessionStore

#: Writers that are shown, those that waited longest first.
SHOWN_MAX = 8

#: SQLite's lock for writing to the write-ahead log is on this byte of the file beside it.
WRITE_LOCK = 120

#: Bytes to which a write-ahead log that begins anew is cut.
WAL_LIMIT = 64 * 2**20

#: Seconds without a reader in which the write-ahead log must have been cut.
LEAVES_EARLY = 10.0

#: Bytes that a storm writes at most before it is ended.
DISK_MAX = 4 * 2**30

#: A thread that ran shorter than this says nothing about starving, in seconds.
RAN_LONG = 2.0


class Storm:
    """Starts, kills and stops processes until the time is over."""

    def __init__(self, plan: Plan, processes: int) -> None:
        self.plan = plan
        self.chance = random.Random(f"storm {plan.seed}")
        self.counts = Counter[str]()
        self.wal_peak = 0
        self.wal_end = 0
        #: The least that the write-ahead log was cut to after the reader had left.
        self.wal_least: int | None = None
        self.failed: list[str] = []
        #: Seconds for which each process (slot and number) was stopped.
        self.stopped: dict[str, float] = defaultdict(float)
        self._slots = [*(f"writer{number}" for number in range(processes)), *roles.ROLES]
        self._running: dict[int, str] = {}
        self._started = Counter[str]()

    def run(self) -> None:
        """Do it; afterwards no process is left."""
        try:
            for slot in self._slots:
                self._start(slot)
            disturbances = self._disturbances()
            while time.monotonic() < self.plan.until and self._size() < DISK_MAX:
                self._look(self.chance.expovariate(1.5))
                if time.monotonic() < self.plan.until:
                    self._disturb(next(disturbances))
            self.wal_end = self._wal()
        finally:
            self._end()

    def _start(self, slot: str) -> None:
        number = self._started[slot]
        self._started[slot] += 1
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                roles.run(self.plan, slot, number)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        self._running[pid] = slot

    def _disturbances(self) -> Iterator[str]:
        """What to do: each thing that is short once, then at random."""
        yield from ("kill", "stop", "kill another")
        while True:
            yield self.chance.choices(
                ("kill", "stop", "long stop", "kill another"), (50, 30, 3, 17)
            )[0]

    def _disturb(self, what: str) -> None:
        """Do one thing to one process."""
        holder = self._holder()
        writers = [pid for pid, slot in self._running.items() if slot.startswith("writer")]
        match what:
            case "kill":
                self._kill(holder if holder in writers else self.chance.choice(writers))
            case "stop":
                self._stop(self.chance.uniform(0.01, 0.3) * self.plan.busy_seconds)
            case "long stop":
                self._stop(self.chance.uniform(1.1, 1.5) * self.plan.busy_seconds)
            case _:
                others = [pid for pid in self._running if pid not in writers]
                self._kill(self.chance.choice(others or writers))

    def _kill(self, pid: int) -> None:
        """Kill a process and start another one in its place."""
        self.counts["kills"] += 1
        self.counts["kills of the lock's holder"] += pid == self._holder()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self._start(self._running.pop(pid))

    def _stop(self, seconds: float) -> None:
        """Stop the process that writes just now, and let it go on later, or kill it instead."""
        until = time.monotonic() + 1
        while (pid := self._holder()) not in self._running:
            if time.monotonic() > until:
                return
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.001)
        held = self._holder() == pid
        self.counts["stops"] += 1
        self.counts["stops of the lock's holder"] += held
        self.counts["stops longer than others wait"] += held and seconds > self.plan.busy_seconds
        began = time.monotonic()
        self._look(seconds)
        slot = self._running[pid]
        self.stopped[f"{slot}.{self._started[slot] - 1}"] += time.monotonic() - began
        if self.chance.random() < 0.2:
            self._kill(pid)
        else:
            os.kill(pid, signal.SIGCONT)

    def _holder(self) -> int | None:
        """The process that holds the write lock, None when nobody does."""
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, WRITE_LOCK, 1, 0)
        try:
            # This process has no lock of its own that closing the file would drop.
            file = os.open(f"{self.plan.store}-shm", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))
        finally:
            os.close(file)
        return None if kind == fcntl.F_UNLCK else pid

    def _look(self, seconds: float) -> None:
        """Wait, with an eye on the write-ahead log."""
        until = min(time.monotonic() + seconds, self.plan.until)
        while True:
            size = self._wal()
            self.wal_peak = max(self.wal_peak, size)
            if time.monotonic() > self.plan.leaves:
                self.wal_least = size if self.wal_least is None else min(size, self.wal_least)
            if time.monotonic() >= until:
                return
            time.sleep(0.02)

    def _wal(self) -> int:
        with suppress(FileNotFoundError):
            return os.stat(f"{self.plan.store}-wal").st_size
        return 0

    def _size(self) -> int:
        size = 0
        for file in Path(self.plan.folder).iterdir():
            with suppress(FileNotFoundError):
                size += file.stat().st_size
        return size

    def _end(self) -> None:
        """Wait until all have ended; whoever does not is killed."""
        patience = time.monotonic() + 3 * self.plan.busy_seconds + 60
        for pid, slot in self._running.items():
            status = None
            while status is None and time.monotonic() < patience:
                ended, code = os.waitpid(pid, os.WNOHANG)
                status = code if ended else None
                time.sleep(0.005)
            if status is None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                self.failed.append(f"{slot} did not end")
            elif status:
                self.failed.append(f"{slot} ended with status {status}")


def unbounded(least: int | None, seconds: float) -> list[str]:
    """Whether the write-ahead log stayed as long as the reader had made it; needs some seconds."""
    if least is None or seconds < LEAVES_EARLY or least <= WAL_LIMIT:
        return []
    return [f"{seconds:.0f} s without a reader, the write-ahead log still had {least:,} bytes"]


def latencies(runs: list[Run], stopped: Mapping[str, float]) -> list[str]:
    """Lines about how long answers took, and how much the slowest writer got."""
    waited = sorted((run for run in runs if run.waits), key=lambda run: -max(run.waits))
    lines = [
        f"  {run.name}: {len(run.waits):,} answers, {quantiles(run.waits)}"
        for run in waited[:SHOWN_MAX]
    ]
    rates = [
        len(run.waits) / seconds
        for run in runs
        if (seconds := run.seconds - stopped.get(run.name.split("/")[0], 0)) >= RAN_LONG
    ]
    waits = [wait for run in runs for wait in run.waits]
    lines.append(f"all: {len(waits):,} answers, {quantiles(waits)}")
    if rates:
        share = min(rates) / mean(rates)
        lines.append(f"slowest of {len(rates)} writers: {share:.2f} of the mean rate")
    return lines


def quantiles(waits: list[float]) -> str:
    """The median, the 99th percentile and the longest, in ms."""
    waits = sorted(waits)
    chosen = (waits[int(part * (len(waits) - 1))] * 1000 for part in (0.5, 0.99, 1))
    return "p50 {:.1f}, p99 {:.1f}, max {:.0f} ms".format(*chosen)


def main() -> int:
    """Run a storm and print; 1 when something did not hold."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="eventstore-storm-", dir=options.folder) as folder:
        path = Path(folder) / "s.db"
        with SessionStore.open(path, durability="normal") as store:
            for name in SHARED:
                store.create(name)
        until = time.monotonic() + options.seconds
        plan = Plan(
            folder, options.seed, options.threads, options.durability, options.busy,
            until - options.seconds / 3, until, options.operations, options.pause,
        )  # fmt: skip
        storm = Storm(plan, options.processes)
        print(f"seed {options.seed}, {options.processes} × {options.threads} writers, "
              f"{options.durability}, {options.seconds:g} s", flush=True)  # fmt: skip
        storm.run()
        told = Told(Path(folder), options.seed)
        found = (
            storm.failed + unbounded(storm.wal_least, plan.until - plan.leaves) + check(told, path)
        )
    for name, count in sorted((storm.counts + told.counts).items()):
        print(f"{name}: {count:,}")
    print(f"write-ahead log: {storm.wal_peak:,} bytes at most, {storm.wal_end:,} at the end")
    print(*latencies(told.runs, storm.stopped), sep="\n")
    for one in found:
        print(f"VIOLATED {one}")
    print(f"seed {options.seed}: {len(found)} violated")
    return 1 if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8, help="that write")
    parser.add_argument("--threads", type=int, default=8, help="of each of them")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    parser.add_argument("--busy", type=float, default=4, help="seconds to wait for the lock")
    parser.add_argument("--operations", type=int, default=20_000, help="of a thread, at most")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds after each, on average")
    parser.add_argument("--soak", action="store_true", help="an hour, half a second of pause")
    parser.add_argument("--folder", help="where the file is; a temporary one by default")
    options = parser.parse_args()
    if options.soak:
        options.seconds, options.pause = 3600.0, 0.5
    return options


if __name__ == "__main__":
    sys.exit(main())
