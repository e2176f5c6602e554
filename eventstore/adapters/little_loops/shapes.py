"""Rows of little-loops' tables as activities, and back. Pure: no I/O.

A row becomes an activity whose `subject` is the row's text in the search index (None: the row is
not in it) and whose `data` holds the columns that neither the facts nor the subject have, and
under ``index`` the ref and anchor of the search index. Facts are numbers, and names out of the
closed sets below; everything else that a row says may have been written by a person and is content.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from eventstore.events.catalogue import (
    Activity,
    ActivityContent,
    Event,
    FileTouched,
    IssueMoved,
    LoopMoved,
    ToolCalled,
    UserCorrected,
)
from eventstore.session.commands import Create

#: The `source` of the sessions that little-loops' rows begin, and the id of the one that takes
#: the rows of no session.
SOURCE = "little-loops"

#: The events of a loop that its transport records.
LOOP_EVENTS = frozenset(
    {
        "loop_start",
        "loop_resume",
        "loop_complete",
        "state_enter",
        "route",
        "retry_exhausted",
        "cycle_detected",
    }
)
#: The transition of a row that was made of a loop's state file.
BACKFILLED = "backfill"

_TRANSITIONS = LOOP_EVENTS | {BACKFILLED}
_STATUSES = frozenset({"open", "in_progress", "blocked", "deferred", "done", "cancelled"})
_OPERATIONS = frozenset({"read", "write", "edit", "create", "delete", "rename", "move"})

#: A number in facts is at most so large, either way.
_WHOLE_MAX = 2**53


class Shape(NamedTuple):
    """A kind of row.

    `columns` come after ``id``; `subject` is the column whose value the index has as well. `facts`
    names the fields of the event that take a column, and the values that they take, None for whole
    numbers.
    """

    table: str
    event: type[Activity]
    columns: tuple[str, ...]
    subject: str | None
    facts: Mapping[str, tuple[str, frozenset[str] | None]]


SHAPES: dict[str, Shape] = {
    "tool": Shape(
        "tool_events",
        ToolCalled,
        ("ts", "session_id", "tool_name", "args_hash", "result_size", "bytes_in", "bytes_out",
         "cache_hit"),
        "tool_name",
        {"bytes_in": ("bytes_in", None), "bytes_out": ("bytes_out", None)},
    ),
    "file": Shape(
        "file_events",
        FileTouched,
        ("ts", "session_id", "path", "op", "issue_id", "git_sha"),
        "path",
        {"op": ("operation", _OPERATIONS)},
    ),
    "issue": Shape(
        "issue_events",
        IssueMoved,
        ("ts", "issue_id", "transition", "discovered_by", "issue_type", "priority",
         "completed_date", "captured_at", "completed_at"),
        None,
        {"transition": ("to_state", _STATUSES)},
    ),
    "loop": Shape(
        "loop_events",
        LoopMoved,
        ("ts", "loop_name", "state", "transition", "retries"),
        None,
        {
            "state": ("state", frozenset()),  # other programs may; a state's name is a person's
            "transition": ("transition", _TRANSITIONS),
            "retries": ("retries", None),
        },
    ),
    "correction": Shape(
        "user_corrections",
        UserCorrected,
        ("ts", "session_id", "content", "source"),
        "content",
        {},
    ),
}  # fmt: skip

KIND_OF: dict[type[Event], str] = {shape.event: kind for kind, shape in SHAPES.items()}

#: Of each type: the column that the subject is, a row with nothing in it, and the columns that are
#: facts.
_ROWS = {
    shape.event: (
        shape.subject,
        dict[str, Any].fromkeys(("id", *shape.columns)),
        tuple((column, fact) for column, (fact, _) in shape.facts.items()),
    )
    for shape in SHAPES.values()
}


class Indexed(NamedTuple):
    """A row of the search index, kind and time aside."""

    content: str
    ref: str
    anchor: str


def home() -> Create:
    """The session that takes rows of no session."""
    return Create(session_id=SOURCE, source=SOURCE, title=SOURCE)


def event_of(kind: str, row: Mapping[str, Any], indexed: Indexed | None, **facts: Any) -> Activity:
    """The activity for a row (None for what it lacks), and further `facts`."""
    shape = SHAPES[kind]
    data: dict[str, Any] = {}
    subject = None if indexed is None else indexed.content
    for column, value in row.items():
        if column in shape.facts and _is_fact(value, shape.facts[column][1]):
            facts[shape.facts[column][0]] = value
        elif column == shape.subject and subject is not None:
            if value != subject:
                data[column] = value
        elif value is not None:
            data[column] = value
    if indexed is not None:
        data["index"] = [indexed.ref, indexed.anchor]
    content = ActivityContent(subject=subject, data=data)
    return shape.event(occurred_at=moment(row.get("ts")), content=content, **facts)


def _is_fact(value: Any, known: frozenset[str] | None) -> bool:
    if known is None:
        return type(value) is int and -_WHOLE_MAX <= value <= _WHOLE_MAX
    return type(value) is str and value in known


def row_of(event: Activity, at: int, number: int | None = None) -> dict[str, Any]:
    """The columns of an activity's row, of which `number` is the ``id``.

    One that was erased, or recorded by another program, has no text but its facts; its ``ts`` is
    that of `at` (µs since 1970).
    """
    subject, empty, facts = _ROWS[type(event)]
    content = event.content
    if content is None:
        row = empty.copy()
    else:
        data = content.data or {}
        row = empty | data
        if "index" in row:
            del row["index"]
        if len(row) > len(empty):  # what another program recorded
            row = {column: row[column] for column in empty}
        if subject is not None and subject not in data:
            row[subject] = content.subject
    row["id"] = number
    for column, fact in facts:
        value = getattr(event, fact)
        if value is not None and row[column] is None:
            row[column] = value
    if row["ts"] is None:
        row["ts"] = as_text(at)
    return row


def time_of(event: Activity, at: int) -> Any:
    """The ``ts`` of an activity's row."""
    told = None if event.content is None else (event.content.data or {}).get("ts")
    return as_text(at) if told is None else told


def indexed_of(event: Activity) -> Indexed | None:
    """The activity's row in the search index."""
    if event.content is None or event.content.subject is None:
        return None
    match (event.content.data or {}).get("index"):
        case [str(ref), str(anchor)]:
            return Indexed(event.content.subject, ref, anchor)
        case _:
            return Indexed(event.content.subject, "", "")


def identity(event: Event) -> Hashable:
    """What makes two rows the same: their columns, whatever number and anchor they have."""
    assert isinstance(event, Activity)
    row = row_of(event, 0)
    return (type(event), *(repr(value) for value in row.values()))


def moment(ts: Any) -> int | None:
    """An ISO 8601 time in µs since 1970 (UTC where it names no zone), None if it is none."""
    try:
        found = datetime.fromisoformat(ts)
    except (TypeError, ValueError):
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    try:
        return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except OverflowError:
        return None


def as_text(at: int) -> str:
    """A time as little-loops writes it, to the second."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
