"""What policies mean for a store at a time: which sessions, which events, how much text.

All policies are looked at on the store as it is; what one of them does is seen by the others when
they are run again. A session that one policy erases is no other's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import apsw
from msgspec import Struct

from eventstore import codec
from eventstore.log.engine import rows_of
from eventstore.log.redactions import BODY
from eventstore.retention.policies import Action, Policy
from eventstore.session.state import Status
from eventstore.store import holding
from eventstore.store.current import require_current
from eventstore.store.session_store import SessionStore
from projections.queries import sessions
from projections.queries.sessions import ListedSession

_SIZES = (
    "SELECT sum(length(c.body)) + coalesce((SELECT sum(length(b.body)) FROM blob_references AS r "
    "JOIN blobs AS b ON b.digest = r.digest JOIN events AS e ON e.position = r.position "
    "WHERE e.stream = ?1), 0), count(c.body) "
    "FROM events AS e JOIN contents AS c ON c.position = e.position WHERE e.stream = ?1"
)
_EVENTS = (
    f"SELECT e.position, length({BODY}) FROM events AS e "  # noqa: S608
    "JOIN contents AS c ON c.position = e.position "
    "WHERE e.stream = ? AND e.type IN (SELECT value FROM json_each(?)) "
    "AND coalesce(json_extract(e.facts, '$.occurred_at'), e.recorded_at) < ? "
    f"AND {BODY} IS NOT NULL ORDER BY e.position"
)


class Step(Struct, frozen=True, kw_only=True):
    """What a policy does with one session.

    `events` is how many events lose their content and `bytes` how much text that is, `positions`
    are theirs with `erase-content`. `active_at` is the session's last activity, in µs since 1970.
    """

    policy: str
    do: Action
    session: str
    stream: int
    active_at: int
    events: int
    bytes: int
    positions: tuple[int, ...] = ()


class Held(Struct, frozen=True, kw_only=True):
    """A session that a policy would change, and the hold that stops it."""

    policy: str
    session: str
    hold: str


class Plan(Struct, frozen=True):
    """The steps in the order they are taken, and what is passed over."""

    steps: tuple[Step, ...]
    held: tuple[Held, ...]


def used_bytes(store: SessionStore) -> int:
    """What the pages in use of the store's file hold."""
    with store.log.reader() as connection:
        pages, free, size = (
            int(rows_of(connection, f"PRAGMA {name}")[0][0])
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size


def plan(store: SessionStore, policies: Sequence[Policy], now: int) -> Plan:
    """What these policies mean at a time (µs since 1970); nothing is written."""
    steps: list[Step] = []
    held: list[Held] = []
    taken: dict[int, set[Action]] = {}
    used = used_bytes(store)
    under_hold = bool(holding.listed(store.log))
    with store.log.snapshot() as connection:
        require_current(connection)
        listed = sessions.select(connection)[::-1]  # those with the oldest activity first
        for policy in policies:
            for step in _steps(connection, policy, listed, now, taken):
                if policy.above is not None and used <= policy.above:
                    break
                refusal = None
                if under_hold:
                    refusal = holding.refusal(store.log, step.stream, step.positions or None)
                if refusal is not None:
                    held.append(Held(policy=policy.name, session=step.session, hold=refusal))
                    continue
                taken.setdefault(step.stream, set()).add(step.do)
                steps.append(step)
                used -= step.bytes
    return Plan(tuple(steps), tuple(held))


def _steps(
    connection: apsw.Connection,
    policy: Policy,
    listed: Sequence[ListedSession],
    now: int,
    taken: Mapping[int, Collection[Action]],
) -> Iterator[Step]:
    """What a policy does with each session, those with the oldest activity first."""
    for one in listed:
        done = taken.get(one.row.stream, ())
        if policy.do in done or Action.ERASE in done or not _matches(policy, one, now):
            continue
        if policy.do is Action.ERASE_CONTENT:
            found = _old_events(connection, policy, one.row.stream, now)
            positions, size = tuple(row[0] for row in found), sum(row[1] for row in found)
            events = len(positions)
        elif policy.do is Action.ERASE:
            positions = ()
            size, events = rows_of(connection, _SIZES, (one.row.stream,))[0]
        else:
            positions, size, events = (), 0, 0
        if policy.do is Action.CLOSE or events:
            yield Step(
                policy=policy.name, do=policy.do, session=one.name, stream=one.row.stream,
                active_at=one.row.updated_at, events=events, bytes=size or 0, positions=positions,
            )  # fmt: skip


def _matches(policy: Policy, one: ListedSession, now: int) -> bool:
    row = one.row
    if policy.do is Action.CLOSE and row.status == Status.CLOSED:
        return False
    by_age = policy.older_than is not None and policy.do is not Action.ERASE_CONTENT
    return (
        (policy.kind is None or row.kind == policy.kind)
        and (policy.sources is None or row.source in policy.sources)
        and (policy.statuses is None or row.status in policy.statuses)
        and not (by_age and row.updated_at >= now - (policy.older_than or 0))
    )


def _old_events(
    connection: apsw.Connection, policy: Policy, stream: int, now: int
) -> list[tuple[int, int]]:
    """The events whose content a policy erases: their positions, and how long the content is."""
    before = now - (policy.older_than or 0)
    return rows_of(connection, _EVENTS, (stream, codec.encode(policy.types).decode(), before))
