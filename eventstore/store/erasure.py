"""Erasing content: the event that says so, what is derived, the rows, and then the file.

In one transaction, which survives power loss whatever the store's durability: an event for each
session, the projections' and the claims' part, and the rows. Afterwards the write-ahead log is
emptied and the file searched (`eventstore.traces`). What an erasure should reach is decided
elsewhere (`eventstore.erasing`); here it is exactly what the caller names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import apsw
from msgspec import Struct

from eventstore import claims, traces
from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import ContentErased
from eventstore.log import erasure
from eventstore.log.port import Actor, NewEvent
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session import runs
from eventstore.store import executor, holding
from eventstore.store.lifecycle import close_within

#: Told the positions of events that are about to be erased.
EraseDerived: TypeAlias = Callable[[apsw.Connection, Sequence[int]], None]

#: Printable characters of `by`, `reason` and `basis`.
WORDS_MAX = 200


class Erased(Struct, frozen=True, kw_only=True):
    """What an erasure did.

    `complete` is False when something of the text may still lie in the file or its write-ahead log
    (`cause` says why); it is remembered, and finished when the store is next opened for writing, at
    the next erasure, or by `SessionStore.finish_erasures`. `rewritten` says that the file was
    written anew because a trace was found in it.
    """

    positions: tuple[int, ...]
    complete: bool
    cause: str | None = None
    shared_blobs: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    rewritten: bool = False


class Words(Struct, frozen=True, kw_only=True):
    """Who erases, why, and on what legal basis. Kept for good, so without personal data.

    Raises `InvalidValueError` for more than 200 characters or unprintable ones.
    """

    by: str | None = None
    reason: str | None = None
    basis: str | None = None

    def __post_init__(self) -> None:
        for name, text in self.given():
            if not (text.isprintable() and len(text) <= WORDS_MAX):
                raise InvalidValueError(
                    f"{name} is printable text of at most {WORDS_MAX} characters: {text!r}"
                )

    def given(self) -> list[tuple[str, str]]:
        """What was said, by name."""
        said = (("by", self.by), ("reason", self.reason), ("basis", self.basis))
        return [(name, text) for name, text in said if text is not None]


class Target(Struct, frozen=True, kw_only=True):
    """What to erase of one session: some events, or (None) all and its id.

    `derived` are those of them that were not asked for.
    """

    stream: int
    positions: Sequence[int] | None = None
    derived: Sequence[int] = ()


class _Wiped:
    """What was erased in a transaction, and what to look for in the file afterwards."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.shared: list[int] = []
        self.events: list[int] = []
        self.wanted = traces.Needles()


def erase(
    log: SqliteLog,
    choose: Callable[[SqliteTransaction], Sequence[Target]],
    words: Words,
    erase_derived: EraseDerived,
    *,
    despite_holds: bool = False,
) -> Erased:
    """Erase what `choose` names, in one transaction, and see to it that no trace is left.

    Raises `HeldError` for a session under a legal hold; `despite_holds` is for erasing again in
    another copy what was erased when it was not, or no longer.

    `choose` runs in the transaction. `erase_derived` is told the positions once, while their text
    is still there, so that what was derived from it goes in the same transaction.
    """

    def work(transaction: SqliteTransaction) -> _Wiped:
        return _erase(
            transaction, choose(transaction), words, erase_derived, despite_holds=despite_holds
        )

    return _finished(log, log.transact(work, full=True))


def close_and_erase(
    log: SqliteLog, stream: int, words: Words, erase_derived: EraseDerived
) -> Erased:
    """Close a session with its children, as `close` does, and erase it, in one transaction."""

    def work(transaction: SqliteTransaction) -> _Wiped:
        close_within(transaction, stream, True, None, Actor.OPERATOR)
        return _erase(transaction, [Target(stream=stream)], words, erase_derived)

    return _finished(log, log.transact(work, full=True))


def _erase(
    transaction: SqliteTransaction,
    targets: Sequence[Target],
    words: Words,
    erase_derived: EraseDerived,
    *,
    despite_holds: bool = False,
) -> _Wiped:
    wiped = _Wiped()
    transaction.flush()
    connection = transaction.connection
    whole: list[tuple[int, bytes]] = []
    names: list[str] = []
    for target in targets:
        head = executor.require_stream(transaction, target.stream)
        found = erasure.targets(connection, target.stream, target.positions)
        if not found and target.positions is not None:
            continue
        if not despite_holds:
            holding.require_free(transaction, target.stream, target.positions)
        event = ContentErased(
            positions=runs.from_numbers(found),
            scope="session" if target.positions is None else "event",
            by=words.by,
            reason=words.reason,
            basis=words.basis,
            derived=runs.from_numbers(sorted(set(target.derived).intersection(found))),
        )
        state = executor.state_in(transaction, head)
        [recorded] = executor.append(transaction, head, state, [NewEvent(event, Actor.OPERATOR)])
        wiped.events.append(recorded.position)
        wiped.positions += found
        if target.positions is None:
            whole.append((target.stream, head.uid))
            names.append(head.session_id)
    if not wiped.events:
        return wiped
    transaction.flush()
    wiped.positions.sort()
    wiped.wanted = traces.gather(connection, wiped.positions, names)
    traces.due.add(connection, wiped.events)
    erase_derived(connection, wiped.positions)
    claims.erase(connection, wiped.positions)
    wiped.shared = erasure.wipe(connection, wiped.positions)
    for stream, uid in whole:
        erasure.rename(connection, stream, uid)
    if whole:
        transaction.forget_streams()
    return wiped


def _finished(log: SqliteLog, wiped: _Wiped) -> Erased:
    done = traces.finish(log, wiped.events, wiped.wanted)
    return Erased(
        positions=tuple(wiped.positions),
        complete=done.complete,
        cause=done.cause,
        shared_blobs=tuple(wiped.shared),
        events=tuple(wiped.events),
        rewritten=done.rewritten,
    )
