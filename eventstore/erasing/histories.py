"""What of a session's facts tells what came from what.

Calls are found by their id. Some providers use an id again, so a result belongs to the last call
before it; a fork may answer a call of its origin's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from eventstore.events.catalogue import (
    ContextCompacted,
    MessageAppended,
    Run,
    SessionCreated,
    SessionForked,
    TitleSet,
    ToolCalled,
    ToolCallsSuspended,
)
from eventstore.log.port import Recorded


class Note(NamedTuple):
    """A compaction's note and the messages that it took the place of."""

    position: int
    runs: tuple[Run, ...]


class Linked(NamedTuple):
    """An event that names a tool call: ``result``, ``activity`` or ``pending``."""

    position: int
    version: int
    kind: str


class History:
    """The structure of one session, from its events without their content."""

    def __init__(self, stream: int, events: Iterable[Recorded]) -> None:
        self.stream = stream
        self.version_of: dict[int, int] = {}
        #: Events that have or had content.
        self.contents: list[int] = []
        self.seq_of: dict[int, int] = {}
        self.notes: list[Note] = []
        self.titles: list[int] = []
        self.calls_of: dict[int, tuple[str, ...]] = {}
        self.callers: dict[str, list[int]] = {}
        self.linked: dict[str, list[Linked]] = {}
        self.call_id_of: dict[int, str] = {}
        self.created: SessionCreated | None = None
        self.forked: SessionForked | None = None
        for recorded in events:
            self.version_of[recorded.position] = recorded.version
            if recorded.commitment is not None:
                self.contents.append(recorded.position)
            self._take(recorded)

    def _take(self, recorded: Recorded) -> None:
        position = recorded.position
        match recorded.event:
            case MessageAppended() as e:
                self.seq_of[position] = e.seq
                if e.call_ids:
                    self.calls_of[position] = e.call_ids
                    for call_id in e.call_ids:
                        self.callers.setdefault(call_id, []).append(position)
                if e.call_id is not None:
                    self._link(recorded, e.call_id, "result")
            case ContextCompacted() as e:
                self.seq_of[position] = e.seq
                self.notes.append(Note(position, e.runs))
            case TitleSet(cleared=False):
                self.titles.append(position)
            case ToolCalled(call_id=str() as call_id):
                self._link(recorded, call_id, "activity")
            case ToolCallsSuspended() as e:
                for call_id in e.call_ids:
                    self._link(recorded, call_id, "pending")
            case SessionCreated() as e:
                self.created = e
            case SessionForked() as e:
                self.forked = e

    def _link(self, recorded: Recorded, call_id: str, kind: str) -> None:
        found = Linked(recorded.position, recorded.version, kind)
        self.linked.setdefault(call_id, []).append(found)
        if kind != "pending":
            self.call_id_of[recorded.position] = call_id

    def inherits(self, seq: int) -> bool:
        """Whether the session took this message over from the one it was forked from."""
        active = () if self.forked is None else self.forked.active
        return any(first <= seq < first + size for first, size in active)

    def last_caller(self, call_id: str, version: int) -> int | None:
        """The last message up to a version that makes this call."""
        made = [one for one in self.callers.get(call_id, ()) if self.version_of[one] <= version]
        return made[-1] if made else None
