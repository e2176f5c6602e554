"""What goes to stdout: JSON, tables, long text; and the notes that go to stderr."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NoReturn

import click

from eventstore import codec
from eventstore.cli.text import cut, inline, width_of

#: JSON lines written at once.
_BATCH = 200

#: A flexible column is never cut below this.
_NARROWEST = 12


# -- JSON --------------------------------------------------------------------------------------

#: What JSON allows in a string, but must not reach a terminal: DEL, the C1 control characters and
#: marks that reorder text, in UTF-8. (JSON itself escapes the other control characters.)
_UNSAFE = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]",
)


def json_of(value: Any) -> bytes:
    """`value` as JSON on one line, UTF-8, safe to be printed to a terminal."""
    return _UNSAFE.sub(lambda match: b"\\u%04x" % ord(match[0].decode()), codec.encode(value))


def iso(us: int | None) -> str | None:
    """A time in µs since 1970 as ISO 8601 in UTC, always with six decimals."""
    if us is None:
        return None
    seconds, micros = divmod(us, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def write_json_lines(values: Iterable[Any]) -> None:
    """One JSON value per line."""
    _write(json_of(value) + b"\n" for value in values)


def write_json_array(values: Iterable[Any]) -> None:
    """A JSON array with one element per line, written as the values come."""
    _write(_array(values, b"", b"\n"))


def write_json_object(value: Mapping[str, Any]) -> None:
    """A JSON object with one field per line; lists and iterators have one element per line."""
    _write(_object(value))


def _array(values: Iterable[Any], indent: bytes, end: bytes) -> Iterator[bytes]:
    count = 0
    for value in values:
        yield (b",\n" if count else b"[\n") + indent + b"  " + json_of(value)
        count += 1
    yield (b"\n" + indent + b"]" if count else b"[]") + end


def _object(value: Mapping[str, Any]) -> Iterator[bytes]:
    separator = b"{\n"
    for key, item in value.items():
        yield separator + b"  " + json_of(key) + b": "
        if isinstance(item, list | Iterator):
            yield from _array(item, b"  ", b"")
        else:
            yield json_of(item)
        separator = b",\n"
    yield b"\n}\n"


def _write(pieces: Iterator[bytes]) -> None:
    while batch := b"".join(islice(pieces, _BATCH)):
        click.echo(batch, nl=False)


# -- for people --------------------------------------------------------------------------------


def say(message: str) -> None:
    """A note on stderr."""
    click.echo(f"eventstore: {inline(message)}", err=True)


def nothing(message: str) -> NoReturn:
    """Say that nothing was found and leave with exit code 1."""
    say(message)
    raise click.exceptions.Exit(1)


def page(lines: Iterable[str], *, pager: bool) -> None:
    """Print lines, through a pager when a person reads them on a terminal."""
    if pager and sys.stdin.isatty() and sys.stdout.isatty():
        click.echo_via_pager(f"{line}\n" for line in lines)
        return
    iterator = iter(lines)
    while batch := list(islice(iterator, _BATCH)):
        click.echo("\n".join(batch))


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is, None when it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    flexible: int = -1,
    width: int | None = None,
) -> list[str]:
    """Aligned lines: `right` columns to the right, `flexible` cut so that a line fits `width`."""
    flexible %= len(headings)
    widths = [
        max(width_of(heading), *(width_of(row[index]) for row in rows)) if rows else len(heading)
        for index, heading in enumerate(headings)
    ]
    if width is not None:
        room = width - sum(widths) - 2 * (len(widths) - 1) + widths[flexible]
        widths[flexible] = min(widths[flexible], max(room, _NARROWEST))

    def line(cells: Sequence[str]) -> str:
        padded = []
        for index, cell in enumerate(cells):
            shown = cut(cell, widths[index])
            blanks = " " * (widths[index] - width_of(shown))
            padded.append(blanks + shown if index in right else shown + blanks)
        return "  ".join(padded).rstrip()

    return [click.style(line(headings), bold=True), *map(line, rows)]


class ProgressLine:
    """One line on stderr that is overwritten; nothing at all unless stderr is a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._text = ""

    def show(self, text: str) -> None:
        """Replace the line."""
        if not self._shown:
            return
        text = cut(inline(text), shutil.get_terminal_size().columns - 1)
        if text != self._text:
            self._put(text)

    def clear(self) -> None:
        """Remove the line."""
        if self._text:
            self._put("")

    def _put(self, text: str) -> None:
        blanks = " " * max(0, width_of(self._text) - width_of(text))
        click.echo(f"\r{text}{blanks}" + ("" if text else "\r"), nl=False, err=True)
        self._text = text


@contextmanager
def progress_line() -> Iterator[ProgressLine]:
    """A progress line that is gone afterwards."""
    line = ProgressLine()
    try:
        yield line
    finally:
        line.clear()
