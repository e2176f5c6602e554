"""The JSON objects of docs/cli-json.md: what each thing looks like in ``--json``."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from eventstore.cli.output import iso
from eventstore.consumers.positions import ConsumerInfo
from eventstore.events.catalogue import CustomEvent, Event, ToolCall, UnknownEvent
from eventstore.events.stored import name_of
from eventstore.importers.reports import FileReport
from eventstore.log.port import Actor, Head, Recorded
from eventstore.log.verification import Finding
from eventstore.replaying.steps import Step
from eventstore.session import runs
from eventstore.session.state import SessionState
from eventstore.store.searching import Hit
from eventstore.store.session import Session
from eventstore.store.statistics import Stats
from eventstore.store.trees import Branch
from eventstore.store.views import MessageView, SessionInfo
from projections.check import Difference

JSONObject = dict[str, Any]


def session_shape(info: SessionInfo) -> JSONObject:
    """A session; its fields are those of `SessionInfo`."""
    shape = asdict(info)
    for name in ("created_at", "updated_at", "last_message_at"):
        shape[name] = iso(shape[name])
    return shape


def message_shape(message: MessageView) -> JSONObject:
    """A message; its fields are those of `MessageView`."""
    shape = asdict(message)
    shape["at"] = iso(message.at)
    if message.tool_calls is not None:
        shape["tool_calls"] = [_call_shape(call) for call in message.tool_calls]
    return shape


def _call_shape(call: ToolCall) -> JSONObject:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def event_shape(recorded: Recorded, session: Session, *, content: bool) -> JSONObject:
    """An event with its facts as they are stored, and its content if asked for."""
    event = recorded.event
    return {
        "position": recorded.position,
        "session_id": session.id,
        "incarnation": session.incarnation,
        "version": recorded.version,
        "type": name_of(event),
        "actor": actor_name(recorded.actor),
        "recorded_at": iso(recorded.recorded_at),
        "occurred_at": iso(event.occurred_at),
        "facts": facts_of(event),
        "content": msgspec.to_builtins(event.content) if content else None,
        "erased": is_erased(recorded),
    }


def step_shape(step: Step, session: Session) -> JSONObject:
    """An event with the state before and after it."""
    return {
        "event": event_shape(step.event, session, content=True),
        "before": state_shape(step.before),
        "after": state_shape(step.after),
        "added": [list(run) for run in step.added],
        "removed": [list(run) for run in step.removed],
        "stopped": step.stopped,
    }


def state_shape(state: SessionState) -> JSONObject:
    """What a session is at a version; the text of what is in force is at the positions."""
    return {
        "version": state.version,
        "status": state.status,
        "active": [list(run) for run in state.active],
        "active_messages": runs.count(state.active),
        "messages": state.messages,
        "next_seq": state.next_seq,
        "compactions": state.compactions,
        "round": state.round,
        "model": state.model,
        "provider": state.provider,
        "open_calls": list(state.open_calls),
        "title_position": state.title_position,
        "prompt_position": state.prompt_position,
        "configuration_position": state.configuration_position,
        "pending_position": state.pending_position,
        "updated_at": iso(state.updated_at) if state.version else None,
    }


def facts_of(event: Event) -> JSONObject:
    """An event's facts as a JSON object."""
    if isinstance(event, UnknownEvent):
        return dict(event.facts)
    if isinstance(event, CustomEvent):
        return dict(event.data)
    facts: JSONObject = msgspec.to_builtins(replace(event, content=None))
    return facts


def is_erased(recorded: Recorded) -> bool:
    """Whether an event that was read with its content had one that was erased."""
    return recorded.event.content is None and recorded.commitment is not None


def actor_name(number: int) -> str:
    """An actor's name; one that this version does not know is its number."""
    try:
        return Actor(number).name.lower()
    except ValueError:
        return str(number)


def consumer_shape(one: ConsumerInfo) -> JSONObject:
    """A named consumer of the log."""
    return {
        "name": one.name,
        "position": one.position,
        "leaf": one.leaf.hex(),
        "committed_at": iso(one.committed_at),
        "behind": one.behind,
    }


def hit_shape(hit: Hit) -> JSONObject:
    """A message that was found."""
    return {
        "name": hit.name,
        "session_id": hit.session_id,
        "seq": hit.seq,
        "role": hit.role,
        "kind": hit.kind,
        "state": hit.state,
        "position": hit.position,
        "at": iso(hit.at),
        "score": hit.score,
        "snippet": hit.snippet,
        "highlights": [list(span) for span in hit.highlights],
        "also_in": list(hit.also_in),
        "neighbours": [message_shape(message) for message in hit.neighbours],
    }


def stats_shape(one: Stats) -> JSONObject:
    """The counts of a session, model, day or lineage, with a list of its costs."""
    shape = asdict(one)
    costs = shape.pop("costs")
    shape["costs"] = [
        {"currency": currency or None, "cost_nanos": cost} for currency, cost in costs.items()
    ]
    return shape


def branch_shape(one: Branch) -> JSONObject:
    """A session in a tree of sessions, with its own counts and those of everything below it."""
    return {
        "name": one.name,
        "session_id": one.session_id,
        "incarnation": one.incarnation,
        "relation": one.relation,
        "source": one.source,
        "source_version": one.source_version,
        "depth": one.depth,
        "title": one.title,
        "preview": one.preview,
        "status": one.status,
        "created_at": iso(one.created_at),
        "own": _counts(one.own),
        "total": _counts(one.total),
    }


def _counts(one: Stats) -> JSONObject:
    shape = stats_shape(one)
    del shape["name"]
    return shape


def report_shape(report: FileReport) -> JSONObject:
    """One file's import, with the number of its problems and their list."""
    return {
        "path": report.path,
        "format": report.format,
        "sessions": report.sessions,
        "records": report.records,
        "messages": report.messages,
        "tool_calls": report.tool_calls,
        "problems": len(report.problems),
        "problem_details": [
            {"line": problem.line, "reason": problem.reason} for problem in report.problems
        ],
        "appended": report.appended,
        "forked": report.forked,
    }


def verification_shape(findings: list[Finding], head: Head | None) -> JSONObject:
    """What `verify` found; `head` is None when the end of the log cannot be read."""
    return {
        "ok": not findings,
        "events": 0 if head is None else head.position,
        "head": None if head is None else head.leaf.hex(),
        "findings": [
            {"position": one.position, "kind": one.kind, "message": one.message} for one in findings
        ],
    }


def difference_shape(difference: Difference) -> JSONObject:
    """A row that is stored and should not be (`extra`), or the other way round (`missing`)."""
    row = [value.hex() if isinstance(value, bytes) else value for value in difference.row]
    return {
        "projection": difference.projection,
        "table": difference.table,
        "kind": difference.kind,
        "row": row,
    }
