"""Beginning a new log where another copy went on: the origin changes, and an event says so.

Two copies of one store that both go on are two logs. With one origin they would contradict each
other, and every note of one would look like a forgery of the other.
"""

from __future__ import annotations

import apsw
from msgspec import Struct

from eventstore.checkpoints import notes
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.events.catalogue import CustomEvent
from eventstore.log.transaction import SqliteTransaction
from eventstore.store.session_store import SessionStore

#: The event that a log begins anew with, in the store's own session.
RESTORED = "x.eventstore.restored"

#: The session that a store keeps about itself.
OWN_SESSION = "agent-eventstore"


class Past(Struct, frozen=True, kw_only=True):
    """What is known of the log that a copy was made of: its origins, and its last checkpoint."""

    origins: tuple[str, ...] = ()
    last: Checkpoint | None = None


def past_of(connection: apsw.Connection) -> Past:
    """What a store knows of itself."""
    origins = notes.origins(connection)
    newest = notes.newest(connection, origins[0]) if origins else None
    last = None if newest is None else Checkpoint(newest.origin, newest.size, newest.root)
    return Past(origins=tuple(origins), last=last)


def begin_anew(store: SessionStore, replaced: Past) -> str | None:
    """Have this copy be a log of its own; its new origin, None when no log had one to give up.

    `replaced` is what is known of the store whose place it takes, if it took one. An event in the
    store's own session names the origin and the last checkpoint that are left behind.
    """
    with store.log.snapshot() as connection:
        own = past_of(connection)
    origins = (*replaced.origins, *(one for one in own.origins if one not in replaced.origins))
    if not origins:
        return None
    last = replaced.last or own.last
    data = {
        "origin": origins[0],
        "size": None if last is None else last.size,
        "root": None if last is None else last.root.hex(),
    }
    session = store.get(OWN_SESSION)
    if session is None or session.info().status == "closed":
        session = store.create(OWN_SESSION, source=OWN_SESSION)
    session.add_event(CustomEvent(name=RESTORED, data=data, commuting=True))

    def work(transaction: SqliteTransaction) -> str:
        notes.adopt_origins(transaction.connection, origins, transaction.clock())
        return notes.begin_origin(transaction.connection, transaction.clock())

    return store.log.transact(work, full=True)
