"""Another process that holds the write lock of a store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDER = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def hold_lock(path: Path | str) -> subprocess.Popen[bytes]:
    """Another process that holds the write lock until it is let go."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def let_go(holder: subprocess.Popen[bytes]) -> None:
    """Have the process end, and with it its lock."""
    holder.communicate(b"\n", timeout=30)
    assert holder.returncode == 0


@contextmanager
def locked(path: Path | str) -> Iterator[None]:
    """Another process holds the write lock meanwhile."""
    holder = hold_lock(path)
    try:
        yield
    finally:
        let_go(holder)
