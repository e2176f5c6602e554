"""power-loop's tables as values, with what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from eventstore.errors import ImportFailedError
from eventstore.importers.reports import FileReport, Problem
from eventstore.importers.sqlite_source import SqliteSource

_TABLES = ("sessions", "messages", "compactions", "session_state")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "sessions": (
        "session_id", "created_at", "updated_at", "system_prompt", "model", "config_json",
        "status", "kind", "parent_session_id", "spawn_tool_call_id", "spawn_depth", "lifecycle",
        "metadata_json",
    ),
    "messages": (
        "seq", "role", "name", "content", "tool_calls_json", "tool_call_id", "round_index",
        "state", "meta_json", "created_at",
    ),
    "compactions": ("note_seq", "from_seq", "to_seq", "before_tokens", "after_tokens"),
    "usage_rounds": (
        "send_index", "round_index", "prompt_tokens", "completion_tokens", "total_tokens",
        "cached_tokens", "model", "created_at",
    ),
    "session_state": ("round_index", "pending_json"),
}  # fmt: skip

_ORDER = {
    "sessions": ("created_at", "session_id"),
    "messages": ("seq",),
    "compactions": ("compact_seq",),
    "usage_rounds": ("send_index", "round_index"),
    "session_state": (),
}


def prefix_of(tables: Mapping[str, Any]) -> str | None:
    """What the names of power-loop's tables begin with; None when they are not there."""
    for table in tables:
        prefix = table.removesuffix("session_state")
        if prefix != table and all(prefix + name in tables for name in _TABLES):
            return prefix
    return None


class Tables:
    """The rows of one file; damage is told to the report and the rest is read."""

    def __init__(self, source: SqliteSource, prefix: str, report: FileReport) -> None:
        self._source = source
        self._prefix = prefix
        self._report = report

    def rows(self, table: str, session_id: str | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a table, those of one session if one is given."""
        name = self._prefix + table
        if name not in self._source.tables:
            return
        where = None if session_id is None else {"session_id": session_id}
        place = table if session_id is None else f"{table} of session {session_id!r}"
        try:
            for row in self._source.rows(name, COLUMNS[table], where=where, order=_ORDER[table]):
                for column, reason in row.damaged.items():
                    self.tell(f"{place}: {column}: {reason}")
                yield row.values
        except ImportFailedError as error:
            self.tell(f"{place}: {error}")

    def json(self, text: Any, place: str) -> Any:
        """The value of a JSON column, None when it is empty or damaged."""
        if text is None or text == "":
            return None
        try:
            return json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            self.tell(f"{place} is not JSON: {error}")
            return None

    def tell(self, reason: str) -> None:
        """Report a problem."""
        self._report.problems.append(Problem(None, reason))
