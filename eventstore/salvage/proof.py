"""Which of the rows that were found are events: the leaves tell, where the chain is there.

An event is *proven* when its leaf follows from its own bytes and from the leaf before it in its
session. The first one after a gap cannot be proven: the leaf before it is lost. It is kept as
unproven if its facts can be understood and nothing contradicts it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from eventstore.errors import EventStoreError
from eventstore.events import stored
from eventstore.events.catalogue import ContentErased, ContentRedacted
from eventstore.log.entry import ZEROS, leaf_of
from eventstore.salvage.records import EventRow, StreamRow


class Proof(NamedTuple):
    """The events that are kept, by position, and which of them nothing proves."""

    events: dict[int, EventRow]
    unproven: set[int]


def prove(
    rows: Iterable[EventRow], streams: Mapping[int, StreamRow], believed: Container[int]
) -> Proof:
    """Sort the events out session by session; some positions are `believed` without a proof."""
    kept: dict[int, EventRow] = {}
    unproven: set[int] = set()
    ordered = sorted(rows, key=lambda row: (row.stream, row.version, row.position))
    for stream, group in groupby(ordered, key=lambda row: row.stream):
        _prove_chain(list(group), streams.get(stream), believed, kept, unproven)
    return Proof(kept, unproven)


def _prove_chain(
    rows: list[EventRow],
    stream: StreamRow | None,
    believed: Container[int],
    kept: dict[int, EventRow],
    unproven: set[int],
) -> None:
    last: EventRow | None = None
    for row in rows:
        if last is not None and (row.version == last.version or row.position <= last.position):
            continue
        if row.position in believed and _is_understood(row):
            kept[row.position] = last = row
            continue
        previous: bytes | None = None
        if row.version == 1:
            previous = ZEROS
        elif last is not None and last.version == row.version - 1:
            previous = last.leaf
        if stream is not None and previous is not None:
            if _leaf(row, stream.uid, previous) == row.leaf:
                kept[row.position] = last = row
                continue
            if last is None or last.position not in unproven:
                continue  # the one before is true, so this one is not
            del kept[last.position]
            unproven.discard(last.position)
        if _is_understood(row):
            kept[row.position] = last = row
            unproven.add(row.position)


def _leaf(row: EventRow, uid: bytes, previous: bytes) -> bytes | None:
    try:
        return leaf_of(
            row.position, row.version, row.recorded_at, uid, previous, row.commitment,
            row.actor, row.schema, row.key, row.type.encode("ascii"), row.facts.encode(),
        )  # fmt: skip
    except (
        Exception
    ):  # numbers of a damaged row can be anything: what has no leaf, has not this one
        return None


def _is_understood(row: EventRow) -> bool:
    try:
        stored.read(row.type, row.schema, row.facts.encode())
    except EventStoreError:
        return False
    return row.type.isascii() and 0 <= row.actor < 256


def erased_by(events: Mapping[int, EventRow]) -> set[int]:
    """The positions whose content one of these events says was erased, or redacted."""
    erased: set[int] = set()
    end = max(events, default=0)
    for _, event in _erasures(events):
        for first, size in event.positions:
            erased.update(range(first, min(first + size, end + 1)))
    replacing: dict[int, int] = {}
    for position, row in sorted(events.items()):
        if row.type == ContentRedacted.type and row.commitment is not None:
            redacted = stored.read(row.type, row.schema, row.facts.encode())
            if isinstance(redacted, ContentRedacted):
                erased |= {redacted.position, replacing.get(redacted.position, redacted.position)}
                replacing[redacted.position] = position
    return erased


def erased_sessions(events: Mapping[int, EventRow]) -> set[int]:
    """The streams that were erased as a whole."""
    return {stream for stream, event in _erasures(events) if event.scope == "session"}


def _erasures(events: Mapping[int, EventRow]) -> Iterator[tuple[int, ContentErased]]:
    for row in events.values():
        if row.type == ContentErased.type:
            event = stored.read(row.type, row.schema, row.facts.encode())
            if isinstance(event, ContentErased):
                yield row.stream, event
