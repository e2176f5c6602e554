"""A store's file under another name, until it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eventstore.errors import StoreError
from eventstore.log import engine


@contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """An empty private file beside the target, gone at the end unless it took the target's name."""
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    if not engine.create_file(partial):
        raise StoreError(f"{partial} is being written by somebody else")
    try:
        yield partial
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")
