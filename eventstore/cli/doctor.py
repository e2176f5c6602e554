"""``eventstore doctor``."""

from __future__ import annotations

from typing import Any

import click
from msgspec.structs import asdict

from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import progress_line, say, write_json_object
from eventstore.cli.text import inline, plural
from eventstore.cli.upkeep import INTEGRITY
from eventstore.doctor import Diagnosis, Report, examine

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command()
@click.option("--fix", is_flag=True, help="Make anew what is derived from the log and is wrong.")
@shared_options
@click.pass_obj
def doctor(settings: Settings, fix: bool) -> None:
    """Examine everything, and mend what is derived.

    \b
    Examples:
      eventstore doctor
      eventstore doctor --fix
      eventstore doctor --json | jq -r '.findings[].code'

    Runs verify and check, and looks at snapshots, checkpoints, parents and tool calls, SQLite's
    pages and indexes, the schema and the files. Exit code 3 when an error or a warning is left;
    notes do not count. --fix never changes the log, and writes nothing at all into a file that
    has an error which it cannot fix.
    """  # noqa: D301
    with progress_line() as line:

        def told(part: str, position: int, head: int) -> None:
            counts = f" {position:,} of {head:,} events" if head else ""
            line.show(f"examining {part}{counts}")

        report = examine(settings.path, fix=fix, progress=told)
    if settings.format is Format.JSON:
        write_json_object(report_shape(report))
    else:
        for text in report_lines(report):
            click.echo(text)
        if fix and any(one.fixable for one in report.findings):
            say("an error that cannot be fixed is left, so nothing was written to the file")
    if not report.healthy:
        raise click.exceptions.Exit(INTEGRITY)


def report_shape(report: Report) -> dict[str, Any]:
    """What was found and what was fixed, as JSON."""
    return {
        "ok": report.healthy,
        "events": report.events,
        "findings": [_shape(one) for one in report.findings],
        "fixed": [_shape(one) for one in report.fixed],
    }


def _shape(one: Diagnosis) -> dict[str, Any]:
    shape = asdict(one)
    shape["severity"] = str(one.severity)
    return shape


def report_lines(report: Report) -> list[str]:
    """What was found, for people."""
    lines = [f"fixed   {one.code}: {_where(one)}{inline(one.message)}" for one in report.fixed]
    for one in report.findings:
        label = click.style(f"{one.severity:<7}", fg=_COLOURS[one.severity])
        lines.append(f"{label} {one.code}: {_where(one)}{inline(one.message)}")
        lines.append(f"        → {one.advice}")
    events = "unknown events" if report.events is None else plural(report.events, "event")
    counts = [
        plural(number, severity)
        for severity in _COLOURS
        if (number := sum(one.severity == severity for one in report.findings))
    ]
    lines.append(f"{events} examined: {', '.join(counts) or 'nothing is wrong'}")
    return lines


def _where(one: Diagnosis) -> str:
    parts = [] if one.position is None else [f"event {one.position}"]
    if one.session is not None:
        parts.append(f"session {inline(one.session)}")
    if one.table is not None and one.table not in one.message:
        parts.append(f"table {inline(one.table)}")
    return ", ".join(parts) + ": " if parts else ""
