"""``eventstore vacuum``."""

from __future__ import annotations

import click

from eventstore.cli.erasing_shapes import vacuumed_shape
from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import progress_line, say, write_json_object
from eventstore.vacuum import Figures


@click.command()
@click.option(
    "--seconds", metavar="N", type=click.FloatRange(min=0), help="Stop after about so long."
)
@click.option("--full", is_flag=True, help="Write the whole file anew; writers wait meanwhile.")
@shared_options
@click.pass_obj
def vacuum(settings: Settings, seconds: float | None, full: bool) -> None:
    """Give space that nothing uses back to the file system.

    \b
    Examples:
      eventstore vacuum
      eventstore vacuum --seconds 10
      eventstore vacuum --full --json | jq .after.file_bytes

    In short steps, between which others write. --full also packs pages that are half empty; it
    needs room for the file twice more while it runs.
    """  # noqa: D301
    if full and seconds is not None:
        raise click.UsageError("--full is done in one go, so --seconds cannot end it")
    with settings.open_for_writing() as store, progress_line() as line:
        done = store.vacuum(
            seconds=seconds,
            full=full,
            progress=lambda at, end: line.show(f"giving back {at:,} of {end:,} bytes"),
        )
    if settings.format is Format.JSON:
        write_json_object(vacuumed_shape(done))
        return
    click.echo(f"before: {_told(done.before)}")
    click.echo(f"after:  {_told(done.after)}")
    if done.cause is not None:
        say(done.cause)


def _told(figures: Figures) -> str:
    return (
        f"{figures.file_bytes:,} bytes, {figures.free_bytes:,} of them free; "
        f"write-ahead log {figures.wal_bytes:,} bytes"
    )
