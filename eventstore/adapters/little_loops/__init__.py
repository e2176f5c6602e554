"""A drop-in for `little_loops.session_store`, on a store of this engine.

    from eventstore.adapters import little_loops as session_store

The names, arguments and results are those of the original at schema 1; what is different on purpose
is listed in `docs/adapters/little-loops.md`. The file at the given path is a store of this engine.
"""

from __future__ import annotations

from eventstore.adapters.little_loops.backfill import backfill
from eventstore.adapters.little_loops.connection import connect
from eventstore.adapters.little_loops.opening import DEFAULT_DB_PATH, ensure_db
from eventstore.adapters.little_loops.reading import recent, search
from eventstore.adapters.little_loops.transport import SQLiteTransport
from eventstore.adapters.little_loops.views import SCHEMA_VERSION

__all__ = [
    "DEFAULT_DB_PATH",
    "SCHEMA_VERSION",
    "SQLiteTransport",
    "backfill",
    "connect",
    "ensure_db",
    "recent",
    "search",
]
