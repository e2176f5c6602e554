"""Event-sourced storage for LLM agent sessions.

>>> from eventstore import SessionStore
>>> with SessionStore.open(":memory:") as store:
...     session = store.create(title="Hello")
...     seq = session.append("user", "What is an event store?")
...     session.chat()
[{'role': 'user', 'content': 'What is an event store?'}]

The names below are loaded when they are first used: the log and the events, which everything else
stands on, must not load the store that joins them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventstore.aio.outcomes import cancelled_append
    from eventstore.aio.session import AsyncSession
    from eventstore.aio.store import AsyncSessionStore
    from eventstore.checkpoints.keeping import Checkpoints
    from eventstore.events.catalogue import (
        CustomEvent,
        Kind,
        Lifecycle,
        ToolCall,
        UsageRecorded,
    )
    from eventstore.log.engine import Durability
    from eventstore.log.port import (
        ANY,
        EXISTS,
        NO_STREAM,
        Actor,
        Recorded,
        exactly,
        unchanged_since,
    )
    from eventstore.session.commands import Message
    from eventstore.store.points import At
    from eventstore.store.session import Session
    from eventstore.store.session_store import SessionStore

_HOMES = {
    "SessionStore": "eventstore.store.session_store",
    "Session": "eventstore.store.session",
    "AsyncSessionStore": "eventstore.aio.store",
    "AsyncSession": "eventstore.aio.session",
    "At": "eventstore.store.points",
    "Checkpoints": "eventstore.checkpoints.keeping",
    "cancelled_append": "eventstore.aio.outcomes",
    "Message": "eventstore.session.commands",
    "ToolCall": "eventstore.events.catalogue",
    "CustomEvent": "eventstore.events.catalogue",
    "UsageRecorded": "eventstore.events.catalogue",
    "Kind": "eventstore.events.catalogue",
    "Lifecycle": "eventstore.events.catalogue",
    "Durability": "eventstore.log.engine",
    "Actor": "eventstore.log.port",
    "Recorded": "eventstore.log.port",
    "ANY": "eventstore.log.port",
    "EXISTS": "eventstore.log.port",
    "NO_STREAM": "eventstore.log.port",
    "exactly": "eventstore.log.port",
    "unchanged_since": "eventstore.log.port",
}

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "EXISTS",
    "NO_STREAM",
    "Actor",
    "AsyncSession",
    "AsyncSessionStore",
    "At",
    "Checkpoints",
    "CustomEvent",
    "Durability",
    "Kind",
    "Lifecycle",
    "Message",
    "Recorded",
    "Session",
    "SessionStore",
    "ToolCall",
    "UsageRecorded",
    "cancelled_append",
    "exactly",
    "unchanged_since",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'eventstore' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
