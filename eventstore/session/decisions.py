"""Which events a command produces in a session's state, or which rule refuses it.

`decide` is pure: the same state and command give the same events. A refusal is a `RuleError` that
names the rule and the values; nothing was appended then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from eventstore.errors import (
    InvalidRangeError,
    InvalidValueError,
    NotJSONError,
    SessionClosedError,
    SpawnDepthError,
    UnknownMessageError,
)
from eventstore.events import catalogue as ev
from eventstore.events.catalogue import Event, Kind
from eventstore.log.port import Actor, NewEvent
from eventstore.session import commands as do
from eventstore.session import runs
from eventstore.session.commands import Command, Message
from eventstore.session.state import SessionState, Status

ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
SESSION_ID_MAX = 512
KEY_MAX = 256

#: Whose the messages of the usual roles are.
ACTORS = {
    "user": Actor.USER,
    "assistant": Actor.MODEL,
    "tool": Actor.TOOL,
    "system": Actor.SYSTEM,
    "developer": Actor.SYSTEM,
}


def decide(state: SessionState, command: Command) -> list[NewEvent]:
    """The events that `command` produces in a session with this state.

    An empty list means there was nothing to do. Raises a `RuleError` or `NotJSONError`.
    """
    if state.status is Status.CLOSED:
        raise SessionClosedError(
            "the session was closed and takes no more events; create it again to begin its next "
            "incarnation"
        )
    if command.key is not None:
        check_key(command.key)
    events = _DECISIONS[type(command)](state, command)
    if events and type(events[0]) is NewEvent:  # messages and notes say whose they are
        return events
    return [NewEvent(event, command.actor, command.key) for event in events]


def check_session_id(session_id: str) -> str:
    """The id, if it may name a session; raises `InvalidValueError` otherwise."""
    if not isinstance(session_id, str) or not 0 < len(session_id) <= SESSION_ID_MAX:
        raise InvalidValueError(
            f"a session id is a text of 1 to {SESSION_ID_MAX} characters, not {session_id!r}"
        )
    if not session_id.isprintable() or re.search(r"~[0-9]+$|^erased:", session_id):
        raise InvalidValueError(
            f"the session id {session_id!r} has a character that cannot be printed, ends in ~ and "
            "digits (which names an incarnation), or begins with 'erased:'"
        )
    return session_id


def check_key(key: str) -> None:
    """Raise `InvalidValueError` unless the text may be an idempotency key."""
    if not isinstance(key, str) or not 0 < len(key) <= KEY_MAX or not key.isprintable():
        raise InvalidValueError(
            f"an idempotency key is a printable text of 1 to {KEY_MAX} characters, not {key!r}"
        )


# -- beginning and ending ------------------------------------------------------------------------


def _create(_: SessionState, c: do.Create) -> list[Event]:
    depth = 0 if c.parent_depth is None else c.parent_depth + 1
    if depth > c.depth_max:
        raise SpawnDepthError(
            f"session {c.session_id!r} would be at spawn depth {depth}, the limit is {c.depth_max}"
        )
    at = c.occurred_at
    events: list[Event] = [
        ev.SessionCreated(
            kind=c.kind if c.parent is None else Kind.SUBAGENT,
            lifecycle=c.lifecycle,
            depth=depth,
            parent=c.parent,
            spawn_call_id=c.spawn_call_id,
            source=c.source,
            occurred_at=at,
            content=ev.SessionContent(
                session_id=check_session_id(c.session_id), metadata=c.metadata
            ),
        )
    ]
    if c.title is not None:
        events.append(ev.TitleSet(content=ev.TitleContent(title=c.title), occurred_at=at))
    if c.prompt is not None:
        events.append(ev.PromptChanged(content=ev.PromptContent(prompt=c.prompt), occurred_at=at))
    if c.model is not None or c.provider is not None:
        events.append(ev.ModelChanged(model=c.model, provider=c.provider, occurred_at=at))
    if c.configuration is not None:
        content = ev.ConfigurationContent(configuration=c.configuration)
        events.append(ev.ConfigurationChanged(content=content, occurred_at=at))
    return events


def forked(
    origin: int, leaf: bytes, state: SessionState, session_id: str, metadata: dict[str, Any] | None,
    source: str | None, occurred_at: int | None,
) -> Event:  # fmt: skip
    """The first event of a fork of the session `origin` at the version `state` is at.

    The fork takes over what the model would be sent and what is in force, by reference; usage and
    counters begin anew, and the fork is a session of its own, without a parent.
    """
    if state.version == 0:
        raise InvalidRangeError("a session can be forked at version 1 and later, not at 0")
    return ev.SessionForked(
        origin=origin,
        origin_version=state.version,
        origin_leaf=leaf.hex(),
        next_seq=state.next_seq,
        active=state.active,
        source=source or state.source,
        round=state.round,
        model=state.model,
        provider=state.provider,
        open_calls=state.open_calls,
        title_position=state.title_position,
        prompt_position=state.prompt_position,
        configuration_position=state.configuration_position,
        pending_position=state.pending_position,
        occurred_at=occurred_at,
        content=ev.SessionContent(session_id=check_session_id(session_id), metadata=metadata),
    )


def _reason(reason: str | None) -> ev.ReasonContent | None:
    return None if reason is None else ev.ReasonContent(reason=reason)


def _end(_: SessionState, c: do.End) -> list[Event]:
    return [ev.SessionEnded(content=_reason(c.reason), occurred_at=c.occurred_at)]


def _reopen(state: SessionState, c: do.Reopen) -> list[Event]:
    if state.status is Status.ACTIVE:
        return []
    return [ev.SessionReopened(occurred_at=c.occurred_at)]


def _archive(state: SessionState, c: do.Archive) -> list[Event]:
    if state.status is Status.ARCHIVED:
        return []
    return [ev.SessionArchived(occurred_at=c.occurred_at)]


def _reparent(state: SessionState, c: do.Reparent) -> list[Event]:
    if state.parent == c.parent:
        return []
    return [ev.SessionReparented(parent=c.parent, occurred_at=c.occurred_at)]


def _close(_: SessionState, c: do.Close) -> list[Event]:
    return [
        ev.SessionClosed(
            cascade_from=c.cascade_from, content=_reason(c.reason), occurred_at=c.occurred_at
        )
    ]


# -- messages ------------------------------------------------------------------------------------


def content_of(m: Message) -> ev.MessageContent | None:
    """The content of the event that a message becomes, None when it says nothing.

    It is made of the message's own objects. Raises `NotJSONError` for a content of another type.
    """
    text, parts = (m.content, None) if not isinstance(m.content, list) else (None, m.content)
    if text is not None and not isinstance(text, str):
        raise NotJSONError(
            f"a message's content is a text or a list of parts, not {type(text).__name__}"
        )
    content = ev.MessageContent(
        text=text,
        parts=parts,
        name=m.name,
        tool_calls=list(m.tool_calls) or None,
        tool_name=m.tool_name,
        reasoning=m.reasoning,
        reasoning_items=m.reasoning_items,
        metadata=m.metadata or None,
        record=m.record,
    )
    return None if content == _EMPTY else content


_EMPTY = ev.MessageContent()


def _check_role(role: str) -> str:
    if isinstance(role, str) and (role in ACTORS or ROLE.fullmatch(role)):
        return role
    raise InvalidValueError(
        f"a role is lower-case letters, digits, - and _, at most 32, not {role!r}"
    )


def _append(state: SessionState, c: do.Append) -> list[NewEvent]:
    events = []
    if c.key is not None and c.messages and c.messages[0].key is not None:
        raise InvalidValueError("give the key to the command or to its first message, not to both")
    for seq, m in enumerate(c.messages, state.next_seq):
        key = c.key if seq == state.next_seq and m.key is None else m.key
        if key is not None:
            check_key(key)
        role = _check_role(m.role)
        actor = ACTORS.get(role, Actor.UNKNOWN) if m.actor is None else m.actor
        event = ev.MessageAppended(
            seq=seq,
            role=role,
            round=m.round,
            tokens=m.tokens,
            finish_reason=m.finish_reason,
            call_ids=_call_ids(m.tool_calls) if m.tool_calls else (),
            call_id=m.call_id,
            failed=m.failed,
            response_id=m.response_id,
            model=m.model,
            occurred_at=m.occurred_at if m.occurred_at is not None else c.occurred_at,
            content=content_of(m),
        )
        events.append(NewEvent(event, actor, key))
    return events


def _call_ids(calls: Sequence[ev.ToolCall]) -> tuple[str, ...]:
    for call in calls:
        if not isinstance(call, ev.ToolCall):
            raise InvalidValueError(
                f"tool calls are ToolCall(id=…, name=…, arguments=…), not {calls!r}"
            )
    return tuple([call.id for call in calls if call.id is not None])


def _index(state: SessionState, seq: int) -> int:
    index = runs.index_of(state.active, seq)
    if index is None:
        why = "does not exist" if not 0 < seq < state.next_seq else "is not active any more"
        raise UnknownMessageError(
            f"message {seq} {why}; the session has {state.next_seq - 1} messages, of which "
            f"{runs.count(state.active)} are active"
        )
    return index


def _compact(state: SessionState, c: do.Compact) -> list[NewEvent]:
    first, last = _index(state, c.from_seq), _index(state, c.to_seq)
    if first > last:
        raise InvalidRangeError(
            f"message {c.from_seq} comes after message {c.to_seq} in active order; give the range "
            "as first and last"
        )
    return _folded(state, c, c.from_seq, c.to_seq, runs.cut(state.active, first, last + 1))


def _compact_set(state: SessionState, c: do.CompactSet) -> list[NewEvent]:
    taken = _chosen(state, c.runs)
    if not taken:
        return _folded(state, c, state.next_seq, state.next_seq, ())
    first, length = taken[-1]
    return _folded(state, c, taken[0][0], first + length - 1, taken)


def _folded(
    state: SessionState, c: do.Compact | do.CompactSet, first: int, last: int, taken: runs.Runs
) -> list[NewEvent]:
    note = c.note
    event = ev.ContextCompacted(
        seq=state.next_seq,
        from_seq=first,
        to_seq=last,
        runs=taken,
        count=runs.count(taken),
        role=_check_role(note.role),
        round=note.round,
        tokens=note.tokens,
        tokens_before=c.tokens_before,
        tokens_after=c.tokens_after,
        trigger=c.trigger,
        occurred_at=note.occurred_at if note.occurred_at is not None else c.occurred_at,
        content=content_of(note),
    )
    return [NewEvent(event, c.actor, note.key or c.key)]


def _chosen(state: SessionState, wanted: runs.Runs) -> runs.Runs:
    """The wanted messages in active order; raises `UnknownMessageError` for one not active."""
    taken = runs.chosen(state.active, wanted)
    left = runs.count(runs.without(state.active, wanted))
    if left + runs.count(wanted) != runs.count(state.active):
        for seq in runs.numbers_of(runs.without(wanted, taken)):
            _index(state, seq)
        raise InvalidRangeError(f"a message is named twice in {wanted}")
    return taken


def _consolidate_set(state: SessionState, c: do.ConsolidateSet) -> list[Event]:
    taken = _chosen(state, c.runs)
    if not taken:
        return []
    first, length = taken[-1]
    return [
        ev.MessagesConsolidated(
            to_seq=first + length - 1,
            runs=taken,
            count=runs.count(taken),
            occurred_at=c.occurred_at,
        )
    ]


def _consolidate(state: SessionState, c: do.Consolidate) -> list[Event]:
    count = _index(state, c.to_seq) + 1
    taken = runs.cut(state.active, 0, count)
    return [
        ev.MessagesConsolidated(to_seq=c.to_seq, runs=taken, count=count, occurred_at=c.occurred_at)
    ]


def _retract(state: SessionState, c: do.Retract) -> list[Event]:
    index, size = _index(state, c.from_seq), runs.count(state.active)
    return [
        ev.MessagesRetracted(
            from_seq=c.from_seq,
            runs=runs.cut(state.active, index, size),
            count=size - index,
            occurred_at=c.occurred_at,
        )
    ]


def _clear(state: SessionState, c: do.Clear) -> list[Event]:
    if state.messages == 0:
        return []
    return [ev.MessagesCleared(count=runs.count(state.active), occurred_at=c.occurred_at)]


# -- everything else -----------------------------------------------------------------------------


def _usage(_: SessionState, c: do.RecordUsage) -> list[Event]:
    u = c.usage
    counters = (u.input, u.cache_read, u.cache_write, u.output, u.reasoning)
    if any(not isinstance(value, int) or value < 0 for value in counters):
        raise InvalidValueError(f"token counters are whole numbers from 0, not {counters}")
    if not u.key:
        raise InvalidValueError("usage needs a key: the provider's response id, or the round")
    return [u]


def _set_title(state: SessionState, c: do.SetTitle) -> list[Event]:
    if c.title is None:
        if state.title_position is None:
            return []
        return [ev.TitleSet(cleared=True, occurred_at=c.occurred_at)]
    content = ev.TitleContent(title=c.title, record=c.record)
    return [ev.TitleSet(content=content, unique=c.unique, occurred_at=c.occurred_at)]


def _change_prompt(state: SessionState, c: do.ChangePrompt) -> list[Event]:
    if c.prompt is None:
        if state.prompt_position is None:
            return []
        return [ev.PromptChanged(cleared=True, occurred_at=c.occurred_at)]
    content = ev.PromptContent(prompt=c.prompt)
    return [ev.PromptChanged(content=content, occurred_at=c.occurred_at)]


def _change_model(state: SessionState, c: do.ChangeModel) -> list[Event]:
    if (state.model, state.provider) == (c.model, c.provider):
        return []
    return [ev.ModelChanged(model=c.model, provider=c.provider, occurred_at=c.occurred_at)]


def _change_configuration(state: SessionState, c: do.ChangeConfiguration) -> list[Event]:
    if c.configuration is None:
        if state.configuration_position is None:
            return []
        return [ev.ConfigurationChanged(cleared=True, occurred_at=c.occurred_at)]
    content = ev.ConfigurationContent(configuration=c.configuration)
    return [ev.ConfigurationChanged(content=content, occurred_at=c.occurred_at)]


def _advance_round(state: SessionState, c: do.AdvanceRound) -> list[Event]:
    if c.round == state.round:
        return []
    if not isinstance(c.round, int) or c.round < 0:
        raise InvalidValueError(f"a round is a whole number from 0, not {c.round!r}")
    return [ev.RoundAdvanced(round=c.round, occurred_at=c.occurred_at)]


def _suspend(_: SessionState, c: do.SuspendToolCalls) -> list[Event]:
    content = ev.PendingContent(payload=c.payload)
    return [ev.ToolCallsSuspended(call_ids=c.call_ids, content=content, occurred_at=c.occurred_at)]


def _settle(state: SessionState, c: do.SettleToolCalls) -> list[Event]:
    if state.pending_position is None:
        return []
    return [ev.ToolCallsSettled(occurred_at=c.occurred_at)]


#: What `AddEvent` accepts: events that the fold does not read.
_FREE = (ev.Activity, ev.RecordImported, ev.ExportCreated, ev.CustomEvent)


def _add_event(_: SessionState, c: do.AddEvent) -> list[Event]:
    if not isinstance(c.event, _FREE):
        raise InvalidValueError(
            f"{type(c.event).__name__} is appended by its own command, not as a free event"
        )
    return [c.event]


_DECISIONS: dict[type[Command], Callable[[SessionState, Any], list[Any]]] = {
    do.Create: _create,
    do.Append: _append,
    do.Compact: _compact,
    do.CompactSet: _compact_set,
    do.Consolidate: _consolidate,
    do.ConsolidateSet: _consolidate_set,
    do.Retract: _retract,
    do.Clear: _clear,
    do.RecordUsage: _usage,
    do.SetTitle: _set_title,
    do.ChangePrompt: _change_prompt,
    do.ChangeModel: _change_model,
    do.ChangeConfiguration: _change_configuration,
    do.AdvanceRound: _advance_round,
    do.SuspendToolCalls: _suspend,
    do.SettleToolCalls: _settle,
    do.End: _end,
    do.Reopen: _reopen,
    do.Archive: _archive,
    do.Reparent: _reparent,
    do.Close: _close,
    do.AddEvent: _add_event,
}
