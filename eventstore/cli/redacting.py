"""``eventstore redact``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import click

from eventstore.cli.options import Format, Settings, find, shared_options
from eventstore.cli.output import (
    ProgressLine,
    nothing,
    progress_line,
    say,
    write_json_array,
    write_json_object,
)
from eventstore.cli.text import inline, plural
from eventstore.redaction.afterwards import Place, Redaction, redact
from eventstore.redaction.detectors import DEFAULT, available, named
from eventstore.redaction.redactor import Redactor
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore


@click.command("redact")
@click.argument("names", metavar="[SESSION]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every session, closed ones too.")
@click.option(
    "--detector", "detectors", metavar="NAME", multiple=True,
    help="Look for this alone; can be repeated. Else for what --list-detectors marks.",
)  # fmt: skip
@click.option("--list-detectors", is_flag=True, help="List what can be looked for.")
@click.option("--by", metavar="WHO", help="Who redacts.")
@click.option("--reason", metavar="WHY", help="Why, without repeating what is redacted.")
@click.option("--dry-run", is_flag=True, help="List what would be redacted, and redact nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared_options
@click.pass_obj
def redact_command(settings: Settings, /, **options: Any) -> None:
    """Put marks in the place of secrets and personal data.

    \b
    Examples:
      eventstore redact --all --dry-run
      eventstore redact 5f3a9c1e --by "security desk" --reason "leaked keys"
      eventstore redact --all --detector api-key --detector jwt --yes
      eventstore redact --list-detectors

    What a detector finds is replaced by a mark such as [redacted: api-key] and wiped from the file,
    for good; the rest of the text stays, and the log still verifies. It asks first; a script says
    --yes. Lists show at most the first four characters of what was found. Detectors do not find
    everything: look at the result. Exit code 1 when nothing was found, when a legal hold kept
    something, or when a trace may be left in the file (`eventstore erase --finish`).
    """  # noqa: D301
    if options["list_detectors"]:
        _list(settings)
        return
    if bool(options["names"]) == options["everything"]:
        raise click.UsageError("name sessions, or say --all")
    redactor = Redactor(named(options["detectors"]) if options["detectors"] else DEFAULT)
    asks = not (options["yes"] or options["dry_run"])
    if asks and not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked: say --yes, or --dry-run to look first")
    if options["dry_run"]:
        with settings.open_for_reading() as store:
            done = _redact(store, options, redactor, dry_run=True)
    else:
        with settings.open_for_writing(create=False) as store:
            if asks:
                _ask(_redact(store, options, redactor, dry_run=True))
            done = _redact(store, options, redactor, dry_run=False)
    _show(settings, done)


def _redact(
    store: SessionStore, options: dict[str, Any], redactor: Redactor, *, dry_run: bool
) -> Redaction:
    sessions: list[Session] | None = None
    if not options["everything"]:
        sessions = [find(store, name) for name in options["names"]]
    with progress_line() as line:
        return redact(
            store, sessions, redactor, by=options["by"], reason=options["reason"],
            dry_run=dry_run, progress=_told(line),
        )  # fmt: skip


def _told(line: ProgressLine) -> Any:
    return lambda done, sessions: line.show(f"redacting {done:,} of {sessions:,} sessions")


def _list(settings: Settings) -> None:
    shapes = [
        {"name": one.name, "version": one.version, "default": one in DEFAULT,
         "finds": (type(one).__doc__ or "").strip().split("\n")[0]}
        for one in available().values()
    ]  # fmt: skip
    if settings.format is Format.JSON:
        write_json_array(shapes)
        return
    for shape in shapes:
        mark = "*" if shape["default"] else " "
        click.echo(f"{mark} {shape['name']:<12} {inline(str(shape['finds']))}")
    click.echo("* looked for unless others are named")


def _ask(planned: Redaction) -> None:
    if not planned.places:
        nothing("nothing was found")
    for line in _place_lines(planned.places):
        click.echo(line, err=True)
    click.confirm(
        f"Redact this in {plural(len(planned.places), 'event')} for good?", abort=True, err=True
    )


def _show(settings: Settings, done: Redaction) -> None:
    if settings.format is Format.JSON:
        write_json_object(redaction_shape(done))
    else:
        for line in (*_place_lines(done.places), *_end_lines(done)):
            click.echo(line)
    for name, hold in done.held:
        say(f"{inline(name)} stays as it is: {inline(hold)}")
    if not done.complete:
        say(f"not complete: {done.cause}; run `eventstore erase --finish`")
    if done.held or not done.complete:
        raise click.exceptions.Exit(1)
    if not done.places:
        nothing("nothing was found")


def redaction_shape(done: Redaction) -> dict[str, Any]:
    """A redaction as JSON."""
    return {
        "dry_run": done.dry_run,
        "complete": done.complete,
        "cause": done.cause,
        "places": [
            {
                "session": one.session,
                "position": one.position,
                "type": one.type,
                "seq": one.seq,
                "replaced": [
                    {"part": found.part, "detector": found.detector, "count": found.count}
                    for found in one.replaced
                ],
                "fragments": list(one.fragments),
            }
            for one in done.places
        ],
        "held": [{"session": name, "hold": hold} for name, hold in done.held],
        "shared_blobs": list(done.shared_blobs),
    }


def _place_lines(places: Sequence[Place]) -> list[str]:
    lines = []
    for session, group in groupby(places, lambda place: place.session):
        lines.append(inline(session))
        for place in group:
            what = place.type if place.seq is None else f"{place.type} {place.seq}"
            found = ", ".join(
                f"{one.detector} in {one.part}" + (f" ×{one.count}" if one.count > 1 else "")
                for one in place.replaced
            )
            lines.append(f"{place.position:>8}  {what:<24}  {inline(found)}")
            lines.append(f"{'':>8}  {inline(', '.join(place.fragments))}")
    return lines


def _end_lines(done: Redaction) -> list[str]:
    count = plural(sum(one.count for place in done.places for one in place.replaced), "text")
    where = plural(len(done.places), "event")
    if done.dry_run:
        return [f"{count} in {where} to redact"] if done.places else []
    lines = [f"redacted {count} in {where}"] if done.places else []
    if done.places and done.complete:
        lines.append("complete: no trace is left in the file")
    lines += [f"stays: event {one} has a large text in common with it" for one in done.shared_blobs]
    return lines
