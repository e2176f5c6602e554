"""The source records that a session holds, read back in order.

A fork that an import made continues the records of its origin: its own begin where it was forked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from eventstore.errors import EventFormatError
from eventstore.events.catalogue import (
    Content,
    ContextCompacted,
    MessageAppended,
    RecordImported,
    SessionForked,
    TitleSet,
)
from eventstore.importers import records
from eventstore.log.port import Recorded
from eventstore.store.session import Session

#: Kind of a damaged last line without line end: a later copy of its file may complete it.
TORN = "torn"

#: Events read at once, so that no read holds on to the file while others write.
PAGE = 128

_CARRIERS = (MessageAppended, ContextCompacted, TitleSet, RecordImported)


class StoredRecord(Struct, frozen=True):
    """A record as the store holds it, in the event `version` of `session`.

    `data` is None when the event's content was erased; `is_message` says whether it is (or was)
    a message, `torn` whether the record was a last line that broke off.
    """

    session: Session
    version: int
    data: bytes | None
    is_message: bool
    torn: bool


def records_of(session: Session, upto: int | None = None) -> Iterator[StoredRecord]:
    """Every source record of a session, those of the sessions it was forked from first.

    Of the session itself those up to a version, if one is given.
    Raises `EventFormatError`, naming session and version, for a record that cannot be given back.
    """
    for part, end in lineage(session):
        after, last = 0, upto if part is session else end
        while page := _page(part, after, last):
            for recorded in page:
                found = _record(part, recorded)
                if found is not None:
                    yield found
            after = page[-1].version


def lineage(session: Session) -> Sequence[tuple[Session, int | None]]:
    """The sessions whose events a session's past is made of, oldest first.

    Each with the version up to which it counts, None for the session itself.
    """
    parts: list[tuple[Session, int | None]] = [(session, None)]
    while True:
        first = next(iter(parts[0][0].events(upto=1)), None)
        if first is None or not isinstance(first.event, SessionForked):
            return parts
        origin = session.store.session_of(first.event.origin)
        parts.insert(0, (origin, first.event.origin_version))


def _page(session: Session, after: int, upto: int | None) -> list[Recorded]:
    last = after + PAGE if upto is None else min(after + PAGE, upto)
    return list(session.events(after=after, upto=last)) if last > after else []


def _record(session: Session, recorded: Recorded) -> StoredRecord | None:
    event = recorded.event
    if not isinstance(event, _CARRIERS):
        return None
    is_message = isinstance(event, MessageAppended)
    content: Content | None = event.content
    if content is None:
        if recorded.commitment is None:
            return None
        return StoredRecord(session, recorded.version, None, is_message, False)
    if content.record is None:
        return None
    torn = isinstance(event, RecordImported) and event.kind == TORN
    try:
        data = records.restore(content.record, content)
    except EventFormatError as error:
        where = f"session {session.id!r}, event {recorded.version}"
        raise EventFormatError(f"{where}: {error}") from error
    return StoredRecord(session, recorded.version, data, is_message, torn)
