"""`salvage`: what can still be read of a damaged file, in a new store.

Every event that can be read keeps its position, version, time, key, facts, commitment and leaf.
Content comes back where its commitment proves it and nothing says that it was erased. What was lost
is on the record of the new store itself, so `verify` tells it for ever. Everything derived is made
anew. The damaged file is only read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import TypeAlias

import apsw
from msgspec import Struct

from eventstore.errors import NotAStoreError, StoreError
from eventstore.events import stored
from eventstore.events.catalogue import Run, SessionContent
from eventstore.files import put, sync
from eventstore.log import blobs, losses, restoring
from eventstore.log.engine import Durability
from eventstore.log.entry import ZEROS, commitment_of
from eventstore.log.pages import Image
from eventstore.log.partial import partial_file
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.salvage import filling
from eventstore.salvage.filling import Place, Writer
from eventstore.salvage.finding import Found
from eventstore.salvage.proof import Proof, erased_by, erased_sessions, prove
from eventstore.salvage.records import ContentRow, EventRow, StreamRow
from eventstore.session.runs import from_numbers
from eventstore.store.session_store import SessionStore

#: Told from time to time: ``(what is being done, how far, of how much)``.
Progress: TypeAlias = Callable[[str, int, int], None]


class Report(Struct, frozen=True, kw_only=True):
    """What was saved and what was lost; positions as runs ``(first, length)``.

    `unproven` events were saved, but what comes before them in their session was lost, so no hash
    proves them. `sessions` are the ids of those that lost events or content. Events that lay after
    the last one that can be read are not known of. `session_id` is the session that records the
    losses, None when there are none.
    """

    events: int
    contents: int
    lost: tuple[Run, ...]
    unproven: tuple[Run, ...]
    lost_contents: tuple[Run, ...]
    sessions: tuple[str, ...]
    session_id: str | None


def salvage(broken: str | Path, new: str | Path, *, progress: Progress | None = None) -> Report:
    """Save what can be read of the file `broken` into a new store.

    Nothing may have the damaged file open meanwhile. Its write-ahead log is read too, if it lies
    beside it. Nothing lies at `new` unless all of it was written.

    Raises `StoreMissingError`, `NotAStoreError` when nothing of a log is found, and `StoreError`
    when there is something at `new`.
    """
    target = Path(new).expanduser()
    if target.exists():
        raise StoreError(f"{target} exists already; name a file that does not")
    told = progress or (lambda *_: None)
    image = Image(str(Path(broken).expanduser()))
    try:
        found = Found(image)
        found.read(lambda page, pages: told("pages", page, pages))
        if not found.events:
            raise NotAStoreError(f"{broken}: no event of a log can be read in it")
        with partial_file(target) as partial:
            report = _write(found, partial, told)
            sync(partial)
            put(partial, target)
    finally:
        image.close()
    return report


def _write(found: Found, path: Path, told: Progress) -> Report:
    """Write the new store and derive what is derived."""
    saving = _Saving(found)
    log = SqliteLog(path, durability=Durability.FULL)
    try:
        report = log.transact(lambda transaction: saving.write(transaction, told), exclusive=True)
    finally:
        log.close()
    with SessionStore.open(path, create=False) as store:
        store.catch_up("search")
    return report


class _Saving:
    """One salvage: what is kept of what was found."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._before = losses.Losses()  # of a file that was salvaged once already
        for row in found.events.values():
            if row.type == losses.SALVAGED:
                self._before.take(row.facts.encode())
        self._sort_out(dict(found.events))
        events = self._proof.events
        if not events:
            raise NotAStoreError("what looks like events in the file contradicts itself")
        self._erased = erased_by(events) | self._before.contents
        self._gone = self._erased | found.wiped
        self._streams = dict(found.streams)
        self._name_lost_streams(sorted({row.stream for row in events.values()}))

    def _sort_out(self, rows: dict[int, EventRow]) -> None:
        """Decide which events are kept and where the lost ones were.

        An unproven event before which there is no room for the versions that it makes others miss
        is not believed, one of a session that is not known first.
        """
        streams = self._found.streams
        while True:
            self._proof: Proof = prove(rows.values(), streams, self._before.unproven)
            events, unproven = self._proof
            # Where content is there, there was an event: its position is not given out again.
            self._end = max([*events, *self._found.content_positions()], default=0)
            self._free = [one for one in range(1, self._end + 1) if one not in events]
            self._plan = filling.plan(self._proof, streams, self._free)
            wrong = self._plan.contradicted & unproven
            for position in {one for one in wrong if rows[one].stream not in streams} or wrong:
                del rows[position]
            if not wrong:
                return

    def _name_lost_streams(self, numbers: Iterable[int]) -> None:
        """Give sessions whose row is lost a new one, with their id where it can be read."""
        erased = erased_sessions(self._proof.events)
        used = {(row.session_id, row.incarnation) for row in self._streams.values()}
        names = {row.stream: row for row in self._proof.events.values() if row.version == 1}
        for number in numbers:
            if number in self._streams:
                continue
            uid = filling.new_uid()
            if number in erased:
                name = f"erased:{uid.hex()}"
            else:
                name = self._session_id(names.get(number)) or f"salvaged-stream-{number}"
            incarnation = next(one for one in count(1) if (name, one) not in used)
            used.add((name, incarnation))
            self._streams[number] = StreamRow(number, name, incarnation, uid)

    def _session_id(self, first: EventRow | None) -> str | None:
        found = None if first is None else self._true_content(first)
        if first is None or found is None or found.body is None:
            return None
        content = stored.read_content(first.type, first.schema, found.body.encode())
        return content.session_id if isinstance(content, SessionContent) else None

    def _true_content(self, row: EventRow) -> ContentRow | None:
        """The content of an event, if it is what was committed to and was not erased."""
        if row.commitment is None or row.position in self._gone:
            return None
        content = self._found.content(row.position)
        if content is None or content.salt is None or content.body is None:
            return None
        if commitment_of(content.salt, content.body.encode()) != row.commitment:
            return None
        digests = blobs.digests_in(content.body.encode())
        return content if all(map(self._found.has_blob, digests)) else None

    # -- writing -----------------------------------------------------------------------------

    def write(self, transaction: SqliteTransaction, told: Progress) -> Report:
        """Write all rows of the new log."""
        connection = transaction.connection
        transaction.changed = True
        writer = Writer(self._times())
        found = self._plan.places
        log = filling.fill(self._proof, self._streams, found, writer)
        given = {row.stream for row in log.values()}
        for number in set(self._streams) - given:
            del self._streams[number]
        restoring.write_streams(connection, sorted(self._streams.values()))
        restoring.write_events(connection, (log[position] for position in sorted(log)))
        lost_contents = self._write_contents(connection, told)
        report = self._report(found, lost_contents)
        if report.session_id is not None:
            self._write_own(
                connection, writer, report.session_id, report, sorted(set(self._free) - set(log))
            )
        return report

    def _times(self) -> dict[int, int]:
        """When each position was recorded, a lost one as the one before."""
        times: dict[int, int] = {}
        at = self._proof.events[min(self._proof.events)].recorded_at
        for position in range(1, self._end + 3):
            row = self._proof.events.get(position)
            at = at if row is None else row.recorded_at
            times[position] = at
        return times

    def _write_contents(self, connection: apsw.Connection, told: Progress) -> list[int]:
        """Write every content that is true; the positions of those that are lost."""
        lost: list[int] = []
        needed: dict[bytes, None] = {}
        for position in sorted(self._proof.events):
            row = self._proof.events[position]
            if row.commitment is None:
                continue
            content = self._true_content(row)
            kept = content or ContentRow(position, None, None)
            needed.update(dict.fromkeys(restoring.write_content(connection, *kept)))
            if content is None and position not in self._erased:
                lost.append(position)
            if position % 500 == 0 or position == self._end:
                told("contents", position, self._end)
        for digest in needed:
            restoring.write_blob(connection, digest, self._found.blob(digest))
        return lost

    def _report(self, found: list[Place], lost_contents: list[int]) -> Report:
        events = self._proof.events
        affected = {place.stream for place in found}
        affected.update(events[position].stream for position in lost_contents)
        affected.update(events[position].stream for position in self._proof.unproven)
        with_content = sum(row.commitment is not None for row in events.values())
        return Report(
            events=len(events),
            contents=with_content - len(lost_contents),
            lost=from_numbers(self._free),
            unproven=from_numbers(sorted(self._proof.unproven)),
            lost_contents=from_numbers(lost_contents),
            sessions=tuple(self._streams[stream].session_id for stream in sorted(affected)),
            session_id=f"salvage-{os.urandom(6).hex()}" if affected or self._free else None,
        )

    def _write_own(
        self,
        connection: apsw.Connection,
        writer: Writer,
        name: str,
        report: Report,
        free: list[int],
    ) -> None:
        """The session of the salvage itself: the positions that are left, and what was lost."""
        number = max([*self._streams, *_named_streams(self._proof.events)]) + 1
        uid = filling.new_uid()
        row = StreamRow(number, name, 1, uid)
        restoring.write_streams(connection, [row])
        record = losses.record(report.lost, report.unproven, report.lost_contents)
        leaf = ZEROS
        own = filling.own_events(name, free, self._end, record)
        for version, (position, event) in enumerate(own, 1):
            written, content = writer.row(Place(position, number, version), event, uid, leaf)
            restoring.write_events(connection, [written])
            if content is not None:
                restoring.write_content(connection, *content)
            leaf = written.leaf


def _named_streams(events: Mapping[int, EventRow]) -> Iterable[int]:
    """The stream numbers that events speak of: none of them may be given to another session."""
    for row in events.values():
        yield row.stream
        if row.type in ("session.created", "session.forked", "session.reparented"):
            event = stored.read(row.type, row.schema, row.facts.encode())
            for name in ("parent", "origin"):
                number = getattr(event, name, None)
                if isinstance(number, int):
                    yield number
