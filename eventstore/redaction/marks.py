"""The marks that stand in the place of what was redacted, and texts compared across them."""

from __future__ import annotations

import json
import re
from typing import Any

_MARK = re.compile(r"\[redacted: [A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\]", re.ASCII)
_MARK_BYTES = re.compile(_MARK.pattern.encode())


def mark_of(name: str) -> str:
    """The mark in the place of what the detector of this name found."""
    return f"[redacted: {name}]"


def marks_in(text: str) -> list[tuple[int, int]]:
    """Where marks are in a text."""
    return [found.span() for found in _MARK.finditer(text)] if "[redacted: " in text else []


def agrees(stored: bytes, given: bytes) -> bool:
    """Whether `given` may be what stood here: it is the same around the marks in `stored`."""
    pieces = _MARK_BYTES.split(stored)
    if len(pieces) == 1:
        return stored == given
    first, *between, last = pieces
    end = len(given) - len(last)
    if not (given.startswith(first) and given.endswith(last)) or end < len(first):
        return False
    at = len(first)
    for piece in between:
        found = given.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def same(stored: Any, given: Any) -> bool:
    """Whether a value may be what was stored: equal, or the same around the marks."""
    return bool(stored == given) or alike(stored, given)


def alike(stored: Any, given: Any) -> bool:
    """Whether a value is spelled in JSON as what was stored, the marks aside: 1 is not true."""
    if stored is None or given is None:
        return False
    try:
        return agrees(_plain(stored), _plain(given))
    except (TypeError, ValueError, RecursionError):
        return False


def _plain(value: Any) -> bytes:
    """A JSON value in one spelling, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def begin_of(stored: bytes) -> bytes:
    """What stands before the first mark."""
    return _MARK_BYTES.split(stored, maxsplit=1)[0]
