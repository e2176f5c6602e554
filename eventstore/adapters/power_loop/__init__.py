"""power-loop's session store, call by call, on this engine.

``from eventstore.adapters.power_loop import SessionStore`` takes the place of
``from power_loop.runtime.session_store import SessionStore``. Modelled on power-loop 0.2.0, which
need not be installed; `docs/adapters/power-loop.md` says what differs on purpose.
"""

from eventstore.adapters.power_loop.rows import (
    DEFAULT_DB_PATH,
    MAX_SPAWN_DEPTH,
    CompactionRow,
    MessageRow,
    MessageState,
    SessionKind,
    SessionRow,
    SessionStateRow,
    SessionStatus,
    SubagentLifecycle,
    UsageRow,
)
from eventstore.adapters.power_loop.store import SessionStore

__all__ = [
    "DEFAULT_DB_PATH",
    "MAX_SPAWN_DEPTH",
    "CompactionRow",
    "MessageRow",
    "MessageState",
    "SessionKind",
    "SessionRow",
    "SessionStateRow",
    "SessionStatus",
    "SessionStore",
    "SubagentLifecycle",
    "UsageRow",
]
