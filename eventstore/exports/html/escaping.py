"""Text as HTML: nothing in it is markup, and nothing in it is invisible.

Every character of HTML's own is a character reference. Characters that a reader does not see but
that change what is seen are shown by name: control characters, marks that reorder text, and
invisible ones that can hide words (tags, selectors, fillers). Joiners that emoji and scripts need
stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)

#: ASCII's control characters by name (ISO 646).
_CONTROLS = (
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL",
    "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI",
    "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB",
    "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US",
)  # fmt: skip

#: Characters that are escaped and written at once: a text is never copied whole.
SLICE = 1 << 16


def inline(text: str) -> str:
    """Text inside an element; it cannot hold other elements than the marks of what is hidden."""
    return _HIDDEN.sub(_mark, escape(text))


def plain(text: str) -> str:
    """Text where no element can stand, as in a page's title."""
    return escape(_HIDDEN.sub(lambda found: name_of(found[0]), " ".join(text.split())))


def slices(text: str, start: int = 0, end: int | None = None) -> Iterator[str]:
    """`inline` for a stretch of a long text, piece by piece."""
    end = len(text) if end is None else end
    for at in range(start, end, SLICE):
        yield inline(text[at : min(at + SLICE, end)])


def on_one_line(text: str, length: int) -> str:
    """The beginning of a text as one line of at most this many characters, not escaped yet."""
    line = " ".join(text[: length * 4].split())
    if len(line) > length:
        return line[: length - 1] + "…"
    return line + "…" if len(text) > length * 4 else line


def name_of(character: str) -> str:
    """How a hidden character is shown: ASCII's controls by their names, others by number."""
    code = ord(character)
    if code < len(_CONTROLS):
        return _CONTROLS[code]
    return "DEL" if code == 0x7F else f"U+{code:04X}"


def _mark(found: re.Match[str]) -> str:
    return f'<b class="hidden-char">{name_of(found[0])}</b>'
