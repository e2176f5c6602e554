"""Reads of one session page by page, as of a version: for who reads very much of it.

Each page is a snapshot of the file of its own. What a version held does not change by what is
appended meanwhile; what is erased meanwhile is gone from the pages read after that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eventstore.log.sqlite import SqliteLog
from eventstore.session.state import SessionState
from eventstore.store.current import require_current
from eventstore.store.reads import tool_call_view
from eventstore.store.views import MessageView, ToolCallView, message_views
from projections.queries import calls, usage
from projections.queries import messages as queries
from projections.queries.usage import UsageCall

#: Messages, or calls, read at a time; each can hold a large text.
PAGE = 50

#: Model calls read at a time: numbers only.
_NUMBERS = 500


def messages(log: SqliteLog, stream: int, state: SessionState) -> Iterator[MessageView]:
    """All messages that there were in this state, in order of seq."""
    after, last = 0, state.next_seq - 1
    while after < last:
        with log.snapshot() as connection:
            require_current(connection)
            rows = queries.in_range(connection, stream, after + 1, last, PAGE)
            if not rows:
                return
            first, after = rows[0][queries.SEQ], rows[-1][queries.SEQ]
            states = queries.states_at(connection, stream, state.version, first, after)
            views = list(message_views(connection, rows, states))
        yield from views


def tool_calls(log: SqliteLog, stream: int, state: SessionState) -> Iterator[ToolCallView]:
    """All tool calls with an id that had been made in this state, with the results there were."""
    after, last = (0, -1), state.next_seq - 1
    while True:
        with log.snapshot() as connection:
            require_current(connection)
            rows = calls.page_of_calls(connection, stream, after, last, PAGE)
            views = [
                tool_call_view(
                    connection, row if (row[5] or 0) <= last else (*row[:5], *(None,) * 4)
                )
                for row in rows
            ]
        yield from views
        if len(rows) < PAGE:
            return
        after = (rows[-1][1], rows[-1][2])


def usage_calls_of(
    log: SqliteLog, stream: int, keys: Sequence[str], upto: int
) -> dict[str, UsageCall]:
    """The model calls of a session with these keys, as of a position of the log, by key."""
    with log.snapshot() as connection:
        require_current(connection)
        return usage.calls_of(connection, stream, keys, upto)


def usage_calls(log: SqliteLog, stream: int, upto: int) -> Iterator[UsageCall]:
    """Every model call of a session once, as of a position of the log, in order of the keys."""
    after: str | None = None
    while True:
        with log.snapshot() as connection:
            require_current(connection)
            page, last = usage.page_of_calls(connection, stream, after, upto, _NUMBERS)
        yield from page
        if last is None:
            return
        after = last
