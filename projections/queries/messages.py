"""Messages with their events: rows of `messages` joined with the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from eventstore.events.catalogue import Event, Run
from eventstore.log import reading
from eventstore.log.engine import rows_of

_MESSAGES = (
    "SELECT m.position, e.type, e.schema, e.facts, c.body, m.seq, m.state, m.inherited, "
    "e.recorded_at, e.commitment IS NOT NULL FROM messages AS m "
    "JOIN events AS e ON e.position = m.position "
    "LEFT JOIN contents AS c ON c.position = m.position "
    "WHERE m.stream = ? AND m.seq BETWEEN ? AND ? ORDER BY m.seq LIMIT ?"
)
_ALL = 1 << 62


class MessageRow(NamedTuple):
    """A message of a session; for one that a fork took over, `event` is the origin's.

    `committed` says that the event had content once, even if that was erased.
    """

    seq: int
    state: str
    inherited: bool
    position: int
    recorded_at: int
    committed: bool
    event: Event


def in_range(
    connection: apsw.Connection, stream: int, first: int, last: int, limit: int = _ALL
) -> list[MessageRow]:
    """The messages first … last of a session, whatever their state, in order of seq."""
    fetch = reading.blob_fetcher(connection)
    make = MessageRow._make
    return [
        make((
            seq, state, inherited != 0, position, recorded_at, committed != 0,
            reading.event_of(position, name, schema, facts, body, fetch),
        ))
        for position, name, schema, facts, body, seq, state, inherited, recorded_at, committed
        in rows_of(connection, _MESSAGES, (stream, first, last, limit))
    ]  # fmt: skip


def in_runs(connection: apsw.Connection, stream: int, runs: Sequence[Run]) -> list[MessageRow]:
    """The messages of these runs of seqs, in the runs' order."""
    found: list[MessageRow] = []
    for first, length in runs:
        found.extend(in_range(connection, stream, first, first + length - 1))
    return found
