"""The sessions that were spawned by a session or forked from it, as far as a page goes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import apsw
from msgspec import Struct

from eventstore.events.catalogue import SessionCreated
from eventstore.exports.html.history import History
from eventstore.log import reading
from eventstore.log.port import Recorded
from projections.queries import lineage, sessions

#: Relatives of one kind that are named; of more, the number is told.
NAMED_MAX = 100


class Relatives(Struct, frozen=True, kw_only=True):
    """Sessions that came from one: the names of the first, how many, and by which tool calls."""

    names: list[str]
    count: int
    by_call: dict[str, str]


def children(history: History) -> Relatives:
    """The sessions that this one had spawned."""
    return _relatives(history, lineage.children)


def forks(history: History) -> Relatives:
    """The sessions that had been forked from this one."""
    return _relatives(history, lineage.forks)


def _relatives(history: History, of: Callable[[apsw.Connection, int], list[int]]) -> Relatives:
    names: list[str] = []
    by_call: dict[str, str] = {}
    with history.log.snapshot() as connection:

        def first(stream: int) -> Recorded:
            return reading.page_of_stream(connection, stream, 0, 1, False, 1)[0]

        streams = of(connection, history.stream)
        # Streams are numbered in the order in which they began.
        begun = bisect_right(streams, history.position, key=lambda one: first(one).position)
        for stream in streams[:begun][:NAMED_MAX]:
            name = sessions.name_of(connection, stream)
            assert name is not None
            names.append(name)
            event = first(stream).event
            if isinstance(event, SessionCreated) and event.spawn_call_id is not None:
                by_call[event.spawn_call_id] = name
    return Relatives(names=names, count=begun, by_call=by_call)
