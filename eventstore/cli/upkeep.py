"""``eventstore rebuild``, ``check`` and ``verify``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import ProgressLine, progress_line, write_json_object
from eventstore.cli.render import as_json
from eventstore.cli.shapes import difference_shape, verification_shape
from eventstore.cli.text import inline, plural
from eventstore.errors import StoreError
from eventstore.log.port import Head
from eventstore.log.verification import Finding
from eventstore.store.derived import NAMES
from eventstore.store.session_store import SessionStore

#: Exit code for a store that is not as it should be.
INTEGRITY = 3

_NAMES = click.Choice(NAMES)


def _told(line: ProgressLine, verb: str) -> Callable[[int, int], None]:
    return lambda position, head: line.show(f"{verb} {position:,} of {head:,} events")


@click.command()
@click.argument("projections", metavar="[PROJECTION]...", nargs=-1, type=_NAMES)
@shared_options
@click.pass_obj
def rebuild(settings: Settings, projections: Sequence[str]) -> None:
    """Derive projections anew from the log.

    \b
    Examples:
      eventstore rebuild
      eventstore rebuild messages --json

    The new ones are swapped in when they are complete; without a name all are rebuilt. Readers and
    writers go on meanwhile; an interrupted rebuild is resumed by the next one.
    """  # noqa: D301
    with settings.open_for_writing() as store, progress_line() as line:
        told = _told(line, "rebuilding from")
        rebuilt = store.rebuild(projections or None, lambda _, position, head: told(position, head))
        position = store.head.position
    if settings.format is Format.JSON:
        write_json_object({"rebuilt": rebuilt, "position": position})
    else:
        click.echo(f"rebuilt from {plural(position, 'event')}: {', '.join(rebuilt)}")


@click.command()
@click.argument("projections", metavar="[PROJECTION]...", nargs=-1, type=_NAMES)
@shared_options
@click.pass_obj
def check(settings: Settings, projections: Sequence[str]) -> None:
    """Compare projections with the log.

    \b
    Examples:
      eventstore check
      eventstore check sessions --json

    Derives them a second time. Exit code 3 and the rows that differ when they do; `eventstore
    rebuild` puts that right.
    """  # noqa: D301
    with settings.open_for_reading() as store, progress_line() as line:
        differences = store.check(projections or None, _told(line, "checking"))
        position = store.head.position
    names = list(projections or NAMES)
    if settings.format is Format.JSON:
        write_json_object(
            {
                "ok": not differences,
                "checked": names,
                "position": position,
                "differences": [difference_shape(difference) for difference in differences],
            }
        )
    elif differences:
        for difference in differences:
            shape = difference_shape(difference)
            click.echo(f"{shape['table']}: {shape['kind']} row {inline(as_json(shape['row']))}")
        click.echo(f"{plural(len(differences), 'difference')}; run `eventstore rebuild`")
    else:
        click.echo(f"no differences: {', '.join(names)} at {plural(position, 'event')}")
    if differences:
        raise click.exceptions.Exit(INTEGRITY)


@click.command()
@shared_options
@click.pass_obj
def verify(settings: Settings) -> None:
    """Check the log against its hashes.

    \b
    Examples:
      eventstore verify
      eventstore verify --json | jq .ok

    Exit code 3 and the findings when something is not as it was written. What verify cannot see:
    that the newest events were cut off, or everything written anew. `eventstore checkpoint` makes a
    note to be kept somewhere else, with which the log can be compared then. So do, less well, the
    number of events and the head: the head binds the earlier events of its own session only.
    """  # noqa: D301
    with settings.open_for_reading(derived=False) as store, progress_line() as line:
        findings = store.verify(_told(line, "verifying"))
        head = head_of(store)
    if settings.format is Format.JSON:
        write_json_object(verification_shape(findings, head))
    else:
        for text in verification_lines(findings, head):
            click.echo(text)
    if findings:
        raise click.exceptions.Exit(INTEGRITY)


def head_of(store: SessionStore) -> Head | None:
    """The end of the log, None when it cannot be read."""
    try:
        return store.head
    except StoreError:
        return None


def verification_lines(findings: Sequence[Finding], head: Head | None) -> list[str]:
    """What `verify` prints for people."""
    lines = [
        f"{'log' if one.position is None else f'event {one.position}'}: "
        f"{one.kind}: {inline(one.message)}"
        for one in findings
    ]
    checked = "unknown" if head is None else plural(head.position, "event")
    if head is not None:
        lines.append(f"head {head.leaf.hex()}")
    if findings:
        lines.append(f"{checked}, {plural(len(findings), 'finding')}: the log was changed")
    else:
        lines.append(f"{checked}, no findings: nothing in the log was changed")
    return lines
