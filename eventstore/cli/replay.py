"""``eventstore replay``: a session step by step."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from eventstore.cli.options import Format, Settings, find, listing_options, pager_option
from eventstore.cli.output import nothing, page, say, write_json_array, write_json_lines
from eventstore.cli.points import point_option
from eventstore.cli.render import step_lines
from eventstore.cli.shapes import step_shape
from eventstore.replaying.steps import Step
from eventstore.store.points import At
from eventstore.store.session import Session

_PROMPT = "Enter for the next step, q to leave: "


class _Passing:
    """Steps on their way to the output; remembers what became of them."""

    def __init__(self, steps: Iterator[Step]) -> None:
        self._steps = steps
        self.count = 0
        self.stopped = False

    def __iter__(self) -> Iterator[Step]:
        for step in self._steps:
            self.count += 1
            self.stopped = step.stopped
            yield step


@click.command()
@click.argument("session")
@point_option("--from", "The first step: the one that leads to this point (see --at of `show`).")
@point_option("--to", "The last step: the one that leads to this point.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only events of this type; can be repeated.",
)
@click.option("--until", metavar="CONDITION", help="Stop after the first event that matches.")
@click.option("--step", "by_step", is_flag=True, help="Wait for Enter after each step.")
@pager_option
@listing_options
@click.pass_obj
def replay(
    settings: Settings,
    /,
    session: str,
    types: Sequence[str],
    until: str | None,
    by_step: bool,
    no_pager: bool,
    **points: At | None,
) -> None:
    """Go through a session's events, step by step.

    \b
    Examples:
      eventstore replay 5f3a9c1e
      eventstore replay 5f3a9c1e --step
      eventstore replay 5f3a9c1e --from round:3 --until 'tool=bash and text~denied'
      eventstore replay 5f3a9c1e --type context.compacted --jsonl | jq .removed

    A step is an event with the session's state before and after it. A condition is one or more
    terms joined by `and`: type= role= tool= call= seq= round= version= are equal to the value,
    text~ type~ role~ tool~ hold it; put double quotes around a value with blanks. The event
    that stops the replay is shown whatever its type; exit code 1 when none did.
    """  # noqa: D301
    if by_step and not (settings.format is Format.TEXT and _at_terminal()):
        raise click.UsageError("--step needs a terminal, and goes with neither --json nor --jsonl.")
    with settings.open_for_reading() as store:
        found = find(store, session)
        steps = _Passing(_replayed(found, points["from"], points["to"], types, until))
        if settings.format is Format.JSON:
            write_json_array(step_shape(step, found) for step in steps)
        elif settings.format is Format.JSONL:
            write_json_lines(step_shape(step, found) for step in steps)
        elif by_step:
            _by_step(iter(steps))
        else:
            page((line for step in steps for line in step_lines(step)), pager=not no_pager)
    if until is not None and not by_step and not steps.stopped:
        nothing(f"no event matches {until!r}")
    if not steps.count:
        nothing(f"no event matches in {settings.path}")


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _replayed(
    session: Session, first: At | None, last: At | None, types: Sequence[str], until: str | None
) -> Iterator[Step]:
    after = 0 if first is None else max(0, session.version_at(first) - 1)
    return session.replay(after=after, upto=last, types=types or None, until=until)


def _by_step(steps: Iterator[Step]) -> None:
    """Print a step whenever Enter is pressed."""
    step = next(steps, None)
    while step is not None:
        click.echo("\n".join(step_lines(step)))
        step = next(steps, None)
        if step is None:
            say("that was the last step")
            return
        click.echo(_PROMPT, nl=False, err=True)
        answer = sys.stdin.readline()
        if not answer or answer.strip().lower() == "q":
            return
