"""What each type of event says: a line as HTML, and what is folded behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from eventstore import codec
from eventstore.events import catalogue as ev
from eventstore.events.catalogue import Event
from eventstore.exports.html import bodies
from eventstore.exports.html.escaping import inline, on_one_line
from eventstore.exports.html.figures import duration, money, plural, seqs, tokens
from eventstore.exports.html.history import History
from eventstore.exports.html.items import listed

#: Facts that another part of the line says, or that mean nothing to a reader.
_SAID = frozenset({"type", "occurred_at", "runs", "positions", "active", "data", "commuting"})

#: What an event says: its line as HTML, and what is folded behind it.
Said = tuple[str, Iterator[str] | None]

#: Fields of content that a line shows, so that nothing remains to be folded.
_SHORT = 200


def facts(event: Event) -> str:
    """An event's facts as ``name value``, as HTML."""
    if isinstance(event, ev.CustomEvent):
        found: dict[str, Any] = event.data
    elif isinstance(event, ev.UnknownEvent):
        found = event.facts
    else:
        found = msgspec.to_builtins(replace(event, content=None))
    words = []
    for name, value in found.items():
        if name in _SAID:
            continue
        shown = value if isinstance(value, str) else codec.encode(value).decode()
        words.append(f"{inline(on_one_line(name, 40))} <b>{inline(on_one_line(shown, 80))}</b>")
    return " · ".join(words)


def usage(e: ev.UsageRecorded, corrected: bool) -> str:
    """The tokens and cost of a model call; `corrected` when a later record of it counts."""
    if corrected:
        return "recorded again later, not counted here"
    words = [tokens(e)]
    if e.cost_nanos is not None:
        words.append(f"<b>{money(e.cost_nanos, e.currency)}</b>")
    if e.round is not None:
        words.append(f"round {e.round:,}")
    if e.model:
        words.append(inline(on_one_line(e.model, 60)))
    return " · ".join(words)


def with_content(line: str, value: Any) -> Said:
    """A line, with content as JSON folded behind it."""
    return line, None if value is None else bodies.as_json(value)


def _created(e: ev.SessionCreated, history: History) -> Said:
    line = "Session begins" if e.kind is ev.Kind.ROOT else "Sub-agent's session begins"
    if e.parent is not None:
        line += f", spawned by {_session(history, e.parent)}"
        if e.spawn_call_id is not None:
            line += f" with call {inline(on_one_line(e.spawn_call_id, 80))}"
    metadata = None if e.content is None else e.content.metadata
    return with_content(line, metadata)


def _forked(e: ev.SessionForked, history: History) -> Said:
    line = f"Fork of {_session(history, e.origin)} at its version {e.origin_version:,}"
    line += f", with {plural(sum(size for _, size in e.active), 'message')} of it"
    metadata = None if e.content is None else e.content.metadata
    return with_content(line, metadata)


def _session(history: History, stream: int) -> str:
    name = history.name_of(stream)
    return "a session that is not there" if name is None else f"<b>{inline(name)}</b>"


def _over(words: str) -> Callable[[Any, History], Said]:
    """For events that may give a reason."""

    def describe(e: Any, _: History) -> Said:
        reason = getattr(e.content, "reason", None)
        return (words if reason is None else f"{words}: {inline(on_one_line(reason, 2000))}"), None

    return describe


def _removed(words: str) -> Callable[[Any, History], Said]:
    """For events that took messages out of the context and name them."""

    def describe(e: Any, history: History) -> Said:
        line = f"<b>{plural(e.count, 'message')} {words}</b>: {seqs(e.runs)}"
        return line, listed(history, e.runs)

    return describe


def _record(e: ev.RecordImported, _: History) -> Said:
    line = (
        f"{inline(on_one_line(e.kind or 'of no kind', 60))} of {inline(on_one_line(e.format, 60))}"
    )
    return line + (', <span class="mark bad">damaged</span>' if e.damaged else ""), None


def _reparented(e: ev.SessionReparented, history: History) -> Said:
    if e.parent is None:
        return "The session has no parent any more", None
    return f"The session's parent is {_session(history, e.parent)} now", None


def _title(e: ev.TitleSet, _: History) -> Said:
    if e.content is None:
        return "Title taken away" if e.cleared else "Title", None
    return f"Title: <b>{inline(on_one_line(e.content.title, 500))}</b>", None


def _prompt(e: ev.PromptChanged, _: History) -> Said:
    if e.content is None:
        return "System prompt taken away" if e.cleared else "System prompt", None
    line = (
        f'<b>System prompt</b> <span class="p">{inline(on_one_line(e.content.prompt, 90))}</span>'
    )
    return line, bodies.text(e.content.prompt)


def _model(e: ev.ModelChanged, _: History) -> Said:
    provider = f" of {inline(on_one_line(e.provider, 80))}" if e.provider else ""
    return f"Model: <b>{inline(on_one_line(e.model or 'none', 80))}</b>{provider}", None


def _configuration(e: ev.ConfigurationChanged, _: History) -> Said:
    if e.content is None:
        return "Configuration taken away" if e.cleared else "Configuration", None
    return "Configuration", bodies.as_json(e.content.configuration)


def _suspended(e: ev.ToolCallsSuspended, _: History) -> Said:
    line = f"{plural(len(e.call_ids), 'tool call')} left pending"
    if e.call_ids:
        line += f": {inline(on_one_line(', '.join(e.call_ids), 300))}"
    return with_content(line, None if e.content is None else e.content.payload)


def _erasing(e: ev.ContentErased, _: History) -> Said:
    number = sum(size for _, size in e.positions)
    line = f"<b>Content of {plural(number, 'event')} erased</b>"
    line += " with the session's id" if e.scope == "session" else ""
    line += f" by {inline(e.by)}" if e.by else ""
    line += f" on the basis of {inline(e.basis)}" if e.basis else ""
    return line + (f". Reason: {inline(e.reason)}" if e.reason else ""), None


def _redacting(e: ev.ContentRedacted, _: History) -> Said:
    """What was found and where; the redacted content itself stands where it belongs."""
    found = ", ".join(
        f"{one.count:,} by {inline(one.detector)} in {inline(one.part)}" for one in e.replaced
    )
    line = f"<b>Content redacted</b> of the event at position {e.position:,}: {found}"
    line += f" · by {inline(e.by)}" if e.by else ""
    return line + (f". Reason: {inline(e.reason)}" if e.reason else ""), None


def _exported(e: ev.ExportCreated, _: History) -> Said:
    line = f"Exported as {inline(on_one_line(e.format, 40))}"
    if e.to_version is not None:
        line += f" up to version {e.to_version:,}"
    elif e.to_position is not None:
        line += f" up to position {e.to_position:,} of the log"
    if e.content is not None and e.content.recipient is not None:
        line += f" for {inline(on_one_line(e.content.recipient, 300))}"
    return line, None


def _activity(e: ev.Activity, _: History) -> Said:
    subject = None if e.content is None else e.content.subject
    words = [f"<b>{inline(on_one_line(subject, _SHORT))}</b>"] if subject else []
    if isinstance(e, ev.ToolCalled) and e.duration is not None:
        words.append(duration(e.duration))
        e = replace(e, duration=None)
    words += [known] if (known := facts(e)) else []
    data = None if e.content is None else e.content.data
    if subject is not None and len(subject) > _SHORT:
        data = {"subject": subject} | ({"data": data} if data else {})
    return with_content(" · ".join(words) or "no more is recorded", data)


#: What describes the events of a type; of others the facts and the content are shown.
DESCRIBED: dict[type[Event], Callable[[Any, History], Said]] = {
    ev.SessionCreated: _created,
    ev.SessionForked: _forked,
    ev.SessionEnded: _over("Session ended"),
    ev.SessionReopened: _over("Session reopened"),
    ev.SessionArchived: _over("Session archived"),
    ev.SessionClosed: _over("Session closed"),
    ev.SessionReparented: _reparented,
    ev.TitleSet: _title,
    ev.PromptChanged: _prompt,
    ev.ModelChanged: _model,
    ev.ConfigurationChanged: _configuration,
    ev.RoundAdvanced: lambda e, _: (f"Round {e.round:,}", None),
    ev.ToolCallsSuspended: _suspended,
    ev.ToolCallsSettled: lambda *_: ("Pending tool calls taken up or dropped", None),
    ev.MessagesConsolidated: _removed("taken out of the context without a note"),
    ev.MessagesRetracted: _removed("retracted"),
    ev.MessagesCleared: lambda e, _: (f"Cleared: all {plural(e.count, 'message')}", None),
    ev.ContentErased: _erasing,
    ev.ContentRedacted: _redacting,
    ev.ExportCreated: _exported,
    ev.RecordImported: _record,
    ev.ToolCalled: _activity,
    ev.FileTouched: _activity,
    ev.IssueMoved: _activity,
    ev.LoopMoved: _activity,
    ev.UserCorrected: _activity,
}
