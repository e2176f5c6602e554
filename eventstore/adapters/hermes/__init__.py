"""Hermes Agent's `hermes_state.SessionDB` on this engine: change the import, keep the calls.

``from eventstore.adapters.hermes import SessionDB`` in place of ``from hermes_state import …``.
"""

from __future__ import annotations

from eventstore.adapters.hermes.database import SessionDB
from eventstore.adapters.hermes.home import DEFAULT_DB_PATH, get_hermes_home
from eventstore.adapters.hermes.rows import SCHEMA_VERSION

__all__ = ["DEFAULT_DB_PATH", "SCHEMA_VERSION", "SessionDB", "get_hermes_home"]
