"""Following the log: events after a position, as they are committed, by whatever process.

A cursor remembers how far it has read and reads pages; a follower waits for changes in between. No
statement and no snapshot stays open while it waits or while its caller works.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from eventstore.errors import InvalidRangeError, InvalidValueError, PositionLostError
from eventstore.events.stored import CLASSES
from eventstore.log import reading
from eventstore.log.port import Head, Recorded
from eventstore.log.sqlite import SqliteLog

_VERSION_AT = "SELECT max(version) FROM events WHERE stream = ? AND position <= ?"


class Cursor:
    """A place in the log, or in one session of it, that moves on as it is read.

    `after` is a position, or a position and its leaf, which are then compared with the log. Raises
    `PositionLostError` when they differ, `InvalidRangeError` for a position that is not reached
    yet, `InvalidValueError` for a type that there cannot be.
    """

    def __init__(
        self,
        log: SqliteLog,
        after: int | Head,
        *,
        types: Sequence[str] | str | None,
        stream: int | None,
        content: bool,
    ) -> None:
        self._log = log
        self._types = checked_types(types)
        self._stream = stream
        self._content = content
        self._mark = _mark(log, after, stream)

    def read(self) -> tuple[list[Recorded], bool]:
        """The next events that match, and whether there may be more of them now."""
        with self._log.reader() as connection:
            if self._types is not None:
                page, self._mark, more = reading.page_of_types(
                    connection, self._stream, self._mark, self._types, self._content
                )
                return page, more
            if self._stream is None:
                page = reading.page_of_log(
                    connection, self._mark, None, self._content, reading.PAGE
                )
            else:
                page = reading.page_of_stream(
                    connection, self._stream, self._mark, None, self._content, reading.PAGE
                )
        if page:
            self._mark = page[-1].position if self._stream is None else page[-1].version
        return page, len(page) == reading.PAGE


def checked_types(types: Sequence[str] | str | None) -> tuple[str, ...] | None:
    """The names of types, each once; raises `InvalidValueError` for one that there cannot be."""
    if types is None:
        return None
    names = tuple(sorted({types} if isinstance(types, str) else set(types)))
    for name in names:
        if name not in CLASSES and not name.startswith("x."):
            raise InvalidValueError(f"there is no event type {name!r}; there are {sorted(CLASSES)}")
    return names


def _mark(log: SqliteLog, after: int | Head, stream: int | None) -> int:
    """Where to go on after a position: the position itself, or the session's version there."""
    position = after if isinstance(after, int) else after.position
    with log.snapshot() as connection:
        head = reading.head_of(connection)
        at = reading.page_of_log(connection, position - 1, position, False, 1)
        if isinstance(after, Head) and position and (not at or at[0].leaf != after.leaf):
            raise PositionLostError(
                f"the log has another event at position {position} than the one that was kept, or "
                "none; it lost its last moments, or is another log: read it again from the start"
            )
        if not 0 <= position <= head.position:
            raise InvalidRangeError(f"the log has positions up to {head.position}, not {position}")
        if stream is None:
            return position
        return connection.execute(_VERSION_AT, (stream, position)).get or 0


def follow(
    log: SqliteLog,
    cursor: Cursor,
    *,
    live: bool,
    timeout: float | None,
    settled: Callable[[Recorded], None] | None = None,
) -> Iterator[Recorded]:
    """The events of a cursor; a `live` one waits for more, at most `timeout` seconds for each.

    `settled` is told the last event of a page when the caller has come back from all of it.
    Raises `StoreClosedError` when the store is closed meanwhile.
    """
    if not live:
        yield from _present(cursor, settled)
        return
    changed = threading.Event()
    with log.changes.listening(changed.set):
        deadline = _deadline(timeout)
        while True:
            changed.clear()
            for recorded in _present(cursor, settled):
                yield recorded
                deadline = _deadline(timeout)
            # An event that is committed from here on sets `changed`, so none is waited past.
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not changed.wait(left):
                return


def _present(cursor: Cursor, settled: Callable[[Recorded], None] | None) -> Iterator[Recorded]:
    """What the cursor can read now."""
    more = True
    while more:
        page, more = cursor.read()
        yield from page
        if page and settled is not None:
            settled(page[-1])


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout
