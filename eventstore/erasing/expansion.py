"""What was derived from events that are to be erased, and so has to go with them. Pure.

Each rule follows one kind of trace from an event to others:

- ``note``: a compaction's note over an erased message; notes over such a note likewise,
- ``title``: a title that the session was given after an erased message,
- ``result``: the result of an erased tool call,
- ``call``: the message that made the call whose result is erased,
- ``activity``: the record of that call beside the conversation,
- ``pending``: what the agent kept to take that call up again,
- ``record``: the message that keeps the source record of several, of which one is erased,
- ``answer``: what a sub-agent that is erased as a whole answered to the session that spawned it.

A message that went for the sake of one of its calls' results does not take its other results along.
A fork has the messages it took over, so that its own notes, titles and results count as well. Forks
and sub-agents are named; they are erased as a whole only when that is asked for.

What quotes an erased message without any of this is not found: nothing in the facts says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from eventstore.erasing.histories import History, Linked


class Rule(StrEnum):
    """Why an event is erased: it was `SELECTED`, or derived from one that is."""

    SELECTED = "selected"
    NOTE = "note"
    TITLE = "title"
    RESULT = "result"
    CALL = "call"
    ACTIVITY = "activity"
    PENDING = "pending"
    RECORD = "record"
    ANSWER = "answer"
    SUB_AGENT = "sub-agent"
    FORK = "fork"


#: The rules that apply unless they are left out.
DERIVED = (
    Rule.NOTE, Rule.TITLE, Rule.RESULT, Rule.CALL, Rule.ACTIVITY, Rule.PENDING, Rule.RECORD,
    Rule.ANSWER,
)  # fmt: skip


class Source(Protocol):
    """Where the facts come from."""

    def history(self, stream: int) -> History:
        """The structure of a session."""

    def stream_of(self, position: int) -> int:
        """The session of an event."""

    def forks(self, stream: int) -> Sequence[int]:
        """The sessions forked from one."""

    def children(self, stream: int) -> Sequence[int]:
        """The sessions spawned by one."""

    def record_holder(self, position: int) -> int | None:
        """The message that keeps the source record from which this one was made too."""


class Reason(NamedTuple):
    """Why an event is in, and the event that it was derived from."""

    rule: Rule
    because: int | None


class Expansion:
    """A set of events that grows by the rules until nothing new follows.

    `reasons` has every event, `whole` the sessions that go as a whole; `forks` and `sub_agents` are
    the sessions that have or come from something erased and are not among those.
    """

    def __init__(self, source: Source, rules: Iterable[Rule]) -> None:
        self._source = source
        self._rules = frozenset(rules)
        self._waiting: deque[int] = deque()
        self.reasons: dict[int, Reason] = {}
        self.whole: set[int] = set()
        self.forks: set[int] = set()
        self.sub_agents: set[int] = set()

    def expand(self, whole: Iterable[int], positions: Iterable[int]) -> Expansion:
        """Take sessions and events, and all that follows from them."""
        for stream in whole:
            self._take_session(stream, Reason(Rule.SELECTED, None))
        for position in positions:
            self._take(position, Rule.SELECTED, None)
        while self._waiting:
            self._follow(self._waiting.popleft())
        self.forks -= self.whole
        self.sub_agents -= self.whole
        return self

    def _take(self, position: int, rule: Rule, because: int | None) -> None:
        wanted = rule is Rule.SELECTED or rule in self._rules
        if wanted and position not in self.reasons:
            self.reasons[position] = Reason(rule, because)
            self._waiting.append(position)

    def _take_session(self, stream: int, reason: Reason) -> None:
        if stream in self.whole:
            return
        self.whole.add(stream)
        history = self._source.history(stream)
        for position in history.contents:
            self._take(position, *reason)
        for child in self._source.children(stream):
            self._spawned(child, reason.because)
        created = history.created
        if created is not None and created.parent is not None and created.spawn_call_id is not None:
            for one in self._source.history(created.parent).linked.get(created.spawn_call_id, ()):
                if one.kind == "result":
                    self._take(one.position, Rule.ANSWER, min(history.version_of))

    def _spawned(self, stream: int, because: int | None) -> None:
        if Rule.SUB_AGENT in self._rules:
            self._take_session(stream, Reason(Rule.SUB_AGENT, because))
        else:
            self.sub_agents.add(stream)

    # -- the rules ---------------------------------------------------------------------------

    def _follow(self, position: int) -> None:
        stream = self._source.stream_of(position)
        history = self._source.history(stream)
        seq = history.seq_of.get(position)
        if seq is not None:
            self._follow_message(history, position, seq)
        call_id = history.call_id_of.get(position)
        if call_id is not None:
            self._follow_link(history, position, call_id)

    def _follow_message(self, history: History, position: int, seq: int) -> None:
        for carrier in self._carriers(history, seq):
            if carrier.stream in self.whole:
                continue  # every one of its events is in
            for note in carrier.notes:
                if any(first <= seq < first + size for first, size in note.runs):
                    self._take(note.position, Rule.NOTE, position)
            later = history.version_of[position] if carrier is history else 0
            for title in carrier.titles:
                if carrier.version_of[title] > later:
                    self._take(title, Rule.TITLE, position)
            if carrier is not history:
                self._forked(carrier.stream, position)
        if self.reasons[position].rule is not Rule.CALL:
            for call_id in history.calls_of.get(position, ()):
                self._follow_call(history, position, seq, call_id)
        if history.stream not in self.whole:
            holder = self._source.record_holder(position)
            if holder is not None:
                self._take(holder, Rule.RECORD, position)

    def _forked(self, stream: int, because: int) -> None:
        if Rule.FORK in self._rules:
            self._take_session(stream, Reason(Rule.FORK, because))
        else:
            self.forks.add(stream)

    def _carriers(self, history: History, seq: int) -> Iterator[History]:
        """The session of a message, and the forks that took it over, at any distance."""
        yield history
        for fork in self._source.forks(history.stream):
            carrier = self._source.history(fork)
            if carrier.inherits(seq):
                yield from self._carriers(carrier, seq)

    def _follow_call(self, history: History, position: int, seq: int, call_id: str) -> None:
        for carrier in self._carriers(history, seq):
            for one in carrier.linked.get(call_id, ()):
                if self._caller(carrier, call_id, one.version) == position:
                    self._take(one.position, Rule(one.kind), position)
            for child in self._source.children(carrier.stream):
                created = self._source.history(child).created
                if created is not None and created.spawn_call_id == call_id:
                    self._spawned(child, position)

    def _follow_link(self, history: History, position: int, call_id: str) -> None:
        """From a result or an activity to its call, and to what else names that call."""
        version = history.version_of[position]
        caller = self._caller(history, call_id, version)
        if caller is not None:
            self._take(caller, Rule.CALL, position)
        for one in self._same_call(history, call_id, caller):
            self._take(one.position, Rule(one.kind), position)

    def _same_call(self, history: History, call_id: str, caller: int | None) -> list[Linked]:
        return [
            one
            for one in history.linked.get(call_id, ())
            if self._caller(history, call_id, one.version) == caller
        ]

    def _caller(self, history: History, call_id: str, version: int) -> int | None:
        """The message that made a call, of the session or of one it was forked from."""
        found = history.last_caller(call_id, version)
        if found is not None or history.forked is None:
            return found
        origin = self._source.history(history.forked.origin)
        return self._caller(origin, call_id, history.forked.origin_version)
