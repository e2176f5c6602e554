"""``eventstore diff``: what differs between two moments of one session, or between two sessions."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from itertools import islice
from typing import Any

import click
import msgspec

from eventstore.cli.options import Format, Settings, find, pager_option, shared_options
from eventstore.cli.output import page, say, write_json_object
from eventstore.cli.points import point_option
from eventstore.cli.render import as_json, message_lines
from eventstore.cli.shapes import JSONObject, message_shape
from eventstore.cli.text import inline, on_one_line, plural, visible
from eventstore.comparison import Diff, FieldChange, MessageChange, diff
from eventstore.store.views import AsOf

#: What the lines of each kind of change begin with, and their colour.
_MARKS = {"removed": ("-", "red"), "added": ("+", "green"), "changed": ("~", "yellow")}


@click.command("diff")
@click.argument("session")
@click.argument("other", required=False)
@point_option("--from", "SESSION as of then: a version (12), seq:40, before:1 … as for show --at.")
@point_option("--to", "OTHER, or SESSION without it, as of then; else as it is now.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Every message, with what had become of it; else the active ones.",
)
@pager_option
@shared_options
@click.pass_obj
def diff_command(settings: Settings, /, session: str, other: str | None, **options: Any) -> None:
    """Compare two moments of a session, or two sessions.

    \b
    Examples:
      eventstore diff 5f3a9c1e --from before:1 --to after:1
      eventstore diff 5f3a9c1e --from 2026-01-05T10:00 --all
      eventstore diff 5f3a9c1e fork-2
      eventstore diff 5f3a9c1e fork-2 --json | jq '.messages[].kind'

    Messages that are the same event, as those that a fork took over, are the same; others are
    compared by what they say. Lines begin with - for what is only in SESSION or was so before, with
    + for what is only in OTHER or is so after, and with ~ for a message that was changed. Status,
    title, prompt, model and configuration are compared too. Where there is no difference nothing
    is printed.
    """  # noqa: D301
    if other is None and options["from"] is None:
        raise click.UsageError("give a second session, or the point to compare from: --from POINT")
    with settings.open_for_reading() as store:
        one = find(store, session)
        before = one.as_of(options["from"], history=options["everything"])
        second = one if other is None else find(store, other)
        after = second.as_of(options["to"], history=options["everything"])
    found = diff(before, after)
    if settings.format is Format.JSON:
        write_json_object(_shape(before, after, found))
    elif found:
        page(_lines(before, after, found), pager=not options["no_pager"])
    else:
        say("no difference")


def _shape(before: AsOf, after: AsOf, found: Diff) -> JSONObject:
    return {
        "before": {"name": before.name, "version": before.version},
        "after": {"name": after.name, "version": after.version},
        "settings": [_field_shape(change) for change in found.settings],
        "messages": [
            {
                "kind": change.kind,
                "before_index": change.before_index,
                "after_index": change.after_index,
                "before": None if change.before is None else message_shape(change.before),
                "after": None if change.after is None else message_shape(change.after),
                "fields": [_field_shape(field) for field in change.fields],
            }
            for change in found.messages
        ],
    }


def _field_shape(change: FieldChange) -> JSONObject:
    before, after = (msgspec.to_builtins(value) for value in (change.before, change.after))
    return {"name": change.name, "before": before, "after": after}


def _lines(before: AsOf, after: AsOf, found: Diff) -> Iterator[str]:
    for mark, side in (("---", before), ("+++", after)):
        yield click.style(f"{mark} {inline(side.name)} at version {side.version}", bold=True)
    for setting in found.settings:
        yield from _field_lines(setting)
    old = new = 0
    for change in found.messages:
        if change.before_index is not None:
            same = change.before_index - old
        else:
            same = (change.after_index or 0) - new
        yield from _unchanged(same)
        old += same + (change.kind != "added")
        new += same + (change.kind != "removed")
        yield from _message_lines(change)
    yield from _unchanged(len(before.messages) - old)


def _unchanged(count: int) -> Iterator[str]:
    if count:
        yield click.style(f"@@ {plural(count, 'message')} unchanged @@", fg="cyan")


def _message_lines(change: MessageChange) -> Iterator[str]:
    mark, colour = _MARKS[change.kind]
    if change.kind == "changed":
        assert change.before is not None
        assert change.after is not None
        seqs = [f"#{message.seq}" for message in (change.before, change.after)]
        label = f"{' → '.join(dict.fromkeys(seqs))} {change.after.role}"
        yield click.style(f"{mark}{inline(label)}", fg=colour)
        for field in change.fields:
            yield from _field_lines(field, "    ")
        return
    message = change.before or change.after
    assert message is not None
    for line in message_lines(message):
        if line:
            yield click.style(mark, fg=colour) + line


def _field_lines(change: FieldChange, indent: str = "") -> Iterator[str]:
    """The two values of a field; of texts of several lines, the lines that differ."""
    before, after = change.before, change.after
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield f"~{indent}{change.name}:"
        lines = unified_diff(visible(before).split("\n"), visible(after).split("\n"), lineterm="")
        for line in islice(lines, 2, None):
            mark, rest = (" ", line) if line.startswith("@@") else (line[0], line[1:])
            yield f"{mark}{indent}    {rest}"
        return
    for mark, value in (("-", before), ("+", after)):
        yield f"{mark}{indent}{change.name}: {_value(value)}"


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    return on_one_line(value) if isinstance(value, str) else as_json(msgspec.to_builtins(value))
