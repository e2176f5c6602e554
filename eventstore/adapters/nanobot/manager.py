"""nanobot's session manager on this engine.

All sessions of a workspace are in one store, ``sessions/sessions.db`` below it. Files that nanobot
left there are imported, each when its session is first asked for or listed and the store has none
of that key; they are never changed.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from eventstore.adapters.nanobot.comparing import copy
from eventstore.adapters.nanobot.keys import file_name, key_of_file
from eventstore.adapters.nanobot.picture import Wanted
from eventstore.adapters.nanobot.session import Session
from eventstore.adapters.nanobot.storage import Listed, Storage
from eventstore.adapters.nanobot.times import moment
from eventstore.errors import ImportFailedError, InvalidValueError
from eventstore.files import make_private
from eventstore.importers.nanobot.files import import_read, key_in, read_file
from eventstore.log.engine import Durability
from eventstore.store.session_store import SessionStore

_logger = logging.getLogger("eventstore.adapters.nanobot")

#: The store's name in the folder of sessions.
STORE_NAME = "sessions.db"


class SessionManager:
    """Sessions by key, kept in memory once they were asked for; `save` stores what changed."""

    def __init__(self, workspace: Path, *, durability: Durability | str = Durability.FULL) -> None:
        """Open the workspace's store, creating it if there is none.

        `durability` is that of `SessionStore.open`. Raises a `StoreError`.
        """
        self.workspace = workspace
        self.sessions_dir = workspace / "sessions"
        make_private(self.sessions_dir)
        self.store = SessionStore.open(self.sessions_dir / STORE_NAME, durability=durability)
        self._storage = Storage(self.store)
        self._cache: dict[str, Session] = {}
        #: Keys and files that need not be looked for, or at, again.
        self._asked_for: set[str] = set()
        self._adopted: set[str] = set()

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _get_session_path(self, key: str) -> Path:
        """Where nanobot itself would keep the session; several keys may share it."""
        return self.sessions_dir / file_name(key)

    def get_or_create(self, key: str) -> Session:
        """The session of a key, the same object until `invalidate`; a new one is not stored yet."""
        session = self._cache.get(key)
        if session is None:
            session = self._cache[key] = self._load(key) or Session(key=key)
        return session

    def invalidate(self, key: str) -> None:
        """Forget the object of a key, stored or not."""
        self._cache.pop(key, None)

    def save(self, session: Session) -> None:
        """Store what changed since the session was stored, all or nothing.

        Raises `TypeError` or `ValueError` for what has no JSON form, and the engine's errors.
        """
        self._adopt(session.key)
        self._storage.save(
            session.key,
            Wanted(
                session.messages,
                session.created_at.isoformat(),
                session.updated_at.isoformat(),
                session.metadata,
                session.last_consolidated,
            ),
        )
        self._cache[session.key] = session

    def _load(self, key: str) -> Session | None:
        """The stored session of a key, None if there is none. `updated_at` is the present time."""
        found = self._storage.load(key)
        if found is None and self._adopt(key):
            found = self._storage.load(key)
        if found is None:
            return None
        return Session(
            key=key,
            messages=found.kept.copies(),
            created_at=moment(found.header.get("created_at")) or datetime.now(),
            metadata=copy(found.header.get("metadata")),
            last_consolidated=found.last_consolidated,
        )

    def list_sessions(self) -> list[dict[str, Any]]:
        """Key, created_at, updated_at and path of every session, the last updated first.

        Times are texts; sessions without a time come last. The path is nanobot's own, where a file
        is only if nanobot left one.
        """
        self._adopt_all()
        listed = sorted(self._storage.listed(), key=_updated_at, reverse=True)
        folder = os.path.join(self.sessions_dir, "")  # joining texts is quicker than paths
        return [
            {
                "key": one.key,
                "created_at": one.created_at,
                "updated_at": one.updated_at,
                "path": folder + file_name(one.key),
            }
            for one in listed
        ]

    def _adopt(self, key: str) -> bool:
        """Import the file that nanobot left of a key, unless the store has that key; whether.

        Raises `OSError` for a file that cannot be read: a session begun instead would hide it.
        """
        if key in self._asked_for:
            return False
        path = self._get_session_path(key)
        found = False
        if path.name not in self._adopted and not self._storage.exists(key) and path.is_file():
            found = key_in(path) in (None, key) and self._import(path, key)
        self._asked_for.add(key)
        return found

    def _adopt_all(self) -> None:
        """Import what files there are; one that cannot be is told, and tried again next time."""
        for path in self.sessions_dir.glob("*.jsonl"):
            if path.name not in self._adopted and path.is_file():
                try:
                    self._adopt_file(path)
                except (OSError, ImportFailedError, InvalidValueError) as error:
                    _logger.warning("%s is not listed: %s", path, error)

    def _adopt_file(self, path: Path) -> None:
        key = key_in(path) or key_of_file(path.stem)
        if self._storage.exists(key):
            self._adopted.add(path.name)
        else:
            self._import(path, key)

    def _import(self, path: Path, key: str) -> bool:
        """Import a file as the session of a key, if there is one in it."""
        file = read_file(path)
        empty = file.metadata is None and not file.messages
        if empty:
            _logger.warning("%s: there is no session in it", path)
        else:
            report = import_read(self._storage, path, file, key)
            for problem in report.problems:
                _logger.warning("%s, line %s: %s", path, problem.line, problem.reason)
        self._adopted.add(path.name)
        return not empty


def _updated_at(one: Listed) -> str:
    return one.updated_at or ""
