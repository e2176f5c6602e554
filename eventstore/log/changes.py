"""Telling those who wait that the log has changed, by this process or another one.

Commits of this process are told at once. Those of others are noticed by one thread, which looks at
SQLite's `data_version` some times a second, however many wait; it runs only while somebody does.
Between two looks it holds no snapshot of the file, so it never keeps the write-ahead log from being
recycled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from eventstore.errors import EventStoreError

#: Seconds between two looks at the file. Half of it is what an event of another process is late
#: by on average. Most of what a look costs is being woken, so a quiet file is looked at less often.
QUIET_SECONDS = 0.07
BUSY_SECONDS = 0.02

#: Seconds after a change for which the file counts as busy.
BUSY_FOR_SECONDS = 1.0

Look = Callable[[], int]


class Changes:
    """Wakes listeners after commits; `looking` opens a look at what other processes did."""

    def __init__(self, looking: Callable[[], AbstractContextManager[Look]]) -> None:
        self._looking = looking
        # Reentrant: an abandoned listener may be collected, and leave, at any step of this thread.
        self._mutex = threading.RLock()
        #: Who waits for a change, and how each is woken.
        self.listeners: dict[object, Callable[[], None]] = {}
        self._stop: threading.Event | None = None

    def tell(self) -> None:
        """Wake everybody who listens, for example after a commit."""
        if not self.listeners:
            return
        with self._mutex:
            listeners = list(self.listeners.values())
        for wake in listeners:
            wake()

    def close(self) -> None:
        """Wake everybody a last time, and look no more."""
        with self._mutex:
            if self._stop is not None:
                self._stop.set()
        self.tell()

    @contextmanager
    def listening(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called after every change, in any thread; it may not raise or wait.

        It can be called without a change, too: who is woken looks for itself.
        """
        token = object()
        with self._mutex:
            self.listeners[token] = wake
            if self._stop is None:
                self._stop = threading.Event()
                threading.Thread(
                    target=self._watch, args=(self._stop,), name="eventstore-watch", daemon=True
                ).start()
        try:
            yield
        finally:
            with self._mutex:
                del self.listeners[token]
                if not self.listeners and self._stop is not None:
                    self._stop.set()
                    self._stop = None

    def _watch(self, stop: threading.Event) -> None:
        """Look until told to stop. A look that fails wakes everybody, who meet the error."""
        while not stop.is_set():
            try:
                with self._looking() as look:
                    # What was written before the first look may not have been read yet.
                    seen = look()
                    self.tell()
                    self._look_on(look, seen, stop)
            except EventStoreError:
                self.tell()
                time.sleep(QUIET_SECONDS)

    def _look_on(self, look: Look, seen: int, stop: threading.Event) -> None:
        busy_until = 0.0
        while not stop.is_set():
            moment = time.monotonic()
            # Half of what waiting for `stop` would cost; the thread may end a little later.
            time.sleep(BUSY_SECONDS if moment < busy_until else QUIET_SECONDS)
            now = look()
            if now != seen:
                seen = now
                busy_until = time.monotonic() + BUSY_FOR_SECONDS
                self.tell()
