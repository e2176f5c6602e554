"""`search` and `recent`: the original's dicts out of the store's activities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eventstore.adapters.little_loops.errors import MisuseError, TooLargeError, of_the_store
from eventstore.adapters.little_loops.opening import DEFAULT_DB_PATH, using
from eventstore.adapters.little_loops.shapes import SHAPES, Indexed, indexed_of, row_of, time_of
from eventstore.errors import InvalidQueryError
from eventstore.store import activities


def recent(db: Path | str = DEFAULT_DB_PATH, *, kind: str, limit: int = 20) -> list[dict[str, Any]]:
    """The newest rows of a kind (tool, file, issue, loop, correction), newest first.

    A negative `limit` means all. Raises `ValueError` for another kind; for a limit that is no whole
    number `ValueTypeError`, `TooLargeError` or `MisuseError`, as `search` does.
    """
    if kind not in SHAPES:
        raise ValueError(f"unknown kind {kind!r}; expected one of {sorted(SHAPES)}")
    with using(db) as store:
        most = _bound(limit)
        with (
            of_the_store(),
            activities.numbered(store.log, store.derived, kind, most) as found,
        ):
            return [row_of(event, at, number) for number, at, event in found]


def search(
    db: Path | str = DEFAULT_DB_PATH, *, query: str, limit: int = 20
) -> list[dict[str, Any]]:
    """Rows that match an FTS5 expression, best first; a lower `score` is a better match.

    A negative `limit` means all. Raises `ValueError` for what is no FTS5 expression.
    """
    with using(db) as store:
        text, most = _typed(query), _bound(limit)
        with of_the_store():
            try:
                result = store.search_activities(text, syntax="fts5", limit=most, seconds=None)
            except InvalidQueryError as error:
                raise ValueError(f"invalid FTS query {query!r}: {error.reason}") from error
    found = []
    for one in result.hits:
        indexed = indexed_of(one.event) or Indexed("", "", "")
        found.append(
            {
                "content": indexed.content,
                "kind": one.kind,
                "ref": indexed.ref,
                "anchor": indexed.anchor,
                "ts": time_of(one.event, one.at),
                "score": None if one.score is None else -one.score,
            }
        )
    return found


def _bound(value: Any) -> Any:
    """A value for a statement; raises what `sqlite3` does for one that none can take."""
    if not isinstance(value, int | float | str | bytes | bytearray | None):
        raise MisuseError(f"type {type(value).__name__!r} is not supported")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise TooLargeError("Python int too large to convert to SQLite INTEGER")
    return value


def _typed(query: Any) -> str:
    """The text that SQLite takes a query for, whatever its type; a NUL ends it."""
    match _bound(query):
        case None:
            text = ""
        case bytes() | bytearray():
            text = query.decode("utf-8", errors="replace")
        case int():
            text = str(int(query))
        case float():
            text = f"{query:#.15g}"
        case _:
            text = query
    return text.partition("\0")[0]
