"""`SQLiteTransport`: the sink of an event bus that records what loops do."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eventstore.adapters.little_loops.errors import LittleLoopsStoreError, NotThisStoreError
from eventstore.adapters.little_loops.opening import DEFAULT_DB_PATH, Shared, acquire, release
from eventstore.adapters.little_loops.shapes import LOOP_EVENTS, Indexed, event_of, home
from eventstore.errors import EventStoreError
from eventstore.events.catalogue import Activity
from eventstore.store.activities import Placed, record

logger = logging.getLogger(__name__)


class SQLiteTransport:
    """Records the events of loops; satisfies `little_loops.transport.Transport`.

    Any number of threads may send. A store that cannot be opened or written is logged and disables
    the sink, or loses the event: it never stops a loop. `OSError` when the folder of `db_path`
    cannot be made.
    """

    def __init__(self, db_path: Path | str = DEFAULT_DB_PATH) -> None:
        self._path = Path(db_path)
        self._lock = threading.Lock()
        self._shared: Shared | None = None
        try:
            self._shared = acquire(self._path)
        except (LittleLoopsStoreError, NotThisStoreError):
            logger.warning("no loop is recorded: cannot open %s", self._path, exc_info=True)

    def send(self, event: dict[str, Any]) -> None:
        """Record an event of a loop; others are ignored, and all after `close`."""
        shared = self._shared
        if shared is None or str(event.get("event", "")) not in LOOP_EVENTS:
            return
        store = shared.store
        try:
            record(store.log, store.derived, [Placed(None, loop_moved(event))], home())
        except EventStoreError:
            logger.warning("an event is not recorded: %r", event.get("event"), exc_info=True)

    def close(self) -> None:
        """Let go of the store; harmless when closed already."""
        with self._lock:
            shared, self._shared = self._shared, None
        if shared is not None:
            release(shared)


def loop_moved(event: dict[str, Any]) -> Activity:
    """The activity for an event of a loop."""
    transition = str(event.get("event", ""))
    name = str(event.get("loop_name", "")) or None
    state = event.get("state")
    if transition == "loop_complete":
        state = event.get("outcome", state)
    retries = event.get("retries")
    ts = event.get("ts")
    row = {
        "ts": str(ts) if ts else datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "loop_name": name,
        "state": None if state is None else str(state),
        "transition": transition,
        "retries": int(retries) if isinstance(retries, int) else None,
    }
    said = [str(one) for one in (name, state, transition) if one is not None]
    anchor = "" if name is None else f".loops/{name}.yaml"
    return event_of("loop", row, Indexed(" ".join(said), name or "", anchor))
