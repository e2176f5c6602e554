"""Plain messages, a usual role and a text, appended one at a time: what nearly every append is.

An append alone is slow for the code that it goes through rather than for what that code does: after
each commit the processor has other things in its caches. So the most frequent append has a way of
its own, in which nothing is looked for that a plain message of a lone writer does not have. It
stores and remembers what the ordinary way does, byte by byte (`tests/test_plain.py`), and leaves to
the ordinary way whatever is not as plain as that: see `docs/decisions/0015-plain-messages.md`.
"""

from __future__ import annotations

from msgspec.structs import replace

from eventstore import codec, snapshots
from eventstore.events import stored
from eventstore.log import blobs
from eventstore.log.group import BUSY
from eventstore.log.port import StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import Decided, SqliteTransaction
from eventstore.session import commands as do
from eventstore.session import runs
from eventstore.session.decisions import ACTORS
from eventstore.session.state import SessionState, Status
from eventstore.store import executor


def append(log: SqliteLog, stream: int, role: str, text: str) -> int:
    """Append a message to a session; its seq. Raises what `executor.run` raises."""
    seq = alone(log, stream, role, text)
    if seq is not None:
        return seq

    def work(transaction: SqliteTransaction) -> int:
        seq = beside_others(transaction, stream, role, text)
        if seq is None:
            recorded = executor.run(transaction, stream, command(role, text))
            seq = recorded[0].event.seq  # type: ignore[attr-defined]
        return seq

    return log.transact(work)


def alone(log: SqliteLog, key: int | str, role: str, text: str) -> int | None:
    """Append a message as the only one who writes; its seq, None where it cannot be done so.

    `key` is the number of the stream, or the session id. Raises what `SqliteLog.transact` raises
    when it could not be written.
    """
    if type(role) is not str or role not in ACTORS:
        return None
    seq = log.append_alone(_decide, key, role, text)
    return None if seq is BUSY else seq


def beside_others(
    transaction: SqliteTransaction, key: int | str, role: str, text: str
) -> int | None:
    """As `alone`, in a transaction that others may share."""
    if type(role) is not str or role not in ACTORS or transaction.redacts:
        return None
    return transaction.append_message(_decide, key, role, text)


def command(role: str, text: str) -> do.Append:
    """What appends the message the ordinary way."""
    return do.Append(messages=(do.Message(role=role, content=text),))


def _decide(
    transaction: SqliteTransaction, head: StreamHead, role: str, text: str
) -> Decided | None:
    stream, version = head[0], head[4] + 1
    recall = transaction.recall
    state: SessionState | None = recall(("state", stream))
    if state is None or state.version != head[4] or state.status is Status.CLOSED:
        return None
    seq = state.next_seq
    active = runs.appended(state.active, seq)
    last = recall(("snapshot", stream)) or 0
    if version - last >= snapshots.TAIL_MIN and snapshots.due(version, active, last):
        return None
    try:
        facts, body = stored.store_plain(seq, role, text)
    except codec.NOT_SIMPLE:  # a lone surrogate
        return None
    if len(body) >= blobs.BLOB_BYTES or blobs.has_marks(body):
        return None
    now = max(transaction.clock(), 0)  # an entry's time is not before 1970
    state = replace(
        state,
        next_seq=seq + 1,
        active=active,
        messages=state.messages + 1,
        updated_at=max(now, state.updated_at),
        version=version,
    )
    return seq, int(ACTORS[role]), facts, body, now, state
