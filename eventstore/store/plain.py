"""Plain messages, a usual role and a text, appended one at a time: what nearly every append is.

An append alone is slow for the code that it goes through rather than for what that code does: after
each commit the processor has other things in its caches. So the most frequent append has a way of
its own, in which nothing is looked for that a plain message does not have. It stores and remembers
what the ordinary way does, byte by byte (`tests/test_plain.py`), and leaves to the ordinary way
whatever is not as plain as that: see `docs/decisions/0015-plain-messages.md`.
"""

from __future__ import annotations

from msgspec.structs import replace

from eventstore import codec, snapshots
from eventstore.events import stored
from eventstore.log.port import Recorded, StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import commands as do
from eventstore.session import runs
from eventstore.session.decisions import ACTORS
from eventstore.session.state import SessionState, Status
from eventstore.store import executor


def append(log: SqliteLog, stream: int, role: str, text: str) -> Recorded:
    """Append a message to a session; raises what `executor.execute_one` raises."""

    def work(transaction: SqliteTransaction) -> Recorded:
        head = executor.require_stream(transaction, stream)
        return append_in(transaction, head, executor.state_in(transaction, head), role, text)

    return log.transact(work)


def append_in(
    transaction: SqliteTransaction, head: StreamHead, state: SessionState, role: str, text: str
) -> Recorded:
    """As `append`, for a session whose head and state in this transaction are known."""
    actor = ACTORS.get(role) if type(role) is str else None
    if (
        actor is not None
        and type(text) is str
        and state.status is not Status.CLOSED
        and not transaction.redacts
    ):
        try:
            event, form = stored.store_plain(state.next_seq, role, text)
        except codec.NOT_SIMPLE:
            pass  # a lone surrogate
        else:
            recorded = transaction.append_stored(head, event, form, actor)
            _fold(transaction, state, recorded)
            return recorded
    command = do.Append(messages=(do.Message(role=role, content=text),))
    return executor.run_on(transaction, head, state, command)[0]


def _fold(transaction: SqliteTransaction, state: SessionState, recorded: Recorded) -> None:
    """What `executor.append` does with a message that was just appended."""
    stream, seq = recorded.stream, state.next_seq
    state = replace(
        state,
        next_seq=seq + 1,
        active=runs.appended(state.active, seq),
        messages=state.messages + 1,
        updated_at=max(recorded.recorded_at, state.updated_at),
        version=recorded.version,
    )
    if snapshots.due(state, transaction.recall(("snapshot", stream)) or 0):
        executor.keep_snapshot(transaction, stream, state, recorded.leaf)
    transaction.remember(("state", stream), state)
