"""A whole method of `SessionStore` or `Session` as one work of a shared transaction.

The methods hand works to `log.transact`, one for each call. Here the log is one whose transaction
has begun already, so that the methods of many tasks run one after the other in it, and their one
commit is the group's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from eventstore.log.group import BUSY, Busy
from eventstore.log.port import StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

T = TypeVar("T")


class _LogWithin:
    """The part of `SqliteLog` that commands use, within one transaction."""

    def __init__(self, log: SqliteLog, transaction: SqliteTransaction) -> None:
        self.path = log.path
        self.readonly = log.readonly
        self._transaction = transaction

    def transact(self, work: Callable[[SqliteTransaction], T]) -> T:
        """Run the work now; the commit follows when every member of the group has run."""
        return work(self._transaction)

    def append_alone(self, *_: object) -> Busy:
        """Not so: the transaction has begun already."""
        return BUSY

    def stream_by_id(self, stream: int) -> StreamHead | None:
        """The stream with this number, one that was just created included."""
        return self._transaction.stream_by_id(stream)


class StoreWithin(SessionStore):
    """A store for the commands of one work. It reads nothing but what commands need."""

    def __init__(self, store: SessionStore, transaction: SqliteTransaction) -> None:
        log = cast(SqliteLog, _LogWithin(store.log, transaction))
        super().__init__(log, store.derived, store.spawn_depth_max)
        self._outer = store

    def require_own(self, session: Session) -> Session:
        """The session, if it is of the store that this one stands for."""
        return session if session.store is self else self._outer.require_own(session)


def session_within(session: Session, transaction: SqliteTransaction) -> Session:
    """The session, for the commands of one work."""
    store = StoreWithin(cast(SessionStore, session.store), transaction)
    return Session(store, session.id, session.incarnation, session.stream)
