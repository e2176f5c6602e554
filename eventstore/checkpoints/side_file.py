"""The last checkpoint of a store, kept in a file outside of it.

Whoever puts an older copy in the place of the store does not put one in the place of this file, so
the store can be compared with it when it is opened. It is replaced in one step.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from eventstore.checkpoints import checkpoint
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.keyfiles import state_folder
from eventstore.errors import CheckpointError, NoteError
from eventstore.files import make_private, put


def default_for(store: str) -> Path:
    """The side file of the store at this path: in the user's state folder, named by the path."""
    name = hashlib.sha256(os.fsencode(Path(store).resolve())).hexdigest()[:32]
    return state_folder() / "checkpoints" / f"{name}.note"


def read(path: Path) -> Checkpoint | None:
    """The checkpoint in a side file, None when there is no file.

    Raises `CheckpointError` for a file that holds none: it was damaged, or is something else.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"the side file {path} cannot be read: {error}") from error
    try:
        return checkpoint.read(data)[0]
    except NoteError as error:
        raise CheckpointError(
            f"the side file {path} holds no checkpoint ({error}); put back the one it had, or "
            "another note of this store"
        ) from error


def write(path: Path, note: str) -> None:
    """Put a note into a side file, and have the disk keep it; raises `CheckpointError`."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        make_private(path.parent)
        with suppress(FileNotFoundError):
            partial.unlink()  # of a process that died, or a link that somebody put there
        number = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            stream.write(note)
            stream.flush()
            os.fsync(stream.fileno())
        put(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise CheckpointError(f"the side file {path} cannot be written: {error}") from error
