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
from eventstore.log.sqlite import SqliteLog
from eventstore.store.current import require_current
from eventstore.store.session import Session
from projections.queries import fates, points, sessions
from projections.queries.fates import Fate

#: Messages looked up together where only the beginning of each is shown.
_FEW = 100


class Erasure(NamedTuple):
    """What is on the record of an erasure; `version` is that of its event in `stream`."""

    stream: int
    version: int
    at: int
    by: str | None
    reason: str | None
    basis: str | None


class Entry(NamedTuple):
    """An event with its content, and what became of it later.

    `fate` says why a message is no longer active; `corrected` that a later record of the same
    model call counts instead of this one; `erased` that its content is gone, and `withheld` that it
    is not part of this page; `redacted` is the version of the event that put marks into it.
    """

    recorded: Recorded
    fate: Fate | None = None
    corrected: bool = False
    erased: bool = False
    withheld: bool = False
    redacted: int | None = None

    @property
    def at(self) -> int:
        """When it happened, as far as is known."""
        return self.recorded.event.occurred_at or self.recorded.recorded_at


class History:
    """The events 1 … `version` of a session, and what a page says about them.

    `position` is how far the log is known: without one, as far as the session is at this version.
    Without `texts` no content is read.
    """

    def __init__(
        self, session: Session, version: int, position: int | None = None, *, texts: bool = True
    ) -> None:
        self.log = session.store.log
        self.stream = session.stream
        self.version = version
        self.texts = texts
        with self.log.snapshot() as connection:
            last = points.position_of(connection, self.stream, version)
            following = points.position_of(connection, self.stream, version + 1)
            head = following - 1 if following else reading.head_of(connection).position
            self.position = head if position is None else position
            found = reading.by_positions(connection, [last], content=False)
            self.leaf = next((one.leaf for one in found), b"")
        self._erasures: dict[int, _Erasures] = {}

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
                became = fates.fates(connection, self.stream, self.version, *bounds)
                keys = {one.event.key for one in page if isinstance(one.event, UsageRecorded)}
                marked = fates.redactions(connection, [one.position for one in page])
                newest = fates.newest_usage(connection, self.stream, sorted(keys), self.position)
            for recorded in page:
                event = recorded.event
                yield self._entry(
                    recorded,
                    became.get(getattr(event, "seq", 0)),
                    isinstance(event, UsageRecorded) and newest[event.key] != recorded.position,
                )._replace(redacted=marked.get(recorded.position))
            after = page[-1].version

    def messages(self, runs: tuple[Run, ...]) -> Iterator[Entry]:
        """Messages of this session in the order of the runs, those that a fork took over too."""
        for first, length in runs:
            for start in range(first, first + length, _FEW):
                last = min(start + _FEW, first + length) - 1
                with self.log.snapshot() as connection:
                    positions = fates.positions(connection, self.stream, start, last)
                    became = fates.fates(connection, self.stream, self.version, start, last)
                    found = {
                        one.position: one
                        for one in reading.by_positions(connection, positions, content=False)
                    }
                for position in positions:
                    recorded = found[position]
                    yield self._entry(recorded, became.get(getattr(recorded.event, "seq", 0)))

    def erasure_of(self, recorded: Recorded) -> Erasure | None:
        """The erasure that took an event's content; None where it is not on its session's record.

        Erasures after `version` are known too: their text is gone as well.
        """
        stream = recorded.stream
        if stream not in self._erasures:
            self._erasures[stream] = _Erasures(self.log, stream)
        return self._erasures[stream].of(recorded.position)

    def name_of(self, stream: int) -> str | None:
        """What finds a session."""
        with self.log.reader() as connection:
            return sessions.name_of(connection, stream)

    def _entry(
        self, recorded: Recorded, fate: Fate | None = None, corrected: bool = False
    ) -> Entry:
        if recorded.commitment is None:
            return Entry(recorded, fate, corrected)
        if not self.texts:
            erased = self.erasure_of(recorded) is not None
            return Entry(recorded, fate, corrected, erased, not erased)
        with self.log.reader() as connection:
            [whole] = reading.by_positions(connection, [recorded.position], content=True)
        return Entry(whole, fate, corrected, whole.event.content is None)


class _Erasures:
    """The erasures of one session, to be found by what they erased."""

    def __init__(self, log: SqliteLog, stream: int) -> None:
        """Read them all; no two of them name the same event, so that their runs can be sorted."""
        self._all: list[Erasure] = []
        found: list[tuple[int, int, int]] = []
        after, more = 0, True
        while more:
            with log.snapshot() as connection:
                page, after, more = reading.page_of_types(
                    connection, stream, after, (ContentErased.type,), False
                )
            for recorded in page:
                event = recorded.event
                assert isinstance(event, ContentErased)
                number = len(self._all)
                at = event.occurred_at or recorded.recorded_at
                self._all.append(
                    Erasure(stream, recorded.version, at, event.by, event.reason, event.basis)
                )
                found += [(first, first + size - 1, number) for first, size in event.positions]
        found.sort()
        self._starts = array("q", (one[0] for one in found))
        self._ends = array("q", (one[1] for one in found))
        self._numbers = array("q", (one[2] for one in found))

    def of(self, position: int) -> Erasure | None:
        """The erasure that named the event at this position."""
        index = bisect_right(self._starts, position) - 1
        if index < 0 or position > self._ends[index]:
            return None
        return self._all[self._numbers[index]]
