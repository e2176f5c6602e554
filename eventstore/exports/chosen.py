"""The sessions that an export is of, one after the other, as they were at its end."""

from __future__ import annotations

from collections.abc import Iterator

from eventstore.exports.registry import Request
from eventstore.log import reading
from eventstore.store.own import OWN
from eventstore.store.session import Session

#: Streams looked up at a time.
_PAGE = 200


def sessions(request: Request) -> Iterator[Session]:
    """The chosen sessions, or all of the log that had begun, the store's own aside.

    In the order in which they began.
    """
    if request.sessions is not None:
        yield from request.sessions
        return
    store, after = request.store, 0
    while True:
        with store.log.reader() as connection:
            page = reading.streams_begun(connection, after, request.to_position, _PAGE)
        for head in page:
            session = Session(store, head.session_id, head.incarnation, head.id)
            if head.session_id != OWN or session.state().source != OWN:
                yield session
        if len(page) < _PAGE:
            return
        after = page[-1].id


def count(request: Request) -> int:
    """How many sessions there are to export, the store's own among them."""
    if request.sessions is not None:
        return len(request.sessions)
    with request.store.log.reader() as connection:
        return reading.number_begun(connection, request.to_position)
