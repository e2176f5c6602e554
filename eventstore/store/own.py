"""The store's own session: what is recorded of the store as a whole, such as an export of it.

It is a stream like any other, so what stands in it is hashed, exported and verified like the rest.
It is closed from its first moment on: no conversation, and not among the sessions that people see
in lists, counts and searches unless they ask for closed ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import Event
from eventstore.log.port import Actor, NewEvent, Recorded, StreamHead
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import commands as do
from eventstore.session.state import Status
from eventstore.store import executor
from projections.queries.sessions import OWN_SOURCE

#: The id of the store's own session, and the source that tells it from others.
OWN = OWN_SOURCE


def own_stream(transaction: SqliteTransaction) -> StreamHead:
    """The stream of the store's own session, which is created when first needed.

    Raises `InvalidValueError` when somebody else's session has its id.
    """
    head = transaction.stream(OWN)
    if head is None:
        create = do.Create(session_id=OWN, source=OWN, actor=Actor.SYSTEM)
        head = executor.create(transaction, create)
        executor.run(transaction, head.id, do.Close(actor=Actor.SYSTEM))
        return executor.require_stream(transaction, head.id)
    state = executor.state_in(transaction, head)
    if state.source != OWN or state.status is not Status.CLOSED:
        raise InvalidValueError(
            f"the id {OWN!r} is the store's own, but a session has it that the store did not "
            "create; what concerns the whole store cannot be recorded"
        )
    return head


def note(
    transaction: SqliteTransaction, stream: int, events: Sequence[Event], actor: Actor
) -> list[Recorded]:
    """Append events that are about a session and not of it: a closed one takes them too."""
    head = executor.require_stream(transaction, stream)
    state = executor.state_in(transaction, head)
    return executor.append(transaction, head, state, [NewEvent(one, actor) for one in events])
