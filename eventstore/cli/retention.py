"""``eventstore retain`` and ``eventstore hold``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from eventstore.cli.options import Format, Settings, find, shared_options
from eventstore.cli.output import (
    iso,
    nothing,
    progress_line,
    say,
    write_json_array,
    write_json_object,
)
from eventstore.cli.text import inline, plural
from eventstore.retention import Retention, Step, read_policies, retain
from eventstore.store import holding
from eventstore.store.holding import HoldView

_VERBS = {"close": "close", "erase-content": "erase old content of", "erase": "erase"}


@click.command("retain")
@click.option(
    "--policy", "file", required=True, metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The policies, as TOML.",
)  # fmt: skip
@click.option("--by", metavar="WHO", help="Who has it done.")
@click.option("--dry-run", is_flag=True, help="List what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared_options
@click.pass_obj
def retain_command(settings: Settings, /, **options: Any) -> None:
    """Close and erase what policies say is old enough.

    \b
    Examples:
      eventstore retain --policy retention.toml --dry-run
      eventstore retain --policy retention.toml --yes --by cron
      eventstore retain --policy retention.toml --yes --json | jq .bytes_after

    docs/retention.md says what a policy can be. What is under a legal hold is passed over and
    listed. An interrupted run is completed by the next one. Facts and hashes stay, so the log still
    verifies; `eventstore vacuum` gives the space back. Exit code 1 when nothing was to be done, or
    when a trace of what was erased may be left in the file (`eventstore erase --finish`).
    """  # noqa: D301
    policies = read_policies(options["file"])
    asks = not (options["yes"] or options["dry_run"])
    if asks and not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked: say --yes, or --dry-run to look first")
    if options["dry_run"]:
        with settings.open_for_reading() as store:
            done = retain(store, policies, dry_run=True)
    else:
        with settings.open_for_writing(create=False) as store, progress_line() as line:
            if asks:
                _ask(retain(store, policies, dry_run=True))
            done = retain(
                store, policies, by=options["by"],
                progress=lambda at, steps: line.show(f"retention: {at:,} of {steps:,} sessions"),
            )  # fmt: skip
    _show(settings, done)


def _ask(planned: Retention) -> None:
    if not planned.steps:
        nothing("there is nothing to do")
    for line in _step_lines(planned.steps):
        click.echo(line, err=True)
    click.confirm("Do this for good?", abort=True, err=True)


def _show(settings: Settings, done: Retention) -> None:
    if settings.format is Format.JSON:
        write_json_object(retention_shape(done))
    else:
        for line in (*_step_lines(done.steps), *_end_lines(done)):
            click.echo(line)
    if not done.complete:
        say(f"not complete: {done.cause}; run `eventstore erase --finish`")
        raise click.exceptions.Exit(1)
    if not done.steps:
        nothing("there is nothing to do")


def retention_shape(done: Retention) -> dict[str, Any]:
    """What retention did as JSON."""
    return {
        "dry_run": done.dry_run,
        "at": iso(done.at),
        "steps": [
            {
                "policy": one.policy,
                "do": one.do,
                "session": one.session,
                "active_at": iso(one.active_at),
                "events": one.events,
                "bytes": one.bytes,
                "positions": list(one.positions),
            }
            for one in done.steps
        ],
        "held": [
            {"policy": one.policy, "session": one.session, "hold": one.hold} for one in done.held
        ],
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
        "complete": done.complete,
        "cause": done.cause,
    }


def _step_lines(steps: Sequence[Step]) -> list[str]:
    lines = []
    for (policy, action), group in groupby(steps, lambda step: (step.policy, step.do)):
        lines.append(f"{inline(policy)}: {_VERBS[action]}")
        for one in group:
            size = f"{plural(one.events, 'event')}, {plural(one.bytes, 'byte')}"
            active = str(iso(one.active_at))[:10]
            lines.append(f"  {inline(one.session)}  last active {active}  {size}")
    return lines


def _end_lines(done: Retention) -> list[str]:
    lines = [f"stays: {inline(one.session)} ({inline(one.hold)})" for one in done.held]
    text = plural(sum(one.bytes for one in done.steps), "byte")
    what = f"{plural(len(done.steps), 'step')}, {text} of text"
    if done.dry_run:
        return [*lines, f"{what} to erase"] if done.steps else lines
    if done.steps:
        lines += [
            f"{what} erased; in use were {plural(done.bytes_before, 'byte')}, "
            f"are {plural(done.bytes_after, 'byte')}"
        ]
    return lines


# -- holds -----------------------------------------------------------------------------------------


@click.command("hold")
@click.argument("action", type=click.Choice(["place", "release", "list"]))
@click.argument("session", required=False)
@click.argument("name", required=False)
@click.option("--by", metavar="WHO", help="Who places or releases it. Kept for good.")
@click.option("--reason", metavar="WHY", help="Why. Kept for good.")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), metavar="DATE",
    help="When it ends by itself, in UTC: 2027-12-31 or 2027-12-31T23:59:59.",
)  # fmt: skip
@shared_options
@click.pass_obj
def hold(settings: Settings, /, action: str, **options: Any) -> None:
    """Keep sessions from being erased: legal holds.

    \b
    Examples:
      eventstore hold place 5f3a9c1e case-17 --by "legal desk" --reason "dispute"
      eventstore hold place 5f3a9c1e audit --until 2027-12-31
      eventstore hold list
      eventstore hold release 5f3a9c1e case-17 --by "legal desk" --reason "settled"

    Nothing of a session under a hold is erased, redacted or touched by `eventstore retain`; the
    refusal names the hold. New messages can be appended. A hold on a fork also holds the events of
    its origin that it took over. `list` shows the holds that were not released, of one session or
    of all, with exit code 1 when there is none.
    """  # noqa: D301
    named = options["session"] is not None and options["name"] is not None
    if named == (action == "list"):
        raise click.UsageError(
            "list takes a session at most" if named else f"{action} takes a session and a name"
        )
    if action == "list":
        _list(settings, options["session"])
        return
    if options["until"] is not None and action == "release":
        raise click.UsageError("--until is for place")
    with settings.open_for_writing(create=False) as store:
        found = find(store, options["session"])
        said = {"by": options["by"], "reason": options["reason"]}
        if action == "place":
            found.place_hold(options["name"], until=_end(options["until"]), **said)
        else:
            found.release_hold(options["name"], **said)
        left = found.holds()
    if action == "place" or settings.format is Format.JSON:
        _show_holds(settings, left)
    else:
        click.echo(f"released {inline(options['name'])}; {plural(len(left), 'hold')} left")


def _end(until: datetime | None) -> int | None:
    return None if until is None else round(until.replace(tzinfo=UTC).timestamp()) * 1_000_000


def _list(settings: Settings, session: str | None) -> None:
    with settings.open_for_reading() as store:
        stream = None if session is None else find(store, session).stream
        found = holding.listed(store.log, stream)
    _show_holds(settings, found)
    if not found:
        nothing("there is no hold")


def _show_holds(settings: Settings, found: Sequence[HoldView]) -> None:
    if settings.format is Format.JSON:
        write_json_array(hold_shape(one) for one in found)
        return
    for one in found:
        parts = [inline(one.hold), f"placed {iso(one.placed_at)}"]
        parts += [] if one.by is None else [f"by {inline(one.by)}"]
        parts += [] if one.reason is None else [inline(one.reason)]
        ends = "ended" if not one.in_force else "until"
        parts += [] if one.until is None else [f"{ends} {iso(one.until)}"]
        click.echo(f"{inline(one.session)}  {', '.join(parts)}")


def hold_shape(one: HoldView) -> dict[str, Any]:
    """A hold as JSON."""
    return {
        "session": one.session,
        "hold": one.hold,
        "by": one.by,
        "reason": one.reason,
        "placed_at": iso(one.placed_at),
        "until": iso(one.until),
        "in_force": one.in_force,
    }
