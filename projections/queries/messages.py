"""Messages with their events: rows of `messages` joined with the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from eventstore.events.catalogue import Run
from eventstore.log import reading
from eventstore.log.engine import rows_of
from eventstore.log.port import Recorded

_MESSAGES = (
    f"SELECT {reading.COLUMNS}, c.body, m.seq, m.state, m.kind, m.inherited FROM messages AS m "  # noqa: S608
    "JOIN events AS e ON e.position = m.position "
    "LEFT JOIN contents AS c ON c.position = m.position "
    "WHERE m.stream = ? AND m.seq BETWEEN ? AND ? ORDER BY m.seq LIMIT ?"
)
_ALL = 1 << 62


class MessageRow(NamedTuple):
    """A message of a session; for one that a fork took over, `recorded` is the origin's event."""

    seq: int
    state: str
    kind: str
    inherited: bool
    recorded: Recorded


def in_range(
    connection: apsw.Connection, stream: int, first: int, last: int, limit: int = _ALL
) -> list[MessageRow]:
    """The messages first … last of a session, whatever their state, in order of seq."""
    fetch = reading.blob_fetcher(connection)
    rows = rows_of(connection, _MESSAGES, (stream, first, last, limit))
    return [
        MessageRow(
            row[12], row[13], row[14], bool(row[15]), reading.row_to_recorded(row[:12], fetch)
        )
        for row in rows
    ]


def in_runs(connection: apsw.Connection, stream: int, runs: Sequence[Run]) -> list[MessageRow]:
    """The messages of these runs of seqs, in the runs' order."""
    found: list[MessageRow] = []
    for first, length in runs:
        found.extend(in_range(connection, stream, first, first + length - 1))
    return found
