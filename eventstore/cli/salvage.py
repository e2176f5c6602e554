"""``eventstore salvage``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict

from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import progress_line, write_json_object
from eventstore.cli.text import inline, plural
from eventstore.cli.upkeep import INTEGRITY
from eventstore.events.catalogue import Run
from eventstore.salvage import Report
from eventstore.salvage import salvage as save

#: Runs and sessions that are told to people; `--json` has them all.
_TOLD_MAX = 12


def two_paths(settings: Settings, paths: Sequence[Path]) -> tuple[Path, Path]:
    """The store, which may be left out, and the other file; raises `UsageError`."""
    if len(paths) == 1:
        return settings.path, paths[0].expanduser()
    if len(paths) != 2:
        raise click.UsageError("give the other file, or the store and the other file")
    if settings.db is not None:
        raise click.UsageError("name the store once, as an argument or with --db")
    return paths[0].expanduser(), paths[1].expanduser()


@click.command()
@click.argument(
    "paths", metavar="[BROKEN] NEW", nargs=-1, type=click.Path(path_type=Path), required=True
)
@shared_options
@click.pass_obj
def salvage(settings: Settings, paths: Sequence[Path]) -> None:
    """Save what can be read of a damaged file.

    \b
    Examples:
      eventstore salvage sessions.db saved.db
      eventstore salvage sessions.db saved.db --json | jq .lost

    BROKEN is only read; end every process that has it open. NEW must not exist. Events keep their
    positions, versions and hashes; what was lost is told, and told again by `eventstore verify`
    of NEW. Nothing that was erased comes back. Exit code 3 when something was lost.
    """  # noqa: D301
    broken, new = two_paths(settings, paths)
    with progress_line() as line:
        report = save(
            broken,
            new,
            progress=lambda part, at, end: line.show(f"reading {part}: {at:,} of {end:,}"),
        )
    if settings.format is Format.JSON:
        write_json_object(salvage_shape(report))
    else:
        for text in salvage_lines(report):
            click.echo(text)
    if report.session_id is not None:
        raise click.exceptions.Exit(INTEGRITY)


def salvage_shape(report: Report) -> dict[str, Any]:
    """What was saved and lost, as JSON; runs are ``[first, length]``."""
    shape: dict[str, Any] = {"ok": report.session_id is None, **asdict(report)}
    for name in ("lost", "unproven", "lost_contents"):
        shape[name] = [list(run) for run in shape[name]]
    shape["sessions"] = list(report.sessions)
    return shape


def salvage_lines(report: Report) -> list[str]:
    """What was saved and lost, for people."""
    lines = [f"saved {plural(report.events, 'event')}, {plural(report.contents, 'content')}"]
    for label, runs in (
        ("lost events", report.lost),
        ("lost content of events", report.lost_contents),
        ("events that nothing proves any more", report.unproven),
    ):
        if runs:
            lines.append(f"{label}: {_runs(runs)}")
    if report.session_id is None:
        return [*lines, "nothing was lost, as far as can be known"]
    if report.sessions:
        names = [inline(name) for name in report.sessions]
        lines.append(f"sessions affected: {_some(names)}")
    return [*lines, f"the session {report.session_id} keeps this on record"]


def _runs(runs: Sequence[Run]) -> str:
    total = sum(size for _, size in runs)
    return f"{total:,} ({_some([_run(*run) for run in runs])})"


def _run(first: int, size: int) -> str:
    return str(first) if size == 1 else f"{first}–{first + size - 1}"


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _TOLD_MAX
    return ", ".join(texts[:_TOLD_MAX]) + (f" and {more:,} more" if more > 0 else "")
