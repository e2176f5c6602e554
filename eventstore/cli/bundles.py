"""``eventstore verify-bundle``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from eventstore.bundles.checking import EXITS, Report, check_bundle, key_text
from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import write_json_object
from eventstore.cli.text import inline, plural


@click.command("verify-bundle")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--key", "keys", multiple=True, metavar="VKEY", help="The log's verifier key, or a file of it."
)
@click.option(
    "--older",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="NOTE",
    help="A checkpoint of the log that was kept elsewhere; can be repeated.",
)
@shared_options
@click.pass_obj
def verify_bundle(
    settings: Settings, bundle: Path, keys: Sequence[str], older: Sequence[Path]
) -> None:
    """Check a bundle that somebody gave you.

    \b
    Examples:
      eventstore verify-bundle log-bundle --key example.vkey --older note-of-march.txt
      eventstore verify-bundle bundle.tar --key example.com/log+5a1c…+AV… --json

    BUNDLE is a folder or a .tar, as `eventstore export --format bundle` makes them. The key and the
    older checkpoint must come from elsewhere than the bundle. The script verify_bundle.py, which
    needs nothing but Python, says the same.

    \b
    Exit codes:
      0  VERIFIED: all is right, signed, and agrees with the older checkpoints; also with n
         erased and m withheld
      3  NOT VERIFIED: something is wrong, or cannot be read
      4  UNSIGNED: all is right, but no trusted key signed it
      5  UNANCHORED: right and signed, but compared with no older checkpoint
    """  # noqa: D301
    report = check_bundle(
        bundle,
        [key_text(key) for key in keys],
        [(f"--older {path}", path.read_bytes()) for path in older],
    )
    if settings.format is Format.JSON:
        write_json_object(_shape(report))
    else:
        click.echo("\n".join(_lines(report)))
    raise click.exceptions.Exit(EXITS[report.verdict])


def _shape(report: Report) -> dict[str, object]:
    return {
        "verdict": report.text,
        "exit": EXITS[report.verdict],
        "origin": report.origin,
        "mode": report.mode,
        "size": report.size,
        "root": None if report.root is None else report.root.hex(),
        "sessions": report.sessions,
        "shown": report.shown,
        "erased": report.erased,
        "withheld": report.withheld,
        "signed_by": report.signed_by,
        "compared": report.compared,
        "findings": report.findings,
    }


def _lines(report: Report) -> list[str]:
    lines = [inline(one) for one in report.findings]
    if report.origin is not None and report.size is not None:
        lines.append(f"{inline(report.origin)}: a checkpoint of {plural(report.size, 'event')}")
    lines.append(f"signed by {inline(report.signed_by)}" if report.signed_by else "not signed")
    if report.mode is not None:
        what = "the whole log" if report.mode == "log" else "chosen sessions"
        lines.append(f"{what}: {plural(report.sessions or 0, 'session')}")
    if report.compared:
        sizes = ", ".join(str(size) for size in report.compared)
        lines.append(f"agrees with the older checkpoints of {sizes} events")
    return [*lines, report.text]
