"""Putting a source record into the first of the commands that were made of it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from eventstore.events.catalogue import Content, Event, RecordImported, TitleContent
from eventstore.importers import records
from eventstore.importers.lines import Line
from eventstore.session.commands import AddEvent, Append, Command, Message, SetTitle
from eventstore.session.decisions import content_of


class FoldAll(Command, frozen=True, kw_only=True):
    """Fold all active messages into a note; with none active, append it as a message.

    Which messages are active only the store knows: the intake turns this into a `Compact`.
    """

    note: Message
    tokens_before: int | None = None
    tokens_after: int | None = None
    trigger: str | None = None


def attach(command: Command, line: Line) -> Command:
    """The command with the record of `line` in the content of its first event.

    The content must be made of the very objects in `line.value`, so that they are kept once.
    Raises `TypeError` for a command whose event has no place for a record.
    """
    if type(command) is Append:
        first, *others = command.messages
        kept = replace(first, record=_of(line, _content(first)))
        return replace(command, messages=(kept, *others))
    if type(command) is FoldAll:
        note = command.note
        return replace(command, note=replace(note, record=_of(line, _content(note))))
    if type(command) is SetTitle and command.title is not None:
        return replace(command, record=_of(line, TitleContent(title=command.title)))
    if type(command) is AddEvent and type(command.event) is RecordImported:
        event: Event = replace(command.event, content=Content(record=_of(line, Content())))
        return replace(command, event=event)
    raise TypeError(f"the event of a {type(command).__name__} has no place for a source record")


def _of(line: Line, content: Content) -> dict[str, Any]:
    if line.value is None:
        return records.raw(line.data)
    return records.skeleton(line.value, line.data, content, line.style)


def _content(message: Message) -> Content:
    return content_of(message) or Content()
