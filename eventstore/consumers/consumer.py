"""A named consumer of the log, which goes on where it was after a restart.

Delivery is at least once: the place is kept after the caller has dealt with events, never before,
so what was dealt with and not yet committed comes again after a crash. Each event comes in order,
and once in each run. A name is meant for one process at a time. Where two use it both get every
event, the first to commit goes on, and the other is told by `ConsumerMovedError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eventstore.consumers import positions
from eventstore.consumers.positions import START
from eventstore.errors import InvalidValueError, ReadOnlyStoreError
from eventstore.following import Cursor, checked_types, follow
from eventstore.log.port import Head, Recorded
from eventstore.log.sqlite import SqliteLog

#: Characters of a name, at most.
NAME_MAX = 200


class Consumer:
    """One named consumer; get it from `SessionStore.consumer`.

    It holds the place that was kept when it was made, and moves it with `commit`.
    """

    def __init__(
        self,
        log: SqliteLog,
        name: str,
        *,
        types: Sequence[str] | str | None,
        stream: int | None,
        content: bool,
    ) -> None:
        if not 0 < len(name) <= NAME_MAX or not name.isprintable():
            raise InvalidValueError(
                f"a consumer's name is 1 to {NAME_MAX} printable characters, not {name[:250]!r}"
            )
        if log.readonly:
            raise ReadOnlyStoreError(
                f"{log.path} was opened read-only, where no consumer can keep its position; use "
                "`follow`"
            )
        self.name = name
        self._log = log
        self._types = checked_types(types)
        self._stream = stream
        self._content = content
        with log.reader() as connection:
            self._kept = positions.read(connection, name)

    def __repr__(self) -> str:
        return f"<Consumer {self.name!r} of {self._log.path} after {self.place.position}>"

    @property
    def place(self) -> Head:
        """Position and leaf of the last event that was committed; position 0 for none."""
        return self._kept or START

    def _cursor(self) -> Cursor:
        return Cursor(
            self._log, self.place, types=self._types, stream=self._stream, content=self._content
        )

    def follow(
        self, *, live: bool = True, timeout: float | None = None, commit: bool = True
    ) -> Iterator[Recorded]:
        """The events after the kept place, and with `live` those still to come, each once.

        With `commit` the place is moved by itself when the caller asks for more after the last
        event of a page (of at most 500), so that all of it was dealt with. Leaving the loop in the
        midst of a page keeps nothing of it: call `commit` for the last event you dealt with.

        Raises what `SessionStore.follow` does, `PositionLostError` until `reset`, and
        `ConsumerMovedError`.
        """
        settled = self.commit if commit else None
        return follow(self._log, self._cursor(), live=live, timeout=timeout, settled=settled)

    def commit(self, event: Recorded) -> None:
        """Keep that this event and all before it were dealt with; one before the place is no news.

        Raises `ConsumerMovedError` when another consumer of this name has moved the place, or it
        was reset or dropped; `PositionLostError` for an event that is not in this log.
        """
        place = Head(event.position, event.leaf)
        if place.position <= self.place.position:
            return
        known = self._kept
        self._log.transact(
            lambda transaction: positions.move(
                transaction.connection, self.name, known, place, transaction.clock()
            ),
            exclusive=True,
        )
        self._kept = place

    def reset(self, position: int = 0) -> None:
        """Go on after this position from now on, forwards or backwards; 0 is the beginning.

        Another consumer of this name that runs now is refused at its next commit.
        Raises `InvalidRangeError` for a position that the log does not have.
        """
        with self._log.reader() as connection:
            place = positions.place_at(connection, position)
        self._log.transact(
            lambda transaction: positions.put(
                transaction.connection, self.name, place, transaction.clock()
            ),
            exclusive=True,
        )
        self._kept = place

    def drop(self) -> bool:
        """Forget this name and its place; False when there was nothing to forget."""
        dropped = self._log.transact(
            lambda transaction: positions.drop(transaction.connection, self.name), exclusive=True
        )
        self._kept = None
        return dropped
