"""What touches several sessions, or more than a session's own events: spawn, fork, close."""

from __future__ import annotations

from typing import Any

from eventstore import snapshots
from eventstore.errors import InvalidRangeError, InvalidValueError, SessionClosedError
from eventstore.events.catalogue import Lifecycle
from eventstore.log import reading
from eventstore.log.port import Actor, NewEvent, StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import commands as do
from eventstore.session.decisions import forked
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState, Status
from eventstore.store import executor
from eventstore.store.points import Point, version_at
from projections.queries import lineage


def spawn(log: SqliteLog, command: do.Create, parent: int | None) -> int:
    """Create a session, below a parent if one is given; its stream number."""

    def work(transaction: SqliteTransaction) -> int:
        create = command
        if parent is not None:
            head = executor.require_stream(transaction, parent)
            state = executor.state_in(transaction, head)
            if state.status is Status.CLOSED:
                raise SessionClosedError(
                    f"session {head.session_id!r} was closed, so it can spawn no more sessions"
                )
            fields = {name: getattr(create, name) for name in create.__struct_fields__}
            create = do.Create(**{**fields, "parent": parent, "parent_depth": state.depth})
        return executor.create(transaction, create).id

    return log.transact(work)


def fork(
    log: SqliteLog,
    stream: int,
    session_id: str,
    *,
    at: Point | None,
    metadata: dict[str, Any] | None,
    source: str | None,
    occurred_at: int | None,
) -> int:
    """Begin a session that continues another one's past; its stream number."""

    def work(transaction: SqliteTransaction) -> int:
        origin = executor.require_stream(transaction, stream)
        version = _version(transaction, origin, at)
        if not 0 < version <= origin.version:
            raise InvalidRangeError(
                f"session {origin.session_id!r} has versions 1 to {origin.version}, so it cannot "
                f"be forked at {version}"
            )
        state, leaf = _state_at(transaction, stream, version)
        event = forked(stream, leaf, state, session_id, metadata, source, occurred_at)
        executor.check_free(transaction, session_id)
        head = transaction.create_stream(session_id)
        executor.append(transaction, head, SessionState(), [NewEvent(event, Actor.SYSTEM)])
        return head.id

    return log.transact(work)


def _version(transaction: SqliteTransaction, origin: StreamHead, at: Point | None) -> int:
    if at is None or isinstance(at, int):
        return origin.version if at is None else at
    # What others of this group append is not in the tables yet, and not answered either.
    stored = reading.stream_by_id(transaction.connection, origin.id)
    return version_at(transaction.connection, stored or origin, at)


def _state_at(
    transaction: SqliteTransaction, stream: int, version: int
) -> tuple[SessionState, bytes]:
    state = snapshots.nearest(transaction.connection, stream, version - 1)
    tail = list(transaction.read_stream(stream, after=state.version, upto=version))
    return fold_all(state, tail), tail[-1].leaf


def reparent(log: SqliteLog, stream: int, parent: int | None) -> None:
    """Give a session another parent; raises `InvalidValueError` where that would close a circle."""

    def work(transaction: SqliteTransaction) -> None:
        above, seen = parent, set[int]()
        while above is not None and above not in seen:
            seen.add(above)
            head = executor.require_stream(transaction, above)
            if above == stream:
                raise InvalidValueError(
                    f"session {head.session_id!r} cannot be below itself or its own descendants"
                )
            above = executor.state_in(transaction, head).parent
        executor.run(transaction, stream, do.Reparent(parent=parent))

    log.transact(work)


def close(
    log: SqliteLog, stream: int, *, cascade: bool, reason: str | None, actor: Actor
) -> list[int]:
    """Close a session and, cascading, every descendant that is not detached; their streams.

    Detached children lose their parent and live on with everything below them.
    """
    return log.transact(
        lambda transaction: close_within(transaction, stream, cascade, reason, actor),
        exclusive=True,
    )


def close_within(
    transaction: SqliteTransaction, stream: int, cascade: bool, reason: str | None, actor: Actor
) -> list[int]:
    """`close` in a transaction that is open and exclusive."""
    transaction.project()
    closed: list[int] = []
    _close(transaction, stream, do.Close(reason=reason, actor=actor), closed)
    if cascade:
        _close_children(transaction, stream, stream, actor, closed, {stream})
    return closed


def _close(
    transaction: SqliteTransaction, stream: int, command: do.Close, closed: list[int]
) -> None:
    executor.run(transaction, stream, command)
    closed.append(stream)


def _close_children(
    transaction: SqliteTransaction,
    stream: int,
    root: int,
    actor: Actor,
    closed: list[int],
    seen: set[int],
) -> None:
    """Close what is below a session; `seen` ends circles that reparenting made."""
    for child in lineage.children(transaction.connection, stream):
        if child in seen:
            continue
        seen.add(child)
        state = executor.state_in(transaction, executor.require_stream(transaction, child))
        if state.status is not Status.CLOSED:
            if state.lifecycle == Lifecycle.DETACHED:
                executor.run(transaction, child, do.Reparent(parent=None, actor=actor))
                continue
            _close(transaction, child, do.Close(cascade_from=root, actor=actor), closed)
        _close_children(transaction, child, root, actor, closed, seen)
