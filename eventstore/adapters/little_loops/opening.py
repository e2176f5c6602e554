"""Opening the store at a path, as often as the original opens its database: with every call.

Opening a store costs more than most calls do, so those used last are kept open and shared by all
threads. One whose file was replaced meanwhile, or that was opened before a fork, is not used again.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventstore.adapters.little_loops.errors import LittleLoopsStoreError, of_the_store
from eventstore.files import make_private
from eventstore.log.engine import MEMORY
from eventstore.store.session_store import SessionStore

#: Where the original keeps its database, below the current folder.
DEFAULT_DB_PATH = Path(".ll/session.db")

#: Stores that are kept open while nobody uses them.
KEPT_MAX = 4


class Shared:
    """An open store and how many use it."""

    def __init__(self, path: str) -> None:
        self.store = SessionStore.open(path)
        self.file = _file(path)
        self.users = 0


class _Kept:
    """The stores of this process, the one used last at the end."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stores: OrderedDict[str, Shared] = OrderedDict()


_kept = _Kept()


def _forget() -> None:
    """Begin anew in a forked child: what the parent opened must not even be closed there."""
    global _kept  # noqa: PLW0603
    _kept = _Kept()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _file(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def ensure_db(path: Path | str = DEFAULT_DB_PATH) -> Path:
    """Create the store at `path`, folders included, if there is none; the path.

    Any number of threads and processes may do so at the same time. Raises `NotThisStoreError` for a
    file that is none, the original's own database as well, which is left as it is;
    `LittleLoopsStoreError` for a path that can hold none; `OSError` when a folder cannot be made.
    """
    with using(path):
        return Path(path)


@contextmanager
def using(path: Path | str) -> Iterator[SessionStore]:
    """The store at `path`, created if need be, open at least until the block ends."""
    shared = acquire(path)
    try:
        yield shared.store
    finally:
        release(shared)


def acquire(path: Path | str) -> Shared:
    """The store at `path`, created if need be; it stays open until it is released."""
    _make_folder(Path(path).parent)
    name = _name_of(path)
    with of_the_store(), _kept.lock:
        found = _kept.stores.get(name)
        if found is not None and found.file != _file(name):
            del _kept.stores[name]
            _close_unused(found)
            found = None
        if found is None:
            found = _kept.stores[name] = Shared(name)
        found.users += 1
        _kept.stores.move_to_end(name)
        _drop_oldest()
        return found


def _make_folder(folder: Path) -> None:
    try:
        make_private(folder)
    except FileExistsError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # says it as the original does


def _name_of(path: Path | str) -> str:
    """The absolute path; raises `LittleLoopsStoreError` where no file can be."""
    if str(path) == MEMORY:
        raise LittleLoopsStoreError(
            f"unable to open database file: {MEMORY} is another, empty database for every "
            "connection, so nothing recorded there could be read; give the path of a file"
        )
    name = os.path.abspath(path)
    if os.path.isdir(name):
        raise LittleLoopsStoreError(f"unable to open database file: {name} is a directory")
    return name


def release(shared: Shared) -> None:
    """Say that a store is not used any more."""
    with _kept.lock:
        shared.users -= 1
        if all(one is not shared for one in _kept.stores.values()):
            _close_unused(shared)


def _drop_oldest() -> None:
    unused = [name for name, one in _kept.stores.items() if not one.users]
    for name in unused[: max(0, len(unused) - KEPT_MAX)]:
        _close_unused(_kept.stores.pop(name))


def _close_unused(shared: Shared) -> None:
    if not shared.users:
        shared.store.close()


def close_unused() -> None:
    """Close the stores that nobody uses; the next call opens its own again."""
    with _kept.lock:
        for name in [name for name, one in _kept.stores.items() if not one.users]:
            _close_unused(_kept.stores.pop(name))


atexit.register(close_unused)
