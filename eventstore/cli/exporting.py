"""``eventstore export``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from eventstore.cli.options import Format, Settings, find, shared_options
from eventstore.cli.output import (
    ProgressLine,
    progress_line,
    say,
    table,
    terminal_width,
    write_json_object,
)
from eventstore.cli.text import inline
from eventstore.errors import InvalidValueError
from eventstore.exports import registry, runner
from eventstore.exports.runner import STDOUT, Exported


def _options(_: click.Context, __: click.Parameter, values: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for value in values:
        name, mark, setting = value.partition("=")
        if not mark:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        found[name] = setting
    return found


@click.command("export")
@click.argument("names", metavar="[SESSION]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="The whole log.")
@click.option("--format", "-f", "name", metavar="FORMAT", help="The format; see --list-formats.")
@click.option(
    "--output", "-o", metavar="PATH", default=STDOUT, help="A file, a folder, or - for stdout."
)
@click.option("--recipient", metavar="WHO", help="Whom it is for; it is recorded.")
@click.option("--no-record", is_flag=True, help="Do not record in the log that it was made.")
@click.option(
    "--content",
    type=click.Choice(registry.CONTENTS),
    default="full",
    help="Whether texts go out.",
)
@click.option(
    "--option",
    "-O",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_options,
    help="An option of the format.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--list-formats", is_flag=True, help="List the formats and their options.")
@shared_options
@click.pass_obj
def export(
    settings: Settings,
    names: Sequence[str],
    everything: bool,
    name: str | None,
    output: str,
    recipient: str | None,
    no_record: bool,
    content: str,
    options: Mapping[str, str],
    force: bool,
    list_formats: bool,
) -> None:
    """Write the log or sessions of it in other formats.

    \b
    Examples:
      eventstore export --list-formats
      eventstore export --all -f events-jsonl -o log.jsonl --recipient "Audit"
      eventstore export 5f3a9c1e -f markdown -o trip.md
      eventstore export 5f3a9c1e --format otel -O semconv=1.41 | jq .
      eventstore export --all -f parquet -o tables --no-record

    SESSION is an id or the beginning of one. The export holds what is in the log when it begins.
    Before the first byte goes out the log says that it was made, in which format, and for whom;
    --no-record leaves that out. A file is there when it is complete, or not at all, and only you
    can read it.
    """  # noqa: D301
    if list_formats:
        _list(settings)
        return
    if name is None:
        raise click.UsageError("say --format; --list-formats shows which there are")
    if bool(names) == everything:
        raise click.UsageError("name sessions, or say --all for the whole log")
    if output == STDOUT and settings.format is not Format.TEXT:
        raise click.UsageError("--json describes the export, so that must go to a file: say -o")
    opened = settings.open_for_reading() if no_record else settings.open_for_writing()
    with opened as store, progress_line() as line:
        sessions = None if everything else [find(store, one) for one in names]
        try:
            done = runner.export(
                store,
                name,
                output,
                sessions=sessions,
                recipient=recipient,
                record=not no_record,
                content=content,
                options=options,
                force=force,
                progress=lambda at, end: line.show(f"exporting {at:,} of {end:,}"),
                tell=lambda text: _note(line, text),
            )
        except InvalidValueError as error:
            raise click.UsageError(str(error)) from error
    _tell(settings, done)


def _note(line: ProgressLine, text: str) -> None:
    line.clear()
    say(text)


def _tell(settings: Settings, done: Exported) -> None:
    if settings.format is Format.JSON:
        write_json_object(
            {
                "format": done.format,
                "path": done.path,
                "to_position": done.to_position,
                "head": done.leaf.hex(),
                "recorded": list(done.recorded),
            }
        )
        return
    recorded = "recorded" if done.recorded else "not recorded in the log"
    text = f"{done.format}, up to position {done.to_position:,}, {recorded}"
    if done.path == STDOUT:
        if not done.recorded:
            say(text)
        return
    click.echo(f"{inline(done.path)}: {text}")


def _list(settings: Settings) -> None:
    found = [registry.exporter(name) for name in registry.formats()]
    if settings.format is Format.JSON:
        shapes: list[dict[str, Any]] = [
            {
                "format": one.name,
                "description": one.description,
                "suffix": one.suffix or None,
                "lossless": one.lossless,
                "per_session": registry.is_per_session(one),
                "options": [
                    {"name": option, "meaning": meaning}
                    for option, meaning in registry.options_of(one).items()
                ],
            }
            for one in found
        ]
        write_json_object({"formats": shapes})
        return
    rows = []
    for one in found:
        rows.append((one.name, "yes" if one.lossless else "no", inline(one.description)))
        for option, meaning in registry.options_of(one).items():
            rows.append(("", "", f"-O {option}=…: {inline(meaning)}"))
    click.echo("\n".join(table(("FORMAT", "LOSSLESS", "WHAT FOR"), rows, width=terminal_width())))
