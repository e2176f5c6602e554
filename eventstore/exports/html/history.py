"""The events of a session as a page needs them, one body in memory at a time.

Facts are read in pages, each page in one snapshot of the file together with what became of its
messages; bodies one by one. No read stays open while the page is written.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from eventstore.events.catalogue import (
    ContentErased,
    ContextCompacted,
    MessageAppended,
    Run,
    UsageRecorded,
)
from eventstore.log import reading
from eventstore.log.port import Recorded
from eventstore.store.current import require_current
from eventstore.store.session import Session
from projections.queries import messages, points, sessions, usage
from projections.queries.messages import Fate, MessageRow

#: Messages read together where only the beginning of each is shown.
_FEW = 16


class Erasure(NamedTuple):
    """What is on the record of an erasure; `version` is that of its event."""

    version: int
    at: int
    by: str | None
    reason: str | None


class Entry(NamedTuple):
    """An event with its content, and what became of it later.

    `fate` says why a message is no longer active; `corrected` that a later record of the same
    model call counts instead of this one.
    """

    recorded: Recorded
    fate: Fate | None = None
    corrected: bool = False

    @property
    def erased(self) -> bool:
        """Whether the event had content that is gone."""
        return self.recorded.event.content is None and self.recorded.commitment is not None

    @property
    def at(self) -> int:
        """When it happened, as far as is known."""
        return self.recorded.event.occurred_at or self.recorded.recorded_at


class History:
    """The events 1 … `version` of a session, and what a page says about them."""

    def __init__(self, session: Session, version: int) -> None:
        self.log = session.store.log
        self.stream = session.stream
        self.version = version
        with self.log.reader() as connection:
            self.position = points.position_of(connection, self.stream, version)
            last = reading.by_positions(connection, [self.position], content=False)
            self.leaf = next((one.leaf for one in last), b"")
        self._erasures: list[Erasure] = []
        self._starts, self._ends, self._which = array("q"), array("q"), array("q")
        self._read_erasures()

    def entries(self) -> Iterator[Entry]:
        """Every event, in order."""
        after = 0
        while after < self.version:
            with self.log.snapshot() as connection:
                page = reading.page_of_stream(
                    connection, self.stream, after, self.version, False, reading.PAGE
                )
                require_current(connection)
                seqs = [
                    one.event.seq
                    for one in page
                    if isinstance(one.event, MessageAppended | ContextCompacted)
                ]
                bounds = (min(seqs), max(seqs)) if seqs else (0, 0)
                fates = messages.fates(connection, self.stream, self.version, *bounds)
                keys = {one.event.key for one in page if isinstance(one.event, UsageRecorded)}
                newest = usage.newest(connection, self.stream, sorted(keys), self.position)
            for recorded in page:
                event = recorded.event
                yield Entry(
                    self._whole(recorded),
                    fates.get(getattr(event, "seq", 0)),
                    isinstance(event, UsageRecorded) and newest[event.key] != recorded.position,
                )
            after = page[-1].version

    def inherited(self, runs: tuple[Run, ...]) -> Iterator[Entry]:
        """Messages that a fork took over, as events of the session that they come from."""
        for row in self.rows(runs):
            with self.log.snapshot() as connection:
                [recorded] = reading.by_positions(connection, [row.position], content=True)
                fates = messages.fates(connection, self.stream, self.version, row.seq, row.seq)
            yield Entry(recorded, fates.get(row.seq))

    def rows(self, runs: tuple[Run, ...]) -> Iterator[MessageRow]:
        """Messages of this session, in the order of the runs."""
        for first, length in runs:
            for start in range(first, first + length, _FEW):
                last = min(start + _FEW, first + length) - 1
                with self.log.snapshot() as connection:
                    rows = messages.in_range(connection, self.stream, start, last)
                yield from rows

    def erasure_of(self, position: int) -> Erasure | None:
        """The erasure that took the content of an event; None where it is not on this record."""
        index = bisect_right(self._starts, position) - 1
        if index < 0 or position > self._ends[index]:
            return None
        return self._erasures[self._which[index]]

    def name_of(self, stream: int | None) -> str | None:
        """What finds a session."""
        with self.log.reader() as connection:
            return sessions.name_of(connection, stream)

    def _whole(self, recorded: Recorded) -> Recorded:
        if recorded.commitment is None:
            return recorded
        with self.log.reader() as connection:
            [whole] = reading.by_positions(connection, [recorded.position], content=True)
        return whole

    def _read_erasures(self) -> None:
        """Read every erasure of the session, those after `version` too: its text is gone as well.

        No two of them name the same event, so that their runs can be searched.
        """
        found: list[tuple[int, int, int]] = []
        after, more = 0, True
        while more:
            with self.log.snapshot() as connection:
                page, after, more = reading.page_of_types(
                    connection, self.stream, after, (ContentErased.type,), False
                )
            for recorded in page:
                event = recorded.event
                assert isinstance(event, ContentErased)
                number = len(self._erasures)
                at = event.occurred_at or recorded.recorded_at
                self._erasures.append(Erasure(recorded.version, at, event.by, event.reason))
                found += [(first, first + size - 1, number) for first, size in event.positions]
        for first, last, number in sorted(found):
            self._starts.append(first)
            self._ends.append(last)
            self._which.append(number)
