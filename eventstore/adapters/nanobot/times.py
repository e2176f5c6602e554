"""nanobot's times, ISO texts that are local when they name no zone, as µs since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Later times are none: 2200-01-01, well within what facts can hold.
_MAX = 7_258_118_400_000_000


def microseconds(text: Any) -> int | None:
    """The moment that a text names, None when it names none after 1970."""
    if type(text) is not str:
        return None
    try:
        since = datetime.fromisoformat(text).astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError):
        return None
    found = since // timedelta(microseconds=1)
    return found if 0 < found < _MAX else None


def moment(text: Any) -> datetime | None:
    """The time that a text says, None when it says none."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def local_text(at: int) -> str:
    """A moment as nanobot would write it."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone().replace(tzinfo=None).isoformat()
