"""``eventstore import``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from eventstore.cli.options import Format, Settings, listing_options
from eventstore.cli.output import (
    nothing,
    progress_line,
    say,
    table,
    terminal_width,
    write_json_array,
    write_json_lines,
)
from eventstore.cli.shapes import report_shape
from eventstore.cli.text import cut, inline, plural
from eventstore.importers.registry import formats, import_paths
from eventstore.importers.reports import FileReport

_HEADINGS = (
    "FILE", "FORMAT", "SESSIONS", "RECORDS", "MESSAGES", "CALLS", "PROBLEMS", "NEW",
)  # fmt: skip

#: Problems told of one file; `--json` has them all.
_TOLD_MAX = 10


@click.command("import")
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
)
@click.option(
    "--format", "name", type=click.Choice(formats()), help="The format; else told by the content."
)
@listing_options
@click.pass_obj
def import_(settings: Settings, paths: Sequence[Path], name: str | None) -> None:
    """Take in transcripts of agent sessions.

    \b
    Examples:
      eventstore import ~/.claude/projects
      eventstore import session.jsonl --json
      ssh host cat session.jsonl | eventstore import -

    PATH is a file, a folder, whose *.jsonl files are meant, or - for stdin. A record is imported
    once, however often its file is: of a file that grew only what is new (NEW) is stored. Damaged
    records are kept as they are and told as problems. The store is created if there is none.

    Exit code 1 when a file of a folder could not be imported; the others are.
    """  # noqa: D301
    if settings.format is Format.JSONL:
        reports = _write_lines(settings, paths, name)
    else:
        reports = []
        try:
            for report in _import(settings, paths, name):
                reports.append(report)
        finally:
            if settings.format is Format.JSON:
                write_json_array(map(report_shape, reports))
            elif reports:
                click.echo("\n".join(report_table(reports, terminal_width())))
    _tell_problems(reports)
    _tell_total(reports)
    _end(reports)


def _end(reports: Sequence[FileReport]) -> None:
    """Leave with exit code 1 when there was nothing to import or a file could not be."""
    failed = sum(report.failed for report in reports)
    if failed:
        say(f"{plural(failed, 'file')} could not be imported")
        raise click.exceptions.Exit(1)
    if not any(report.records for report in reports):
        nothing("no records found")


def _write_lines(settings: Settings, paths: Sequence[Path], name: str | None) -> list[FileReport]:
    reports = []
    for report in _import(settings, paths, name):
        write_json_lines([report_shape(report)])
        reports.append(report)
    return reports


def _import(settings: Settings, paths: Sequence[Path], name: str | None) -> Iterator[FileReport]:
    if Path("-") in paths and sys.stdin.isatty():
        say("reading a transcript from the terminal; end it with Ctrl-D")
    with settings.open_for_writing(create=True) as store, progress_line() as line:

        def told(path: Path, read: int) -> None:
            line.show(f"importing {path.name}: {read / 1_000_000:.1f} MB")

        for report in import_paths(store, paths, format=name, progress=told):
            line.clear()
            yield report


def report_table(reports: Sequence[FileReport], width: int | None) -> list[str]:
    """What was imported, for people."""
    rows = [
        (
            _short_path(report.path, width),
            report.format or "-",
            str(len(report.sessions)),
            *map(str, (report.records, report.messages, report.tool_calls)),
            str(len(report.problems)),
            str(report.appended),
        )
        for report in reports
    ]
    return table(_HEADINGS, rows, right=range(2, 8), flexible=0, width=width)


def _short_path(path: str, width: int | None) -> str:
    """A path, on a terminal without its beginning if it is long: files differ at the end."""
    shown = inline(path)
    room = 0 if width is None else max(20, width - 70)
    if not room or len(shown) <= room:
        return shown
    return "…" + cut(shown[::-1], room - 1)[::-1].lstrip("…")


def _tell_total(reports: Sequence[FileReport]) -> None:
    if len(reports) > 1:
        records = sum(report.records for report in reports)
        new = sum(report.appended for report in reports)
        say(f"{plural(len(reports), 'file')}, {plural(records, 'record')}, {new:,} new")


def _tell_problems(reports: Sequence[FileReport]) -> None:
    for report in reports:
        for problem in report.problems[:_TOLD_MAX]:
            place = report.path if problem.line is None else f"{report.path}:{problem.line}"
            say(f"{place}: {problem.reason}")
        if len(report.problems) > _TOLD_MAX:
            say(f"{report.path}: {plural(len(report.problems) - _TOLD_MAX, 'more problem')}")
        for session_id in report.forked:
            say(f"{report.path}: differs from what was stored; forked as {session_id}")
