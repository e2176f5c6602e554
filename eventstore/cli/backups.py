"""``eventstore backup``, ``restore`` and ``erasures``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from eventstore import backup as backups
from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import ProgressLine, progress_line, say, write_json_object
from eventstore.cli.salvage import two_paths
from eventstore.cli.text import inline, plural
from eventstore.cli.upkeep import INTEGRITY
from eventstore.errors import InvalidValueError

_path = click.Path(path_type=Path)


def _told(line: ProgressLine, verb: str) -> Callable[[str, int, int], None]:
    def tell(part: str, at: int, end: int) -> None:
        line.show(f"{verb if part == 'bytes' else 'verifying'} {at:,} of {end:,} {part}")

    return tell


@click.command()
@click.argument("paths", metavar="[STORE] FILE", nargs=-1, type=_path, required=True)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@shared_options
@click.pass_obj
def backup(settings: Settings, paths: Sequence[Path], overwrite: bool) -> None:
    """Copy the store while it is in use, and verify the copy.

    \b
    Examples:
      eventstore backup monday.db
      eventstore backup sessions.db /mnt/disk/sessions.db --overwrite
      eventstore backup monday.db --json | jq -r .head

    Others may read and write meanwhile. FILE is one file that only you can read; it is there when
    it has been verified, or not at all. Exit code 3 when verify finds something in it, which the
    store then has too. A backup keeps what is erased later: see `eventstore restore`.
    """  # noqa: D301
    store, file = two_paths(settings, paths)
    with progress_line() as line:
        made = backups.backup(store, file, overwrite=overwrite, progress=_told(line, "copying"))
    if settings.format is Format.JSON:
        write_json_object(
            {
                "ok": not made.findings,
                "file": made.path,
                "bytes": made.size,
                "events": made.head.position,
                "head": made.head.leaf.hex(),
                "findings": len(made.findings),
            }
        )
    else:
        events = plural(made.head.position, "event")
        click.echo(f"{inline(made.path)}: {events}, {plural(made.size, 'byte')}")
        click.echo(f"head {made.head.leaf.hex()}")
        if made.findings:
            found = plural(len(made.findings), "finding")
            say(f"verify has {found} in the copy, and so in the store")
    if made.findings:
        raise click.exceptions.Exit(INTEGRITY)


@click.command()
@click.argument("paths", metavar="FILE [STORE]", nargs=-1, type=_path, required=True)
@click.option(
    "--erasures-from",
    "sources",
    multiple=True,
    type=_path,
    metavar="SOURCE",
    help="A store, or a .json file of `eventstore erasures`; can be repeated.",
)
@click.option(
    "--without-erasures", is_flag=True, help="Bring back what was erased since the backup."
)
@shared_options
@click.pass_obj
def restore(
    settings: Settings, paths: Sequence[Path], sources: Sequence[Path], without_erasures: bool
) -> None:
    """Put a backup in the place of the store.

    \b
    Examples:
      eventstore restore monday.db
      eventstore restore monday.db sessions.db --erasures-from erasures.json
      eventstore restore monday.db new.db --without-erasures

    What was erased since is erased in the copy before anybody can read it. It is learnt from the
    store that is there and from SOURCE; without either, say --without-erasures. The store that is
    there is replaced in one step, and kept beside it under another name. Nobody may have it open.
    Where checkpoints were made, the copy gets an origin of its own, and an event says so.
    """  # noqa: D301
    if without_erasures and sources:
        raise click.UsageError("--without-erasures and --erasures-from exclude each other")
    store, file = two_paths(settings, paths[::-1])
    with progress_line() as line:
        try:
            done = backups.restore(
                file,
                store,
                erasures_from=sources,
                without_erasures=without_erasures,
                progress=_told(line, "restoring"),
            )
        except InvalidValueError as error:
            raise InvalidValueError(f"{error} (--erasures-from, --without-erasures)") from error
    if settings.format is Format.JSON:
        write_json_object(
            {
                "store": done.path,
                "events": done.head.position,
                "head": done.head.leaf.hex(),
                "erased": list(done.erased),
                "replaced": done.replaced,
                "origin": done.origin,
            }
        )
        return
    click.echo(f"{inline(done.path)}: {plural(done.head.position, 'event')} restored")
    if done.erased:
        click.echo(f"erased again: {plural(len(done.erased), 'event')}")
    if done.replaced is not None:
        click.echo(f"the store that was there: {inline(done.replaced)}")
    if done.origin is not None:
        click.echo(f"in checkpoints it is a log of its own now: {done.origin}")


@click.command()
@shared_options
@click.pass_obj
def erasures(settings: Settings) -> None:
    """List what was erased, to be kept elsewhere.

    \b
    Examples:
      eventstore erasures
      eventstore erasures --json > erasures.json

    A list that is kept where the store is not lets `eventstore restore --erasures-from` erase again
    what was erased after a backup, should the store be lost. It holds no content.
    """  # noqa: D301
    found = backups.erasures(settings.path)
    if settings.format is Format.JSON:
        write_json_object(backups.exported(found))
        return
    for one in found:
        what = "session" if one.scope == "session" else plural(len(one.events), "event")
        by = f" by {inline(one.by)}" if one.by else ""
        reason = f": {inline(one.reason)}" if one.reason else ""
        basis = f" ({inline(one.basis)})" if one.basis else ""
        click.echo(f"{one.uid}  {what}{by}{reason}{basis}")
    click.echo(plural(len(found), "erasure"))
