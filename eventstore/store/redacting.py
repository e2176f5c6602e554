"""Redacting what is stored: the events that say so, what stands in the place, and the file.

The content of an event is never changed. A redaction stores what is left of it as the content of
its own ``content.redacted`` event, wipes the event's, and has what is derived from it hold the new
text, all in one transaction that survives power loss; afterwards the file is searched for traces
as after an erasure (`eventstore.traces`). Reads join the newest of these contents
(`eventstore.log.redactions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import apsw
import msgspec
from msgspec import Struct

from eventstore import claims
from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import ContentRedacted, Event, Replaced, TitleContent
from eventstore.log import blobs, erasure, reading, redactions
from eventstore.log.engine import rows_of
from eventstore.log.port import Actor, NewEvent, Recorded
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.store import executor, holding
from eventstore.store.derived import Registry
from eventstore.store.erasure import Words
from eventstore.traces import Needles, due, of_replaced


class Replacement(Struct, frozen=True):
    """What is to stand in the place of an event's content (plain JSON), and what was replaced."""

    content: Any
    replaced: tuple[Replaced, ...]
    texts: tuple[str, ...]


_STORED = "SELECT salt, body FROM contents WHERE position = ?"

#: Gives the replacement for an event's content, None where there is nothing to replace.
Replace: TypeAlias = Callable[[Event], Replacement | None]


class Redacted(Struct, frozen=True, kw_only=True):
    """One transaction's part of a redaction: the events redacted, and those that say so.

    `shared_blobs` are events that still hold a large text which was redacted elsewhere, `wanted` is
    what the file is to be searched for.
    """

    positions: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    replaced: tuple[tuple[Replaced, ...], ...] = ()
    shared_blobs: tuple[int, ...] = ()
    wanted: Needles


def redact(
    log: SqliteLog,
    derived: Registry,
    stream: int,
    positions: Sequence[int],
    replace: Replace,
    words: Words,
) -> Redacted:
    """Redact these events of a session in one transaction; those with nothing to find stay.

    Raises `HeldError` when a legal hold stops it, and what `replace` raises.
    """

    def work(transaction: SqliteTransaction) -> Redacted:
        return _redact(transaction, derived, stream, positions, replace, words)

    return log.transact(work, full=True)


def _redact(
    transaction: SqliteTransaction,
    derived: Registry,
    stream: int,
    positions: Sequence[int],
    replace: Replace,
    words: Words,
) -> Redacted:
    transaction.flush()
    connection = transaction.connection
    before: list[Recorded] = []
    new: list[Replacement] = []
    for recorded in reading.by_positions(connection, positions, content=True):
        found = replace(recorded.event) if recorded.stream == stream else None
        if found is not None:
            before.append(recorded)
            new.append(found)
    _require_silent(words, new)
    if not before:
        return Redacted(wanted=Needles())
    chosen = [one.position for one in before]
    holding.require_free(transaction, stream, chosen)
    stored = redactions.replacing(connection, chosen)
    wiped = [stored.get(position, position) for position in chosen]
    head = executor.require_stream(transaction, stream)
    events = [
        ContentRedacted(
            position=one.position, replaced=made.replaced, by=words.by, reason=words.reason,
            content=made.content,
        )
        for one, made in zip(before, new, strict=True)
    ]  # fmt: skip
    state = executor.state_in(transaction, head)
    told = executor.append(
        transaction, head, state, [NewEvent(event, Actor.OPERATOR) for event in events]
    )
    transaction.flush()
    wanted = _wanted(connection, before, new, wiped)
    due.add(connection, [one.position for one in told])
    claims.erase(connection, chosen)
    shared = erasure.wipe(connection, wiped)
    after = list(reading.by_positions(connection, chosen, content=True))
    derived.redact(connection, list(zip(before, after, strict=True)))
    return Redacted(
        positions=tuple(chosen),
        events=tuple(one.position for one in told),
        replaced=tuple(one.replaced for one in new),
        shared_blobs=tuple(shared),
        wanted=wanted,
    )


def _require_silent(words: Words, new: Sequence[Replacement]) -> None:
    """What is said of a redaction is never erased, so it must not repeat what is redacted."""
    for name, said in words.given():
        if any(text in said for one in new for text in one.texts):
            raise InvalidValueError(f"{name} repeats what is redacted; it would stay for good")


def _wanted(
    connection: apsw.Connection,
    before: Sequence[Recorded],
    new: Sequence[Replacement],
    wiped: Sequence[int],
) -> Needles:
    """What must not be found afterwards: what was replaced, and what it could be guessed with."""
    wanted = Needles()
    for recorded, made, position in zip(before, new, wiped, strict=True):
        content = recorded.event.content
        old = msgspec.to_builtins(content) if isinstance(content, msgspec.Struct) else content
        wanted.add(of_replaced(connection, made.texts, old, made.content))
        if isinstance(content, TitleContent):
            wanted.texts.add(claims.digest_of(content.title))
        [(salt, body)] = rows_of(connection, _STORED, (position,))
        wanted.texts.update((salt, *blobs.digests_in(body.encode())))
    return wanted
