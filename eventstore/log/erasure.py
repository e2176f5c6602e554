"""Wiping content: the body and the salt of an event become NULL, its header stays.

Rows are updated, never deleted: deleting moves cells between pages and leaves copies of them
behind. A blob goes with the last event that refers to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from eventstore.errors import InvalidValueError
from eventstore.log import redactions
from eventstore.log.engine import rows_of

_TARGETS = (
    "SELECT e.position FROM events AS e JOIN contents AS c ON c.position = e.position "
    "WHERE e.stream = ? AND c.body IS NOT NULL ORDER BY e.position"
)
_STREAM_OF = "SELECT stream FROM events WHERE position = ?"
_WIPE = "UPDATE contents SET salt = NULL, body = NULL WHERE position = ?"
_DIGESTS = "SELECT digest FROM blob_references WHERE position = ?"
_UNREFER = "DELETE FROM blob_references WHERE digest = ? AND position = ?"
_REFERRERS = "SELECT position FROM blob_references WHERE digest = ?"
_WIPE_BLOB = "UPDATE blobs SET body = NULL WHERE digest = ?"
_DELETE_BLOB = "DELETE FROM blobs WHERE digest = ?"
_RENAME = "UPDATE streams SET session_id = ? WHERE id = ?"


def targets(connection: apsw.Connection, stream: int, positions: Sequence[int] | None) -> list[int]:
    """The events whose content is there to be erased: all of the stream, or some of it.

    A redacted event and what stands in its content's place go together.

    Raises `InvalidValueError` for a position that is not one of the stream's.
    """
    present = [row[0] for row in rows_of(connection, _TARGETS, (stream,))]
    replaced = redactions.originals(connection, present)
    there = {*present, *replaced.values()}
    if positions is None:
        return sorted(there)
    for position in positions:
        owner = connection.execute(_STREAM_OF, (position,)).get
        if owner != stream:
            raise InvalidValueError(
                f"position {position} is no event of this session"
                + ("" if owner is None else ": a fork reads its origin's events, erase it there")
            )
    chosen = set(positions)
    for position, original in replaced.items():
        if not chosen.isdisjoint((position, original)):
            chosen |= {position, original}
    return sorted(chosen & there)


def wipe(connection: apsw.Connection, positions: Sequence[int]) -> list[int]:
    """Wipe the content of these events; the positions that still refer to a blob they shared."""
    remaining: set[int] = set()
    for position in positions:
        digests = [row[0] for row in rows_of(connection, _DIGESTS, (position,))]
        connection.execute(_WIPE, (position,))
        for digest in digests:
            connection.execute(_UNREFER, (digest, position))
            others = [row[0] for row in rows_of(connection, _REFERRERS, (digest,))]
            if others:
                remaining.update(others)
            else:
                connection.execute(_WIPE_BLOB, (digest,))
                connection.execute(_DELETE_BLOB, (digest,))
    return sorted(remaining.difference(positions))


def rename(connection: apsw.Connection, stream: int, uid: bytes) -> None:
    """Take the session id, which a person may have chosen, out of the stream."""
    connection.execute(_RENAME, (f"erased:{uid.hex()}", stream))
