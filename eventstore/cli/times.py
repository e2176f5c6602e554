"""Times as people type them."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

_SPAN = re.compile(r"(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

#: What `time_of` understands, for messages.
EXAMPLES = "ISO 8601 (2026-01-05T10:00), 2h, 7d, today or yesterday"


def time_of(text: str) -> int:
    """The time in µs since 1970; raises `ValueError` or `OverflowError` for what is none."""
    return round(_moment(text.strip()).timestamp() * 1_000_000)


def _moment(text: str) -> datetime:
    now = datetime.fromtimestamp(time.time()).astimezone()
    if text in ("today", "yesterday"):
        day = now.date() - timedelta(days=text == "yesterday")
        return datetime(day.year, day.month, day.day)
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
    return datetime.fromisoformat(text)
