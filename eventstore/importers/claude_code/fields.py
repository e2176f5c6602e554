"""Reading single fields of a record whose shape nobody guarantees.

Facts of an event may hold ids that software made, never text: `identifier` and `kind_of` let
nothing else through.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_IDENTIFIER = re.compile(r"[!-~]{1,200}")
_KIND = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

UNKNOWN = "unknown"


def identifier(value: Any) -> str | None:
    """`value` if it is a text of 1 to 200 visible ASCII characters without spaces, else None."""
    return value if type(value) is str and _IDENTIFIER.fullmatch(value) else None


def enumerated(value: Any) -> str | None:
    """`value` if it is a short word such as ``end_turn``, else None."""
    return value if type(value) is str and _KIND.fullmatch(value) else None


def kind_of(record: dict[str, Any]) -> str:
    """A record's type, ``type.subtype`` if it has a subtype, `UNKNOWN` if that is no short word."""
    kind, subtype = record.get("type"), record.get("subtype")
    if type(kind) is str and type(subtype) is str:
        kind = f"{kind}.{subtype}"
    return enumerated(kind) or UNKNOWN


def count(value: Any) -> int | None:
    """`value` if it is a whole number from 0 that fits 63 bits, else None."""
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def timestamp(value: Any) -> int | None:
    """µs since 1970 of an ISO 8601 time (UTC when it names no zone), else None."""
    if type(value) is not str:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND
