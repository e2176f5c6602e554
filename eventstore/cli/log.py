"""``eventstore log``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import NoReturn

import click

from eventstore import codec
from eventstore.cli.options import (
    Format,
    Settings,
    find,
    listing_options,
    pager_option,
    since_option,
)
from eventstore.cli.output import (
    nothing,
    page,
    terminal_width,
    write_json_array,
    write_json_lines,
)
from eventstore.cli.render import facts_line
from eventstore.cli.shapes import actor_name, event_shape, is_erased
from eventstore.cli.text import cut, inline, local_time
from eventstore.conversation import ERASED
from eventstore.events.stored import name_of
from eventstore.log.port import Recorded
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

#: Characters of a session's name on a terminal.
_NAME_WIDTH = 13


@click.command()
@click.argument("session", required=False)
@click.option(
    "-n", "last", type=click.IntRange(min=0), metavar="N", help="Only the last N; 0 for all."
)
@since_option
@click.option(
    "-f", "--follow", is_flag=True, help="Then wait, and print what is appended, until Ctrl-C."
)
@click.option(
    "--consumer",
    metavar="NAME",
    help="Go on after what was printed under this name before, and keep how far it is.",
)
@click.option("--content", is_flag=True, help="With the content: texts, arguments, titles.")
@pager_option
@listing_options
@click.pass_obj
def log(
    settings: Settings,
    session: str | None,
    last: int | None,
    since: int | None,
    follow: bool,
    consumer: str | None,
    content: bool,
    no_pager: bool,
) -> None:
    """Print events, oldest first.

    \b
    Examples:
      eventstore log -n 20
      eventstore log 5f3a9c1e --content
      eventstore log --since yesterday
      eventstore log --jsonl | jq -r .type | sort | uniq -c
      eventstore log -f -n 10
      eventstore log -f --jsonl --consumer indexer

    Without SESSION the events of the whole store. A line holds the event's position in the log,
    when it was recorded, session and version, type, actor and facts. With --follow each is
    printed as soon as it is stored, by whatever process. With --consumer each event is printed once
    under that name, or again if the command ended in the midst of it (`eventstore consumers`).
    """  # noqa: D301
    if consumer is not None and (last is not None or since is not None):
        raise click.UsageError("--consumer says where to begin: leave out -n and --since.")
    if follow and settings.format is Format.JSON:
        raise click.UsageError("--follow never ends, an array would have to: use --jsonl")
    reading = consumer is None
    with (
        settings.open_for_reading(derived=False)
        if reading
        else settings.open_for_writing() as store
    ):
        chosen = None if session is None else find(store, session)
        kept = None
        if consumer is not None:
            kept = store.consumer(consumer, session=chosen, content=content)
        if follow:
            coming = kept.follow() if kept else _coming(store, chosen, last, since, content)
            _follow(settings.format, store, chosen, coming, content)
        present = kept.follow(live=False) if kept else _select(store, chosen, last or None, since)
        first = next(present, None)
        if first is not None:
            events = chain([first], present)
            _write(settings.format, store, chosen, events, content, pager=not no_pager)
    if first is None:
        if settings.format is Format.JSON:
            write_json_array([])
        nothing(f"no event matches in {settings.path}")


def _write(
    chosen: Format,
    store: SessionStore,
    session: Session | None,
    events: Iterable[Recorded],
    content: bool,
    *,
    pager: bool,
) -> None:
    """Print what there is."""
    session_of = _session_lookup(store)
    if chosen is Format.TEXT:
        page(_lines(events, session_of if session is None else None, content), pager=pager)
        return
    shapes = (
        event_shape(recorded, session_of(recorded.stream), content=content) for recorded in events
    )
    (write_json_array if chosen is Format.JSON else write_json_lines)(shapes)


def _select(
    store: SessionStore, session: Session | None, last: int | None, since: int | None
) -> Iterator[Recorded]:
    """The events to be shown, as they are now."""
    if session is None:
        read, end, place = store.events, store.head.position, attrgetter("position")
    else:
        read, end, place = session.events, session.version, attrgetter("version")
    if since is None:
        return read(after=max(0, end - last) if last else 0, upto=end)
    places = (place(event) for event in read(upto=end, content=False) if event.recorded_at >= since)
    start = next(iter(deque(places, last) if last else places), end + 1)
    events = read(after=start - 1, upto=end)
    return (event for event in events if event.recorded_at >= since)


def _coming(
    store: SessionStore, session: Session | None, last: int | None, since: int | None, content: bool
) -> Iterator[Recorded]:
    """What matches now and what will."""
    head = store.head.position
    first = next(_select(store, session, last or None, since), None)
    after = head if first is None else first.position - 1
    for recorded in store.follow(after, session=session, content=content):
        if since is None or recorded.recorded_at >= since:
            yield recorded


def _follow(
    chosen: Format,
    store: SessionStore,
    session: Session | None,
    coming: Iterable[Recorded],
    content: bool,
) -> NoReturn:
    """Print each event when it is there."""
    session_of = _session_lookup(store)
    for recorded in coming:
        if chosen is Format.JSONL:
            shape = event_shape(recorded, session_of(recorded.stream), content=content)
            write_json_lines([shape])
        else:
            lines = _lines([recorded], session_of if session is None else None, content)
            page(lines, pager=False)
    raise AssertionError("a follower without a timeout ends with an error only")


def _session_lookup(store: SessionStore) -> Callable[[int], Session]:
    """Sessions by stream number, each looked up once."""
    return cache(store.session_of)


def _lines(
    events: Iterable[Recorded], session_of: Callable[[int], Session] | None, content: bool
) -> Iterator[str]:
    width = terminal_width()
    for recorded in events:
        name = "" if session_of is None else _column(session_of(recorded.stream).name, width)
        event = recorded.event
        line = (
            f"{recorded.position:>7}  {local_time(recorded.recorded_at)}  "
            f"{name}{f'v{recorded.version}':<5}  {inline(name_of(event)):<20}  "
            f"{actor_name(recorded.actor):<8}  {facts_line(event)}"
        ).rstrip()
        yield line if width is None else cut(line, width)
        if content:
            yield from _content_lines(recorded)


def _column(name: str, width: int | None) -> str:
    """The session's column, short on a terminal."""
    name = inline(name)
    if width is None:
        return f"{name:<36}  "
    return f"{cut(name, _NAME_WIDTH):<{_NAME_WIDTH}}  "


def _content_lines(recorded: Recorded) -> Iterator[str]:
    if is_erased(recorded):
        yield f"{'':9}{ERASED}"
    elif recorded.event.content is not None:
        yield f"{'':9}{inline(codec.encode(recorded.event.content).decode())}"
