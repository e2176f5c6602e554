"""What the commands share: the options, the path of the store, and opening it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click

from eventstore.checkpoints.keeping import Checkpoints
from eventstore.cli.points import point_option
from eventstore.cli.times import EXAMPLES, time_of
from eventstore.errors import (
    NotAStoreError,
    StoreError,
    StoreMissingError,
    UnknownSessionError,
)
from eventstore.files import make_private
from eventstore.log.engine import MEMORY
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

Function = TypeVar("Function", bound=Callable[..., Any])

VARIABLE = "EVENTSTORE_DB"


class Format(StrEnum):
    """How results are written."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


class Settings:
    """What the shared options of one call say."""

    def __init__(self) -> None:
        self.db: Path | None = None
        self.format = Format.TEXT

    @property
    def path(self) -> Path:
        """The store's file: `--db`, else ``EVENTSTORE_DB``, else the user's own store."""
        if self.db is not None:
            return self.db
        named = os.environ.get(VARIABLE)
        return _file(Path(named)) if named else default_path()

    def open_for_reading(self, *, derived: bool = True) -> SessionStore:
        """Open a store that must be there, read-only where that is enough.

        Commands that read `derived` data need projections that are at the head of the log. Where
        they are behind, or the file has an older format, it is opened for writing once, which
        brings both forward.
        """
        try:
            store = SessionStore.open(self.path, readonly=True)
        except StoreMissingError as error:
            raise StoreMissingError(
                f"{error}; `eventstore import` makes one, --db names another file"
            ) from error
        except NotAStoreError:
            if self.path.is_dir() or not self.path.stat().st_size:
                raise
            return self.open_for_writing()
        if not derived or _is_current(store):
            return store
        store.close()
        return self.open_for_writing()

    def open_for_writing(
        self, *, create: bool = False, checkpoints: Checkpoints | None = None
    ) -> SessionStore:
        """Open the store for writing; `create` makes one, in a private folder if by default."""
        if create and self.path == default_path():
            make_private(self.path.parent)
        return SessionStore.open(self.path, create=create, checkpoints=checkpoints)


def _file(path: Path) -> Path:
    if str(path) == MEMORY:
        raise click.UsageError("a store in memory is gone when the command ends; name a file")
    return path.expanduser()


def _is_current(store: SessionStore) -> bool:
    try:
        with store.log.snapshot() as connection:
            return store.derived.is_current(connection)
    except StoreError:  # tables that opening for writing creates are missing
        return False


def default_path() -> Path:
    """The user's own store, where the platform keeps such data."""
    home = Path.home()
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        named = Path(os.environ.get("XDG_DATA_HOME", ""))
        folder = named if named.is_absolute() else home / ".local" / "share"
    return folder / "agent-eventstore" / "sessions.db"


def find(store: SessionStore, name: str) -> Session:
    """The session with this id or unique prefix of an id."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UnknownSessionError(f"{name!r} is not UTF-8, no session id starts so") from error
    return store.find(name)


# -- options -----------------------------------------------------------------------------------


def _take_db(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Settings).db = _file(value)


def db_option(function: Function) -> Function:
    """``--db FILE``, before and after the command's name."""
    return click.option(
        "--db",
        type=click.Path(path_type=Path),
        metavar="FILE",
        expose_value=False,
        is_eager=True,
        callback=_take_db,
        help=f"The store's file; else ${VARIABLE}, else your own store.",
    )(function)


def _format_option(chosen: Format, text: str) -> Callable[[Function], Function]:
    def take(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            settings = context.ensure_object(Settings)
            if settings.format not in (Format.TEXT, chosen):
                raise click.UsageError("--json and --jsonl exclude each other")
            settings.format = chosen

    return click.option(
        f"--{chosen}", is_flag=True, expose_value=False, is_eager=True, callback=take, help=text
    )


def shared_options(function: Function) -> Function:
    """``--json`` and ``--db``, which every command has."""
    return _format_option(Format.JSON, "Write JSON (docs/cli-json.md).")(db_option(function))


def listing_options(function: Function) -> Function:
    """The shared options and ``--jsonl``."""
    lines = _format_option(Format.JSONL, "Write JSON, one value per line.")
    return _format_option(Format.JSON, "Write JSON (docs/cli-json.md).")(lines(db_option(function)))


def at_option(function: Function) -> Function:
    """``--at POINT``, given to the command as an `At`."""
    text = (
        "As of then: a version (12), seq:40, round:3, position:1234, before:1 or after:1 (a "
        "compaction), or a time (2026-01-05T10:00, 2h)."
    )
    return point_option("--at", text)(function)


def pager_option(function: Function) -> Function:
    """``--no-pager``."""
    return click.option(
        "--no-pager", is_flag=True, help="Do not page, even if stdout is a terminal."
    )(function)


def since_option(function: Function) -> Function:
    """``--since WHEN``, given to the command in µs since 1970."""
    return click.option(
        "--since",
        metavar="WHEN",
        callback=_take_time,
        help="Only what was recorded since: ISO 8601, 2h, 7d, today or yesterday.",
    )(function)


def until_option(function: Function) -> Function:
    """``--until WHEN``, given to the command in µs since 1970."""
    return click.option(
        "--until",
        metavar="WHEN",
        callback=_take_time,
        help="Only what was recorded before: as --since.",
    )(function)


def _take_time(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else time_of(value)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{value!r} is no time; use {EXAMPLES}") from error
