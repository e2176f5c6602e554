"""Closing a session with what it spawned, by power-loop's rules.

Children are found by their parent's id: those of an earlier session with the same id count. What
lies below a session that was closed by itself is out of reach and stays.
"""

from __future__ import annotations

from eventstore.events.catalogue import Lifecycle
from eventstore.log.port import Actor
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import commands as do
from eventstore.session.state import Status
from eventstore.store import by_id, executor


def close_tree(log: SqliteLog, session_id: str, *, cascade: bool) -> int:
    """Close a session and, cascading, its children; how many sessions were closed.

    A detached child loses its parent. A session is never closed twice, so that a circle of parents,
    which reused ids can make, comes to an end.
    """

    def work(transaction: SqliteTransaction) -> int:
        transaction.project()
        closed: list[int] = []
        _close(transaction, session_id, cascade, closed, {session_id})
        return len(closed)

    return log.transact(work, exclusive=True)


def _close(
    transaction: SqliteTransaction,
    session_id: str,
    cascade: bool,
    closed: list[int],
    seen: set[str],
) -> None:
    root = closed[0] if closed else None
    found = by_id.find(transaction, session_id)
    for child in by_id.children_in(transaction, session_id) if cascade else ():
        if child.session_id in seen:
            continue
        state = executor.state_in(transaction, child)
        if state.status is Status.CLOSED:
            continue
        if state.lifecycle == Lifecycle.DETACHED:
            executor.run(transaction, child.id, do.Reparent(parent=None, actor=Actor.SYSTEM))
            continue
        seen.add(child.session_id)
        _close(transaction, child.session_id, cascade, closed, seen)
    if found is not None:
        command = do.Close(cascade_from=root, actor=Actor.SYSTEM)
        executor.run(transaction, found[0].id, command)
        closed.append(found[0].id)
