"""``eventstore demo``: a tour on a made-up session."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path
from textwrap import indent

import click
from msgspec.structs import replace

from eventstore.cli.importing import report_table
from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import terminal_width, write_json_object
from eventstore.cli.render import chat_lines, message_lines
from eventstore.cli.shapes import message_shape, report_shape, verification_shape
from eventstore.cli.text import plural
from eventstore.cli.upkeep import INTEGRITY, head_of, verification_lines
from eventstore.errors import StoreError
from eventstore.importers.registry import import_paths
from eventstore.importers.reports import FileReport
from eventstore.log.verification import Finding
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

_SAMPLE = "demo_session.jsonl"


@click.command()
@shared_options
@click.pass_obj
def demo(settings: Settings) -> None:
    """Make a small store and walk through it.

    \b
    Examples:
      eventstore demo
      eventstore demo --db /tmp/tour.db

    Imports a transcript that comes with the program, shows what a model would be sent now, what
    it was sent before the conversation was compacted, and verifies the log. The store is made in
    a temporary folder unless --db names a file that does not exist yet; EVENTSTORE_DB and your
    own store are left alone.
    """  # noqa: D301
    path = _new_path(settings.db)
    with SessionStore.open(path) as store:
        report = _import_sample(store)
        session = store.session(report.sessions[0])
        before = session.compactions()[0].version - 1
        findings = store.verify()
        if settings.format is Format.JSON:
            _write_json(store, report, session, before, findings)
        else:
            _narrate(store, report, session, before, findings)
    if findings:
        raise click.exceptions.Exit(INTEGRITY)


def _new_path(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="eventstore-demo-")) / "sessions.db"
    if wanted.exists():
        raise StoreError(f"{wanted} exists; the demo only makes new stores: name another file")
    return wanted


def _import_sample(store: SessionStore) -> FileReport:
    with as_file(files("eventstore.cli") / _SAMPLE) as sample:
        [report] = import_paths(store, [sample])
    return report


def _write_json(
    store: SessionStore,
    report: FileReport,
    session: Session,
    before: int,
    findings: list[Finding],
) -> None:
    write_json_object(
        {
            "db": store.path,
            "session_id": session.id,
            "import": report_shape(report),
            "resume": session.chat(),
            "past": {
                "version": before,
                "messages": [message_shape(message) for message in session.messages(before)],
            },
            "verify": verification_shape(findings, head_of(store)),
        }
    )


def _narrate(
    store: SessionStore,
    report: FileReport,
    session: Session,
    before: int,
    findings: list[Finding],
) -> None:
    info, short = session.info(), session.id[:8]
    _step(
        f"1. A transcript becomes {plural(store.head.position, 'event')} in one append-only log.",
        f"eventstore --db {store.path} import {report.path}",
        report_table([replace(report, path=_SAMPLE)], terminal_width()),
    )
    _step(
        f"2. “{info.title}” has {plural(info.messages, 'message')}. It was compacted, so this is "
        f"what a model is sent now: {info.active_messages} of them.",
        f"eventstore --db {store.path} resume {short}",
        (line for message in session.chat() for line in chat_lines(message)),
    )
    _step(
        f"3. Nothing was lost. At version {before}, before the compaction, the model saw this:",
        f"eventstore --db {store.path} show {short} --at {before}",
        (line for message in session.messages(before) for line in message_lines(message)),
    )
    _step(
        "4. And every event can be checked against the hashes it was written with:",
        f"eventstore --db {store.path} verify",
        verification_lines(findings, head_of(store)),
    )
    click.echo(f"The store is {store.path}; try the commands above, or `eventstore --help`.")


def _step(text: str, command: str, lines: Iterable[str]) -> None:
    click.echo(click.style(text, bold=True))
    click.echo(click.style(f"$ {command}", dim=True))
    click.echo()
    click.echo(indent("\n".join(lines).rstrip(), "  "))
    click.echo()
