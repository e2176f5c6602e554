"""Giving every lost position and version an event that says so, so that neither has a gap.

Between two events of a session that are there, the versions between them lay at lost positions
between theirs. Filling the gaps by the nearest end first finds places for all, because the true
ones are one way to do it. Lost positions that no gap needs belonged to the end of a session, or to
one that is lost wholly; they go to a session of the salvage itself.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from eventstore.events import stored
from eventstore.events.catalogue import Event, SessionContent, SessionCreated
from eventstore.log.entry import SALT_BYTES, UID_BYTES, ZEROS, commitment_of, leaf_of
from eventstore.log.losses import lost
from eventstore.log.port import Actor
from eventstore.salvage.proof import Proof
from eventstore.salvage.records import ContentRow, EventRow, StreamRow


class Place(NamedTuple):
    """A lost version of a session, and the position that it is given."""

    position: int
    stream: int
    version: int


class Plan(NamedTuple):
    """The places of lost versions, and the events before which there is no room for theirs.

    Such an event contradicts others: one of them is not what it says.
    """

    places: list[Place]
    contradicted: set[int]


class _Gap(NamedTuple):
    """Versions that lay at positions before `end` and after `begin`, the next of them first."""

    end: int
    stream: int
    version: int
    last: int


def plan(proof: Proof, streams: Mapping[int, StreamRow], free: Sequence[int]) -> Plan:
    """A place for every version that is missing before the last one of its session."""
    begins: dict[int, list[_Gap]] = {}
    ordered = sorted(proof.events.values(), key=lambda row: (row.stream, row.version))
    for stream, group in groupby(ordered, key=lambda row: row.stream):
        position, version = 0, 0
        for row in group:
            if row.version > version + 1:
                gap = _Gap(row.position, stream, version + 1, row.version - 1)
                begins.setdefault(position, []).append(gap)
            position, version = row.position, row.version
    found: list[Place] = []
    contradicted: set[int] = set()
    waiting: list[_Gap] = []
    starts = sorted(begins)
    empty = sorted(set(streams) - {row.stream for row in ordered})
    for position in free:
        while starts and starts[0] < position:
            for gap in begins[starts.pop(0)]:
                heapq.heappush(waiting, gap)
        while waiting and waiting[0].end < position:
            contradicted.add(heapq.heappop(waiting).end)
        if waiting:
            gap = heapq.heappop(waiting)
            found.append(Place(position, gap.stream, gap.version))
            if gap.version < gap.last:
                heapq.heappush(waiting, gap._replace(version=gap.version + 1))
        elif empty:
            found.append(Place(position, empty.pop(0), 1))
    contradicted.update(gap.end for gap in waiting)
    contradicted.update(gap.end for start in starts for gap in begins[start])
    return Plan(found, contradicted)


def own_events(name: str, free: Sequence[int], end: int, last: Event) -> list[tuple[int, Event]]:
    """The events of the salvage's own session, with positions; `last` comes after the log's end."""
    created = SessionCreated(content=SessionContent(session_id=name))
    begin = free[0] if free else end + 1
    middle: list[tuple[int, Event]] = [(position, lost()) for position in free[1:]]
    return [(begin, created), *middle, (max(end, begin) + 1, last)]


class Writer:
    """Makes rows of new events, with the leaves that follow from those before them."""

    def __init__(self, recorded_at: Mapping[int, int]) -> None:
        self._recorded_at = recorded_at

    def row(
        self, place: Place, event: Event, uid: bytes, previous: bytes
    ) -> tuple[EventRow, ContentRow | None]:
        """The row of an event, and that of its content if it has any."""
        position, stream, version = place
        form = stored.store(event)
        content = None
        commitment = None
        if form.body is not None:
            salt = os.urandom(SALT_BYTES)
            content = ContentRow(position, salt, form.body.decode())
            commitment = commitment_of(salt, form.body)
        at = self._recorded_at[position]
        leaf = leaf_of(
            position, version, at, uid, previous, commitment, Actor.SYSTEM, form.schema, None,
            form.name.encode("ascii"), form.facts,
        )  # fmt: skip
        return EventRow(
            position, stream, version, form.name, form.schema, at, int(Actor.SYSTEM),
            form.facts.decode(), None, commitment, leaf,
        ), content  # fmt: skip


def fill(
    proof: Proof, streams: Mapping[int, StreamRow], found: Sequence[Place], writer: Writer
) -> dict[int, EventRow]:
    """The log with an event at each of these places, chained to the one before it."""
    log = dict(proof.events)
    taken = {place.position: place for place in found}
    leaves: dict[int, bytes] = {}
    for position in sorted({*log, *taken}):
        row = log.get(position)
        if row is None:
            place = taken[position]
            uid = streams[place.stream].uid
            row, _ = writer.row(place, lost(), uid, leaves.get(place.stream, ZEROS))
            log[position] = row
        leaves[row.stream] = row.leaf
    return log


def new_uid() -> bytes:
    """Random bytes for a session that has lost its own."""
    return os.urandom(UID_BYTES)
