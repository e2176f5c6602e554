"""Where in a session's history something is: versions by position, message, round, compaction."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import apsw

from eventstore.log.engine import rows_of

_POSITION = "SELECT position FROM events WHERE stream = ? AND version = ?"
_MESSAGE = (
    "SELECT CASE m.inherited WHEN 1 THEN 1 ELSE e.version END FROM messages AS m "
    "JOIN events AS e ON e.position = m.position WHERE m.stream = ? AND m.seq = ?"
)
_SEQS = "SELECT min(seq), max(seq) FROM messages WHERE stream = ?"
_COMPACTIONS = "SELECT version FROM compactions WHERE stream = ? ORDER BY version"

#: The rounds of events that say which one the session is in; usage may come late.
_ROUNDS = (
    "FROM events WHERE stream = ? AND type IN "
    "('round.advanced', 'message.appended', 'context.compacted', 'session.forked')"
)
_BEYOND_ROUND = (
    f"SELECT version {_ROUNDS} AND json_extract(facts, '$.round') > ? ORDER BY version LIMIT 1"
)
_LAST_ROUND = f"SELECT max(json_extract(facts, '$.round')) {_ROUNDS}"
#: CROSS JOIN: the first event of each session, not all events to find the first ones.
_CHANGED_AFTER = (
    "SELECT p.stream, e.position FROM sessions AS p "
    "CROSS JOIN events AS e ON e.stream = p.stream AND e.version = 1 "
    "WHERE p.updated_at > ? ORDER BY e.position"
)
_CALLS_FROM = (
    "SELECT coalesce(sum(json_array_length(facts, '$.call_ids')), 0) FROM events WHERE position IN "
    "(SELECT call_position FROM tool_calls WHERE stream = ? AND seq >= ?)"
)
_OWN_MESSAGE = "SELECT position FROM messages WHERE stream = ? AND seq = ? AND inherited = 0"


def position_of(connection: apsw.Connection, stream: int, version: int) -> int:
    """The position of a session's event, 0 for version 0."""
    row = connection.execute(_POSITION, (stream, version)).fetchone()
    return 0 if row is None else int(row[0])


def version_at(connection: apsw.Connection, stream: int, last: int, position: int) -> int:
    """The highest version, up to `last`, whose event is at this position or before it."""
    return bisect_right(
        range(1, last + 1),
        position,
        key=lambda version: position_of(connection, stream, version),
    )


def version_of_message(connection: apsw.Connection, stream: int, seq: int) -> int | None:
    """The version that brought a message into the session; None when it has no such message."""
    row = connection.execute(_MESSAGE, (stream, seq)).fetchone()
    return None if row is None else int(row[0])


def seqs(connection: apsw.Connection, stream: int) -> tuple[int | None, int | None]:
    """The lowest and highest seq of a session's messages, None when it has none."""
    [(first, last)] = rows_of(connection, _SEQS, (stream,))
    return first, last


def first_beyond_round(connection: apsw.Connection, stream: int, number: int) -> int | None:
    """The version of the first event of a round after this one; None when there is none."""
    row = connection.execute(_BEYOND_ROUND, (stream, number)).fetchone()
    return None if row is None else int(row[0])


def last_round(connection: apsw.Connection, stream: int) -> int:
    """The highest round that a session's events name, 0 when they name none."""
    [(last,)] = rows_of(connection, _LAST_ROUND, (stream,))
    return last or 0


def compactions(connection: apsw.Connection, stream: int) -> list[int]:
    """The versions of a session's compactions, in order."""
    return [row[0] for row in rows_of(connection, _COMPACTIONS, (stream,))]


def changed_after(connection: apsw.Connection, time: int) -> Iterator[tuple[int, int]]:
    """Sessions that were changed after a time: their streams and first positions, in order."""
    yield from rows_of(connection, _CHANGED_AFTER, (time,))


def calls_from(connection: apsw.Connection, stream: int, seq: int) -> int:
    """How many tool calls a session's own messages from this seq on make."""
    [(calls,)] = rows_of(connection, _CALLS_FROM, (stream, seq))
    return int(calls)


def own_message(connection: apsw.Connection, stream: int, seq: int) -> int | None:
    """The position of a message that was appended in this session, not taken over by it."""
    row = connection.execute(_OWN_MESSAGE, (stream, seq)).fetchone()
    return None if row is None else int(row[0])
