"""Text for a terminal: made harmless, measured and cut to width."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from eventstore.visible import inline as inline
from eventstore.visible import visible as visible


def on_one_line(text: str) -> str:
    """`text` made visible, with line ends and runs of blanks as single blanks."""
    return visible(" ".join(text.split()))


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
