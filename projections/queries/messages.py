"""Messages with their events, undecoded: rows of `messages` joined with the log."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, TypeAlias

import apsw

from eventstore import codec
from eventstore.events.catalogue import Run
from eventstore.log import reading
from eventstore.log.engine import rows_of

_COLUMNS = (
    f"m.position, e.type, e.schema, e.facts, {reading.BODY}, m.seq, m.state, m.inherited, "
    "e.recorded_at, e.commitment IS NOT NULL, c.salt IS NULL"
)
_TABLES = (
    "messages AS m CROSS JOIN events AS e ON e.position = m.position "
    "LEFT JOIN contents AS c ON c.position = m.position "
)
_MESSAGES = (
    f"SELECT {_COLUMNS} FROM {_TABLES}"  # noqa: S608
    "WHERE m.stream = ? AND m.seq BETWEEN ? AND ? ORDER BY m.seq LIMIT ?"
)
_AROUND = (
    f"SELECT {_COLUMNS}, j.key FROM json_each(?) AS j CROSS JOIN {_TABLES}"  # noqa: S608
    "WHERE m.stream = json_extract(j.value, '$[0]') AND m.seq "
    "BETWEEN json_extract(j.value, '$[1]') - ?2 AND json_extract(j.value, '$[1]') + ?2 "
    "ORDER BY j.key, m.seq"
)
_ALL = 1 << 62

#: An event folds or removes a message once at most, and what removed it gave it its last state.
_STATES_AT = (
    "SELECT seq, CASE WHEN removed_version <= ?1 THEN state WHEN folded_version <= ?1 THEN "
    "(SELECT CASE e.type WHEN 'context.compacted' THEN 'compacted' ELSE 'consolidated' END "
    "FROM events AS e WHERE e.stream = m.stream AND e.version = m.folded_version) END "
    "FROM messages AS m WHERE stream = ?2 AND seq BETWEEN ?3 AND ?4 AND state <> 'active' "
    "ORDER BY seq"
)


#: The columns of a message: position, type, schema, facts and body of its event, seq, state,
#: whether a fork took it over, when the event was recorded, whether it ever had content, and
#: whether that was wiped. Of a message that was taken over the event is the origin's.
Columns: TypeAlias = tuple[Any, ...]

#: The place of the seq among them.
SEQ = 5


def in_range(
    connection: apsw.Connection, stream: int, first: int, last: int, limit: int = _ALL
) -> list[Columns]:
    """The messages first … last of a session, whatever their state, in order of seq."""
    return rows_of(connection, _MESSAGES, (stream, first, last, limit))


def around(
    connection: apsw.Connection, places: Sequence[tuple[int, int]], count: int
) -> list[tuple[int, Columns]]:
    """The messages around each ``(stream, seq)``, itself included, with the place's index.

    They come in the order of the places, those of one in order of seq.
    """
    rows = rows_of(connection, _AROUND, (codec.encode(places).decode(), count))
    return [(row[-1], row[:-1]) for row in rows]


def each_in_runs(
    connection: apsw.Connection, stream: int, runs: Sequence[Run]
) -> Generator[Columns, None, None]:
    """The messages of these runs of seqs, in the runs' order, read as they are asked for.

    Close it, lest a statement stay open on the connection when whoever asks fails.
    """
    for first, length in runs:
        found = (stream, first, first + length - 1, _ALL)
        with closing(connection.execute(_MESSAGES, found)) as rows:
            yield from rows


def states_at(
    connection: apsw.Connection, stream: int, version: int, first: int = 1, last: int = _ALL
) -> dict[int, str]:
    """What the messages first … last were at a version, by seq; active ones are left out."""
    rows = rows_of(connection, _STATES_AT, (version, stream, first, last))
    return {seq: state for seq, state in rows if state is not None}
