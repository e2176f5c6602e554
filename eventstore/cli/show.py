"""``eventstore show`` and ``eventstore resume``: one session, in full and as a model sees it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click

from eventstore.cli.options import (
    Format,
    Settings,
    at_option,
    find,
    listing_options,
    pager_option,
    shared_options,
)
from eventstore.cli.output import (
    nothing,
    page,
    say,
    write_json_array,
    write_json_lines,
    write_json_object,
)
from eventstore.cli.render import chat_lines, message_lines, session_lines
from eventstore.cli.shapes import message_shape, session_shape
from eventstore.cli.text import inline, plural
from eventstore.importers import records_of
from eventstore.store.points import At
from eventstore.store.session import Session
from eventstore.store.views import MessageView

#: Messages of a long history read at once.
_PAGE = 200


@click.command()
@click.argument("session")
@at_option
@click.option(
    "--source",
    is_flag=True,
    help="The records that the session was imported from, byte for byte.",
)
@pager_option
@listing_options
@click.pass_obj
def show(settings: Settings, session: str, at: At | None, source: bool, no_pager: bool) -> None:
    """Show a session's messages, compacted ones too.

    \b
    Examples:
      eventstore show 5f3a9c1e
      eventstore show 5f3a9c1e --at 9
      eventstore show 5f3a9c1e --at seq:40
      eventstore show 5f3a9c1e --at 2026-01-05T10:00
      eventstore show 5f3a9c1e --jsonl | jq -r 'select(.role == "user") | .text'
      eventstore show 5f3a9c1e --source > transcript.jsonl

    SESSION is an id or a beginning that only one id has; id~1 is the first session of an id that
    was used again. Messages that are not active any more are marked compacted, consolidated,
    retracted or cleared. With --at only the messages are shown that a model would have been sent
    then. With --source a session that was imported is given back as its transcript.
    """  # noqa: D301
    if source and (at is not None or settings.format is not Format.TEXT):
        raise click.UsageError("--source goes with neither --at nor --json nor --jsonl.")
    with settings.open_for_reading() as store:
        found = find(store, session)
        if source:
            _write_source(found)
            return
        version = None if at is None else found.version_at(at)
        info = found.info(version)
        messages = _history(found) if version is None else iter(found.messages(version))
        if settings.format is Format.JSON:
            write_json_object(
                {
                    "session": session_shape(info),
                    "version": info.version,
                    "messages": map(message_shape, messages),
                }
            )
        elif settings.format is Format.JSONL:
            write_json_lines(map(message_shape, messages))
        else:
            head = session_lines(info, None if version is None else found.version)
            page(_lines(head, messages), pager=not no_pager)


def _history(session: Session) -> Iterator[MessageView]:
    """Every message, read as they are shown."""
    seq = 0
    while batch := session.history(after=seq, limit=_PAGE):
        yield from batch
        seq = batch[-1].seq


def _write_source(session: Session) -> None:
    """The source lines; an erased record leaves a note on stderr and no line.

    A terminal is shown control characters as escapes; a file or pipe gets the very bytes.
    """
    terminal = sys.stdout.isatty()
    count = erased = 0
    for record in records_of(session):
        if record.data is None:
            erased += 1
            continue
        click.echo(inline(record.data.decode("utf-8", "replace")) if terminal else record.data)
        count += 1
    if erased:
        say(f"erased, so not given back: {plural(erased, 'record')}")
    if not count:
        nothing(f"session {session.id!r} holds no imported records")


def _lines(head: Iterable[str], messages: Iterable[MessageView]) -> Iterator[str]:
    yield from head
    for message in messages:
        yield from message_lines(message)


@click.command()
@click.argument("session")
@at_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the last N messages, from where a turn begins.",
)
@shared_options
@click.pass_obj
def resume(settings: Settings, session: str, at: At | None, limit: int | None) -> None:
    """Print what a model would be sent, now or then.

    \b
    Examples:
      eventstore resume 5f3a9c1e --json
      eventstore resume 5f3a9c1e --at 9 --limit 20
      eventstore resume 5f3a9c1e --at before:1

    The messages are OpenAI chat messages: the active ones, each compaction's note in the place of
    what it stands for, tool results after their calls, the system prompt first.
    """  # noqa: D301
    with settings.open_for_reading() as store:
        chat = find(store, session).chat(at, limit=limit)
    if settings.format is Format.JSON:
        write_json_array(chat)
    else:
        page((line for message in chat for line in chat_lines(message)), pager=False)
