"""Points in the past as people type them: ``12``, ``seq:40``, ``2026-01-05T10:00``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from eventstore.cli.times import EXAMPLES, time_of
from eventstore.store.points import At

Function = TypeVar("Function", bound=Callable[..., Any])

_COUNTED: dict[str, Callable[[int], At]] = {
    "version": At.version,
    "seq": At.seq,
    "round": At.round,
    "position": At.position,
    "before": At.before_compaction,
    "after": At.after_compaction,
}


def point_of(text: str) -> At:
    """The point of a session that is meant; raises `click.BadParameter`."""
    text = text.strip()
    kind, colon, number = text.partition(":")
    if not colon and text.isascii() and text.isdigit():
        return At.version(int(text))
    counted = _COUNTED.get(kind)
    if counted is not None and colon:
        if not (number.isascii() and number.isdigit()):
            raise click.BadParameter(f"{text!r}: after {kind}: comes a whole number")
        return counted(int(number))
    try:
        return At.time(time_of(text.removeprefix("time:")))
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is no point; use a version (12), seq:40, round:3, position:1234, before:1 "
            f"or after:1 (a compaction), or a time: {EXAMPLES}"
        ) from error


def _taken(_: click.Context, __: click.Parameter, value: str | None) -> At | None:
    return None if value is None else point_of(value)


def point_option(name: str, help: str) -> Callable[[Function], Function]:  # noqa: A002
    """An option ``--name POINT``, given to the command as an `At`."""
    return click.option(name, metavar="POINT", callback=_taken, help=help)
