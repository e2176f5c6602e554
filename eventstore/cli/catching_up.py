"""Opening a store for a command that reads what is caught up before it is read."""

from __future__ import annotations

from contextlib import suppress

from eventstore.cli.options import Settings
from eventstore.cli.output import progress_line
from eventstore.cli.text import plural
from eventstore.errors import ReadOnlyStoreError, StoreBusyError
from eventstore.store.session_store import SessionStore


def open_caught_up(settings: Settings, projection: str, verb: str) -> SessionStore:
    """The store, with this projection at its head where the file can be written.

    `verb` says to whoever watches what is being done.
    """
    store = settings.open_for_reading()
    with store.log.snapshot() as connection:
        missing = store.derived.missing(connection, projection)
    if not missing:
        return store
    try:
        writable = settings.open_for_writing()
    except (ReadOnlyStoreError, StoreBusyError):
        return store
    store.close()
    with progress_line() as line, suppress(StoreBusyError):
        while missing:
            line.show(f"{verb}, {plural(missing, 'event')} to go")
            missing = writable.catch_up(projection, seconds=0.5)
    return writable
