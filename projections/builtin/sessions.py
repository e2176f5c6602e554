"""Sessions: state, counters, last activity, and where title and preview are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import apsw
from msgspec import Struct
from msgspec.structs import astuple, fields

from eventstore.events import catalogue as ev
from eventstore.events.catalogue import Event
from eventstore.events.stored import require_known
from eventstore.log.port import Recorded
from projections.base import AT, POSITION, ROLE, STREAM, VERSION, OneRow, Projection


class SessionRow(Struct):
    """A row of the table, in the order of its columns."""

    stream: int
    version: int = 0
    status: str = "active"
    kind: str = "root"
    lifecycle: str = "ephemeral"
    depth: int = 0
    parent: int | None = None
    origin: int | None = None
    origin_version: int | None = None
    source: str | None = None
    model: str | None = None
    provider: str | None = None
    round: int = 0
    messages: int = 0
    active_messages: int = 0
    compactions: int = 0
    tool_calls: int = 0
    title_position: int | None = None
    prompt_position: int | None = None
    configuration_position: int | None = None
    pending_position: int | None = None
    preview_position: int | None = None
    created_at: int = 0
    updated_at: int = 0
    last_message_at: int | None = None


COLUMNS = tuple(field.name for field in fields(SessionRow))

_LIST = ", ".join(COLUMNS)
_SELECT = f"SELECT {_LIST} FROM {{sessions}} WHERE stream = ?"  # noqa: S608
_REPLACE = (
    f"INSERT OR REPLACE INTO {{sessions}} ({_LIST}) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(COLUMNS))})"
)
#: What messages alone change: no row is fetched for them, none written anew.
_ADVANCE = (
    "UPDATE {sessions} SET version = ?1, messages = messages + ?2, "
    "active_messages = active_messages + ?2, tool_calls = tool_calls + ?3, "
    "updated_at = max(updated_at, ?4), last_message_at = ?5, "
    "preview_position = coalesce(preview_position, ?6) WHERE stream = ?7"
)
#: The same for one message without tool calls.
_ADVANCE_BY_ONE = (
    "UPDATE {sessions} SET version = ?1, messages = messages + 1, "
    "active_messages = active_messages + 1, updated_at = max(updated_at, ?2), "
    "last_message_at = ?2, preview_position = coalesce(preview_position, "
    "iif(?3 = 'user', ?4, NULL)) WHERE stream = ?5"
)
_ONE = itemgetter(VERSION, AT, ROLE, POSITION, STREAM)
_PLACE = "SELECT stream, version FROM events WHERE position = ?"


#: Of a stretch of messages: last version, number, tool calls, latest time, last time, and the
#: first position of a user's.
_Sum: TypeAlias = tuple[int, int, int, int, int, int | None]


class Sessions(Projection):
    """The `sessions` table."""

    name = "sessions"
    tables = ("sessions",)
    schema = (files("projections.builtin") / "sessions.sql").read_text(encoding="utf-8")
    inline = True

    def prepare(self) -> None:
        """Fill in the table names."""
        self._select = self.sql(_SELECT)
        self._replace = self.sql(_REPLACE)
        self._advance = self.sql(_ADVANCE)
        self.of_message = (OneRow(self.sql(_ADVANCE_BY_ONE), _ONE, must_change=True),)

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Advance the rows of sessions that got only messages; load and write the others.

        Going through the sessions one by one changes nothing: what a fork takes of its origin is
        bounded by the version it was forked at.
        """
        if len(events) == 1 and self._advance_by_messages(connection, events[0].stream, events):
            return
        rows: dict[int, SessionRow] = {}
        for stream, own in _by_stream(events).items():
            if not self._advance_by_messages(connection, stream, own):
                self._apply_any(connection, rows, stream, own)
        if rows:
            connection.executemany(self._replace, [astuple(row) for row in rows.values()])

    def _advance_by_messages(
        self, connection: apsw.Connection, stream: int, events: Sequence[Recorded]
    ) -> bool:
        """Apply messages of a session that has a row; whether these events are that."""
        got = _sum_of_messages(events)
        if got is None:
            return False
        connection.execute(self._advance, (*got, stream))
        return connection.changes() == 1

    def _apply_any(
        self,
        connection: apsw.Connection,
        rows: dict[int, SessionRow],
        stream: int,
        events: Sequence[Recorded],
    ) -> None:
        """Load the session's row, apply its events, and leave the row in `rows`."""
        row = rows[stream] = self._load(connection, stream)
        for _, together in groupby(events, _is_message):
            stretch = list(together)
            got = _sum_of_messages(stretch)
            if got is not None:
                _add_messages(row, stretch[0], got)
                continue
            for recorded in stretch:
                self._apply_one(connection, rows, row, recorded)

    def _load(self, connection: apsw.Connection, stream: int) -> SessionRow:
        found = connection.execute(self._select, (stream,)).fetchone()
        return SessionRow(stream) if found is None else SessionRow(*found)

    def _apply_one(
        self,
        connection: apsw.Connection,
        rows: dict[int, SessionRow],
        row: SessionRow,
        recorded: Recorded,
    ) -> None:
        event = recorded.event
        at = event.occurred_at or recorded.recorded_at
        if row.version == 0:
            row.created_at = at
        row.version = recorded.version
        kind = type(event)
        if kind not in _QUIET:
            row.updated_at = max(at, row.updated_at)
        if kind is ev.SessionForked:
            self._inherit_preview(connection, rows, row, event)
        change = _CHANGES.get(kind)
        if change is not None:
            change(row, event, recorded.position, at)

    def _inherit_preview(
        self, connection: apsw.Connection, rows: dict[int, SessionRow], row: SessionRow, e: Any
    ) -> None:
        """The origin's preview, unless that message is later than the version forked at."""
        source = rows.get(e.origin) or self._load(connection, e.origin)
        place = connection.execute(_PLACE, (source.preview_position,)).fetchone()
        if place is not None and (place[0] != e.origin or place[1] <= e.origin_version):
            row.preview_position = source.preview_position


def _by_stream(events: Sequence[Recorded]) -> dict[int, list[Recorded]]:
    """The events of each session, in order."""
    found: dict[int, list[Recorded]] = {}
    for recorded in events:
        found.setdefault(recorded.stream, []).append(recorded)
    return found


def _is_message(recorded: Recorded) -> bool:
    return type(recorded.event) is ev.MessageAppended


def _sum_of_messages(events: Sequence[Recorded]) -> _Sum | None:
    """What these events add to a row, None when one of them is no `MessageAppended`."""
    calls, preview, last_at, updated_at = 0, None, 0, 0
    for recorded in events:
        event = recorded.event
        if type(event) is not ev.MessageAppended:
            return None
        last_at = event.occurred_at or recorded.recorded_at
        if last_at > updated_at:
            updated_at = last_at
        calls += len(event.call_ids)
        if preview is None and event.role == "user":
            preview = recorded.position
    return events[-1].version, len(events), calls, updated_at, last_at, preview


def _add_messages(row: SessionRow, first: Recorded, got: _Sum) -> None:
    if row.version == 0:
        row.created_at = first.event.occurred_at or first.recorded_at
    row.version, number, calls, updated_at, row.last_message_at, preview = got
    row.messages += number
    row.active_messages += number
    row.tool_calls += calls
    row.updated_at = max(row.updated_at, updated_at)
    if row.preview_position is None:
        row.preview_position = preview


def _created(row: SessionRow, e: ev.SessionCreated, _: int, __: int) -> None:
    row.kind, row.lifecycle, row.depth = str(e.kind), str(e.lifecycle), e.depth
    row.parent, row.source = e.parent, e.source


def _forked(row: SessionRow, e: ev.SessionForked, _: int, __: int) -> None:
    row.kind, row.lifecycle, row.depth = str(e.kind), str(e.lifecycle), e.depth
    row.parent, row.source = e.parent, e.source
    row.origin, row.origin_version = e.origin, e.origin_version
    row.model, row.provider, row.round = e.model, e.provider, e.round
    row.messages = row.active_messages = sum(length for _, length in e.active)
    row.title_position, row.prompt_position = e.title_position, e.prompt_position
    row.configuration_position = e.configuration_position
    row.pending_position = e.pending_position


def _compacted(row: SessionRow, e: ev.ContextCompacted, _: int, at: int) -> None:
    row.messages += 1
    row.active_messages += 1 - e.count
    row.compactions += 1
    row.last_message_at = at


def _removed(
    row: SessionRow,
    e: ev.MessagesConsolidated | ev.MessagesRetracted | ev.MessagesCleared,
    _: int,
    __: int,
) -> None:
    row.active_messages -= e.count


def _status(status: str) -> Callable[[SessionRow, Any, int, int], None]:
    def change(row: SessionRow, _: Any, __: int, ___: int) -> None:
        row.status = status

    return change


def _in_force(column: str) -> Callable[[SessionRow, Any, int, int], None]:
    def change(row: SessionRow, e: Any, position: int, _: int) -> None:
        setattr(row, column, None if e.cleared else position)

    return change


def _reparented(row: SessionRow, e: ev.SessionReparented, _: int, __: int) -> None:
    row.parent = e.parent


def _model(row: SessionRow, e: ev.ModelChanged, _: int, __: int) -> None:
    row.model, row.provider = e.model, e.provider


def _round(row: SessionRow, e: ev.RoundAdvanced, _: int, __: int) -> None:
    row.round = e.round


def _suspended(row: SessionRow, _: Any, position: int, __: int) -> None:
    row.pending_position = position


def _settled(row: SessionRow, _: Any, __: int, ___: int) -> None:
    row.pending_position = None


def _unknown(_: SessionRow, e: ev.UnknownEvent, __: int, ___: int) -> None:
    require_known(e)


_CHANGES: dict[type[Event], Callable[[SessionRow, Any, int, int], None]] = {
    ev.SessionCreated: _created,
    ev.SessionForked: _forked,
    ev.SessionEnded: _status("ended"),
    ev.SessionReopened: _status("active"),
    ev.SessionArchived: _status("archived"),
    ev.SessionClosed: _status("closed"),
    ev.SessionReparented: _reparented,
    ev.TitleSet: _in_force("title_position"),
    ev.PromptChanged: _in_force("prompt_position"),
    ev.ConfigurationChanged: _in_force("configuration_position"),
    ev.ModelChanged: _model,
    ev.RoundAdvanced: _round,
    ev.ToolCallsSuspended: _suspended,
    ev.ToolCallsSettled: _settled,
    ev.ContextCompacted: _compacted,
    ev.MessagesConsolidated: _removed,
    ev.MessagesRetracted: _removed,
    ev.MessagesCleared: _removed,
    ev.UnknownEvent: _unknown,
}

#: Events about the session that are no activity in it.
_QUIET: frozenset[type[Event]] = frozenset(
    {
        ev.ContentErased,
        ev.ContentRedacted,
        ev.HoldPlaced,
        ev.HoldReleased,
        ev.ExportCreated,
        ev.RecordImported,
        ev.UnknownEvent,
    }
)
