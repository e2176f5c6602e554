"""What the log asks of the projections that are written with each append."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import apsw

from eventstore.log.port import Head, Recorded

#: Position, stream, version, time (µs since 1970), seq, role, round and tokens of a message.
MessageColumns: TypeAlias = tuple[int, int, int, int, int, str, int | None, int | None]


class Inline(Protocol):
    """Writes derived rows in the transaction in which events are appended."""

    #: Whether `apply_message` may be called.
    takes_messages: bool

    def __call__(
        self, cursor: apsw.Cursor, events: list[Recorded], before: Head, after: Head
    ) -> None:
        """Apply events that moved the end of the log from `before` to `after`; none: catch up."""

    def apply_message(
        self, cursor: apsw.Cursor, message: MessageColumns, before: Head, after: Head
    ) -> None:
        """Apply one event, a message without tool calls."""
