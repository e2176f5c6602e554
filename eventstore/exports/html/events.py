"""Events that are no messages, as HTML: a line each, with what more they say folded behind it."""

from __future__ import annotations

from collections.abc import Iterator

from eventstore.events import catalogue as ev
from eventstore.events.catalogue import Event
from eventstore.events.stored import name_of
from eventstore.exports.html import bodies
from eventstore.exports.html.descriptions import DESCRIBED, Said, facts, usage, with_content
from eventstore.exports.html.escaping import inline
from eventstore.exports.html.figures import clock
from eventstore.exports.html.history import Entry, History
from eventstore.exports.html.items import gone
from eventstore.log.port import Actor


def item(entry: Entry, history: History, *, in_force: bool = False) -> Iterator[str]:
    """An event as a line of the timeline; `in_force` for what the model sees now."""
    recorded = entry.recorded
    event = recorded.event
    line, body = said(entry, history)
    classes = ["i", "e", "usage" if isinstance(event, ev.UsageRecorded) else "other"]
    classes += ["now"] if in_force else []
    classes += ["gone"] if entry.corrected else []
    yield (
        f'<div class="{" ".join(classes)}" id="v{recorded.version}">'
        f'<span class="g"><a href="#v{recorded.version}">v{recorded.version}</a> '
        f'{_kind(event)}</span><div class="b">'
    )
    if entry.erased:
        yield f"<p>{line}</p>{gone(history, entry)}"
    elif entry.withheld:
        yield f'<p>{line} <span class="none">text left out</span></p>'
    elif body is None:
        yield f"<p>{line}</p>"
    else:
        yield from bodies.folded(line, body)
    yield f"</div>{clock(entry.at)}</div>\n"


def said(entry: Entry, history: History) -> Said:
    """What an event says."""
    event = entry.recorded.event
    describe = DESCRIBED.get(type(event))
    if describe is not None:
        return describe(event, history)
    if isinstance(event, ev.UsageRecorded):
        return usage(event, entry.corrected), None
    line = " · ".join(one for one in (f"<b>{inline(name_of(event))}</b>", facts(event)) if one)
    if entry.recorded.actor != Actor.UNKNOWN:
        line += f" · by {_actor(entry.recorded.actor)}"
    return with_content(line, event.content)


def _kind(event: Event) -> str:
    """What an event is about, in a word; those of the application's own have a name to be read."""
    if isinstance(event, ev.CustomEvent | ev.UnknownEvent):
        return "event"
    return event.type.partition(".")[0].replace("_", " ")


def _actor(number: int) -> str:
    return Actor(number).name.lower() if number in set(Actor) else f"actor {number}"
