"""Commands to events: load a session's state, decide, append, fold, and keep snapshots.

Everything here runs inside a write transaction, so what is decided on is what is true. The folded
state is remembered beside the log and goes away with the transaction when that fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from eventstore import claims, snapshots
from eventstore.errors import (
    KeyReusedError,
    RuleError,
    SessionExistsError,
    UnknownSessionError,
)
from eventstore.log.port import ANY, Expected, NewEvent, Recorded, StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import commands as do
from eventstore.session.commands import Command
from eventstore.session.decisions import check_session_id, decide
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState, Status


def state_in(transaction: SqliteTransaction, head: StreamHead) -> SessionState:
    """The state of a session as this transaction sees it."""
    state: SessionState | None = transaction.recall(("state", head.id))
    if state is None:
        state = snapshots.nearest(transaction.connection, head.id, head.version)
        transaction.remember(("snapshot", head.id), state.version)
    if state.version < head.version:
        state = fold_all(state, transaction.read_stream(head.id, after=state.version))
        transaction.remember(("state", head.id), state)
    return state


def require_stream(transaction: SqliteTransaction, stream: int) -> StreamHead:
    """The stream's head; raises `UnknownSessionError`."""
    head = transaction.stream_by_id(stream)
    if head is None:
        raise UnknownSessionError(f"there is no session with stream number {stream}")
    return head


def run(
    transaction: SqliteTransaction, stream: int, command: Command, expected: Expected = ANY
) -> list[Recorded]:
    """Decide a command on a session and append its events; those of a retry come back as stored."""
    head = require_stream(transaction, stream)
    return run_on(transaction, head, state_in(transaction, head), command, expected)


def run_on(
    transaction: SqliteTransaction,
    head: StreamHead,
    state: SessionState,
    command: Command,
    expected: Expected = ANY,
) -> list[Recorded]:
    """As `run`, for a session whose head and state in this transaction are known."""
    try:
        events = decide(state, command)
    except RuleError:
        prior = _retried(transaction, head.id, state, command)
        if prior is None:
            raise
        return prior
    if not events:
        return _retried(transaction, head.id, state, command) or []
    return append(transaction, head, state, events, expected)


def append(
    transaction: SqliteTransaction,
    head: StreamHead,
    state: SessionState,
    events: Sequence[NewEvent],
    expected: Expected = ANY,
) -> list[Recorded]:
    """Append decided events to a session in this state and fold them into it."""
    recorded = transaction.append(head.id, events, expected)
    if recorded and recorded[0].version <= head.version:
        return recorded  # a retry: these are the original events
    claims.follow(transaction, recorded)
    last_snapshot = transaction.recall(("snapshot", head.id)) or 0
    for start in range(0, len(recorded), snapshots.SPACING):
        stretch = recorded[start : start + snapshots.SPACING]
        state = fold_all(state, stretch)
        if snapshots.due(state.version, state.active, last_snapshot):
            last_snapshot = state.version
            keep_snapshot(transaction, head.id, state, stretch[-1].leaf)
    transaction.remember(("state", head.id), state)
    return recorded[: len(events)]  # what was redacted of them is told after them


def keep_snapshot(
    transaction: SqliteTransaction, stream: int, state: SessionState, leaf: bytes
) -> None:
    """Have a snapshot of a session in this state written with the transaction."""
    transaction.remember(("snapshot", stream), state.version)
    transaction.defer(lambda connection: snapshots.write(connection, stream, state, leaf))


def keys_of(command: Command) -> list[str]:
    """The idempotency keys that a command carries."""
    if isinstance(command, do.Append):
        keys = [message.key for message in command.messages if message.key is not None]
        if command.key is not None and command.messages:
            keys.insert(0, command.key)
        return keys
    if isinstance(command, do.Compact | do.CompactSet) and command.note.key is not None:
        return [command.note.key]
    return [] if command.key is None else [command.key]


def _retried(
    transaction: SqliteTransaction, stream: int, state: SessionState, command: Command
) -> list[Recorded] | None:
    """The events that an earlier attempt of this command stored; None when there was none."""
    keys = keys_of(command)
    if not keys:
        return None
    if isinstance(command, do.Append):  # refused because the session was closed meanwhile
        return transaction.originals(stream, decide(replace(state, status=Status.ACTIVE), command))
    prior = transaction.keyed(stream, keys)
    if prior is not None and isinstance(command, do.Compact | do.CompactSet):
        text = command.note.content
        content = prior[0].event.content
        same = content is None or text in (content.text, content.parts)
        if not same and not transaction.is_redacted(prior[0].position):
            raise KeyReusedError(
                f"the idempotency key {keys[0]!r} is stored at position {prior[0].position} with "
                "another note; use a new key for a new event"
            )
    return prior


def create(transaction: SqliteTransaction, command: do.Create) -> StreamHead:
    """Begin a session, or find the one that an earlier attempt with the same key began.

    Raises `SessionExistsError` when the id is in use.
    """
    check_session_id(command.session_id)
    head = transaction.stream(command.session_id)
    if head is not None:
        state = state_in(transaction, head)
        if command.key is not None:
            prior = transaction.keyed(head.id, [command.key])
            event = decide(SessionState(), command)[0].event
            if prior is not None and transaction.says_the_same(event, prior[0]):
                return head
        if state.status is not Status.CLOSED:
            raise _exists(command.session_id)
    begin = decide(SessionState(), command)
    head = transaction.create_stream(command.session_id)
    first = [begin[0], *(new._replace(key=None) for new in begin[1:])]
    append(transaction, head, SessionState(), first)
    return require_stream(transaction, head.id)


def check_free(transaction: SqliteTransaction, session_id: str) -> None:
    """Raise `SessionExistsError` when an open session has this id."""
    head = transaction.stream(session_id)
    if head is not None and state_in(transaction, head).status is not Status.CLOSED:
        raise _exists(session_id)


def _exists(session_id: str) -> SessionExistsError:
    return SessionExistsError(
        f"session {session_id!r} exists already; use another id, or close it first"
    )


def execute_one(
    log: SqliteLog, stream: int, command: Command, expected: Expected = ANY
) -> list[Recorded]:
    """Run one command on a stream; raises its error, and nothing is stored then."""
    return log.transact(lambda transaction: run(transaction, stream, command, expected))


def execute(
    log: SqliteLog,
    batch: Sequence[tuple[int, Command]],
    expected: Expected | Mapping[int, Expected] = ANY,
) -> list[list[Recorded]]:
    """Run commands on streams as one atomic transaction.

    `expected`, one for all streams or one for each, holds before a stream's first event. Raises
    the first command's error; nothing of the batch is stored then.
    """

    def work(transaction: SqliteTransaction) -> list[list[Recorded]]:
        changed: set[int] = set()
        results = []
        for stream, command in batch:
            if stream in changed:
                wanted = ANY
            elif isinstance(expected, Expected):
                wanted = expected
            else:
                wanted = expected.get(stream, ANY)
            recorded = run(transaction, stream, command, wanted)
            if recorded:
                changed.add(stream)
            results.append(recorded)
        return results

    return log.transact(work)
