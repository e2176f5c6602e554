"""nanobot's sessions in a store of this engine: load, save, delete and list, by key.

What was stored of the sessions used last is remembered, with its version; a save compares with it
and appends on condition that nobody else did meanwhile. If somebody did, what they stored is read
and the comparison made anew: the session then is as the last save has it, and what others stored
is retracted, not lost. One lock makes calls of several threads follow each other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import Any, NamedTuple

from eventstore.adapters.nanobot import picture
from eventstore.adapters.nanobot.keys import key_of, session_id_of
from eventstore.adapters.nanobot.messages import Times, times_of
from eventstore.adapters.nanobot.picture import Change, Picture, Wanted
from eventstore.adapters.nanobot.times import microseconds
from eventstore.errors import (
    SessionClosedError,
    SessionExistsError,
    StoreBusyError,
    VersionConflictError,
)
from eventstore.events.catalogue import (
    ConfigurationChanged,
    ConfigurationContent,
    MessageAppended,
    MessageContent,
    SessionClosed,
)
from eventstore.log.port import Recorded, unchanged_since
from eventstore.log.transaction import SqliteTransaction
from eventstore.session.commands import Command
from eventstore.session.state import Status
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore
from eventstore.store.within import StoreWithin

#: The source of sessions that are nanobot's.
SOURCE = "nanobot"

#: Sessions of which is remembered what was stored.
REMEMBERED_MAX = 128

#: How often a save is tried while others write to the same session.
_TRIES = 100

_TIMES = {"created_at", "updated_at"}

#: What is appended for a change; an importer adds the source records.
Complete = Callable[[Change], list[Command]]


class Listed(NamedTuple):
    """A session as a list shows it; times are as they were saved."""

    key: str
    session_id: str
    created_at: str | None
    updated_at: str | None


class Storage:
    """nanobot's sessions in one store, which stays its owner's to close."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self._lock = RLock()
        self._known: OrderedDict[str, Picture] = OrderedDict()
        self._listed: dict[int, Listed | None] = {}
        self._seen = 0

    def exists(self, key: str) -> bool:
        """Whether a session ever had this key, deleted or not."""
        return self.store.get(session_id_of(key)) is not None

    def load(self, key: str) -> Picture | None:
        """What is stored under a key, None if nothing is. The caller must not change it."""
        with self._lock:
            known = self._known.get(key)
            if known is not None and known.session.version == known.version:
                self._known.move_to_end(key)
                return known
            self._known.pop(key, None)
            session = self.store.get(session_id_of(key))
            found = None if session is None else picture.read(session)
            if found is not None:
                self._remember(key, found)
            return found

    def _remember(self, key: str, found: Picture) -> None:
        self._known[key] = found
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)

    # -- saving ----------------------------------------------------------------------------

    def save(self, key: str, wanted: Wanted, complete: Complete | None = None) -> None:
        """Store a session as it is wanted, all or nothing.

        Raises `TypeError` or `ValueError` for what has no JSON form, and the engine's errors.
        """
        with self._lock:
            for _ in range(_TRIES):
                known = self._known.get(key) or self.load(key)
                try:
                    if known is None:
                        self._remember(key, self._begin(key, wanted, complete))
                        return
                    if self._go_on(known, wanted, complete):
                        self._remember(key, known)
                        return
                except (VersionConflictError, SessionClosedError, SessionExistsError):
                    pass
                except BaseException:
                    self._known.pop(key, None)
                    raise
                self._known.pop(key, None)
        raise _busy(key)

    def _go_on(self, known: Picture, wanted: Wanted, complete: Complete | None) -> bool:
        """Append what changed to a session; whether it was as it is remembered."""
        change = picture.change(known, wanted)
        commands = change.commands if complete is None else complete(change)
        if not commands:
            return known.session.version == known.version
        version = _execute(self.store, known, commands)
        picture.advance(known, wanted, change, version)
        return True

    def _begin(self, key: str, wanted: Wanted, complete: Complete | None) -> Picture:
        """Create a session with all that it is to hold, in one transaction."""

        def work(transaction: SqliteTransaction) -> Picture:
            within = StoreWithin(self.store, transaction)
            session = within.create(
                session_id_of(key), source=SOURCE, occurred_at=microseconds(wanted.created_at)
            )
            made = picture.blank(session)
            change = picture.change(made, wanted)
            commands = change.commands if complete is None else complete(change)
            version = _execute(within, made, commands)
            picture.advance(made, wanted, change, version)
            return made

        made = self.store.log.transact(work)
        made.session = self.store.session_of(made.session.stream)
        return made

    def update_metadata(self, key: str, updates: dict[str, Any]) -> bool:
        """Set some fields of a session's metadata, nothing else; whether there is a session."""
        with self._lock:
            for _ in range(_TRIES):
                known = self.load(key)
                if known is None:
                    return False
                try:
                    if self._go_on(known, known.with_metadata(updates), None):
                        return True
                except (VersionConflictError, SessionClosedError):
                    pass
                self._known.pop(key, None)
        raise _busy(key)

    def delete(self, key: str) -> bool:
        """Close a session, whether there was one; its history stays until it is erased."""
        with self._lock:
            self._known.pop(key, None)
            session = self.store.get(session_id_of(key))
            if session is None:
                return False
            try:
                return session.name in session.close()
            except SessionClosedError:
                return False

    # -- listing ---------------------------------------------------------------------------

    def listed(self) -> list[Listed]:
        """All sessions of nanobot's, in no order; only what changed since the last time is read."""
        with self._lock:
            position = self.store.head.position
            for session_id, last in self.store.log.last_events(after=self._seen):
                self._listed[last.stream] = self._entry(session_id, last)
            self._seen = position
            return [one for one in self._listed.values() if one is not None]

    def _entry(self, session_id: str, last: Recorded) -> Listed | None:
        """A session's entry, from its last event if that is a save's."""
        times: Times | None = None
        match last.event:
            case SessionClosed():
                return None
            case MessageAppended(content=MessageContent(metadata=metadata)):
                times = times_of(metadata)
            case ConfigurationChanged(content=ConfigurationContent(configuration=header)):
                times = header if header.keys() >= _TIMES else None
        if times is None:
            times = self._times(self.store.session_of(last.stream))
        if times is None or session_id.startswith("erased:"):
            return None
        created_at, updated_at = times.get("created_at"), times.get("updated_at")
        return Listed(key_of(session_id), session_id, created_at, updated_at)

    def _times(self, session: Session) -> Times | None:
        """The times of a session to which others appended, None for one that is not nanobot's."""
        state = session.state()
        if state.status is Status.CLOSED or state.source != SOURCE:
            return None
        header = session.configuration() or {}
        last = session.message(state.next_seq - 1) if state.next_seq > 1 else None
        updated_at = picture.updated_at(state, header, last)
        return {"created_at": header.get("created_at"), "updated_at": updated_at}


def _busy(key: str) -> StoreBusyError:
    return StoreBusyError(f"others changed session {key!r} each of {_TRIES} times; try again")


def _execute(store: SessionStore, known: Picture, commands: list[Command]) -> int:
    """Run the commands if the session is as it is known; its version then."""
    session = known.session
    batch = [(session, command) for command in commands]
    results = store.execute(batch, unchanged_since(known.version))
    return max((one[-1].version for one in results if one), default=known.version)
