"""Text for a terminal: made harmless, measured and cut to width."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime

#: What must not reach a terminal as it is: control characters, which can move the cursor, retitle
#: the window or fake a prompt; marks that reorder text; line ends but ``\n``; lone surrogates,
#: which no terminal encoding has.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """`text` with its unsafe characters as escapes, as in a Python literal; lines are kept."""
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def inline(text: str) -> str:
    """`text` made visible, line ends and tabs as escapes too: for ids and error messages."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def on_one_line(text: str) -> str:
    """`text` made visible, with line ends and runs of blanks as single blanks."""
    return visible(" ".join(text.split()))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def width_of(text: str) -> int:
    """How many terminal cells `text` takes: East Asian wide characters two, marks none."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, ending in an ellipsis where something was left out."""
    if width_of(text) <= width:
        return text
    used, kept = 1, []
    for character in text:
        used += _cells(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept) + "…" if width > 0 else ""


def local_time(us: int | None) -> str:
    """A time in µs since 1970 as people here write it, to the minute."""
    if us is None:
        return "-"
    return datetime.fromtimestamp(us / 1_000_000).strftime("%Y-%m-%d %H:%M")


def plural(count: int, noun: str) -> str:
    """``1 message``, ``2 messages``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
