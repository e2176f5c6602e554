"""``eventstore stats``."""

from __future__ import annotations

import click

from eventstore.cli.options import Format, Settings, listing_options, since_option
from eventstore.cli.output import (
    nothing,
    table,
    terminal_width,
    write_json_array,
    write_json_lines,
)
from eventstore.cli.shapes import stats_shape
from eventstore.cli.text import on_one_line
from eventstore.store.statistics import GROUPS, Stats

_COLUMNS = ("SESSIONS", "MESSAGES", "CALLS", "INPUT", "CACHED", "OUTPUT", "COST")


@click.command()
@click.option(
    "--by", type=click.Choice(GROUPS), default="session", help="What a row is for (session)."
)
@since_option
@click.option("-n", "--limit", type=click.IntRange(min=1), help="At most so many rows.")
@listing_options
@click.pass_obj
def stats(settings: Settings, by: str, since: int | None, limit: int | None) -> None:
    """Count messages, tokens and cost.

    \b
    Examples:
      eventstore stats
      eventstore stats --by model --since 7d
      eventstore stats --by day -n 30
      eventstore stats --by lineage --json

    A lineage is a session with everything spawned or forked from it. Days are in UTC. CALLS are
    model calls; INPUT is all input, CACHED what of it was read from a cache. Closed sessions count;
    messages that a fork took over count once, in their origin.
    """  # noqa: D301
    with settings.open_for_reading() as store:
        found = store.stats(by, since=since)[:limit]
    if settings.format is Format.JSON:
        write_json_array(map(stats_shape, found))
    elif settings.format is Format.JSONL:
        write_json_lines(map(stats_shape, found))
    elif found:
        rows = [_row(one, by) for one in found]
        lines = table(
            (by.upper(), *_COLUMNS), rows,
            right=range(1, len(_COLUMNS) + 1), flexible=0, width=terminal_width(),
        )  # fmt: skip
        click.echo("\n".join(lines))
    if not found:
        nothing(f"nothing to count in {settings.path}")


def _row(one: Stats, by: str) -> tuple[str, ...]:
    costs = " + ".join(
        f"{cost / 1e9:.4f}" + (f" {currency}" if currency else "")
        for currency, cost in one.costs.items()
    )
    return (
        on_one_line(one.name or "-"),
        f"{one.sessions:,}",
        "-" if by == "model" else f"{one.messages:,}",
        f"{one.calls:,}",
        f"{one.input + one.cache_read + one.cache_write:,}",
        f"{one.cache_read:,}",
        f"{one.output:,}",
        on_one_line(costs) or "-",
    )
