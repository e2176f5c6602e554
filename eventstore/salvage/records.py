"""Records to rows of the log, known by their shape alone: no schema is needed to find them.

The number of the columns, their types and the lengths of hashes and salts tell the tables apart.
That a row is true is not decided here.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from eventstore.log.entry import SALT_BYTES, UID_BYTES
from eventstore.log.pages import Cell, varint

Value: TypeAlias = int | float | bytes | str | None

_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
HASH_BYTES = 32


class EventRow(NamedTuple):
    """A row of `events`."""

    position: int
    stream: int
    version: int
    type: str
    schema: int
    recorded_at: int
    actor: int
    facts: str
    key: str | None
    commitment: bytes | None
    leaf: bytes


class ContentRow(NamedTuple):
    """A row of `contents`; salt and body are None when it was wiped."""

    position: int
    salt: bytes | None
    body: str | None


class StreamRow(NamedTuple):
    """A row of `streams`."""

    id: int
    session_id: str
    incarnation: int
    uid: bytes


class BlobRow(NamedTuple):
    """A row of `blobs`."""

    digest: bytes
    body: bytes


Row: TypeAlias = EventRow | ContentRow | StreamRow | BlobRow


def values_of(payload: bytes) -> tuple[Value, ...] | None:
    """The columns of a record, None when it is not a whole one of texts, integers and blobs."""
    try:
        head, at = varint(payload, 0)
        if not at <= head <= len(payload):
            return None
        kinds = []
        while at < head:
            kind, at = varint(payload, at)
            kinds.append(kind)
        if at != head:
            return None
        values: list[Value] = []
        for kind in kinds:
            if kind < 0 or kind in (7, 10, 11):
                return None
            size = _SIZES[kind] if kind < 12 else (kind - 12) // 2
            data = payload[at : at + size]
            if len(data) < size:
                return None
            at += size
            values.append(_value(kind, data))
    except (IndexError, UnicodeDecodeError):
        return None
    return tuple(values) if at == len(payload) else None


def _value(kind: int, data: bytes) -> Value:
    if kind == 0:
        return None
    if kind >= 12:
        return data.decode() if kind & 1 else data
    return kind - 8 if kind >= 8 else int.from_bytes(data, "big", signed=True)


def row_of(cell: Cell) -> Row | None:
    """The row of the log in a cell, None when it is none."""
    values = values_of(cell.payload)
    match values:
        case (
            None, int(), int(), str(), int(), int(), int(), str(), str() | None,
            bytes() | None as commitment, bytes(leaf),
        ) if len(leaf) == HASH_BYTES and len(commitment or leaf) == HASH_BYTES:  # fmt: skip
            row = EventRow(cell.rowid, *values[1:])  # type: ignore[arg-type]
            return row if _is_plausible(row) else None
        case (None, bytes(salt), str(body)) if len(salt) == SALT_BYTES:
            return ContentRow(cell.rowid, salt, body)
        case (None, None, None):
            return ContentRow(cell.rowid, None, None)
        case (None, str(session_id), int(incarnation), bytes(uid)) if len(uid) == UID_BYTES:
            return StreamRow(cell.rowid, session_id, incarnation, uid)
        case (bytes(digest), bytes(data)) if len(digest) == HASH_BYTES:
            return BlobRow(digest, data)
        case _:
            return None


def _is_plausible(row: EventRow) -> bool:
    """Every version before it took a position of its own."""
    return row.stream > 0 and 0 < row.version <= row.position
