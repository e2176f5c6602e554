"""``eventstore consumers``."""

from __future__ import annotations

import click

from eventstore.cli.options import Format, Settings, listing_options
from eventstore.cli.output import (
    nothing,
    say,
    table,
    terminal_width,
    write_json_array,
    write_json_lines,
)
from eventstore.cli.shapes import consumer_shape
from eventstore.cli.text import inline, local_time
from eventstore.consumers.positions import ConsumerInfo
from eventstore.store.session_store import SessionStore

_HEADINGS = ("CONSUMER", "POSITION", "BEHIND", "COMMITTED")


@click.command()
@click.option("--reset", metavar="NAME", help="Have this one begin anew, after --to.")
@click.option(
    "--to", type=click.IntRange(min=0), metavar="POSITION", help="Position for --reset (0)."
)
@click.option("--drop", metavar="NAME", help="Forget this one.")
@listing_options
@click.pass_obj
def consumers(settings: Settings, reset: str | None, to: int | None, drop: str | None) -> None:
    """List named consumers of the log and how far they are.

    \b
    Examples:
      eventstore consumers
      eventstore consumers --reset indexer
      eventstore consumers --reset indexer --to 1200
      eventstore consumers --drop indexer

    A consumer is a name under which `eventstore log --consumer NAME`, or a program, keeps the
    position of the last event that it dealt with. BEHIND counts the events after that. One that
    runs while it is reset or dropped is refused at its next commit.
    """  # noqa: D301
    if to is not None and reset is None:
        raise click.UsageError("--to goes with --reset.")
    if reset is None and drop is None:
        with settings.open_for_reading(derived=False) as store:
            found = store.consumers()
    else:
        with settings.open_for_writing() as store:
            _change(store, reset, to or 0, drop)
            found = store.consumers()
    _write(settings.format, found)
    if not found and reset is None and drop is None:
        nothing(f"there is no consumer in {settings.path}")


def _change(store: SessionStore, reset: str | None, to: int, drop: str | None) -> None:
    if drop is not None and not store.consumer(drop).drop():
        nothing(f"there is no consumer {drop!r} in {store.path}")
    if drop is not None:
        say(f"forgot consumer {drop!r}")
    if reset is not None:
        store.consumer(reset).reset(to)
        say(f"consumer {reset!r} goes on after position {to}")


def _write(chosen: Format, found: list[ConsumerInfo]) -> None:
    if chosen is Format.JSON:
        write_json_array(map(consumer_shape, found))
    elif chosen is Format.JSONL:
        write_json_lines(map(consumer_shape, found))
    elif found:
        rows = [
            (inline(one.name), f"{one.position:,}", f"{one.behind:,}", local_time(one.committed_at))
            for one in found
        ]
        lines = table(_HEADINGS, rows, right=(1, 2), flexible=0, width=terminal_width())
        click.echo("\n".join(lines))
