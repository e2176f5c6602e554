"""Activities of a store: the newest, those that match, and recording many at once.

An activity is what an agent did beside the conversation: a tool that ran, a file, an issue or a
loop that moved, a correction. Those of closed sessions stay; erased ones stay without their text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from typing import NamedTuple

import apsw
from msgspec import Struct
from msgspec.structs import replace

from eventstore.errors import InvalidValueError, StoreBusyError
from eventstore.events.catalogue import Activity, Event
from eventstore.log import reading, redactions
from eventstore.log.port import Actor, Recorded, StreamHead
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.session.commands import AddEvent, Create
from eventstore.session.decisions import check_session_id, decide
from eventstore.session.state import Status
from eventstore.store import executor
from eventstore.store.current import require_current
from eventstore.store.derived import Registry
from eventstore.store.searching import FTS5, SECONDS, read_query
from projections.activities.projection import KINDS
from projections.queries import activities as queries
from projections.queries.activities import ActivityView

#: What activities are called, in the order of the catalogue.
ACTIVITY_KINDS = tuple(KINDS.values())

#: The projection that has their rows.
PROJECTION = "activities"


class ActivityResult(Struct, frozen=True, kw_only=True):
    """What a search found; `behind` counts the events that the index did not have yet."""

    hits: tuple[ActivityView, ...] = ()
    behind: int = 0


def recent(
    log: SqliteLog, derived: Registry, kind: str | None, limit: int, seconds: float | None
) -> list[ActivityView]:
    """The newest activities; see `SessionStore.activities`."""
    _check_kind(kind)
    with _caught_up(log, derived, seconds) as (connection, usable, missing):
        if missing or not usable:
            derived.require_current(connection, PROJECTION)
        return queries.recent(connection, kind, limit) if usable else []


@contextmanager
def numbered(
    log: SqliteLog, derived: Registry, kind: str, limit: int
) -> Iterator[Iterator[tuple[int, int, Activity]]]:
    """Number, time (µs since 1970) and event of the newest activities of a kind, newest first.

    One by one, for who keeps none of them, on a snapshot that lasts as long as the block.
    """
    _check_kind(kind)
    with _caught_up(log, derived, None) as (connection, usable, missing):
        if missing or not usable:
            derived.require_current(connection, PROJECTION)
        if not usable:
            yield iter(())
            return
        with closing(queries.numbered(connection, kind, limit)) as found:
            yield found


def search(
    log: SqliteLog,
    derived: Registry,
    query: str,
    *,
    kind: str | None,
    syntax: str,
    newest: bool,
    limit: int,
    seconds: float | None = SECONDS,
) -> ActivityResult:
    """Activities that match; see `SessionStore.search_activities`."""
    _check_kind(kind)
    match, _ = read_query(query, syntax)
    with _caught_up(log, derived, seconds) as (connection, usable, missing):
        if not usable:
            return ActivityResult(behind=missing)
        if syntax == FTS5:
            queries.require_valid(connection, match, query)
        elif not match:
            return ActivityResult(behind=missing)
        hits = queries.find(connection, match, kind, newest=newest, limit=limit)
        return ActivityResult(hits=tuple(hits), behind=missing)


@contextmanager
def _caught_up(
    log: SqliteLog, derived: Registry, seconds: float | None
) -> Iterator[tuple[apsw.Connection, bool, int]]:
    """A snapshot to read activities on, whether their tables are there, and how many events lack.

    What others append after the tables were caught up is not counted among the latter.
    """
    with log.snapshot() as connection:
        require_current(connection)
        reached = derived.reached(connection, PROJECTION)
        missing = reading.head_of(connection).position - (reached or 0)
        if log.readonly or (reached is not None and not missing):
            yield connection, reached is not None, missing
            return
    with suppress(StoreBusyError):  # what is there already can be read all the same
        missing = derived.catch_up(log, PROJECTION, seconds)
    with log.snapshot() as connection:
        yield connection, derived.reached(connection, PROJECTION) is not None, missing


def _check_kind(kind: str | None) -> None:
    if kind is not None and kind not in ACTIVITY_KINDS:
        kinds = ", ".join(ACTIVITY_KINDS)
        raise InvalidValueError(f"a kind of activity is one of {kinds}, not {kind!r}")


# -- recording many --------------------------------------------------------------------------------


class Placed(NamedTuple):
    """A free event, and the id of the session that it belongs to, None for that of its source."""

    session_id: str | None
    event: Event


#: Says which events are the same, of those to be recorded and those stored.
Identity = Callable[[Event], Hashable]


def record(
    log: SqliteLog,
    derived: Registry,
    batch: Sequence[Placed],
    home: Create,
    *,
    once: Identity | None = None,
    actor: Actor = Actor.SYSTEM,
) -> list[Recorded]:
    """Append free events to their sessions in this order, as one transaction; what was appended.

    Sessions that do not exist begin with the source of `home`, which is begun as well where it is
    needed: events without a session, with an id that none can have, or of a closed one go there.

    With `once` as many events of the same identity are left out as are stored already; an erased
    or redacted one counts as one with its facts. Nobody writes while they are compared.
    """

    def work(transaction: SqliteTransaction) -> list[Recorded]:
        fresh = batch if once is None else _surplus(transaction, derived, batch, home, once)
        recorded: list[Recorded] = []
        for session_id, run in groupby(fresh, key=lambda one: one.session_id):
            head = _destination(transaction, session_id, home)
            state = executor.state_in(transaction, head)
            events = [new for one in run for new in decide(state, _adding(one.event, actor))]
            recorded += executor.append(transaction, head, state, events)
        return recorded

    return log.transact(work, exclusive=once is not None)


def _adding(event: Event, actor: Actor) -> AddEvent:
    return AddEvent(event=event, actor=actor)


def _destination(
    transaction: SqliteTransaction, session_id: str | None, home: Create
) -> StreamHead:
    """The session with this id if it can take events, else the home; begun if need be."""
    if session_id is not None and session_id != home.session_id and _may_be_id(session_id):
        head = transaction.stream(session_id)
        if head is None:
            return executor.create(transaction, Create(session_id=session_id, source=home.source))
        if executor.state_in(transaction, head).status is not Status.CLOSED:
            return head
    head = transaction.stream(home.session_id)
    if head is None or executor.state_in(transaction, head).status is Status.CLOSED:
        return executor.create(transaction, home)
    return head


def _may_be_id(session_id: str) -> bool:
    try:
        check_session_id(session_id)
    except InvalidValueError:
        return False
    return True


def _surplus(
    transaction: SqliteTransaction,
    derived: Registry,
    batch: Sequence[Placed],
    home: Create,
    once: Identity,
) -> list[Placed]:
    """The events of `batch` of which fewer are stored."""
    derived.catch_up_within(transaction.connection, PROJECTION)
    known: Counter[Hashable] = Counter()
    bare: Counter[Event] = Counter()
    types = {type(one.event) for one in batch}
    redacted = redactions.redacted(transaction.connection)
    for recorded in _stored(transaction, types, home):
        erased = recorded.event.content is None and recorded.commitment is not None
        if erased or recorded.position in redacted:
            bare[replace(recorded.event, content=None)] += 1
        else:
            known[once(recorded.event)] += 1
    if not known and not bare:
        return list(batch)
    fresh = []
    for one in batch:
        facts = replace(one.event, content=None)
        if known[identity := once(one.event)]:
            known[identity] -= 1
        elif bare[facts]:
            bare[facts] -= 1
        else:
            fresh.append(one)
    return fresh


def _stored(
    transaction: SqliteTransaction, types: set[type[Event]], home: Create
) -> Iterator[Recorded]:
    """Stored events of these types: activities wherever they are, others of the home session."""
    connection = transaction.connection
    for kind in (KINDS[one] for one in types if one in KINDS):
        positions = queries.positions(connection, kind)
        yield from reading.by_positions(connection, positions, content=True)
    head = transaction.stream(home.session_id)
    if head is not None and types - KINDS.keys():
        events = transaction.read_stream(head.id, content=True)
        yield from (one for one in events if type(one.event) in types - KINDS.keys())
