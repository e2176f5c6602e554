"""Sessions addressed by id instead of by handle, for callers that keep nothing but ids.

An id means its newest incarnation, and one that was closed is not there. Whether it is there is
decided inside the write transaction, so nothing is written to a session that another process just
closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw

from eventstore.errors import UnknownSessionError
from eventstore.log import reading
from eventstore.log.port import Recorded, StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import commands as do
from eventstore.session.commands import Command
from eventstore.session.state import SessionState, Status
from eventstore.store import executor, plain, reads
from eventstore.store.current import read_current, require_current
from eventstore.store.views import MessageView
from projections.queries import details, lineage
from projections.queries.details import SessionDetails

T = TypeVar("T")


def find(transaction: SqliteTransaction, session_id: str) -> tuple[StreamHead, SessionState] | None:
    """The open session with this id, as a transaction sees it."""
    # Streams are remembered by their numbers as well, and callers are not always typed.
    head = transaction.stream(str(session_id)) if isinstance(session_id, str) else None
    if head is None:
        return None
    state = executor.state_in(transaction, head)
    return None if state.status is Status.CLOSED else (head, state)


def require(transaction: SqliteTransaction, session_id: str) -> tuple[StreamHead, SessionState]:
    """As `find`; raises `UnknownSessionError` where there is none."""
    found = find(transaction, session_id)
    if found is None:
        raise UnknownSessionError(f"unknown session: {session_id}")
    return found


def run(
    log: SqliteLog, session_id: str, decide: Callable[[SessionState], Sequence[Command]]
) -> list[Recorded]:
    """Run the commands that `decide` makes of the session's state; the events, all or none.

    Raises `UnknownSessionError`, and what the rules raise.
    """

    def work(transaction: SqliteTransaction) -> list[Recorded]:
        head, state = require(transaction, session_id)
        recorded: list[Recorded] = []
        for command in decide(state):
            if recorded:
                head, state = require(transaction, session_id)
            recorded += executor.run_on(transaction, head, state, command)
        return recorded

    return log.transact(work)


def run_one(log: SqliteLog, session_id: str, command: Command) -> list[Recorded]:
    """Run one command on a session; its events. Raises what `run` raises."""

    def work(transaction: SqliteTransaction) -> list[Recorded]:
        head, state = require(transaction, session_id)
        return executor.run_on(transaction, head, state, command)

    return log.transact(work)


def append_plain(log: SqliteLog, session_id: str, role: str, text: str) -> int:
    """Append a message that is a role and a text; its seq. Raises what `run` raises."""
    typed = type(session_id) is str
    seq = plain.alone(log, session_id, role, text) if typed else None
    if seq is not None:
        return seq

    def work(transaction: SqliteTransaction) -> int:
        seq = plain.beside_others(transaction, session_id, role, text) if typed else None
        if seq is None:
            head, state = require(transaction, session_id)
            recorded = executor.run_on(transaction, head, state, plain.command(role, text))
            seq = recorded[0].event.seq  # type: ignore[attr-defined]
        return seq

    return log.transact(work)


def create(log: SqliteLog, command: do.Create, parent: str | None) -> int:
    """Begin a session, below the open session `parent` if one is given; its stream.

    Raises `UnknownSessionError` for the parent, and what `executor.create` raises.
    """

    def work(transaction: SqliteTransaction) -> int:
        below = command
        if parent is not None:
            found = find(transaction, parent)
            if found is None:
                raise UnknownSessionError(f"parent session not found: {parent}")
            head, state = found
            fields = {name: getattr(command, name) for name in command.__struct_fields__}
            below = do.Create(**{**fields, "parent": head.id, "parent_depth": state.depth})
        return executor.create(transaction, below).id

    return log.transact(work)


def children_in(transaction: SqliteTransaction, session_id: str) -> list[StreamHead]:
    """What any incarnation of an id spawned, oldest first; in an exclusive transaction."""
    found: list[StreamHead] = []
    head = transaction.stream(session_id)
    streams = [] if head is None else reading.streams_of(transaction.connection, session_id)
    for stream in streams:
        for child in lineage.children(transaction.connection, stream):
            found.append(executor.require_stream(transaction, child))
    return found


def details_of(log: SqliteLog, session_id: str, quiet: str) -> SessionDetails | None:
    """The open session with this id and its texts; `quiet` as in `details.newest`."""
    found = read_current(log, lambda connection: details.newest(connection, session_id, quiet))
    return None if found is None or found.status == Status.CLOSED else found


def children_of(log: SqliteLog, session_id: str, quiet: str) -> list[SessionDetails]:
    """The open sessions that any incarnation of this id spawned, oldest first."""
    with log.snapshot() as connection:
        require_current(connection)
        return details.children(connection, session_id, quiet)


def state_of(log: SqliteLog, session_id: str) -> tuple[int, SessionState] | None:
    """The stream and state of the open session with this id."""
    with log.reader() as connection:
        return _open(log, connection, session_id)


def messages_of(log: SqliteLog, session_id: str) -> tuple[SessionState, list[MessageView]] | None:
    """The state and the active messages of the open session with this id."""
    with log.snapshot() as connection:
        found = _open(log, connection, session_id)
        if found is None:
            return None
        stream, state = found
        return state, reads.messages_in(connection, stream, state)


def _open(
    log: SqliteLog, connection: apsw.Connection, session_id: str
) -> tuple[int, SessionState] | None:
    head = reading.stream_head(connection, session_id)
    if head is None:
        return None
    state = reads.state_now(log, connection, head)
    return None if state.status is Status.CLOSED else (head.id, state)
