"""Stands in for nanobot's session store.

`SessionManager` and `Session` have the names and the behaviour of nanobot 0.1.4's
``nanobot.session.manager``; `NanobotStore` is what the ``store=`` of today's nanobot takes.
`docs/adapters/nanobot.md` says what is different on purpose.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventstore.adapters.nanobot.injected import NanobotStore
    from eventstore.adapters.nanobot.manager import SessionManager
    from eventstore.adapters.nanobot.session import Session

__all__ = ["NanobotStore", "Session", "SessionManager"]

_HOMES = {
    "NanobotStore": "eventstore.adapters.nanobot.injected",
    "Session": "eventstore.adapters.nanobot.session",
    "SessionManager": "eventstore.adapters.nanobot.manager",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'eventstore.adapters.nanobot' has no attribute {name!r}")
    return getattr(import_module(home), name)
