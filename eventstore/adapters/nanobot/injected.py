"""The store that today's nanobot takes: ``SessionManager(workspace, store=NanobotStore(path))``.

It has the methods of nanobot's `SessionStore` protocol (nanobot-ai 0.3). Sessions are nanobot's
own objects; nanobot is imported when the first one is loaded.
"""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from eventstore.adapters.nanobot.comparing import copy
from eventstore.adapters.nanobot.picture import Picture, Wanted
from eventstore.adapters.nanobot.storage import SOURCE, Storage
from eventstore.adapters.nanobot.times import local_text, moment
from eventstore.store.session_store import SessionStore

#: The name of the provider's state in a session's header.
_STATE = "provider_state"


class NanobotStore:
    """nanobot's sessions in one file. Every answered write survives a power loss."""

    def __init__(self, path: str | Path) -> None:
        """Open the store at `path`, creating it if there is none. Raises a `StoreError`."""
        self.store = SessionStore.open(path)
        self._storage = Storage(self.store)
        #: Titles by session id, with the versions at which they were read.
        self._titles: dict[str, tuple[int, str]] = {}

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def load(self, key: str) -> Any:
        """A session of nanobot's with what is stored under a key, None if nothing is."""
        found = self._storage.load(key)
        if found is None:
            return None
        created_at = moment(found.header.get("created_at"))
        return import_module("nanobot.session.manager").Session(
            key=key,
            messages=found.kept.copies(),
            created_at=created_at or datetime.now(),
            updated_at=moment(found.updated_at) or datetime.now(),
            metadata=_metadata(found),
            last_consolidated=found.last_consolidated,
            provider_state=_provider_state(copy(found.header.get(_STATE))),
        )

    def save(self, session: Any, *, fsync: bool = False) -> None:
        """Store what changed in a session, all or nothing; with or without `fsync` it is durable.

        Raises `TypeError` or `ValueError` for what has no JSON form, and the engine's errors.
        """
        state = session.provider_state
        wanted = Wanted(
            session.messages,
            session.created_at.isoformat(),
            session.updated_at.isoformat(),
            session.metadata,
            session.last_consolidated,
            {} if state is None else {_STATE: state.to_private_record()},
        )
        self._storage.save(session.key, wanted)

    def delete(self, key: str) -> bool:
        """Close a session, whether there was one; its history stays until it is erased."""
        return self._storage.delete(key)

    def read(self, key: str) -> dict[str, Any] | None:
        """What is stored under a key, times as texts, without the provider's state."""
        found = self._storage.load(key)
        return None if found is None else {**_told(key, found), "messages": found.kept.copies()}

    def read_metadata(self, key: str) -> dict[str, Any] | None:
        """The same without the messages."""
        found = self._storage.load(key)
        return None if found is None else _told(key, found)

    def update_metadata(self, key: str, updates: dict[str, Any], *, fsync: bool = False) -> bool:
        """Set some fields of a session's metadata, nothing else; whether there is a session."""
        return self._storage.update_metadata(key, updates)

    def list_sessions(self) -> list[dict[str, Any]]:
        """Every session, the last updated first. The path is the store's."""
        infos = {info.session_id: info for info in self.store.sessions(source=SOURCE)}
        found = []
        for one in self._storage.listed():
            info = infos.get(one.session_id)
            if info is None:
                continue
            found.append(
                {
                    "key": one.key,
                    "created_at": one.created_at or local_text(info.created_at),
                    "updated_at": one.updated_at or local_text(info.updated_at),
                    "title": self._title(one.session_id, info.version),
                    "preview": info.preview or "",
                    "path": self.store.path,
                }
            )
        return sorted(found, key=lambda one: str(one["updated_at"]), reverse=True)

    def _title(self, session_id: str, version: int) -> str:
        known = self._titles.get(session_id)
        if known is None or known[0] != version:
            header = self.store.session(session_id).configuration() or {}
            metadata = header.get("metadata")
            title = metadata.get("title") if type(metadata) is dict else None
            known = self._titles[session_id] = (version, title if type(title) is str else "")
        return known[1]


def _told(key: str, found: Picture) -> dict[str, Any]:
    return {
        "key": key,
        "created_at": found.header.get("created_at"),
        "updated_at": found.updated_at,
        "metadata": _metadata(found),
    }


def _metadata(found: Picture) -> dict[str, Any]:
    metadata = copy(found.header.get("metadata"))
    return metadata if type(metadata) is dict else {}


def _provider_state(record: Any) -> Any:
    if record is None:
        return None
    state = import_module("nanobot.providers.base").ProviderConversationState
    return state.from_private_record(record)
