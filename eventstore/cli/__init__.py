"""The command line: `main` is the command ``eventstore``.

Data goes to stdout, everything else to stderr. A command only parses, calls the store and prints.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import IO, Any

import click

from eventstore import __version__
from eventstore.cli.backups import backup, erasures, restore
from eventstore.cli.bundles import verify_bundle
from eventstore.cli.checkpoint import checkpoint
from eventstore.cli.consumers import consumers
from eventstore.cli.context import context as context_command
from eventstore.cli.demo import demo
from eventstore.cli.diff import diff_command
from eventstore.cli.doctor import doctor
from eventstore.cli.erasing import erase
from eventstore.cli.exporting import export
from eventstore.cli.fixture import fixture
from eventstore.cli.importing import import_
from eventstore.cli.keys import keys
from eventstore.cli.lineage import fork, tree
from eventstore.cli.log import log
from eventstore.cli.options import Format, Settings, db_option
from eventstore.cli.output import json_of
from eventstore.cli.proof import proof
from eventstore.cli.redacting import redact_command
from eventstore.cli.replay import replay
from eventstore.cli.retention import hold, retain_command
from eventstore.cli.salvage import salvage
from eventstore.cli.search import search
from eventstore.cli.sessions import sessions
from eventstore.cli.show import resume, show
from eventstore.cli.stats import stats
from eventstore.cli.text import inline
from eventstore.cli.upkeep import INTEGRITY, check, rebuild, verify
from eventstore.cli.vacuum import vacuum
from eventstore.errors import CheckpointError, CorruptStoreError, EventStoreError

_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class _Failure(click.ClickException):
    """An error as the user is told it: one line, or with ``--json`` one JSON object."""

    def __init__(self, kind: str, message: str, context: click.Context) -> None:
        super().__init__(message)
        self.kind = kind
        self.as_json = context.ensure_object(Settings).format is not Format.TEXT

    def show(self, file: IO[Any] | None = None) -> None:
        if self.as_json:
            error = {"error": {"kind": self.kind, "message": self.message}}
            click.echo(json_of(error), file=file, err=True)
        else:
            click.echo(f"eventstore: error: {inline(self.message)}", file=file, err=True)


class _Damaged(_Failure):
    """The store is not as it should be."""

    exit_code = INTEGRITY


class _Interrupted(_Failure):
    """Ctrl-C."""

    exit_code = 130


class _Commands(click.Group):
    """The commands in the order they were added; what they raise becomes a message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except (CorruptStoreError, CheckpointError) as error:
            raise _Damaged(_kind(error), str(error), ctx) from error
        except EventStoreError as error:
            raise _Failure(_kind(error), str(error), ctx) from error
        except KeyboardInterrupt as error:
            raise _Interrupted("interrupted", "interrupted", ctx) from error
        except RuntimeError as error:
            if "home directory" not in str(error):  # what Path.expanduser says of ~nobody
                raise
            raise _Failure("invalid_value", f"a path begins with ~: {error}", ctx) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise _Failure(_kind(error), str(error), ctx) from error


def _kind(error: Exception) -> str:
    """``StoreMissingError`` → ``store_missing``."""
    name = type(error).__name__.removesuffix("Error")
    return _WORD_START.sub("_", name).lower()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Results go to stdout, everything else to stderr.",
)
@click.version_option(__version__, "--version", prog_name="eventstore")
@db_option
@click.pass_context
def main(context: click.Context) -> None:
    """Event-sourced store of LLM agent sessions.

    \b
    Examples:
      eventstore demo                            a tour on a made-up session
      eventstore import ~/.claude/projects       take in Claude Code transcripts
      eventstore sessions                        list what is stored
      eventstore show 5f3a9c1e                   read one, compacted messages too
      eventstore search docker compose           find messages, compacted ones too
      eventstore resume 5f3a9c1e --at 9 --json   what the model saw at version 9
      eventstore context 5f3a9c1e --at before:1  what it saw before a compaction
      eventstore diff 5f3a9c1e fork-2            where two runs went apart
      eventstore fork 5f3a9c1e --at seq:40       go on from there, in a session of its own
      eventstore verify                          was anything changed?

    \b
    The store is one SQLite file:
      --db FILE, before or after the command; else the environment variable
      EVENTSTORE_DB; else your own store (~/.local/share/agent-eventstore/sessions.db,
      under ~/Library/Application Support on macOS, %LOCALAPPDATA% on Windows).

    \b
    Exit codes:
      0    fine
      1    failed, or nothing found
      2    wrong usage
      3    the store is not as it should be: verify, check or doctor found
           something, salvage lost something, or the file is damaged
      4    verify-bundle: the bundle is right, but nobody whom you trust signed it
      5    verify-bundle: it is right and signed, but compared with nothing older
      130  interrupted
    """  # noqa: D301
    context.ensure_object(Settings)


_COMMANDS = (
    import_, export, verify_bundle, sessions, show, search, resume, context_command, diff_command,
    log, replay, fixture, fork, tree, consumers, stats, rebuild, check, verify, proof, checkpoint,
    keys, doctor, salvage, backup, restore, erase, redact_command, retain_command, hold, erasures,
    vacuum, demo,
)  # fmt: skip

for _command in _COMMANDS:
    main.add_command(_command)
