"""What became of events later: messages that left the context, usage that was corrected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from eventstore import codec
from eventstore.log.engine import rows_of

#: An event folds or removes a message once at most, and what removed it gave it its last state.
_FATES = (
    "SELECT m.seq, CASE WHEN m.removed_version <= ?1 THEN m.state WHEN m.folded_version <= ?1 "
    "THEN iif(c.seq IS NULL, 'consolidated', 'compacted') END AS fate, "
    "iif(m.removed_version <= ?1, m.removed_version, m.folded_version), c.seq "
    "FROM messages AS m LEFT JOIN compactions AS c ON c.stream = m.stream "
    "AND c.version = m.folded_version "
    "WHERE m.stream = ?2 AND m.seq BETWEEN ?3 AND ?4 AND m.state <> 'active' AND fate IS NOT NULL"
)
_NEWEST = (
    "SELECT key, position FROM usage WHERE stream = ? AND key IN (SELECT value FROM json_each(?))"
)
_NEWEST_UNTIL = (
    "SELECT max(position) FROM events WHERE stream = ? AND position <= ? "
    "AND type = 'usage.recorded' AND json_extract(facts, '$.key') = ?"
)

_POSITIONS = "SELECT position FROM messages WHERE stream = ? AND seq BETWEEN ? AND ? ORDER BY seq"

#: The index over redactions is of this expression.
_REDACTED = (
    "SELECT j.value, max(e.version) FROM json_each(?) AS j CROSS JOIN events AS e "
    "WHERE e.type = 'content.redacted' AND json_extract(e.facts, '$.position') = j.value "
    "GROUP BY j.value"
)


class Fate(NamedTuple):
    """What took a message out of the context: its state, the event's version, the note's seq.

    The note is the one that stands for the message, or stood for it until that was retracted.
    """

    state: str
    version: int
    note: int | None


def fates(
    connection: apsw.Connection, stream: int, version: int, first: int, last: int
) -> dict[int, Fate]:
    """What had become of the messages first … last at a version, by seq; active ones left out."""
    rows = rows_of(connection, _FATES, (version, stream, first, last))
    return {seq: Fate(*row) for seq, *row in rows}


def positions(connection: apsw.Connection, stream: int, first: int, last: int) -> list[int]:
    """Where the events of the messages first … last are, in order of seq."""
    return [row[0] for row in rows_of(connection, _POSITIONS, (stream, first, last))]


def newest_usage(
    connection: apsw.Connection, stream: int, keys: Sequence[str], upto: int
) -> dict[str, int]:
    """Where the record of each of these model calls is that counts as of a position of the log.

    The keys are of records at that position or before.
    """
    found: dict[str, int] = dict(
        rows_of(connection, _NEWEST, (stream, codec.encode(keys).decode()))
    )
    for key, position in found.items():
        if position > upto:
            found[key] = rows_of(connection, _NEWEST_UNTIL, (stream, upto, key))[0][0]
    return found


def redactions(connection: apsw.Connection, positions: Sequence[int]) -> dict[int, int]:
    """The version of the newest event that redacted each of these events; others left out."""
    return dict(rows_of(connection, _REDACTED, (codec.encode(positions).decode(),)))
