"""Points in the past: where in a session's history, or in the log, a read should stand.

A point is a version, or something that is turned into one in the same snapshot of the file as the
read. What a point gives never changes by what is appended after it; a round or a time that is not
over yet takes in what is appended until it is. Version 0 is the session before its first event.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import apsw
from msgspec import Struct

from eventstore import snapshots
from eventstore.errors import InvalidRangeError, InvalidValueError, UnknownMessageError
from eventstore.log import reading
from eventstore.log.port import StreamHead
from eventstore.session.fold import fold
from eventstore.session.state import SessionState
from eventstore.store.current import require_current
from projections.queries import points as queries


class Measure(StrEnum):
    """What a point is counted in."""

    VERSION = "version"
    POSITION = "position"
    SEQ = "seq"
    ROUND = "round"
    TIME = "time"
    BEFORE_COMPACTION = "before_compaction"
    AFTER_COMPACTION = "after_compaction"


class At(Struct, frozen=True):
    """A point in the past; make one with the methods that are named after what they count.

    Reads of a session take it as `at`, where a plain number is a version.
    """

    measure: Measure
    value: int

    def __post_init__(self) -> None:
        if type(self.value) is not int:
            raise InvalidValueError(f"a {self.measure} is a whole number, not {self.value!r}")

    def __str__(self) -> str:
        return f"{self.measure}:{self.value}"

    @classmethod
    def version(cls, version: int) -> At:
        """Just after the session's event of this version."""
        return cls(Measure.VERSION, version)

    @classmethod
    def position(cls, position: int) -> At:
        """The session's last event at or before this position of the log."""
        return cls(Measure.POSITION, position)

    @classmethod
    def seq(cls, seq: int) -> At:
        """Just after the event that appended this message; a note's is its compaction.

        Messages that a fork took over are there from its first event on.
        """
        return cls(Measure.SEQ, seq)

    @classmethod
    def round(cls, round: int) -> At:  # noqa: A002
        """The end of a round: just before the first event of a later one.

        An event is of a later round when it advances the session to it, or is a message or note
        that was appended with its number.
        """
        return cls(Measure.ROUND, round)

    @classmethod
    def time(cls, time: int | datetime) -> At:
        """The last version whose `updated_at` is at most this time (µs since 1970).

        That is the longest beginning of the history in which no event is later. An event's time is
        `occurred_at`, else `recorded_at`; of source records that are no messages, erasures and
        exports the time does not count, as it does not for `updated_at`. A `datetime` without a
        time zone is local time.
        """
        if isinstance(time, datetime):
            time = round(time.timestamp() * 1_000_000)
        return cls(Measure.TIME, time)

    @classmethod
    def before_compaction(cls, number: int) -> At:
        """Just before a compaction, counted from 1 as in `Session.compactions`."""
        return cls(Measure.BEFORE_COMPACTION, number)

    @classmethod
    def after_compaction(cls, number: int) -> At:
        """Just after a compaction, counted from 1 as in `Session.compactions`."""
        return cls(Measure.AFTER_COMPACTION, number)


#: A point of a session: a plain number is a version.
Point: TypeAlias = int | At


def version_at(connection: apsw.Connection, head: StreamHead, at: Point | None) -> int:
    """The version that a point of this session is, its last one for None.

    Raises `InvalidRangeError` or `UnknownMessageError`, which say what range there is.
    """
    if at is None:
        return head.version
    if not isinstance(at, At):
        at = At.version(at)
    value = at.value
    match at.measure:
        case Measure.VERSION:
            if not 0 <= value <= head.version:
                raise InvalidRangeError(
                    f"session {head.session_id!r} has versions 0 to {head.version}, not {value}"
                )
            return value
        case Measure.POSITION:
            position = checked_position(connection, value)
            return queries.version_at(connection, head.id, head.version, position)
        case Measure.SEQ:
            return _at_seq(connection, head, value)
        case Measure.ROUND:
            return _at_round(connection, head, value)
        case Measure.TIME:
            return _at_time(connection, head.id, value)
        case _:
            return _at_compaction(connection, head, at)


def position_at(connection: apsw.Connection, at: At) -> int:
    """The position of the log that a position or a time is.

    A time is the longest beginning of the log in which no event is later.
    Raises `InvalidRangeError` for a position that the log does not have, `InvalidValueError` for
    what is a point of one session only.
    """
    if not isinstance(at, At) or at.measure not in (Measure.POSITION, Measure.TIME):
        raise InvalidValueError(
            f"the sessions of a store are listed as of a position or a time, not {at!s}; use "
            "At.position or At.time"
        )
    if at.measure is Measure.POSITION:
        return checked_position(connection, at.value)
    require_current(connection)
    last = reading.head_of(connection).position
    # An event is later than the time only in a session that was changed later, and of these only
    # sessions that began before the first such event matter.
    for stream, begins in queries.changed_after(connection, at.value):
        if begins > last:
            break
        version = _at_time(connection, stream, at.value) + 1
        last = min(last, queries.position_of(connection, stream, version) - 1)
    return last


def checked_position(connection: apsw.Connection, position: int) -> int:
    """The position; raises `InvalidRangeError` when the log does not have it."""
    last = reading.head_of(connection).position
    if not 0 <= position <= last:
        raise InvalidRangeError(f"the log has positions 0 to {last}, not {position}")
    return position


def _at_seq(connection: apsw.Connection, head: StreamHead, seq: int) -> int:
    require_current(connection)
    found = queries.version_of_message(connection, head.id, seq)
    if found is None:
        first, last = queries.seqs(connection, head.id)
        has = f"it has none below {first} and none above {last}" if last else "it has none"
        raise UnknownMessageError(f"session {head.session_id!r} has no message {seq}; {has}")
    return found


def _at_round(connection: apsw.Connection, head: StreamHead, number: int) -> int:
    if number < 0:
        raise InvalidRangeError(f"a round is a whole number from 0, not {number}")
    beyond = queries.first_beyond_round(connection, head.id, number)
    if beyond is None:
        last = queries.last_round(connection, head.id)
        if number <= last:
            return head.version
        raise InvalidRangeError(
            f"session {head.session_id!r} has rounds up to {last}, it has not reached {number}"
        )
    if beyond == 1:
        raise InvalidRangeError(
            f"session {head.session_id!r} has no round {number}, it begins in a later one"
        )
    return beyond - 1


def _at_time(connection: apsw.Connection, stream: int, time: int) -> int:
    """The last version that is not later; snapshots say where to begin to look."""
    state = SessionState()
    versions = snapshots.versions(connection, stream)
    low, high = 0, len(versions)
    while low < high:
        middle = (low + high) // 2
        kept = snapshots.nearest(connection, stream, versions[middle])
        if kept.updated_at > time:
            high = middle
        else:  # a snapshot that cannot be used counts as none, which is not wrong, only slow
            low = middle + 1
            state = max(state, kept, key=lambda one: one.version)
    while page := reading.page_of_stream(
        connection, stream, state.version, None, False, reading.PAGE
    ):
        for recorded in page:
            after = fold(state, recorded)
            if after.updated_at > time:
                return state.version
            state = after
    return state.version


def _at_compaction(connection: apsw.Connection, head: StreamHead, at: At) -> int:
    require_current(connection)
    versions = queries.compactions(connection, head.id)
    if not 1 <= at.value <= len(versions):
        has = f"compactions 1 to {len(versions)}" if versions else "no compaction"
        raise InvalidRangeError(f"session {head.session_id!r} has {has}, not {at.value}")
    version = versions[at.value - 1]
    return version - 1 if at.measure is Measure.BEFORE_COMPACTION else version
