"""What sessions say of each other and of their tool calls, and whether snapshots are true.

One pass over the log folds every session, so a snapshot is compared with the very state that it
stands for, whatever its checksum says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from eventstore import snapshots
from eventstore.doctor.report import Diagnosis, diagnosis
from eventstore.errors import EventStoreError
from eventstore.events.catalogue import MessageAppended, SessionForked
from eventstore.log.engine import rows_of
from eventstore.log.port import Recorded
from eventstore.log.sqlite import SqliteLog
from eventstore.session.fold import fold
from eventstore.session.state import REDUCER, SessionState, Status

#: Progress is told after so many events.
STEP = 500

#: Tool call ids told of one session at most.
CALLS_TOLD = 3

_NAMES = "SELECT id, session_id FROM streams"
_LEAF = "SELECT leaf FROM events WHERE stream = ? AND version = ?"


class Snapshot(NamedTuple):
    """A row of `snapshots` that is not what it should be."""

    stream: int
    version: int


class Sessions:
    """The examination of every session of a log; `bad_snapshots` are known when it is over.

    `snapshots` says whether there is a table of them that can be read.
    """

    def __init__(self, log: SqliteLog, *, snapshots: bool) -> None:
        self._log = log
        self._with_snapshots = snapshots
        self._states: dict[int, SessionState] = {}
        self._last_message: dict[int, tuple[int, str]] = {}
        self._calls: dict[int, set[str]] = {}
        self._unknown_results: dict[int, list[tuple[int, str]]] = {}
        self._names: dict[int, str] = {}
        self._kept: dict[tuple[int, int], tuple[int, bytes, bytes]] = {}
        self._forks: list[tuple[Recorded, SessionForked]] = []
        self.bad_snapshots: list[Snapshot] = []

    def examine(self, progress: Callable[[int, int], None]) -> Iterator[Diagnosis]:
        """Everything that is wrong with sessions and snapshots."""
        with self._log.snapshot() as connection:
            self._names = dict(rows_of(connection, _NAMES))
            if self._with_snapshots:
                for stream, version, reducer, leaf, stored in snapshots.rows(connection):
                    self._kept[stream, version] = (reducer, leaf, stored)
        head = self._log.head().position
        broken: set[int] = set()
        for recorded in self._log.read_all():
            if recorded.stream not in broken:
                try:
                    yield from self._take(recorded)
                except EventStoreError:  # what cannot be folded is told by verify
                    broken.add(recorded.stream)
            if recorded.position % STEP == 0 or recorded.position == head:
                progress(recorded.position, head)
        for stream, version in self._kept:
            yield self._bad(stream, version, "snapshot.stale", "is of no event of the log")
        yield from self._relations()
        yield from self._dangling()

    def _take(self, recorded: Recorded) -> Iterator[Diagnosis]:
        stream, event = recorded.stream, recorded.event
        before = self._states.get(stream, SessionState())
        state = self._states[stream] = fold(before, recorded)
        if isinstance(event, SessionForked):
            self._forks.append((recorded, event))
            self._calls[stream] = set(event.open_calls)
        if isinstance(event, MessageAppended):
            self._last_message[stream] = (recorded.position, event.role)
            made = self._calls.setdefault(stream, set())
            made.update(event.call_ids)
            if event.call_id is not None and event.call_id not in made:
                found = self._unknown_results.setdefault(stream, [])
                found.append((recorded.position, event.call_id))
        kept = self._kept.pop((stream, recorded.version), None)
        if kept is not None:
            reducer, leaf, stored = kept
            if reducer != REDUCER:
                text = f"was made by the fold number {reducer}, not {REDUCER}"
                yield self._bad(stream, recorded.version, "snapshot.stale", text)
            elif leaf != recorded.leaf:
                yield self._bad(stream, recorded.version, "snapshot.stale", "is of another history")
            elif snapshots.decoded(recorded.version, leaf, stored) != state:
                text = "is not the state that the log gives"
                yield self._bad(stream, recorded.version, "snapshot.damaged", text)

    def _bad(self, stream: int, version: int, code: str, text: str) -> Diagnosis:
        self.bad_snapshots.append(Snapshot(stream, version))
        message = f"the snapshot of version {version} {text}"
        return diagnosis(code, message, session=self._name(stream), table="snapshots")

    def _name(self, stream: int) -> str:
        return self._names.get(stream, f"stream {stream}")

    def _relations(self) -> Iterator[Diagnosis]:
        for stream, state in self._states.items():
            name = self._name(stream)
            if state.parent is not None and state.parent not in self._states:
                text = f"its parent is stream {state.parent}, which has no events"
                yield diagnosis("session.parent", text, session=name)
            elif min(circle := self._circle_above(stream), default=0) == stream:
                text = f"it is below itself: streams {' → '.join(map(str, circle))}"
                yield diagnosis("session.parent", text, session=name)
        for recorded, event in self._forks:
            with self._log.reader() as connection:
                leaf = connection.execute(_LEAF, (event.origin, event.origin_version)).get
            if not isinstance(leaf, bytes) or leaf.hex() != event.origin_leaf:
                where = f"version {event.origin_version} of stream {event.origin}"
                yield diagnosis(
                    "session.origin",
                    f"it was forked from {where}, which is not what it was then",
                    position=recorded.position,
                    session=self._name(recorded.stream),
                )

    def _circle_above(self, stream: int) -> list[int]:
        """The streams of the circle that a stream is in, none when it is in none."""
        seen = [stream]
        while True:
            state = self._states.get(seen[-1])
            if state is None or state.parent is None:
                return []
            if state.parent in seen:
                return seen if state.parent == stream else []
            seen.append(state.parent)

    def _dangling(self) -> Iterator[Diagnosis]:
        """Calls that nothing will answer any more, and answers to calls that nobody made."""
        for stream, state in self._states.items():
            position, role = self._last_message.get(stream, (None, ""))
            over = state.status is not Status.ACTIVE or role not in ("assistant", "tool")
            if state.open_calls and state.pending_position is None and over:
                yield diagnosis(
                    "session.calls",
                    f"tool calls without a result: {_some(state.open_calls)}",
                    position=position,
                    session=self._name(stream),
                )
        for stream, found in self._unknown_results.items():
            yield diagnosis(
                "session.results",
                f"results of tool calls that were not made: {_some([one for _, one in found])}",
                position=found[0][0],
                session=self._name(stream),
            )


def _some(ids: tuple[str, ...] | list[str]) -> str:
    """The first few ids, and how many more there are."""
    more = len(ids) - CALLS_TOLD
    return ", ".join(ids[:CALLS_TOLD]) + (f" and {more} more" if more > 0 else "")
