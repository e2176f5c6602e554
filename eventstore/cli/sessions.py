"""``eventstore sessions``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import click

from eventstore.cli.options import Format, Settings, listing_options
from eventstore.cli.output import (
    nothing,
    table,
    terminal_width,
    write_json_array,
    write_json_lines,
)
from eventstore.cli.points import point_option
from eventstore.cli.shapes import session_shape
from eventstore.cli.text import cut, inline, local_time, on_one_line
from eventstore.session.state import Status
from eventstore.store.points import At
from eventstore.store.views import SessionInfo

_HEADINGS = ("SESSION", "STATUS", "CHANGED", "ACTIVE", "ALL", "SOURCE", "TITLE")
_OPEN = tuple(status.value for status in Status if status is not Status.CLOSED)

#: A shortened id has at least so many characters.
_PREFIX_MIN = 8


@click.command(
    epilog="On a terminal that is too narrow ids are shortened; every unique beginning of an id "
    "is accepted where an id is asked for."
)
@click.option("--all", "every", is_flag=True, help="Closed sessions too.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in Status]),
    help="Only this status; can be repeated.",
)
@click.option("--source", help="Only what this importer or framework wrote, e.g. claude-code.")
@point_option("--at", "The list as it was at position:1234 of the log, or at a time.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="At most so many.")
@listing_options
@click.pass_obj
def sessions(
    settings: Settings,
    every: bool,
    statuses: Sequence[str],
    source: str | None,
    at: At | None,
    limit: int | None,
) -> None:
    """List sessions, latest change first.

    \b
    Examples:
      eventstore sessions
      eventstore sessions --all -n 20
      eventstore sessions --status ended --source claude-code
      eventstore sessions --at yesterday
      eventstore sessions --json | jq -r '.[].session_id'

    ACTIVE counts the messages a model would be sent now, ALL every message. Sub-agents' sessions
    are listed as well, marked with ↳. A time stands for the last position before anything later was
    appended, as the sources of imported sessions tell the time.
    """  # noqa: D301
    if every and statuses:
        raise click.UsageError("--all and --status exclude each other")
    with settings.open_for_reading() as store:
        found = store.sessions(
            at=at, statuses=None if every else statuses or _OPEN, source=source, limit=limit
        )
    if settings.format is Format.JSON:
        write_json_array(map(session_shape, found))
    elif settings.format is Format.JSONL:
        write_json_lines(map(session_shape, found))
    elif found:
        click.echo("\n".join(session_table(found, terminal_width())))
    if not found:
        nothing(f"no session matches in {settings.path}")


def session_table(found: Sequence[SessionInfo], width: int | None) -> list[str]:
    """The list for people, at most `width` wide where that can be reached."""
    rows = [_row(info) for info in found]
    if width is not None and any(len(info.name) > _PREFIX_MIN for info in found):
        lines = table(_HEADINGS, rows, right=(3, 4))
        if max(map(len, lines)) > width:
            names = _shortened([info.name for info in found])
            rows = [(inline(name), *row[1:]) for name, row in zip(names, rows, strict=True)]
    return table(_HEADINGS, rows, right=(3, 4), flexible=6, width=width)


def _row(info: SessionInfo) -> tuple[str, ...]:
    title = on_one_line(info.title or info.preview or "-")
    return (
        inline(info.name),
        info.status,
        local_time(info.updated_at),
        str(info.active_messages),
        str(info.messages),
        cut(on_one_line(info.source or "-"), 16),
        title if info.parent is None else f"↳ {title}",
    )


def _shortened(names: Sequence[str]) -> list[str]:
    """Each name's shortest beginning that no other of the names has."""
    ordered = sorted(set(names))

    def shorten(name: str) -> str:
        at = bisect_left(ordered, name)
        neighbours = ordered[max(0, at - 1) : at] + ordered[at + 1 : at + 2]
        length = max([_PREFIX_MIN, *(_common(name, other) + 1 for other in neighbours)])
        return name[:length]

    return [shorten(name) for name in names]


def _common(one: str, other: str) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length
