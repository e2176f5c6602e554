"""``eventstore context``: exactly what a model was sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import click
from msgspec.structs import asdict

from eventstore.cli.options import Format, Settings, at_option, find, pager_option, shared_options
from eventstore.cli.output import page, write_json_array, write_json_object
from eventstore.cli.render import seqs
from eventstore.cli.text import inline, on_one_line, plural, visible
from eventstore.store.context import Context, ContextFormat
from eventstore.store.points import At


@click.command()
@click.argument("session")
@at_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "openai", "anthropic"]),
    default="text",
    show_default=True,
    help="For people, or the messages as a provider takes them.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the last N messages, from where a turn begins.",
)
@pager_option
@shared_options
@click.pass_obj
def context(
    settings: Settings, session: str, at: At | None, form: str, limit: int | None, no_pager: bool
) -> None:
    """Print exactly what a model was sent, then or now.

    \b
    Examples:
      eventstore context 5f3a9c1e --at before:1
      eventstore context 5f3a9c1e --at after:1
      eventstore context 5f3a9c1e --at seq:40 --format anthropic > request.json
      eventstore context 5f3a9c1e --json | jq '.coverage'

    before:1 and after:1 are the points just before and just after the first compaction. As text it
    also says which messages each compaction's note stands for, those of notes that it folded
    included; --json says so for every format.
    """  # noqa: D301
    with settings.open_for_reading() as store:
        found = find(store, session)
        name = found.name
        made = found.context(at, format=cast(ContextFormat, form), limit=limit)
    if settings.format is Format.JSON:
        write_json_object(
            {
                "name": name,
                "version": made.version,
                "model": made.model,
                "provider": made.provider,
                "format": form,
                "sent": made.sent,
                "coverage": [asdict(one) for one in made.coverage],
            }
        )
    elif form == "openai":
        write_json_array(made.sent)
    elif form == "anthropic":
        write_json_object(made.sent)
    else:
        page(_lines(name, made), pager=not no_pager)


def _lines(name: str, made: Context) -> Iterator[str]:
    yield f"session   {inline(name)} at version {made.version}"
    if made.model is not None:
        yield f"model     {on_one_line(made.model)}"
    yield f"messages  {plural(len(made.messages), 'active message')}"
    for one in made.coverage:
        notes = f", by way of {plural(len(one.notes), 'earlier note')}" if one.notes else ""
        count = plural(one.count, "message")
        yield f"note      #{one.seq} stands for {seqs(one.messages)}: {count}{notes}"
    yield ""
    yield from visible(made.sent).rstrip("\n").split("\n")
