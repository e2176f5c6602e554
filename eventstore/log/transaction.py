"""A transaction of the SQLite log: what its members want written, buffered until the commit.

Works only read and decide while they run; their events get positions, versions and leaves at once
but are written together when the transaction is flushed. A work that fails is therefore undone by
forgetting what it buffered: no savepoint is needed and its neighbours are not disturbed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import apsw

from eventstore.errors import KeyReusedError, PartialRetryError, VersionConflictError
from eventstore.events import stored
from eventstore.log import blobs, reading
from eventstore.log.entry import SALT_BYTES, UID_BYTES, ZEROS, commitment_of, leaf_of
from eventstore.log.memory import Memory
from eventstore.log.port import ANY, Expected, Head, NewEvent, Recorded, StreamHead

#: Writes derived rows for events that are being appended: ``(connection, events, head before)``.
Inline = Callable[[apsw.Connection, list[Recorded], Head], None]

_INSERT_STREAM = "INSERT INTO streams (id, session_id, incarnation, uid) VALUES (?, ?, ?, ?)"
_INSERT_EVENT = (
    "INSERT INTO events (position, stream, version, type, schema, recorded_at, actor, facts, "
    "idempotency_key, commitment, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_CONTENT = "INSERT INTO contents (position, salt, body) VALUES (?, ?, ?)"
_INSERT_BLOB = "INSERT INTO blobs (digest, body) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING"
_INSERT_REFERENCE = "INSERT INTO blob_references (digest, position) VALUES (?, ?)"
_LAST_STREAM = "SELECT coalesce(max(id), 0) FROM streams"

#: Salts asked of the system at a time.
SALTS = 64

#: What the last stream's number is remembered under: no text, since every text may be an id.
_LAST = ("last stream",)


class SaltPool:
    """Random salts, asked of the system many at a time: one call a salt costs ten times as much.

    Used by the writer alone. A salt is never handed out twice, whatever becomes of its transaction.
    """

    def __init__(self) -> None:
        self._salts: list[bytes] = []

    def take(self) -> bytes:
        """A fresh salt."""
        if not self._salts:
            random = os.urandom(SALT_BYTES * SALTS)
            self._salts = [
                random[start : start + SALT_BYTES] for start in range(0, len(random), SALT_BYTES)
            ]
        return self._salts.pop()


class SqliteTransaction:
    """One write transaction; the works of a group share it, one after the other."""

    def __init__(
        self,
        connection: apsw.Connection,
        head: Head,
        streams: Memory,
        memory: Memory,
        clock: Callable[[], int],
        salts: SaltPool,
        inline: Inline | None,
    ) -> None:
        self.connection = connection
        self._written = head
        self._position = head.position
        self._streams = streams
        self._memory = memory
        self._keyed = Memory()
        self.clock = clock
        self._inline = inline
        self._recorded: list[Recorded] = []
        self._rows: list[tuple[Any, ...]] = []
        self._content_rows: list[tuple[Any, ...]] = []
        self._stream_rows: list[tuple[Any, ...]] = []
        self._blob_rows: list[tuple[bytes, bytes, int]] = []
        self._deferred: list[Callable[[apsw.Connection], None]] = []
        self._salts = salts
        self.changed = False

    # -- streams ---------------------------------------------------------------------------

    def stream(self, session_id: str) -> StreamHead | None:
        """The newest stream with this session id."""
        number = self._streams.recall(session_id)
        if number is not None:
            return self.stream_by_id(number)
        head = reading.stream_head(self.connection, session_id)
        if head is not None:
            self._keep(head)
        return head

    def stream_by_id(self, stream: int) -> StreamHead | None:
        """The stream with this number."""
        head: StreamHead | None = self._streams.recall(stream)
        if head is None:
            head = reading.stream_by_id(self.connection, stream)
            if head is not None:  # not as its id's: it may be an older incarnation
                self._streams.remember(head.id, head)
        return head

    def _keep(self, head: StreamHead) -> None:
        self._streams.remember(head.session_id, head.id)
        self._streams.remember(head.id, head)

    def create_stream(self, session_id: str) -> StreamHead:
        """A new stream: incarnation 1 of the id, or the next one."""
        before = self.stream(session_id)
        number = self._streams.recall(_LAST)
        if number is None:
            number = self.connection.execute(_LAST_STREAM).get
        incarnation = 1 if before is None else before.incarnation + 1
        head = StreamHead(number + 1, session_id, incarnation, os.urandom(UID_BYTES), 0, ZEROS, 0)
        self._streams.remember(_LAST, head.id)
        self._keep(head)
        self._stream_rows.append(head[:4])
        return head

    def forget_streams(self) -> None:
        """Forget what is remembered of streams and sessions: their rows were changed."""
        self._streams.forget()
        self._memory.forget()

    # -- appending -------------------------------------------------------------------------

    def append(
        self, stream: int, events: Sequence[NewEvent], expected: Expected = ANY
    ) -> list[Recorded]:
        """Append to a stream; with keys that are all stored already, the original events.

        Raises `VersionConflictError`, `PartialRetryError`, `KeyReusedError`, `NotJSONError`.
        """
        head = self.stream_by_id(stream)
        if head is None:
            raise VersionConflictError(f"stream {stream}", str(expected), 0)
        prior = self.originals(stream, events)
        if prior is not None:
            return prior
        if expected is not ANY:
            self._check_expected(head, expected)
        return self._buffer(head, events)

    def _buffer(self, head: StreamHead, events: Sequence[NewEvent]) -> list[Recorded]:
        """Give events their positions, versions and leaves, and keep their rows for the flush."""
        now, stream = self.clock(), head.id
        position, version, leaf, solid = (
            self._position, head.version, head.leaf, head.solid_version,
        )  # fmt: skip
        recorded: list[Recorded] = []
        forms = stored.store_all([new.event for new in events])
        for (event, actor, key), (name, schema, facts, plain, commutes) in zip(
            events, forms, strict=True
        ):
            position += 1
            version += 1
            commitment = None
            if plain is not None:
                body, spilled = blobs.spill(event.content, plain)
                salt = self._salts.take()
                commitment = commitment_of(salt, body)
                self._content_rows.append((position, salt, body.decode()))
                for digest, data in spilled:
                    self._blob_rows.append((digest, data, position))
            leaf = leaf_of(
                position, version, now, head.uid, leaf, commitment,
                actor, schema, key, name.encode("ascii"), facts,
            )  # fmt: skip
            self._rows.append(
                (position, stream, version, name, schema, now, int(actor), facts.decode(), key,
                 commitment, leaf)
            )  # fmt: skip
            one = Recorded(position, stream, version, now, actor, event, key, commitment, leaf)
            recorded.append(one)
            if key is not None:
                self._keyed.remember((stream, key), one)
            if not commutes:
                solid = version
        self._position = position
        self._recorded += recorded
        head = StreamHead(stream, head.session_id, head.incarnation, head.uid, version, leaf, solid)
        self._streams.remember(stream, head)
        return recorded

    def _check_expected(self, head: StreamHead, expected: Expected) -> None:
        match expected.kind:
            case "no session yet":
                met = head.version == 0
            case "an existing session":
                met = head.version > 0
            case "exactly":
                met = expected.version <= head.version and (
                    expected.version == head.version
                    or self._solid_version(head) <= expected.version
                )
            case "unchanged since":
                met = expected.version == head.version
            case _:
                met = True
        if not met:
            raise VersionConflictError(head.session_id, str(expected), head.version)

    def _solid_version(self, head: StreamHead) -> int:
        if head.solid_version < 0:
            solid = 0
            for recorded in self.read_stream(head.id):
                if not stored.commutes(recorded.event):
                    solid = recorded.version
            head = head._replace(solid_version=solid)
            self._streams.remember(head.id, head)
        return head.solid_version

    def keyed(self, stream: int, keys: Sequence[str]) -> list[Recorded] | None:
        """The events stored under these keys in the keys' order, None when there are none.

        Raises `PartialRetryError` when only some of the keys are stored.
        """
        found = {key: self._keyed.recall((stream, key)) for key in keys}
        if len(found) != len(keys):
            raise KeyReusedError(f"an idempotency key comes twice in one append: {list(keys)}")
        missing = [key for key, recorded in found.items() if recorded is None]
        if missing:
            for recorded in reading.by_keys(self.connection, stream, missing):
                found[str(recorded.key)] = recorded
        present = [key for key in keys if found[key] is not None]
        if not present:
            return None
        if len(present) < len(keys):
            head = self.stream_by_id(stream)
            absent = [key for key in keys if found[key] is None]
            raise PartialRetryError(head.session_id if head else str(stream), present, absent)
        return [found[key] for key in keys]

    def originals(self, stream: int, events: Sequence[NewEvent]) -> list[Recorded] | None:
        """What an earlier attempt to append these events stored; None when there was none.

        When some of them have no key, the batch is found by those that have one.
        """
        keys = [new.key for new in events if new.key is not None]
        prior = self.keyed(stream, keys) if keys else None
        if prior is None:
            return None
        if len(keys) < len(events):
            first = next(index for index, new in enumerate(events) if new.key is not None)
            start = prior[0].version - first - 1
            upto = start + len(events)
            prior = list(self.read_stream(stream, after=start, upto=upto, content=True))
            if [old.key for old in prior] != [new.key for new in events]:
                raise KeyReusedError(
                    f"the idempotency keys {keys} are stored with other events between them; a "
                    "retry must bring exactly the events of the first attempt"
                )
        _check_same(events, prior)
        return prior

    # -- reading ---------------------------------------------------------------------------

    def read_stream(
        self, stream: int, *, after: int = 0, upto: int | None = None, content: bool = False
    ) -> Iterator[Recorded]:
        """The stream's events after a version, those of this transaction included."""

        def read(mark: int, size: int) -> list[Recorded]:
            return reading.page_of_stream(self.connection, stream, mark, upto, content, size)

        yield from reading.pages(read, after, of_stream=True)
        for recorded in self._recorded:
            if (
                recorded.stream == stream
                and recorded.version > after
                and (upto is None or recorded.version <= upto)
            ):
                yield recorded

    def recall(self, key: Hashable) -> Any:
        """What `remember` kept under this key, or None."""
        return self._memory.recall(key)

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep a value beside the log; it is forgotten when the transaction fails."""
        self._memory.remember(key, value)

    def kept(self, key: Hashable) -> Any:
        """What a work of this transaction kept under this key, or None."""
        return self._keyed.recall(key)

    def keep(self, key: Hashable, value: Any) -> None:
        """Keep a value for the works of this transaction; it is forgotten when its work fails."""
        self._keyed.remember(key, value)

    def defer(self, write: Callable[[apsw.Connection], None]) -> None:
        """Have `write` run in this transaction once the events are written."""
        self._deferred.append(write)

    # -- ending ----------------------------------------------------------------------------

    def mark(self) -> tuple[int, ...]:
        """A point that `undo_to` can return to, valid until the next flush."""
        return (
            self._position, self._streams.mark(), self._memory.mark(), self._keyed.mark(),
            len(self._recorded), len(self._rows), len(self._content_rows),
            len(self._stream_rows), len(self._blob_rows), len(self._deferred),
        )  # fmt: skip

    def undo_to(self, mark: tuple[int, ...]) -> None:
        """Forget everything since the mark."""
        position, heads, memory, keyed, recorded, rows, contents, streams, spilled, deferred = mark
        self._streams.undo_to(heads)
        self._memory.undo_to(memory)
        self._keyed.undo_to(keyed)
        self._position = position
        for buffer, length in (
            (self._recorded, recorded), (self._rows, rows), (self._content_rows, contents),
            (self._stream_rows, streams), (self._blob_rows, spilled), (self._deferred, deferred),
        ):  # fmt: skip
            del buffer[length:]

    def flush(self) -> None:
        """Write what is buffered, derived rows included; the transaction stays open."""
        if not self._recorded:
            return
        self.changed = True
        many = self.connection.executemany
        if self._stream_rows:
            many(_INSERT_STREAM, self._stream_rows)
        many(_INSERT_EVENT, self._rows)
        if self._content_rows:
            many(_INSERT_CONTENT, self._content_rows)
        for digest, data, position in self._blob_rows:
            self.connection.execute(_INSERT_BLOB, (digest, data))
            self.connection.execute(_INSERT_REFERENCE, (digest, position))
        before, events = self._written, self._recorded
        self._written = Head(events[-1].position, events[-1].leaf)
        self._recorded, self._rows, self._content_rows = [], [], []
        self._stream_rows, self._blob_rows = [], []
        deferred, self._deferred = self._deferred, []
        if self._inline is not None:
            self._inline(self.connection, events, before)
        for write in deferred:
            write(self.connection)

    def wrote(self, head: Head) -> None:
        """Say that this (exclusive) work wrote rows of the log itself, which ends with `head`."""
        self.changed = True
        self._written, self._position = head, head.position
        self.forget_streams()

    def project(self) -> None:
        """Have the inline projections see everything before this (exclusive) transaction."""
        if self._inline is not None:
            self.changed = True
            self._inline(self.connection, [], self._written)

    @property
    def head(self) -> Head:
        """The end of the log, what is buffered included."""
        if self._recorded:
            return Head(self._position, self._recorded[-1].leaf)
        return self._written


def _check_same(events: Sequence[NewEvent], prior: Sequence[Recorded]) -> None:
    """A retry must bring the same events."""
    for new, old in zip(events, prior, strict=True):
        if not same_event(new.event, old):
            raise KeyReusedError(
                f"the idempotency key {new.key!r} is stored at position {old.position} with "
                "another event; use a new key for a new event"
            )


def same_event(event: Any, old: Recorded) -> bool:
    """Whether a retried event says the same as the stored one, as far as it was not erased.

    What the session's state gives it (seqs, runs) may differ, and so may its time.
    """
    if stored.name_of(event) != stored.name_of(old.event):
        return False
    for field in event.__struct_fields__:
        if field not in _ASSIGNED and getattr(event, field) != getattr(old.event, field):
            return False
    erased = old.event.content is None and old.commitment is not None
    return erased or bool(event.content == old.event.content)


_ASSIGNED = frozenset({"seq", "runs", "count", "occurred_at", "content"})
