"""Sessions, messages and events as lines for people. Whatever came from a message is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from eventstore import codec
from eventstore.cli.output import json_of
from eventstore.cli.shapes import facts_of
from eventstore.cli.text import inline, local_time, on_one_line, plural, visible
from eventstore.conversation import ERASED, ChatMessage
from eventstore.events.catalogue import Event, MessageContent, Run
from eventstore.events.stored import name_of
from eventstore.replaying.steps import Step
from eventstore.session import runs
from eventstore.store.views import MessageView, SessionInfo

_COLOURS = {"user": "green", "assistant": "cyan", "tool": "yellow", "system": "magenta"}
_INDENT = "    "


def session_lines(info: SessionInfo, last: int | None) -> Iterator[str]:
    """The head of `show`: what is known of a session, of a past one beside its `last` version."""
    yield click.style(on_one_line(info.title or "(no title)"), bold=True)
    yield f"session   {inline(info.name)}"
    model = f" · {on_one_line(info.model)}" if info.model else ""
    source = f" · from {on_one_line(info.source)}" if info.source else ""
    yield f"status    {info.status}{source}{model}"
    if info.parent is not None:
        yield f"parent    {inline(info.parent)}"
    if info.origin is not None:
        yield f"fork of   {inline(info.origin)} at version {info.origin_version}"
    changed = local_time(info.updated_at or None)
    yield f"created   {local_time(info.created_at or None)}, last change {changed}"
    counts = f"{plural(info.messages, 'message')}, {info.active_messages:,} active"
    if info.compactions:
        counts += f", {plural(info.compactions, 'compaction')}"
    yield f"messages  {counts}"
    if last is None:
        yield f"shown     every message at version {info.version}"
    else:
        yield f"shown     the active messages at version {info.version} of {last}"
    yield ""


def message_lines(message: MessageView) -> Iterator[str]:
    """A message of `show`."""
    marks = [local_time(message.at)]
    if message.state != "active":
        marks.append(message.state)
    if message.stands_for:
        marks.append(f"stands for {seqs(message.stands_for)}")
    if message.inherited:
        marks.append("from the fork's origin")
    if message.failed:
        marks.append("failed")
    if message.tool_name:
        marks.append(on_one_line(message.tool_name))
    if message.call_id:
        marks.append(f"answers {inline(message.call_id)}")
    if message.name:
        marks.append(f"name {on_one_line(message.name)}")
    yield _heading(f"#{message.seq} {message.role}", message.role, marks)
    if message.erased:
        yield _INDENT + ERASED
    if message.reasoning:
        yield from _indented("thinking: " + message.reasoning)
    yield from _content_lines(message.text if message.parts is None else message.parts)
    for call in message.tool_calls or ():
        yield _call_line(call.name, call.arguments, call.id)
    yield ""


def chat_lines(message: ChatMessage) -> Iterator[str]:
    """A message of `resume`."""
    marks = [f"answers {inline(message['tool_call_id'])}"] if "tool_call_id" in message else []
    yield _heading(message["role"], message["role"], marks)
    yield from _content_lines(message["content"])
    for call in message.get("tool_calls", ()):
        function = call["function"]
        yield _call_line(function["name"], function["arguments"], call["id"])
    yield ""


def step_lines(step: Step) -> Iterator[str]:
    """A step of `replay`: the event, its content, and what it changed."""
    recorded = step.event
    event, content = recorded.event, recorded.event.content
    seq, role = getattr(event, "seq", None), getattr(event, "role", None)
    label = f"v{recorded.version} {name_of(event)}"
    if seq is not None:
        label += f" #{seq} {role}"
    yield _heading(label, role or "", [local_time(recorded.recorded_at)])
    if content is None and recorded.commitment is not None:
        yield _INDENT + ERASED
    elif isinstance(content, MessageContent):
        yield from _content_lines(content.text if content.parts is None else content.parts)
        for call in content.tool_calls or ():
            yield _call_line(call.name, call.arguments, call.id)
    elif content is not None:
        yield f"{_INDENT}{inline(codec.encode(content).decode())}"
    if seq is None and (facts := facts_line(event)):
        yield _INDENT + facts
    for line in _changes(step):
        yield f"{_INDENT}{click.style(line, dim=True)}"
    if step.stopped:
        yield f"{_INDENT}{click.style('stopped here', bold=True)}"
    yield ""


def facts_line(event: Event) -> str:
    """An event's facts as ``name=value``, the time in words at the end."""
    facts = facts_of(event)
    facts.pop("occurred_at", None)
    words = [
        f"{key}={value if isinstance(value, str) else as_json(value)}"
        for key, value in facts.items()
    ]
    if event.occurred_at is not None:
        words.append(f"occurred {local_time(event.occurred_at)}")
    return inline(" ".join(words))


def _changes(step: Step) -> Iterator[str]:
    """What differs between the states before and after."""
    before, after = step.before, step.after
    marks = [f"+ {seqs(step.added)}"] if step.added else []
    marks += [f"- {seqs(step.removed)}"] if step.removed else []
    if marks:
        counts = f"{runs.count(before.active):,} → {runs.count(after.active):,}"
        yield f"active {counts}: {'  '.join(marks)}"
    for name in ("status", "round", "model", "provider"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield f"{name} {on_one_line(str(old or '-'))} → {on_one_line(str(new or '-'))}"
    if before.open_calls != after.open_calls:
        yield f"open calls: {inline(', '.join(after.open_calls)) or 'none'}"
    for name in ("title", "prompt", "configuration", "pending"):
        place = f"{name}_position"
        if getattr(before, place) != getattr(after, place):
            yield f"{name} {'unset' if getattr(after, place) is None else 'set'}"


def _heading(label: str, role: str, marks: Sequence[str]) -> str:
    heading = click.style(inline(label), fg=_COLOURS.get(role), bold=True)
    return f"{heading}  {click.style(' · '.join(marks), dim=True)}" if marks else heading


def seqs(runs: Sequence[Run]) -> str:
    """Runs of seqs, for people."""
    return ", ".join(
        f"#{first}" if length == 1 else f"#{first}–#{first + length - 1}" for first, length in runs
    )


def _content_lines(content: Any) -> Iterator[str]:
    for part in content if isinstance(content, list) else [content]:
        match part:
            case None | "":
                continue
            case str(text) | {"text": str(text)}:
                yield from _indented(text)
            case {"type": "image" | "image_url"}:
                yield f"{_INDENT}[image, {plural(len(codec.encode(part)), 'byte')} of JSON]"
            case _:
                yield from _indented(as_json(part))


def _call_line(name: str, arguments: Any, call_id: str | None) -> str:
    text = arguments if isinstance(arguments, str) else as_json(arguments)
    asked = click.style(f" {inline(call_id)}", dim=True) if call_id else ""
    return f"{_INDENT}→ {on_one_line(name)} {on_one_line(text)}{asked}"


def as_json(value: Any) -> str:
    """A value as JSON text, safe to be printed to a terminal."""
    return "{}" if value is None else json_of(value).decode()


def _indented(text: str) -> Iterator[str]:
    for line in visible(text).rstrip("\n").split("\n"):
        yield f"{_INDENT}{line}" if line else ""
