"""Adding one event to a session's state.

The fold reads facts and the event's place in the log, never content: a state is therefore the
same before and after an erasure. An event of an unknown type changes nothing but the count of
such events; a known type in a schema this version cannot read raises `SchemaTooNewError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from eventstore.events import catalogue as ev
from eventstore.events.catalogue import Event
from eventstore.events.stored import require_known
from eventstore.log.port import Recorded
from eventstore.session import runs
from eventstore.session.state import Hold, SessionState, Status

Changes = dict[str, Any]


def fold(state: SessionState, recorded: Recorded) -> SessionState:
    """The state after one more event of the session."""
    event = recorded.event
    change = _CHANGES.get(type(event))
    changes: Changes = {} if change is None else change(state, event, recorded.position)
    if type(event) is ev.HoldPlaced:
        hold = Hold(
            name=event.hold, by=event.by, reason=event.reason, until=event.until,
            placed_at=recorded.recorded_at,
        )  # fmt: skip
        changes["holds"] = (*_without(state.holds, hold.name), hold)
    at = event.occurred_at or recorded.recorded_at
    if state.version == 0:
        changes["created_at"] = at
    if type(event) not in _QUIET:
        changes["updated_at"] = max(at, state.updated_at)
    changes["version"] = recorded.version
    return replace(state, **changes)


def fold_all(state: SessionState, events: Iterable[Recorded]) -> SessionState:
    """The state after all these events; messages that follow each other are added together."""
    if isinstance(events, list) and len(events) == 1:  # an append of its own
        return fold(state, events[0])
    for messages, together in groupby(events, _is_message):
        stretch = list(together)
        state = _fold_messages(state, stretch) if messages else reduce(fold, stretch, state)
    return state


def _is_message(recorded: Recorded) -> bool:
    return type(recorded.event) is ev.MessageAppended


def _fold_messages(state: SessionState, events: Sequence[Recorded]) -> SessionState:
    """What `fold` gives when it is called for each of these `MessageAppended` in turn."""
    messages: list[ev.MessageAppended] = [recorded.event for recorded in events]  # type: ignore[misc]
    times = [recorded.event.occurred_at or recorded.recorded_at for recorded in events]
    changes: Changes = {
        "next_seq": messages[-1].seq + 1,
        "active": runs.extended(state.active, [e.seq for e in messages]),
        "messages": state.messages + len(messages),
        "updated_at": max(state.updated_at, *times),
        "version": events[-1].version,
    }
    with_calls = [e for e in messages if e.call_ids or e.call_id is not None]
    if with_calls:
        changes["open_calls"] = reduce(_open_calls, with_calls, state.open_calls)
    if state.version == 0:
        changes["created_at"] = times[0]
    return replace(state, **changes)


def _created(_: SessionState, e: ev.SessionCreated, __: int) -> Changes:
    return {
        "kind": e.kind,
        "lifecycle": e.lifecycle,
        "depth": e.depth,
        "parent": e.parent,
        "source": e.source,
    }


def _forked(_: SessionState, e: ev.SessionForked, __: int) -> Changes:
    return {
        "kind": e.kind,
        "lifecycle": e.lifecycle,
        "depth": e.depth,
        "parent": e.parent,
        "source": e.source,
        "origin": e.origin,
        "origin_version": e.origin_version,
        "next_seq": e.next_seq,
        "active": e.active,
        "messages": runs.count(e.active),
        "round": e.round,
        "model": e.model,
        "provider": e.provider,
        "open_calls": e.open_calls,
        "title_position": e.title_position,
        "prompt_position": e.prompt_position,
        "configuration_position": e.configuration_position,
        "pending_position": e.pending_position,
    }


def _message(state: SessionState, e: ev.MessageAppended, _: int) -> Changes:
    changes: Changes = {
        "next_seq": e.seq + 1,
        "active": runs.appended(state.active, e.seq),
        "messages": state.messages + 1,
    }
    if e.call_ids or e.call_id is not None:
        changes["open_calls"] = _open_calls(state.open_calls, e)
    return changes


def _open_calls(before: tuple[str, ...], e: ev.MessageAppended) -> tuple[str, ...]:
    # Some providers use an id again: it is open once, for the newest call.
    calls = dict.fromkeys((*before, *e.call_ids))
    return tuple(call for call in calls if call != e.call_id)


def _compacted(state: SessionState, e: ev.ContextCompacted, _: int) -> Changes:
    size = runs.count(state.active)
    at = runs.index_of(state.active, e.from_seq) if e.count else size
    before = runs.cut(state.active, 0, at or 0)
    after = runs.without(runs.cut(state.active, at or 0, size), e.runs)
    return {
        "next_seq": e.seq + 1,
        "active": runs.joined((*before, (e.seq, 1), *after)),
        "messages": state.messages + 1,
        "compactions": state.compactions + 1,
    }


def _consolidated(state: SessionState, e: ev.MessagesConsolidated, _: int) -> Changes:
    return {"active": runs.without(state.active, e.runs)}


def _retracted(state: SessionState, e: ev.MessagesRetracted, _: int) -> Changes:
    return {
        "active": runs.cut(state.active, 0, runs.count(state.active) - e.count),
        "open_calls": (),
    }


def _cleared(_: SessionState, __: ev.MessagesCleared, ___: int) -> Changes:
    return {"active": (), "open_calls": ()}


def _without(holds: tuple[Hold, ...], name: str) -> tuple[Hold, ...]:
    return tuple(hold for hold in holds if hold.name != name)


def _in_force(field: str) -> Callable[[SessionState, Any, int], Changes]:
    def change(_: SessionState, e: Any, position: int) -> Changes:
        return {field: None if e.cleared else position}

    return change


def _unknown(state: SessionState, e: ev.UnknownEvent, _: int) -> Changes:
    require_known(e)
    return {"unknown": state.unknown + 1}


_CHANGES: dict[type[Event], Callable[[SessionState, Any, int], Changes]] = {
    ev.SessionCreated: _created,
    ev.SessionForked: _forked,
    ev.SessionEnded: lambda *_: {"status": Status.ENDED},
    ev.SessionReopened: lambda *_: {"status": Status.ACTIVE},
    ev.SessionArchived: lambda *_: {"status": Status.ARCHIVED},
    ev.SessionClosed: lambda *_: {"status": Status.CLOSED},
    ev.SessionReparented: lambda _, e, __: {"parent": e.parent},
    ev.TitleSet: _in_force("title_position"),
    ev.PromptChanged: _in_force("prompt_position"),
    ev.ConfigurationChanged: _in_force("configuration_position"),
    ev.ModelChanged: lambda _, e, __: {"model": e.model, "provider": e.provider},
    ev.RoundAdvanced: lambda _, e, __: {"round": e.round},
    ev.ToolCallsSuspended: lambda _, __, position: {"pending_position": position},
    ev.ToolCallsSettled: lambda *_: {"pending_position": None},
    ev.MessageAppended: _message,
    ev.ContextCompacted: _compacted,
    ev.MessagesConsolidated: _consolidated,
    ev.MessagesRetracted: _retracted,
    ev.MessagesCleared: _cleared,
    ev.HoldReleased: lambda state, e, _: {"holds": _without(state.holds, e.hold)},
    ev.UnknownEvent: _unknown,
}

#: Events that are about the session without being activity in it.
_QUIET: frozenset[type[Event]] = frozenset(
    {
        ev.ContentErased,
        ev.ContentRedacted,
        ev.HoldPlaced,
        ev.HoldReleased,
        ev.ExportCreated,
        ev.RecordImported,
        ev.UnknownEvent,
    }
)
