"""Tool calls and compactions of a session."""

from __future__ import annotations

from typing import Any

import apsw

from eventstore import codec
from eventstore.log.engine import rows_of

_CALLS = (
    "SELECT call_id, seq, ordinal, call_position, called_at, result_seq, result_position, failed, "
    "answered_at FROM tool_calls WHERE stream = ? ORDER BY seq, ordinal"
)
_PAGE = (
    "SELECT call_id, seq, ordinal, call_position, called_at, result_seq, result_position, failed, "
    "answered_at FROM tool_calls WHERE stream = ? AND (seq, ordinal) > (?, ?) AND seq <= ? "
    "ORDER BY seq, ordinal LIMIT ?"
)
_COMPACTIONS = (
    "SELECT version, position, seq, from_seq, to_seq, runs, count, round, tokens_before, "
    "tokens_after, trigger, compacted_at FROM compactions WHERE stream = ? ORDER BY version"
)

CallRow = tuple[str, int, int, int, int, int | None, int | None, int | None, int | None]


def tool_calls(connection: apsw.Connection, stream: int) -> list[CallRow]:
    """Rows of `tool_calls`, in the order of the calls."""
    return rows_of(connection, _CALLS, (stream,))


def page_of_calls(
    connection: apsw.Connection, stream: int, after: tuple[int, int], last: int, limit: int
) -> list[CallRow]:
    """At most `limit` rows after a ``(seq, ordinal)``, of calls by messages up to seq `last`."""
    return rows_of(connection, _PAGE, (stream, *after, last, limit))


def compactions(connection: apsw.Connection, stream: int) -> list[dict[str, Any]]:
    """Rows of `compactions`, oldest first."""
    names = (
        "version", "position", "seq", "from_seq", "to_seq", "runs", "count", "round",
        "tokens_before", "tokens_after", "trigger", "compacted_at",
    )  # fmt: skip
    rows = []
    for found in rows_of(connection, _COMPACTIONS, (stream,)):
        row = dict(zip(names, found, strict=True))
        row["runs"] = tuple((first, length) for first, length in codec.decode(found[5].encode()))
        rows.append(row)
    return rows
