"""The file under a `SessionDB`, and what all its calls share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from sqlite3 import OperationalError

from eventstore.adapters.hermes import errors
from eventstore.adapters.hermes.errors import translated
from eventstore.adapters.hermes.home import DEFAULT_DB_PATH
from eventstore.errors import NotAStoreError, SessionClosedError, VersionConflictError
from eventstore.files import make_private
from eventstore.log.engine import Durability
from eventstore.log.port import ANY, unchanged_since
from eventstore.log.sqlite import now_us
from eventstore.session import commands as do
from eventstore.session.commands import Command
from eventstore.store import listing
from eventstore.store.listing import ListedDetails, SessionDetails
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore
from projections.queries.listing import Which

#: Sessions of Hermes are continued by child sessions, any number of times.
SPAWN_DEPTH_MAX = 1_000_000

#: How often a change is decided anew when others wrote to the session meanwhile.
ATTEMPTS = 100

#: Handles of sessions that are kept, so that an append need not look its session up.
HANDLES_MAX = 10_000


class Connection:
    """An open store, and sessions of it by their ids."""

    def __init__(
        self,
        db_path: str | Path | None = None,
        *,
        durability: Durability | str = Durability.FULL,
        erase_on_delete: bool = True,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """Open the store at `db_path` (`DEFAULT_DB_PATH` if None), creating it and its folder.

        `durability` is ``full`` or ``normal``, see `SessionStore.open`. With `erase_on_delete` the
        text of what is deleted, pruned or cleared is wiped from the file; otherwise it stays
        readable through the engine. `clock` gives the time in µs since 1970.

        Raises `ForeignDatabaseError` for a database of Hermes Agent's own, which can be imported.
        """
        self.db_path = DEFAULT_DB_PATH if db_path is None else Path(db_path)
        self.erase_on_delete = erase_on_delete
        self._clock = clock
        self._handles: dict[str, Session] = {}
        make_private(self.db_path.parent)
        try:
            self._open_store: SessionStore | None = SessionStore.open(
                str(self.db_path), durability=durability, spawn_depth_max=SPAWN_DEPTH_MAX,
                clock=clock,
            )  # fmt: skip
        except NotAStoreError as error:
            raise errors.ForeignDatabaseError(
                f"{error}; if Hermes Agent wrote it, give another path here and import it there "
                f"with: eventstore import --format hermes --db NEW.db {self.db_path}"
            ) from error

    @property
    def store(self) -> SessionStore:
        """The engine's store, with everything that Hermes has no call for."""
        if self._open_store is None:
            raise errors.ClosedError(f"the SessionDB of {self.db_path} is closed; open a new one")
        return self._open_store

    def close(self) -> None:
        """Close the file; harmless when it is closed already."""
        if self._open_store is not None:
            self._open_store.close()
            self._open_store = None

    def _details(self, session_id: object) -> SessionDetails | None:
        if not isinstance(session_id, str) or not session_id.isprintable():
            return None
        return listing.session(self.store.log, session_id)

    def _listed(self, which: Which, limit: int = -1, offset: int = 0) -> list[ListedDetails]:
        return listing.sessions(self.store.log, which, limit=limit, offset=max(offset, 0))

    def _session(self, session_id: object) -> Session | None:
        """The open session with this id."""
        if not isinstance(session_id, str) or not session_id.isprintable():
            return None
        stream = listing.stream_of(self.store.log, session_id)
        return None if stream is None else self.store.session_of(stream)

    def _handle(self, session_id: str) -> Session | None:
        """The session, which may have been closed since it was looked up."""
        store = self.store
        session = self._handles.get(session_id) if isinstance(session_id, str) else None
        if session is None and (session := self._session(session_id)) is not None:
            if len(self._handles) >= HANDLES_MAX:
                self._handles.clear()
            self._handles[session_id] = session
        assert session is None or session.store is store
        return session

    def _do(self, session_id: str, command: Command) -> bool:
        """Run a command on a session; whether there is one."""
        session = self._session(session_id)
        if session is None:
            return False
        with translated():
            try:
                self.store.execute([(session, command)])
            except SessionClosedError:
                return False
        return True

    def _decided(
        self, session_id: str, decide: Callable[[SessionDetails], list[Command]]
    ) -> Session | None:
        """Run the commands that follow from what a session is, with nothing between; the session.

        When others write to it meanwhile they are decided anew.
        """
        for attempt in range(ATTEMPTS):
            found = self._details(session_id)
            if found is None:
                return None
            session = self.store.session_of(found.stream)
            commands = decide(found)
            commuting = all(isinstance(command, do.RecordUsage) for command in commands)
            expected = ANY if commuting else unchanged_since(found.version)
            try:
                with translated():
                    self.store.execute([(session, command) for command in commands], expected)
            except VersionConflictError:
                time.sleep(0.001 * attempt)
                continue
            return session
        raise OperationalError(
            f"database is locked: others wrote to session {session_id!r} {ATTEMPTS} times meanwhile"
        )
