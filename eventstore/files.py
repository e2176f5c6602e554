"""Files and folders beside a store: for their owner alone, and whole or not there at all.

What is to outlive a power loss is written under another name, synced, given its name, and then its
folder is synced, which is where the name is kept. None of this is for a file that SQLite has open:
closing any descriptor of it drops the locks of the whole process.
"""

from __future__ import annotations

import os
from pathlib import Path


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, with mode 0700; raises `OSError`.

    `Path.mkdir` gives the ones above whatever the umask lets it.
    """
    for one in (*reversed(folder.parents), folder):
        if not one.is_dir():
            one.mkdir(mode=0o700, exist_ok=True)


def sync(path: Path) -> None:
    """Have the disk keep what is in a file; raises `OSError`."""
    _sync(path, os.O_RDWR)


def sync_names(folder: Path) -> None:
    """Have the disk keep the names in a folder, where the system can; raises `OSError`."""
    if os.name == "posix":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, mode: int) -> None:
    number = os.open(path, mode)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_tree(folder: Path) -> None:
    """Have the disk keep everything in a folder, and those within it; raises `OSError`."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_names(path)
        else:
            sync(path)


def put(partial: Path, target: Path) -> None:
    """Give a file or a folder that was synced the name that it is to have; raises `OSError`."""
    os.replace(partial, target)
    sync_names(target.absolute().parent)
