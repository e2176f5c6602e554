"""Rows of a database as events."""

from __future__ import annotations

import base64
import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from eventstore.adapters.little_loops.shapes import SHAPES, SOURCE, Indexed, event_of, moment
from eventstore.events.catalogue import Content, Event, RecordImported
from eventstore.importers.sqlite_source import Row, SqliteSource

#: Tables whose rows are taken in another way, or say nothing of their own: ``meta`` has the number
#: of the schema, and the search index repeats what the other tables say.
OTHERS_NOT = frozenset(
    {shape.table for shape in SHAPES.values()}
    | {"message_events", "assistant_messages", "search_index", "meta"}
)

#: Where FTS5 keeps the columns of the search index, which any SQLite can read.
_INDEX = "search_index_content"
_INDEX_COLUMNS = ("c0", "c1", "c2", "c3", "c4")

#: The column of each kind that the search index has as its ``ref``.
_REFS = {
    "tool": "tool_name",
    "file": "path",
    "issue": "issue_id",
    "loop": "loop_name",
    "correction": "session_id",
}


class Taken(Struct, frozen=True):
    """A row as an event, the session it belongs to, and what is wrong with it."""

    table: str
    number: Any
    session_id: str | None
    event: Event
    problem: str | None = None


def activities_of(source: SqliteSource, kind: str) -> Iterator[Taken]:
    """The rows of a kind in order of their ids, each with its row of the search index."""
    table = SHAPES[kind].table
    indexed = _indexed_by(source, kind)
    for row in _rows(source, table):
        problem = problem_of(row)
        if problem is not None:
            yield as_record(table, row, problem)
            continue
        values = row.values
        key = (values.get(_REFS[kind]) or "", values["ts"])
        found = indexed[key].popleft() if indexed.get(key) else None
        session_id = values.get("session_id")
        yield Taken(
            table,
            values["id"],
            session_id if isinstance(session_id, str) else None,
            event_of(kind, values, found),
        )


def records_of(source: SqliteSource, table: str) -> Iterator[Taken]:
    """The rows of any table, each kept whole."""
    for row in _rows(source, table):
        yield as_record(table, row, damage_of(row))


def _rows(source: SqliteSource, table: str) -> Iterator[Row]:
    columns = source.tables.get(table)
    if columns is None:  # not in every schema
        return iter(())
    return source.rows(table, columns, order=("id",) if "id" in columns else ())


def _indexed_by(source: SqliteSource, kind: str) -> dict[tuple[str, Any], deque[Indexed]]:
    """The rows of the search index of a kind by ref and time, in the order they were written.

    The original writes one with each row, of the same ref and time; nothing else joins them.
    """
    found: dict[tuple[str, Any], deque[Indexed]] = defaultdict(deque)
    if _INDEX not in source.tables:
        return found
    for row in source.rows(_INDEX, _INDEX_COLUMNS, where={"c1": kind}, order=("id",)):
        content, _, ref, anchor, ts = row.values.values()
        if isinstance(content, str) and not row.damaged:
            found[(ref or "", ts)].append(Indexed(content, str(ref or ""), str(anchor or "")))
    return found


def damage_of(row: Row) -> str | None:
    """What of a row cannot be read, None when all can."""
    return next((f"{column} is {what}" for column, what in row.damaged.items()), None)


def problem_of(row: Row) -> str | None:
    """Why a row cannot be an activity or a message, None when it can."""
    damage = damage_of(row)
    if damage is not None:
        return damage
    for column, value in row.values.items():
        if isinstance(value, bytes):
            return f"{column} holds bytes"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{column} is {value}, which JSON has no number for"
    return None


def as_record(table: str, row: Row, problem: str | None) -> Taken:
    """A row of any table, kept whole; with a `problem` it is a damaged one."""
    value = whole(table, row.values)
    event = RecordImported(
        format=SOURCE,
        kind=table,
        damaged=problem is not None,
        occurred_at=moment(row.values.get("ts")),
        content=Content(record={"style": "compact", "value": value}),
    )
    return Taken(table, row.values.get("id"), None, event, problem)


def whole(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON; bytes, and numbers that JSON does not have, as objects that say so."""
    return {"table": table, "row": {name: _json(value) for name, value in values.items()}}


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"real": str(value)}
    return value
