"""Source records: kept once, given back byte for byte.

An event made from a source record keeps, in its content's `record`, a *skeleton* of it: the
record with references in place of what the content holds anyway (`references`). `restore` puts
the two together again. A skeleton is one of

- ``{"style": …, "value": …}``: JSON written in one of the known styles, see `STYLES`,
- ``{"raw": text}``: a line in no known style (odd spacing, repeated keys) or no JSON at all,
- ``{"raw_base64": text}``: bytes that are not UTF-8.

`restore` of a skeleton and its content is the line, for every line.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from eventstore import codec
from eventstore.errors import EventFormatError, NotJSONError
from eventstore.events.catalogue import Content
from eventstore.importers import references

#: A content that holds nothing to refer to.
_EMPTY = Content()


def _dumps(**options: Any) -> Callable[[Any], bytes]:
    def write(value: Any) -> bytes:
        return json.dumps(value, allow_nan=False, **options).encode("utf-8")

    return write


#: How JSON is written: by `JSON.stringify` and the like, by Python's `json`, with and without
#: ASCII escapes.
STYLES: dict[str, Callable[[Any], bytes]] = {
    "compact": codec.encode,
    "spaced": _dumps(ensure_ascii=False),
    "spaced_ascii": _dumps(),
    "compact_ascii": _dumps(separators=(",", ":")),
}


def style_of(value: Any, line: bytes) -> str | None:
    """The style in which writing `value` gives exactly `line`, or None."""
    for style, write in STYLES.items():
        try:
            if write(value) == line:
                return style
        except (UnicodeEncodeError, NotJSONError, ValueError):
            continue
    return None


def storable(value: Any) -> bool:
    """Whether JSON gives this value back equal (not so: some numbers, which no style writes)."""
    try:
        return bool(codec.decode(codec.encode(value)) == value)
    except (NotJSONError, EventFormatError):
        return False


def skeleton(value: Any, line: bytes, content: Any, style: str | None) -> dict[str, Any]:
    """What to keep of a record beside `content` so that `restore` gives `line` back.

    `value` is what `line` says as JSON, `style` its `style_of`, and `content` the content of the
    event (a Struct) that will hold the skeleton, made from `value` where possible out of the very
    same objects: what is shared is stored once.
    """
    if style is None:
        return raw(line)
    if content == _EMPTY and b"$" not in line:
        # Nothing to refer to, and nothing like a marker: every style writes its $ plainly.
        return {"style": style, "value": value}
    return {"style": style, "value": references.shorten(value, content)}


def raw(line: bytes) -> dict[str, Any]:
    """The skeleton of a line that is kept as it is."""
    try:
        return {"raw": line.decode("utf-8")}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(line).decode("ascii")}


def restore(record: Any, content: Any) -> bytes:
    """The source line of a skeleton and the content it stands in.

    Raises `EventFormatError` when the skeleton has no known shape or refers to what is not there.
    """
    try:
        if "raw" in record:
            return bytes(record["raw"].encode("utf-8"))
        if "raw_base64" in record:
            return base64.b64decode(record["raw_base64"], validate=True)
        return STYLES[record["style"]](references.lengthen(record["value"], content))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise EventFormatError(
            f"an imported record cannot be given back: {type(error).__name__}: {error}"
        ) from error
