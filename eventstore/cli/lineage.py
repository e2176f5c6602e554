"""``eventstore fork`` and ``eventstore tree``: a session continued elsewhere, and who is whose."""

from __future__ import annotations

from collections.abc import Sequence

import click

from eventstore.cli.options import (
    Format,
    Settings,
    at_option,
    find,
    listing_options,
    shared_options,
)
from eventstore.cli.output import (
    nothing,
    say,
    table,
    terminal_width,
    write_json_array,
    write_json_lines,
    write_json_object,
)
from eventstore.cli.shapes import branch_shape, session_shape
from eventstore.cli.text import cut, inline, on_one_line, plural
from eventstore.store.points import At
from eventstore.store.statistics import Stats, add_stats
from eventstore.store.trees import Branch

_HEADINGS = ("SESSION", "HOW", "MESSAGES", "CALLS", "TOKENS", "COST", "TITLE")


@click.command()
@click.argument("session")
@at_option
@click.option("--id", "new_id", metavar="ID", help="The id of the new session; else one is made.")
@shared_options
@click.pass_obj
def fork(settings: Settings, session: str, at: At | None, new_id: str | None) -> None:
    """Begin a session that continues another one's past.

    \b
    Examples:
      eventstore fork 5f3a9c1e
      eventstore fork 5f3a9c1e --at seq:40 --id second-try
      new=$(eventstore fork 5f3a9c1e --at before:1) && eventstore resume "$new" --json

    The fork begins with the context that the session had at that point. Nothing is copied, and what
    happens in either one later does not show in the other. Prints the new session's id.
    """  # noqa: D301
    with settings.open_for_writing() as store:
        origin = find(store, session)
        made = origin.fork(new_id, at=at)
        info = made.info()
    if settings.format is Format.JSON:
        write_json_object({"session": session_shape(info)})
        return
    click.echo(inline(info.name))
    say(
        f"a fork of {info.origin} at version {info.origin_version}, with "
        f"{plural(info.active_messages, 'active message')}"
    )


@click.command()
@click.argument("session", required=False)
@listing_options
@click.pass_obj
def tree(settings: Settings, session: str | None) -> None:
    """Show which session came from which, with what each cost.

    \b
    Examples:
      eventstore tree
      eventstore tree 5f3a9c1e
      eventstore tree --json | jq '.[] | select(.depth == 0) | .total'

    Without SESSION all sessions, closed ones too. HOW says whether a session was forked, was
    spawned as a sub-agent's, or continues an id that was closed (id~1). MESSAGES, CALLS, TOKENS and
    COST count what happened in the session itself: messages that a fork took over count in its
    origin, so nothing counts twice in the sum.
    """  # noqa: D301
    with settings.open_for_reading() as store:
        found = store.tree(None if session is None else find(store, session))
    if settings.format is Format.JSON:
        write_json_array(map(branch_shape, found))
    elif settings.format is Format.JSONL:
        write_json_lines(map(branch_shape, found))
    elif found:
        click.echo("\n".join(tree_lines(found, terminal_width())))
    if not found:
        nothing(f"there is no session in {settings.path}")


def tree_lines(found: Sequence[Branch], width: int | None) -> list[str]:
    """The trees for people, at most `width` wide; the last line adds everything up."""
    rows = [_row(_stem(one) + inline(one.name), _how(one), one.own, _title(one)) for one in found]
    tops = [one.total for one in found if one.depth == 0]
    sessions = sum(total.sessions for total in tops)
    rows.append(_row(plural(sessions, "session"), "", _sum(tops), ""))
    lines = table(_HEADINGS, rows, right=(2, 3, 4, 5), flexible=6, width=width)
    if width is None:
        return lines
    heading = click.style(cut(click.unstyle(lines[0]), width), bold=True)
    return [heading, *(cut(line, width) for line in lines[1:])]


def _row(name: str, how: str, one: Stats, title: str) -> tuple[str, ...]:
    tokens = one.input + one.cache_read + one.cache_write + one.output
    costs = " + ".join(
        f"{cost / 1e9:.4f}" + (f" {currency}" if currency else "")
        for currency, cost in one.costs.items()
    )
    cost = on_one_line(costs) or "-"
    return name, how, f"{one.messages:,}", f"{one.calls:,}", f"{tokens:,}", cost, title


def _stem(one: Branch) -> str:
    if not one.last:
        return ""
    return "".join("   " if end else "│  " for end in one.last[:-1]) + (
        "└─ " if one.last[-1] else "├─ "
    )


def _how(one: Branch) -> str:
    match one.relation:
        case "forked":
            return f"fork at v{one.source_version}"
        case "spawned":
            return "sub-agent"
        case "continued":
            return "continues"
        case _:
            return ""


def _title(one: Branch) -> str:
    title = on_one_line(one.title or one.preview or "-")
    return f"({one.status}) {title}" if one.status == "closed" else title


def _sum(totals: Sequence[Stats]) -> Stats:
    added = Stats(name=None)
    for total in totals:
        add_stats(added, total)
    return added
