"""Which content stands for an event that was redacted.

A redaction wipes the content of an event and stores what is left of it, marks in the place of what
was found, as the content of its own ``content.redacted`` event. Nothing but the log says so: an
index over those events, by the position they redacted, finds the newest. Everything that joins
`contents` for an event selects `BODY`, which costs nothing for an event whose content is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from eventstore import codec
from eventstore.log.engine import rows_of

#: The events that redacted, by what they redacted; what is looked for must be written alike.
INDEX = (
    "CREATE INDEX IF NOT EXISTS events_by_redacted ON events (json_extract(facts, '$.position')) "
    "WHERE type = 'content.redacted'"
)

_OF = (
    "FROM {1}events AS r JOIN {1}contents AS rc ON rc.position = r.position "
    "WHERE r.type = 'content.redacted' AND json_extract(r.facts, '$.position') = {0} "
    "ORDER BY r.position DESC LIMIT 1"
)


def body(contents: str, schema: str = "") -> str:
    """SQL for the body in force of an event; `contents` is the alias of its row there.

    `schema` is the database, with a dot, for a statement that must name it.
    """
    # The plus keeps the column's affinity out of the comparison, with which no index serves it.
    found = _OF.format(f"+{contents}.position", schema)
    return f"coalesce({contents}.body, (SELECT rc.body {found}))"


#: The body in force of the event whose row of `contents` is `c`.
BODY = body("c")

_REPLACING = (
    "SELECT j.value, (SELECT r.position "  # noqa: S608
    f"{_OF.format('j.value', '')}) FROM json_each(?) AS j"
)
_ORIGINALS = (
    "SELECT position, json_extract(facts, '$.position') FROM events "
    "WHERE type = 'content.redacted' AND commitment IS NOT NULL "
    "AND +position IN (SELECT value FROM json_each(?))"
)
_EARLIER = (
    "SELECT position FROM events WHERE type = 'content.redacted' "
    "AND json_extract(facts, '$.position') = ? AND commitment IS NOT NULL AND position < ?"
)
_EVERY = "SELECT json_extract(facts, '$.position') FROM events WHERE type = 'content.redacted'"
_TOLD = (
    "SELECT 1 FROM events AS r WHERE r.type = 'content.redacted' "
    "AND json_extract(r.facts, '$.position') = ? LIMIT 1"
)


def create_index(connection: apsw.Connection) -> None:
    """Create the index where it is missing."""
    connection.execute(INDEX)


def replacing(connection: apsw.Connection, positions: Sequence[int]) -> dict[int, int]:
    """Where the content in force of redacted events is, by position; others are left out."""
    rows = rows_of(connection, _REPLACING, (codec.encode(positions).decode(),))
    return {position: at for position, at in rows if at is not None}


def originals(connection: apsw.Connection, positions: Sequence[int]) -> dict[int, int]:
    """Of those of these events that hold what is left of others: the others, by position."""
    return dict(rows_of(connection, _ORIGINALS, (codec.encode(positions).decode(),)))


def wiped_by(connection: apsw.Connection, position: int, original: int) -> list[int]:
    """What the redaction at a position wiped: the original, and what stood in its place before."""
    rows = rows_of(connection, _EARLIER, (original, position))
    return sorted({original, *(row[0] for row in rows)})


def redacted(connection: apsw.Connection) -> set[int]:
    """The positions of all events of which something was redacted."""
    return {row[0] for row in rows_of(connection, _EVERY)}


def is_redacted(connection: apsw.Connection, position: int) -> bool:
    """Whether anything was redacted of this event, when it was appended or later."""
    return connection.execute(_TOLD, (position,)).get is not None
