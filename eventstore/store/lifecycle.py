"""What touches several sessions, or more than a session's own events: spawn, fork, close, erase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import apsw
from msgspec import Struct
from msgspec.structs import replace

from eventstore import claims, snapshots
from eventstore.errors import InvalidRangeError, InvalidValueError, SessionClosedError
from eventstore.events.catalogue import ContentErased, Lifecycle
from eventstore.log import erasure, reading
from eventstore.log.port import Actor, NewEvent, StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import commands as do
from eventstore.session import runs
from eventstore.session.decisions import forked
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState, Status
from eventstore.store import executor
from eventstore.store.points import Point, version_at
from projections.queries import lineage

#: Told the positions of events that are about to be erased.
EraseDerived: TypeAlias = Callable[[apsw.Connection, Sequence[int]], None]


class Erased(Struct, frozen=True, kw_only=True):
    """What an erasure did.

    `complete` is False when the old text may still lie in the write-ahead log, because a reader
    held it (`cause` says so); `SessionStore.finish_erasures` tries again.
    """

    positions: tuple[int, ...]
    complete: bool
    cause: str | None = None
    shared_blobs: tuple[int, ...] = ()


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
        lambda transaction: _close_all(transaction, stream, cascade, reason, actor), exclusive=True
    )


def _close_all(
    transaction: SqliteTransaction, stream: int, cascade: bool, reason: str | None, actor: Actor
) -> list[int]:
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


def erase(
    log: SqliteLog,
    stream: int,
    positions: Sequence[int] | None,
    *,
    by: str | None,
    reason: str | None,
    erase_derived: EraseDerived,
) -> Erased:
    """Erase the content of some events of a session, or (None) of all, its id included.

    An event says what, who and why. `erase_derived` is told the positions while their text is still
    there, so that what was derived from it goes in the same transaction. What was erased is wiped
    from the rows in the same transaction, which survives power loss whatever the store's
    durability, and then from the write-ahead log.
    """
    event = _erasure(positions, by, reason)
    found = log.transact(
        lambda transaction: _erase(transaction, stream, positions, event, erase_derived), full=True
    )
    return _finished(log, *found)


def close_and_erase(
    log: SqliteLog, stream: int, *, by: str | None, reason: str | None, erase_derived: EraseDerived
) -> Erased:
    """Close a session with its children, as `close` does, and erase it, in one transaction."""
    event = _erasure(None, by, reason)

    def work(transaction: SqliteTransaction) -> tuple[list[int], list[int]]:
        _close_all(transaction, stream, True, None, Actor.OPERATOR)
        return _erase(transaction, stream, None, event, erase_derived)

    return _finished(log, *log.transact(work, full=True))


def _erasure(positions: Sequence[int] | None, by: str | None, reason: str | None) -> ContentErased:
    """The event of an erasure, its positions aside."""
    for name, text in (("by", by), ("reason", reason)):
        if text is not None and not (text.isprintable() and len(text) <= 200):
            raise InvalidValueError(f"{name} is printable text of at most 200 characters: {text!r}")
    scope = "event" if positions is not None else "session"
    return ContentErased(positions=(), scope=scope, by=by, reason=reason)


def _erase(
    transaction: SqliteTransaction,
    stream: int,
    positions: Sequence[int] | None,
    event: ContentErased,
    erase_derived: EraseDerived,
) -> tuple[list[int], list[int]]:
    """Erase in this transaction; the positions, and those that share a blob with them."""
    transaction.flush()
    head = executor.require_stream(transaction, stream)
    connection = transaction.connection
    targets = erasure.targets(connection, stream, positions)
    if not targets and positions is not None:
        return [], []
    event = replace(event, positions=runs.from_numbers(targets))
    state = executor.state_in(transaction, head)
    executor.append(transaction, head, state, [NewEvent(event, Actor.OPERATOR)])
    transaction.flush()
    erase_derived(connection, targets)
    claims.erase(connection, targets)
    shared = erasure.wipe(connection, targets)
    if positions is None:
        erasure.rename(connection, stream, head.uid)
        transaction.forget_streams()
    return targets, shared


def _finished(log: SqliteLog, targets: Sequence[int], shared: Sequence[int]) -> Erased:
    complete, cause = log.truncate_wal()
    return Erased(
        positions=tuple(targets), complete=complete, cause=cause, shared_blobs=tuple(shared)
    )
