"""``eventstore erase``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from eventstore import erasing, traces
from eventstore.checkpoints import keyfiles
from eventstore.checkpoints.keeping import Checkpoints
from eventstore.cli.erasing_shapes import NOT_REACHED, finished_shape, plan_shape, receipt_shape
from eventstore.cli.options import Format, Settings, find, shared_options
from eventstore.cli.output import iso, nothing, say, write_json_object
from eventstore.cli.text import inline, plural
from eventstore.erasing import Item, Plan, Reach, Receipt, Rule, Selection
from eventstore.erasing.expansion import DERIVED
from eventstore.store.session_store import SessionStore


def _range(text: str) -> tuple[int, int | None]:
    """``5``, ``5-9`` or ``5-`` as first and last."""
    first, dash, last = text.partition("-")
    try:
        return int(first), int(last) if last else None if dash else int(first)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no number and no range such as 5-9") from error


def _ranges(
    _: click.Context, __: click.Parameter, values: Sequence[str]
) -> tuple[tuple[int, int | None], ...]:
    return tuple(map(_range, values))


def _pairs(
    _: click.Context, __: click.Parameter, values: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    pairs = [value.partition("=") for value in values]
    for key, mark, value in pairs:
        if not (key and mark):
            raise click.BadParameter(f"{key + mark + value!r} is not KEY=VALUE")
    return tuple((key, value) for key, _, value in pairs)


@click.command()
@click.argument("sessions", metavar="[SESSION]...", nargs=-1)
@click.option("--prefix", metavar="TEXT", help="Every session whose id begins so.")
@click.option(
    "--metadata", metavar="KEY=VALUE", multiple=True, callback=_pairs,
    help="Every session that was created with this.",
)  # fmt: skip
@click.option(
    "--seq", "seqs", metavar="N[-M]", multiple=True, callback=_ranges,
    help="Only these messages of the sessions.",
)  # fmt: skip
@click.option("--author", metavar="NAME", help="Only messages with this name.")
@click.option(
    "--message-metadata", metavar="KEY=VALUE", multiple=True, callback=_pairs,
    help="Only messages with this in their metadata.",
)  # fmt: skip
@click.option("--search", "query", metavar="QUERY", help="Only what a search finds, all of it.")
@click.option("--text", metavar="TEXT", help="Only events with this anywhere in their content.")
@click.option(
    "--position", "positions", metavar="N[-M]", multiple=True, callback=_ranges,
    help="The events at these places of the log.",
)  # fmt: skip
@click.option("--only", is_flag=True, help="Nothing that was derived from it.")
@click.option(
    "--keep", metavar="RULE", multiple=True, type=click.Choice([rule.value for rule in DERIVED]),
    help=f"Not what was derived in this way: {', '.join(DERIVED)}.",
)  # fmt: skip
@click.option("--sub-agents", is_flag=True, help="Sessions that were spawned from it as well.")
@click.option("--forks", is_flag=True, help="Sessions that were forked from it as well.")
@click.option("--by", metavar="WHO", help="Who erases.")
@click.option("--reason", metavar="WHY", help="Why, without repeating what is erased.")
@click.option("--basis", metavar="LAW", help="The legal basis.")
@click.option(
    "--key", "key_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Sign a checkpoint afterwards with this key (`eventstore keys`).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="List what would be erased, and erase nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--finish", is_flag=True, help="Finish erasures that are not complete.")
@shared_options
@click.pass_obj
def erase(settings: Settings, /, **options: Any) -> None:
    """Erase content for good, with what was derived from it.

    \b
    Examples:
      eventstore erase 5f3a9c1e --seq 4-6 --dry-run
      eventstore erase 5f3a9c1e --by "privacy desk" --reason "request 12" --basis "GDPR 17(1)(b)"
      eventstore erase --metadata user=u-77 --yes
      eventstore erase --text "ada@example.org" --keep title
      eventstore erase --finish

    SESSION alone means all of it, its id too. Facts and hashes stay, so that the log still
    verifies; who, why and what is kept as an event. It asks before it erases; a script says --yes.
    The receipt names what was not reached. Exit code 1 when nothing was found, or when a trace
    may be left in the file: --finish tries again.
    """  # noqa: D301
    if options["finish"]:
        _finish(settings)
        return
    reach = Reach(
        only=options["only"],
        keep=tuple(map(Rule, options["keep"])),
        sub_agents=options["sub_agents"],
        forks=options["forks"],
    )
    if options["dry_run"]:
        # A search may have to bring its index forward; that is all a dry run writes.
        searching = options["query"] is not None
        opened = settings.open_for_writing() if searching else settings.open_for_reading()
        with opened as store:
            made = erasing.plan(store, _selection(store, options), reach)
        _show_plan(settings, made)
        return
    if not options["yes"] and not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked: say --yes, or --dry-run to look first")
    key = options["key_file"]
    signing = None if key is None else Checkpoints(keyfiles.load(key))
    with settings.open_for_writing(checkpoints=signing) as store:
        chosen = _selection(store, options)
        made = erasing.plan(store, chosen, reach)
        if not (made.items or made.streams):
            nothing("there is nothing to erase")
        if not options["yes"]:
            _ask(made)
        receipt = erasing.erase(
            store, chosen, reach, by=options["by"], reason=options["reason"],
            basis=options["basis"], confirmed=None if options["yes"] else made,
        )  # fmt: skip
    _show_receipt(settings, receipt)


def _selection(store: SessionStore, options: dict[str, Any]) -> Selection:
    return Selection(
        sessions=tuple(find(store, name).name for name in options["sessions"]),
        prefix=options["prefix"],
        metadata=options["metadata"],
        seqs=options["seqs"],
        positions=tuple(
            (first, store.head.position if last is None else last)
            for first, last in options["positions"]
        ),
        author=options["author"],
        message_metadata=options["message_metadata"],
        query=options["query"],
        text=options["text"],
    )


def _finish(settings: Settings) -> None:
    with settings.open_for_writing() as store:
        done = traces.finish(store.log)
    if settings.format is Format.JSON:
        write_json_object(finished_shape(done))
    elif done.complete:
        click.echo("complete: nothing that was erased is left in the file")
    if not done.complete:
        say(f"not complete: {done.cause}")
        raise click.exceptions.Exit(1)


def _ask(made: Plan) -> None:
    for line in _plan_lines(made):
        click.echo(line, err=True)
    click.confirm("Erase this for good?", abort=True, err=True)


def _show_plan(settings: Settings, made: Plan) -> None:
    if settings.format is Format.JSON:
        write_json_object(plan_shape(made))
        return
    for line in _plan_lines(made):
        click.echo(line)


def _show_receipt(settings: Settings, receipt: Receipt) -> None:
    erased = receipt.erased
    if settings.format is Format.JSON:
        write_json_object(receipt_shape(receipt))
    else:
        for line in (*_item_lines(receipt.plan.items), *_receipt_lines(receipt)):
            click.echo(line)
    if not erased.complete:
        say(f"not complete: {erased.cause}; run `eventstore erase --finish`")
        raise click.exceptions.Exit(1)


# -- for people --------------------------------------------------------------------------------


def _plan_lines(made: Plan) -> Iterator[str]:
    yield from _item_lines(made.items)
    sessions = len({item.stream for item in made.items} | set(made.streams))
    yield f"{plural(len(made.items), 'event')} of {plural(sessions, 'session')} to erase"
    yield from _staying_lines(made)


def _item_lines(items: Sequence[Item]) -> Iterator[str]:
    for session, group in groupby(items, lambda item: item.session):
        yield inline(session)
        yield from map(_item_line, group)


def _item_line(item: Item) -> str:
    what = item.type if item.seq is None else f"{item.type} {item.seq}"
    why = item.rule if item.because is None else f"{item.rule}, from event {item.because}"
    return f"{item.position:>8}  {what:<24}  {why}"


def _staying_lines(made: Plan) -> Iterator[str]:
    for name in made.sessions:
        yield f"as a whole, its id too: {inline(name)}"
    for session, group in groupby(made.left, lambda item: item.session):
        positions = ", ".join(f"{item.position} ({item.rule})" for item in group)
        yield f"derived, but kept, of {inline(session)}: {positions}"
    for name in made.forks:
        yield f"stays: {inline(name)}, a fork of it (--forks)"
    for name in made.sub_agents:
        yield f"stays: {inline(name)}, spawned from it (--sub-agents)"
    for name in made.named:
        yield f"stays: {inline(name)}, whose id says it"
    for one in made.exports:
        whom = "nobody named" if one.recipient is None else inline(one.recipient)
        yield f"exported: {inline(one.session)} as {one.format} on {iso(one.at)}, for {whom}"


def _receipt_lines(receipt: Receipt) -> Iterator[str]:
    erased = receipt.erased
    told = ", ".join(map(str, erased.events))
    yield f"erased {plural(len(erased.positions), 'event')}; on the record at {told}"
    if erased.complete:
        again = ", which was written anew" if erased.rewritten else ""
        yield f"complete: no trace is left in the file{again}"
    yield from _staying_lines(receipt.plan)
    for position in erased.shared_blobs:
        yield f"stays: event {position} has a large text in common with it"
    yield "not reached:"
    for text in NOT_REACHED:
        yield f"  {text}"
