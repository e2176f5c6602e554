r"""A file as records: one per line, whatever its state.

Lines end at ``\n``; a ``\r`` before it, the line end itself and a byte order mark at the start of
the file are the file's framing and no part of a record. Blank lines are none. A line that is no
JSON object still is a record, with the reason why; two or more objects glued on one line are as
many records. Memory is bounded by the longest line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from eventstore import codec
from eventstore.errors import EventFormatError, ImportFailedError, NotJSONError
from eventstore.importers import records

#: A longer line is refused: it would have to be held in memory whole.
LINE_MAX = 256 * 1024 * 1024

#: Objects nested deeper are kept raw, so that a stored record stays below `codec.DEPTH_MAX`.
DEPTH_MAX = codec.DEPTH_MAX - 16

_BOM = b"\xef\xbb\xbf"


class Line(Struct, frozen=True):
    """One record of a file: its bytes without framing and the object they hold.

    `style` is how it is written (`records.STYLES`), None when in no known way. `value` is None for
    a damaged record, whose `reason` says what is wrong with it. A line that holds several objects
    is `glued` with their number in the first of them. `torn` is a last line without line end that
    is damaged: the file may have been copied while it was written.
    """

    number: int
    data: bytes
    value: dict[str, Any] | None = None
    style: str | None = None
    reason: str | None = None
    torn: bool = False
    glued: int = 0


def read_lines(file: BinaryIO, name: str) -> Iterator[Line]:
    """The records of a file opened for reading bytes; `name` stands in errors.

    Raises `ImportFailedError` for a line longer than `LINE_MAX`, `OSError` when reading fails.
    """
    number = 0
    while data := file.readline(LINE_MAX):
        number += 1
        if number == 1 and data.startswith(_BOM):
            data = data[len(_BOM) :]
        ended = data.endswith(b"\n")
        if not ended and len(data) >= LINE_MAX - len(_BOM):
            raise ImportFailedError(
                f"{name}: line {number} is longer than {LINE_MAX} bytes; split or remove it"
            )
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        if data and not data.isspace():
            yield from _records(number, data, ended)


def _records(number: int, data: bytes, ended: bool) -> Iterator[Line]:
    line = parse(number, data)
    if line.value is not None:
        yield line
        return
    halves = _unglue(number, data)
    if halves:
        halves[0] = replace(halves[0], glued=len(halves))
        yield from halves
    else:
        yield line if ended else replace(line, torn=True)


def parse(number: int, data: bytes) -> Line:
    """The record in one line's bytes: an object, or damaged when there is none to be stored."""
    try:
        value = codec.decode(data)
        if data.count(b"{") + data.count(b"[") > DEPTH_MAX:
            codec.require_json(value, "record", codec.DEPTH_MAX - DEPTH_MAX)
    except NotJSONError as error:
        return Line(number, data, reason=str(error))
    except (EventFormatError, UnicodeDecodeError):
        return Line(number, data, reason=_why_not(data))
    if type(value) is not dict:
        return Line(number, data, reason=f"a JSON {type(value).__name__}, not an object")
    style = records.style_of(value, data)
    if style is None and not records.storable(value):
        return Line(number, data, reason="it has a number that cannot be kept exactly")
    return Line(number, data, value, style)


def record(number: int, value: dict[str, Any]) -> Line:
    """The record of a source that has no lines, such as a row of a database, as a line.

    `number` is its place in the order it was read. Raises `NotJSONError` for a value that JSON
    cannot hold, such as bytes.
    """
    codec.require_json(value, "record", codec.DEPTH_MAX - DEPTH_MAX)
    return parse(number, codec.encode(value))


def _why_not(data: bytes) -> str:
    if b"\0" in data:
        return f"{data.count(0)} NUL bytes"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start}"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos} of {len(text)}"
    except RecursionError:
        return f"nested deeper than {DEPTH_MAX} levels"
    except ValueError:  # which Python alone raises, lest such numbers take it hours
        return "a number with too many digits"
    return "not JSON: a number that JSON cannot hold"


_decoder = json.JSONDecoder()


def _unglue(number: int, data: bytes) -> list[Line]:
    """The objects of a line that holds nothing but two or more objects; empty if it does not.

    Their bytes joined are the line: what stands between two belongs to the later one.
    """
    try:
        text = data.decode("utf-8")
        ends, end = [0], 0
        while text[end:].strip():
            start = end + len(text[end:]) - len(text[end:].lstrip())
            _, end = _decoder.raw_decode(text, start)
            ends.append(end)
    except (ValueError, RecursionError):
        return []
    ends[-1] = len(text)
    pieces = [text[a:b].encode() for a, b in pairwise(ends)]
    found = [parse(number, piece) for piece in pieces]
    return found if len(found) >= 2 and all(line.value is not None for line in found) else []
