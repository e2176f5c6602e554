"""Histories for the tests of past states, and what they add up to, folded without the program."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import hypothesis.strategies as st

from eventstore import Message, Recorded, Session, SessionStore, ToolCall, snapshots
from eventstore.errors import RuleError
from eventstore.events import catalogue as ev
from eventstore.session import commands as do

#: What an operation does, to which session, with which numbers.
Operation = tuple[str, int, int, int]

KINDS = (
    "append", "append", "append", "call", "answer", "compact", "retract", "clear", "consolidate",
    "title", "prompt", "configuration", "model", "round", "suspend", "settle", "usage", "usage",
    "fork", "spawn", "end", "reopen", "quiet",
)  # fmt: skip
operations = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 7), st.integers(0, 7)),
    max_size=40,
)

START = 1_700_000_000_000_000


@contextmanager
def store_of(times: Sequence[int]) -> Iterator[SessionStore]:
    """A store whose clock jumps by these steps, backwards too, and that keeps many snapshots."""
    moments = (START + step * 1_000 for step in itertools.chain(times, itertools.count(50)))
    with (
        mock.patch.object(snapshots, "TAIL_MIN", 3),
        mock.patch.object(snapshots, "SPACING", 8),
        SessionStore.open(":memory:", clock=lambda: next(moments)) as store,
    ):
        yield store


def apply(store: SessionStore, sessions: list[Session], operation: Operation) -> None:
    """Do what an operation says, unless a rule forbids it."""
    kind, who, a, b = operation
    if not sessions:
        sessions.append(store.create("s0", title="title", prompt="prompt", model="m"))
    session = sessions[who % len(sessions)]
    name = f"s{len(sessions)}"
    usage = {"input": a, "output": b, "model": f"m{a % 2}", "round": b}
    try:
        match kind:
            case "append":
                occurred = None if a < 4 else START + b * 1_000
                message = Message(role="user", content=f"text {a}", round=b if b < 4 else None)
                command = do.Append(messages=(message,), occurred_at=occurred)
                store.execute([(session, command)])
            case "call":
                call = ToolCall(id=f"call{a}", name="tool", arguments={"n": b})
                session.append("assistant", "calling", tool_calls=[call])
            case "answer":
                session.append("tool", "answer", call_id=f"call{a}")
            case "compact":
                session.compact(a + 1, a + b + 1, f"note {b}")
            case "retract":
                session.retract(a + b)
            case "clear":
                session.clear()
            case "consolidate":
                session.consolidate(a + 1)
            case "title":
                session.set_title(f"title {a}" if b else None)
            case "prompt":
                session.change_prompt(f"prompt {a}" if b else None)
            case "configuration":
                session.change_configuration({"n": a} if b else None)
            case "model":
                session.change_model(f"m{a}", f"p{b}")
            case "round":
                session.advance_round(a)
            case "suspend":
                session.suspend_tool_calls({"n": a})
            case "settle":
                session.settle_tool_calls()
            case "usage":
                session.record_usage(f"key{a % 3}", **usage)
            case "fork":
                sessions.append(session.fork(name, at=a + 1))
            case "spawn":
                sessions.append(session.spawn(name))
            case "end":
                session.end()
            case "reopen":
                session.reopen()
            case "quiet":
                session.add_event(ev.RecordImported(format="f", content=ev.Content(record=a)))
    except RuleError:
        pass


def time_of(recorded: Recorded) -> int:
    return recorded.event.occurred_at or recorded.recorded_at


def counts(recorded: Recorded) -> bool:
    """Whether the time of an event counts as activity of its session."""
    quiet = (ev.ContentErased, ev.ExportCreated, ev.RecordImported, ev.UnknownEvent)
    return not isinstance(recorded.event, quiet)


def prefix(events: Iterable[Recorded], time: int) -> int:
    """How many events the longest beginning has in which none is later than a time."""
    return sum(
        1 for _ in itertools.takewhile(lambda e: not counts(e) or time_of(e) <= time, events)
    )


def round_of(recorded: Recorded) -> int:
    says = (ev.RoundAdvanced, ev.MessageAppended, ev.ContextCompacted, ev.SessionForked)
    event = recorded.event
    return (event.round or 0) if isinstance(event, says) else 0


class Folded:
    """What a beginning of a session's events adds up to; only plain lists and dicts."""

    def __init__(self, store: SessionStore, events: Iterable[Recorded]) -> None:
        self.active: list[tuple[int, str | None]] = []
        self.seqs: set[int] = set()
        self.title: str | None = None
        self.prompt: str | None = None
        self.configuration: dict[str, Any] | None = None
        self.pending: Any = None
        self.model: str | None = None
        self.round = 0
        self.status = "active"
        self.usage: dict[str, ev.UsageRecorded] = {}
        for recorded in events:
            self._add(store, recorded.event)

    def _index(self, seq: int) -> int:
        return [number for number, _ in self.active].index(seq)

    def _add(self, store: SessionStore, event: ev.Event) -> None:
        content = event.content
        match event:
            case ev.SessionForked():
                origin = store.session_of(event.origin)
                past = Folded(store, origin.events(upto=event.origin_version))
                self.__dict__.update(past.__dict__)
                self.status, self.usage = "active", {}
                self.seqs = {seq for seq, _ in past.active}
            case ev.MessageAppended():
                self.active.append((event.seq, content.text if content else None))
                self.seqs.add(event.seq)
            case ev.ContextCompacted():
                first, last = self._index(event.from_seq), self._index(event.to_seq)
                note = (event.seq, content.text if content else None)
                self.active[first : last + 1] = [note]
                self.seqs.add(event.seq)
            case ev.MessagesConsolidated():
                del self.active[: self._index(event.to_seq) + 1]
            case ev.MessagesRetracted():
                del self.active[self._index(event.from_seq) :]
            case ev.MessagesCleared():
                self.active = []
            case ev.TitleSet():
                self.title = content.title if content else None
            case ev.PromptChanged():
                self.prompt = content.prompt if content else None
            case ev.ConfigurationChanged():
                self.configuration = content.configuration if content else None
            case ev.ModelChanged():
                self.model = event.model
            case ev.RoundAdvanced():
                self.round = event.round
            case ev.ToolCallsSuspended():
                self.pending = content.payload if content else None
            case ev.ToolCallsSettled():
                self.pending = None
            case ev.UsageRecorded():
                self.usage[event.key] = event
            case ev.SessionEnded():
                self.status = "ended"
            case ev.SessionReopened():
                self.status = "active"

    def read(self) -> dict[str, Any]:
        """The same, in the form of `read_at`."""
        return {
            "active": self.active,
            "title": self.title,
            "prompt": self.prompt,
            "configuration": self.configuration,
            "pending": self.pending,
            "model": self.model,
            "round": self.round,
            "status": self.status,
            "calls": len(self.usage),
            "input": sum(usage.input for usage in self.usage.values()),
            "output": sum(usage.output for usage in self.usage.values()),
        }


def read_at(session: Session, at: Any) -> dict[str, Any]:
    """Everything that can be read as of a point."""
    state, usage = session.state(at), session.usage(at)
    by_key = session.usage_by("key", at)
    assert usage.calls == len(by_key) == sum(one.calls for one in by_key.values())
    return {
        "active": [(message.seq, message.text) for message in session.messages(at)],
        "title": session.title(at),
        "prompt": session.prompt(at),
        "configuration": session.configuration(at),
        "pending": session.pending_tool_calls(at),
        "model": state.model,
        "round": state.round,
        "status": state.status,
        "calls": usage.calls,
        "input": usage.input,
        "output": usage.output,
    }
