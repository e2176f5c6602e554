"""Legal holds in the store: placing and releasing them, and refusing what they stop.

A hold on a fork also holds what it took over, which lies in the events of the session that it was
forked from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import apsw
from msgspec import Struct

from eventstore.errors import HeldError
from eventstore.events.catalogue import Event
from eventstore.log import reading
from eventstore.log.port import Actor, NewEvent
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import holds
from eventstore.session.state import Hold, SessionState
from eventstore.store import executor
from eventstore.store.current import require_current
from eventstore.store.states import state_at
from projections.queries import lineage, sessions

_BEGAN = "SELECT position FROM events WHERE stream = ? AND version = 1"
_HELD = "SELECT DISTINCT stream FROM events WHERE type = 'hold.placed' ORDER BY stream"


class HoldView(Struct, frozen=True, kw_only=True):
    """A hold as a list shows it. `session` finds the session; times are µs since 1970.

    `in_force` is False when its time is over; one that was released is not listed.
    """

    session: str
    stream: int
    hold: str
    by: str | None
    reason: str | None
    placed_at: int
    until: int | None
    in_force: bool


def place(
    log: SqliteLog,
    stream: int,
    name: str,
    *,
    by: str | None,
    reason: str | None,
    until: int | None,
) -> None:
    """Put a session, open or closed, under a hold; raises `InvalidValueError`."""

    def work(transaction: SqliteTransaction) -> None:
        state = _state(transaction, stream)
        event = holds.placed(state, name, transaction.clock(), by=by, reason=reason, until=until)
        _append(transaction, stream, state, event)

    log.transact(work, full=True)


def release(log: SqliteLog, stream: int, name: str, *, by: str | None, reason: str | None) -> None:
    """Release a hold; raises `InvalidValueError` when the session has none of this name."""

    def work(transaction: SqliteTransaction) -> None:
        state = _state(transaction, stream)
        _append(transaction, stream, state, holds.released(state, name, by=by, reason=reason))

    log.transact(work, full=True)


def _state(transaction: SqliteTransaction, stream: int) -> SessionState:
    return executor.state_in(transaction, executor.require_stream(transaction, stream))


def _append(transaction: SqliteTransaction, stream: int, state: SessionState, event: Event) -> None:
    head = executor.require_stream(transaction, stream)
    executor.append(transaction, head, state, [NewEvent(event, Actor.OPERATOR)])


def require_free(
    transaction: SqliteTransaction, stream: int, positions: Sequence[int] | None
) -> None:
    """Raise `HeldError` when a hold stops that these events, or (None) the session, change.

    What was appended in this transaction must have been flushed.
    """
    state_of = partial(_state, transaction)
    _require_free(transaction.connection, state_of, transaction.clock, stream, positions)


def refusal(log: SqliteLog, stream: int, positions: Sequence[int] | None = None) -> str | None:
    """What `require_free` would say now; None when nothing stops it."""
    with log.snapshot() as connection:
        require_current(connection)
        try:
            _require_free(connection, partial(_stored, connection), log.now, stream, positions)
        except HeldError as error:
            return str(error)
    return None


def _require_free(
    connection: apsw.Connection,
    state_of: Callable[[int], SessionState],
    clock: Callable[[], int],
    stream: int,
    positions: Sequence[int] | None,
) -> None:
    """Look at the session and at every fork, at any distance, that took over one of the events."""
    first = min(positions) if positions else 0
    waiting, seen = [stream], {stream}
    while waiting:
        one = waiting.pop()
        state = state_of(one)
        if state.holds:
            holds.require_none(state, clock(), sessions.name_of(connection, one) or str(one))
        for fork in lineage.forks(connection, one):
            began = connection.execute(_BEGAN, (fork,)).get
            if fork not in seen and isinstance(began, int) and first < began:
                seen.add(fork)
                waiting.append(fork)


def _stored(connection: apsw.Connection, stream: int) -> SessionState:
    head = reading.stream_by_id(connection, stream)
    return state_at(connection, stream, 0 if head is None else head.version)


def holds_of(state: SessionState, name: str, stream: int, now: int) -> list[HoldView]:
    """The holds in a session's state, in the order they were placed."""
    current = holds.in_force(state, now)
    return [_view(one, name, stream, one in current) for one in state.holds]


def _view(hold: Hold, name: str, stream: int, current: bool) -> HoldView:
    return HoldView(
        session=name, stream=stream, hold=hold.name, by=hold.by, reason=hold.reason,
        placed_at=hold.placed_at, until=hold.until, in_force=current,
    )  # fmt: skip


def listed(log: SqliteLog, stream: int | None = None) -> list[HoldView]:
    """Every hold that was not released, of all sessions or of one."""
    now = log.now()
    with log.snapshot() as connection:
        require_current(connection)
        streams = [stream] if stream is not None else _streams(connection)
        return [
            view
            for one in streams
            for view in holds_of(
                _stored(connection, one),
                sessions.name_of(connection, one) or str(one),
                one,
                now,
            )
        ]


def _streams(connection: apsw.Connection) -> list[int]:
    return [row[0] for row in connection.execute(_HELD)]
