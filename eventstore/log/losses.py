"""What a store that was salvaged says it lost, so that `verify` can tell it from later changes.

Positions and versions have no gaps, so an event of type `LOST` stands in the place of each one that
could not be read. An event of type `SALVAGED` lists what is known to be missing. Both are events of
the log like any other; to invent one hides nothing, since each makes findings of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import apsw
import msgspec

from eventstore.events.catalogue import CustomEvent, Run
from eventstore.log.engine import rows_of

LOST = "x.eventstore.lost"
SALVAGED = "x.eventstore.salvaged"

_RECORDS = "SELECT CAST(facts AS BLOB) FROM events NOT INDEXED WHERE type = ?"


class _Data(msgspec.Struct):
    """The facts of a `SALVAGED` event, as runs of positions."""

    events: tuple[Run, ...]
    unproven: tuple[Run, ...]
    contents: tuple[Run, ...]


class _Facts(msgspec.Struct):
    data: _Data


class Losses:
    """The positions of events that were lost, that nothing proves, and whose content was lost."""

    def __init__(self) -> None:
        self.unproven: set[int] = set()
        self.contents: set[int] = set()
        self._events: dict[int, int] = {}

    def load(self, connection: apsw.Connection) -> None:
        """Take in what the log says."""
        for (facts,) in rows_of(connection, _RECORDS, (SALVAGED,)):
            self.take(facts)

    def take(self, facts: bytes) -> None:
        """Take in the facts of one `SALVAGED` event; damaged ones are no record."""
        try:
            data = msgspec.json.decode(facts, type=_Facts).data
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        self._events.update(data.events)
        self.unproven.update(_numbers(data.unproven))
        self.contents.update(_numbers(data.contents))

    def told_at(self, position: int) -> Iterator[str]:
        """What there is to say of an event."""
        size = self._events.get(position)
        if size == 1:
            yield "the event that was here was lost; another stands in its place"
        elif size is not None:
            last = position + size - 1
            yield f"the events to position {last} were lost; others stand in their places"
        if position in self.unproven:
            yield "events before it in its session were lost, so nothing proves this one"


def lost() -> CustomEvent:
    """An event that stands in the place of one that was lost."""
    return CustomEvent(name=LOST, commuting=True)


def record(events: Sequence[Run], unproven: Sequence[Run], contents: Sequence[Run]) -> CustomEvent:
    """The event that lists what was lost, as runs of positions."""
    data = {"events": events, "unproven": unproven, "contents": contents}
    plain = {name: [list(run) for run in runs] for name, runs in data.items()}
    return CustomEvent(name=SALVAGED, data=plain, commuting=True)


def _numbers(runs: Iterable[Run]) -> Iterator[int]:
    for first, size in runs:
        yield from range(first, first + size)
