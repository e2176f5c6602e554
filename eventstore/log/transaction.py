"""The transactions of the SQLite log: what its members want written, buffered until the commit.

Works only read and decide while they run; their events get positions, versions and leaves at once
but are written together when the transaction is flushed. A work that fails is therefore undone by
forgetting what it buffered: no savepoint is needed and its neighbours are not disturbed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeAlias

import apsw

from eventstore.errors import KeyReusedError, PartialRetryError, VersionConflictError
from eventstore.events import stored
from eventstore.events.catalogue import ContentRedacted, Event, MessageAppended, MessageContent
from eventstore.events.stored import StoredForm
from eventstore.log import blobs, reading, redactions
from eventstore.log.entry import UID_BYTES, ZEROS, commitment_of, fresh_salts, leaf_of
from eventstore.log.inline import Inline
from eventstore.log.memory import Memory
from eventstore.log.port import ANY, Expected, Head, NewEvent, Recorded, Redact, StreamHead
from eventstore.log.retries import says_the_same

#: What a message comes to: seq, actor, facts, body, time, and the state of its session after it.
Decided: TypeAlias = tuple[int, int, bytes, bytes, int, Any]

#: Decides a message, a role and a text; None where something has to be looked for.
DecideMessage = Callable[["SqliteTransaction", StreamHead, str, str], Decided | None]

_INSERT_STREAM = "INSERT INTO streams (id, session_id, incarnation, uid) VALUES (?, ?, ?, ?)"
_INSERT_EVENT = (
    "INSERT INTO events (position, stream, version, type, schema, recorded_at, actor, facts, "
    "idempotency_key, commitment, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
#: The body is given as the bytes that were hashed, which saves making text and bytes of them again.
_INSERT_CONTENT = "INSERT INTO contents (position, salt, body) VALUES (?, ?, CAST(? AS TEXT))"
_INSERT_BLOB = "INSERT INTO blobs (digest, body) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING"
_INSERT_REFERENCE = "INSERT INTO blob_references (digest, position) VALUES (?, ?)"
_LAST_STREAM = "SELECT coalesce(max(id), 0) FROM streams"

#: The end of an empty log.
START = Head(0, ZEROS)

#: The head of the log, and how much is remembered and buffered.
Mark: TypeAlias = tuple[Head, int, int, int, int, int, int, int, int, int]

#: Makes a named tuple in a third of the time that calling its class takes.
_named = tuple.__new__

#: The columns of a message.
_NAME, _SCHEMA = MessageAppended.type, MessageAppended.schema
_NAME_BYTES = _NAME.encode("ascii")

#: What the last stream's number is remembered under: no text, since every text may be an id.
_LAST = ("last stream",)


class SqliteTransaction:
    """The write transaction that is open; the works of a group share it, one after the other.

    One object serves all transactions of a log, each from `begin` to `commit` or `forget`.
    """

    def __init__(
        self,
        cursor: apsw.Cursor,
        memory: Memory,
        clock: Callable[[], int],
        inline: Inline | None,
        redact: Redact | None = None,
    ) -> None:
        self.connection = cursor.connection
        self.clock = clock
        self.changed = False
        self._cursor = cursor
        #: The end of the log, what is buffered included.
        self.head = self._written = START
        self._streams = Memory()
        self._memory = memory
        #: What `remember` kept under a key, or None.
        self.recall = memory.recall
        #: Keeps a value beside the log; it is forgotten when the transaction fails.
        self.remember = memory.remember
        self._keyed = Memory()
        self._inline = inline
        self._redact = redact
        #: Whether the log redacts what is appended.
        self.redacts = redact is not None
        #: Whether `append_alone` may be called.
        self.has_short_way = redact is None and inline is not None and inline.takes_messages
        self._recorded: list[Recorded] = []
        self._rows: list[tuple[Any, ...]] = []
        self._content_rows: list[tuple[Any, ...]] = []
        self._stream_rows: list[tuple[Any, ...]] = []
        self._blob_rows: list[tuple[bytes, bytes, int]] = []
        self._deferred: list[Callable[[apsw.Connection], None]] = []
        self._salts: list[bytes] = []

    def begin(self, head: Head) -> None:
        """Start a transaction at this end of the log."""
        self.head = self._written = head
        self.changed = False

    def forget_heads(self) -> None:
        """Forget how far streams are: another process wrote."""
        self._streams.forget()

    # -- streams ---------------------------------------------------------------------------

    def stream(self, session_id: str) -> StreamHead | None:
        """The newest stream with this session id."""
        recall = self._streams.recall
        number = recall(session_id)
        if number is not None:
            return recall(number) or self.stream_by_id(number)
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

        After them, where the log redacts, stand the events that say what was redacted. Raises
        `VersionConflictError`, `PartialRetryError`, `KeyReusedError`, `NotJSONError`.
        """
        head = self.stream_by_id(stream)
        if head is None:
            raise VersionConflictError(f"stream {stream}", str(expected), 0)
        if [new for new in events if new.key is not None]:
            prior = self.originals(stream, events)
            if prior is not None:
                return prior
        if expected is not ANY:
            self._check_expected(head, expected)
        if self._redact is not None:
            kept, told = self._redact(events, self.head.position + 1)
            events = [*kept, *told]
        return self._buffer_all(head, events)

    def append_message(
        self, decide: DecideMessage, key: int | str, role: str, text: str
    ) -> int | None:
        """Append a message to a log that redacts nothing; its seq.

        `key` is the number of the stream, or the session id. None where something has to be looked
        for: nothing is buffered or remembered then.
        """
        recall = self._streams.recall
        head: StreamHead | None = recall(recall(key) if type(key) is str else key)
        decided = None if head is None else decide(self, head, role, text)
        if head is None or decided is None:
            return None
        seq, actor, facts, body, now, state = decided
        event = MessageAppended(seq=seq, role=role, content=MessageContent(text=text))
        form = StoredForm(_NAME, _SCHEMA, facts, body, MessageAppended.commutes)
        self._streams.remember(head.id, self._buffer(head, event, form, actor, None, now))
        self.remember(("state", head.id), state)
        return seq

    def append_alone(
        self, decide: DecideMessage, key: int | str, role: str, text: str
    ) -> int | None:
        """As `append_message`, as the only event of this transaction, which is written at once."""
        recall = self._streams.recall
        head: StreamHead | None = recall(recall(key) if type(key) is str else key)
        decided = None if head is None else decide(self, head, role, text)
        if head is None or decided is None or self._inline is None:
            return None
        seq, actor, facts, body, now, state = decided
        stream, session_id, incarnation, uid, version, leaf, _ = head
        before = self.head
        position, version = before[0] + 1, version + 1
        salt = self._salts.pop() if self._salts else self._take_fresh_salt()
        commitment = commitment_of(salt, body)
        leaf = leaf_of(
            position, version, now, uid, leaf, commitment, actor, _SCHEMA, None, _NAME_BYTES, facts
        )
        self.changed = True
        cursor = self._cursor
        cursor.execute(
            _INSERT_EVENT,
            (position, stream, version, _NAME, _SCHEMA, now, actor, facts.decode(), None,
             commitment, leaf),
        )  # fmt: skip
        cursor.execute(_INSERT_CONTENT, (position, salt, body))
        after = self.head = self._written = _named(Head, (position, leaf))
        message = (position, stream, version, now, seq, role, None, None)
        self._inline.apply_message(cursor, message, before, after)
        self._streams.remember(
            stream,
            _named(StreamHead, (stream, session_id, incarnation, uid, version, leaf, version)),
        )
        self.remember(("state", stream), state)
        return seq

    def _buffer_all(self, head: StreamHead, events: Sequence[NewEvent]) -> list[Recorded]:
        """Keep the rows of events for the flush; nothing of them where one cannot be stored."""
        forms = [stored.store(new.event) for new in events]
        now = max(self.clock(), 0)  # an entry's time is not before 1970
        for (event, actor, key), form in zip(events, forms, strict=True):
            head = self._buffer(head, event, form, actor, key, now)
        self._streams.remember(head.id, head)
        recorded = self._recorded[len(self._recorded) - len(events) :]
        for one in recorded:
            if one.key is not None:
                self._keyed.remember((one.stream, one.key), one)
        return recorded

    def _buffer(
        self,
        head: StreamHead,
        event: Event,
        form: StoredForm,
        actor: int,
        key: str | None,
        now: int,
    ) -> StreamHead:
        """Give an event its place and its leaf, and keep its rows; the stream's new head."""
        stream, session_id, incarnation, uid, version, leaf, solid = head
        name, schema, facts, body, commutes = form
        position = self.head[0] + 1
        version += 1
        commitment = None
        if body is not None:
            if len(body) >= blobs.BLOB_BYTES or body.find(b"$") >= 0:
                body, spilled = blobs.spill(event.content, body)
                for digest, data in spilled:
                    self._blob_rows.append((digest, data, position))
            salt = self._salts.pop() if self._salts else self._take_fresh_salt()
            commitment = commitment_of(salt, body)
            self._content_rows.append((position, salt, body))
        leaf = leaf_of(
            position, version, now, uid, leaf, commitment,
            actor, schema, key, name.encode("ascii"), facts,
        )  # fmt: skip
        self._rows.append(
            (position, stream, version, name, schema, now, int(actor), facts.decode(), key,
             commitment, leaf)
        )  # fmt: skip
        self._recorded.append(
            _named(Recorded, (position, stream, version, now, actor, event, key, commitment, leaf))
        )
        self.head = _named(Head, (position, leaf))
        return _named(
            StreamHead,
            (stream, session_id, incarnation, uid, version, leaf, solid if commutes else version),
        )

    def _take_fresh_salt(self) -> bytes:
        self._salts += fresh_salts()
        return self._salts.pop()

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
        for new, old in zip(events, prior, strict=True):
            if not self.says_the_same(new.event, old):
                raise KeyReusedError(
                    f"the idempotency key {new.key!r} is stored at position {old.position} with "
                    "another event; use a new key for a new event"
                )
        return prior

    def says_the_same(self, event: Event, old: Recorded) -> bool:
        """Whether a retried event says the same as the stored one, as far as that can be told."""
        return says_the_same(event, old, self.is_redacted)

    def is_redacted(self, position: int) -> bool:
        """Whether anything was redacted of this event, when it was appended or later."""
        if any(
            type(one.event) is ContentRedacted and one.event.position == position
            for one in self._recorded
        ):
            return True
        return redactions.is_redacted(self.connection, position)

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

    def beginning(self) -> Mark:
        """The point before everything that is not written yet."""
        return self._written, 0, 0, 0, 0, 0, 0, 0, 0, 0

    def mark(self) -> Mark:
        """A point that `undo_to` can return to, valid until the next flush."""
        return (
            self.head, len(self._streams.undo), len(self._memory.undo), len(self._keyed.undo),
            len(self._recorded), len(self._rows), len(self._content_rows),
            len(self._stream_rows), len(self._blob_rows), len(self._deferred),
        )  # fmt: skip

    def undo_to(self, mark: Mark) -> None:
        """Forget everything since the mark."""
        self.head, heads, memory, keyed, *lengths = mark
        self._streams.undo_to(heads)
        self._memory.undo_to(memory)
        self._keyed.undo_to(keyed)
        for buffer, length in zip(self._buffers(), lengths, strict=True):
            del buffer[length:]

    def _buffers(self) -> tuple[list[Any], ...]:
        return (
            self._recorded, self._rows, self._content_rows, self._stream_rows, self._blob_rows,
            self._deferred,
        )  # fmt: skip

    def flush(self) -> None:
        """Write what is buffered, derived rows included; the transaction stays open."""
        if not self._recorded:
            return
        self.changed = True
        execute, many = self._cursor.execute, self._cursor.executemany
        if self._stream_rows:
            many(_INSERT_STREAM, self._stream_rows)
            self._stream_rows.clear()
        if len(self._rows) == 1:  # an append alone: one row needs no loop
            execute(_INSERT_EVENT, self._rows.pop())
            if self._content_rows:
                execute(_INSERT_CONTENT, self._content_rows.pop())
        else:
            many(_INSERT_EVENT, self._rows)
            self._rows.clear()
            if self._content_rows:
                many(_INSERT_CONTENT, self._content_rows)
                self._content_rows.clear()
        if self._blob_rows:
            for digest, data, position in self._blob_rows:
                execute(_INSERT_BLOB, (digest, data))
                execute(_INSERT_REFERENCE, (digest, position))
            self._blob_rows.clear()
        before, self._written = self._written, self.head
        events, self._recorded = self._recorded, []
        if self._inline is not None:
            self._inline(self._cursor, events, before, self.head)
        if self._deferred:
            for write in self._deferred:
                write(self.connection)
            self._deferred.clear()

    def wrote(self, head: Head) -> None:
        """Say that this (exclusive) work wrote rows of the log itself, which ends with `head`."""
        self.changed = True
        self._written = self.head = head
        self.forget_streams()

    def project(self) -> None:
        """Have the inline projections see everything before this (exclusive) transaction."""
        if self._inline is not None:
            self.changed = True
            self._inline(self._cursor, [], self._written, self._written)

    def commit(self) -> None:
        """Keep what was remembered: the transaction was committed."""
        self._streams.commit()
        self._memory.commit()
        if self._keyed.undo:
            self._keyed.forget()

    def forget(self) -> None:
        """Forget what was buffered and remembered: nobody knows what is in the file now."""
        self.forget_streams()
        self._keyed.forget()
        for buffer in self._buffers():
            buffer.clear()
