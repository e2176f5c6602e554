"""The log in one SQLite file.

Writes go through one connection and the group commit; reads have connections of their own and
never wait for a writer. Every write transaction is IMMEDIATE, so positions are last + 1 and never
leave a gap, whatever number of processes writes the file.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw

from eventstore.errors import (
    AppendError,
    AppendUnknownError,
    EventStoreError,
    ReadOnlyStoreError,
    StoreClosedError,
    StoreError,
)
from eventstore.log import engine, interrupts, reading, schema
from eventstore.log.changes import Changes
from eventstore.log.engine import MEMORY, Durability
from eventstore.log.group import BUSY, Busy, GroupCommit, Member
from eventstore.log.inline import Inline
from eventstore.log.memory import Memory
from eventstore.log.port import Head, Recorded, Redact, StreamHead
from eventstore.log.readers import OneConnection, Reader, Readers, Snapshot
from eventstore.log.transaction import DecideMessage, Mark, SqliteTransaction

T = TypeVar("T")


def now_us() -> int:
    """The time in µs since 1970, as the machine tells it."""
    return time.time_ns() // 1000


class SqliteLog:
    """An append-only log in a SQLite file; see `eventstore.log.port.Log`."""

    def __init__(
        self,
        path: str | Path,
        *,
        durability: Durability = Durability.FULL,
        readonly: bool = False,
        create: bool = True,
        clock: Callable[[], int] = now_us,
        inline: Inline | None = None,
        redact: Redact | None = None,
        busy_seconds: float = engine.BUSY_SECONDS,
    ) -> None:
        engine.check_engine()
        self.path = str(path) if str(path) == MEMORY else str(Path(path).expanduser())
        self.readonly = readonly
        self.durability = durability
        self._clock = clock
        self._busy_seconds = busy_seconds
        self._closed = False
        self._pid = os.getpid()
        self._memory = Memory()
        self._known: Head | None = None
        self._data_version = -1
        self._closing = threading.Lock()
        self._memory_lock = threading.RLock() if self.path == MEMORY else None
        self._group = GroupCommit(self._run_group if self._memory_lock is None else self._run)
        self.changes = Changes(self._data_versions)
        self._writer = self._open(create)
        self._readers = self._lender()
        # One cursor for all statements of the log's own: making one takes longer than a statement.
        self._cursor = self._writer.cursor()
        self._transaction = SqliteTransaction(self._cursor, self._memory, clock, inline, redact)
        short_way = self._transaction.has_short_way
        self._has_short_way = short_way and self._memory_lock is None

    def _open(self, create: bool) -> apsw.Connection:
        created = False
        if self.path != MEMORY:
            file = Path(self.path)
            engine.check_path(file, create=create and not self.readonly)
            if create and not self.readonly:
                created = engine.create_file(file)
        try:
            connection = engine.connect(self.path, self.durability, readonly=self.readonly)
            with engine.translated(self.path):
                if self.readonly:
                    schema.require_current(connection, self.path)
                else:
                    schema.prepare(connection, self.path)
                    connection.set_busy_timeout(0)  # `begin_immediate` waits by itself
        except BaseException:
            if created:
                Path(self.path).unlink(missing_ok=True)
            raise
        return connection

    def _lender(self) -> Readers | OneConnection:
        if self._memory_lock is not None:
            return OneConnection(self.path, self._writer, self._memory_lock)
        return Readers(self.path, self.durability, readonly=self.readonly)

    # -- writing ---------------------------------------------------------------------------

    def transact(
        self,
        work: Callable[[SqliteTransaction], T],
        *,
        exclusive: bool = False,
        full: bool = False,
    ) -> T:
        """Run `work` in a write transaction and return its result after the commit.

        Works of several threads may share one commit. An `exclusive` one runs alone and may flush
        and use the connection; `full` commits durably whatever the store's durability.

        Raises what `work` raises, `AppendUnknownError` when the commit itself failed, and a
        `StoreError` when nothing could be written.
        """
        if self._closed or self.readonly or os.getpid() != self._pid:
            self._check_writable()
        return self._group.submit(work, exclusive=exclusive, full=full)

    def enqueue(self, member: Member[Any]) -> None:
        """Queue a work for the next transaction and return at once; its desk gets the answer."""
        self._check_writable()
        self._group.enqueue(member)

    def withdraw(self, member: Member[Any]) -> bool:
        """Take back what `enqueue` queued; False when it has been taken to be written."""
        return self._group.withdraw(member)

    def _check_writable(self) -> None:
        self.check_open()
        if self.readonly:
            raise ReadOnlyStoreError(f"{self.path} was opened read-only")

    def _run(self, take: Callable[[], list[Member[Any]]]) -> None:
        """Run one group of a store in memory, whose one connection readers use as well."""
        assert self._memory_lock is not None
        with self._memory_lock:
            self._run_group(take)

    def _run_group(self, take: Callable[[], list[Member[Any]]]) -> None:
        """Run one group in one transaction and give every member its outcome."""
        transaction = self._transaction
        try:
            if self._closed:
                self.check_open()
            engine.begin_immediate(self._cursor, self._busy_seconds)
        except (EventStoreError, apsw.Error) as error:
            _fail(take(), self._translated(error))
            return
        except BaseException:
            _fail(take(), AppendError("interrupted before anything was written; retry"))
            raise
        members = take()
        if members[0].full and not self._restart_full(members):
            return
        committing = False
        try:
            self._begin()
            alone = len(members) == 1
            for member in members:
                self._work(member, None if alone else transaction.mark())
            transaction.flush()
            committing = True
            self._cursor.execute("COMMIT")
        except BaseException as error:
            self._after_error(members, error, committing)
            if not isinstance(error, Exception):
                raise
        else:
            self._publish()
        finally:
            if members[0].full:
                self._set_synchronous(self.durability)

    def append_alone(
        self, decide: DecideMessage, key: int | str, role: str, text: str
    ) -> int | Busy:
        """Append a message if nobody else writes and all that it needs is remembered; its seq.

        `key` is the number of the stream, or the session id. Otherwise nothing is done and `BUSY`
        returned: `transact` can do it. Raises what `transact` raises when it could not be written.
        """
        if not self._has_short_way or os.getpid() != self._pid:
            return BUSY
        return self._group.if_alone(self._append_alone, decide, key, role, text)

    def _append_alone(
        self, decide: DecideMessage, key: int | str, role: str, text: str
    ) -> int | Busy:
        if self._closed:
            return BUSY  # as for whatever follows: `transact` waits, or says what is wrong
        transaction, cursor = self._transaction, self._cursor
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except apsw.Error:
            return BUSY
        seq: int | None = None
        committing = False
        try:
            head = self._known
            known = head is not None and self._writer.data_version() == self._data_version
            # Who came while the lock was taken shares a commit with this caller.
            if head is not None and known and not self._group.waiting:
                transaction.begin(head)
                seq = transaction.append_alone(decide, key, role, text)
            if seq is None:
                cursor.execute("ROLLBACK")
                return BUSY
            committing = True
            cursor.execute("COMMIT")
        except BaseException as error:
            member: Member[None] = Member(_nothing, exclusive=False, full=False)
            self._after_error([member], error, committing)
            if not isinstance(error, Exception):
                raise
            if member.error is not None:
                raise member.error  # noqa: B904  (its cause is set)
        else:
            self._publish()
        assert seq is not None
        return seq

    def _after_error(
        self, members: list[Member[Any]], error: BaseException, committing: bool
    ) -> None:
        """Find out what became of the transaction in which an error came, and tell the members."""
        if not isinstance(error, apsw.Error) and committing and not self._writer.in_transaction:
            self._publish()  # an interrupt that arrived after the commit
        else:
            self._abandon(members, error, committing)

    def _restart_full(self, members: list[Member[Any]]) -> bool:
        """Begin anew with a durable commit: the setting cannot change inside a transaction."""
        try:
            self._writer.execute("ROLLBACK")
            self._set_synchronous(Durability.FULL)
            engine.begin_immediate(self._cursor, self._busy_seconds)
        except (EventStoreError, apsw.Error) as error:
            _fail(members, self._translated(error))
            return False
        return True

    def _set_synchronous(self, durability: Durability) -> None:
        self._writer.execute(f"PRAGMA synchronous = {durability.name}").fetchall()

    def _begin(self) -> None:
        head = self._known
        if head is None or self._writer.data_version() != self._data_version:
            head = reading.head_of(self._writer)
            if head != self._known:
                # Another process wrote. What callers keep of a stream may be behind, never wrong.
                self._transaction.forget_heads()
                self._known = head
        self._transaction.begin(head)

    def _work(self, member: Member[Any], mark: Mark | None) -> None:
        """Run one member; when it fails, it fails alone, and all since the mark is forgotten.

        Without a mark all of the transaction is, since it has no other member.
        """
        transaction = self._transaction
        try:
            if member.exclusive:
                with interrupts.allowed():
                    member.result = member.work(transaction)
            else:
                member.result = member.work(transaction)
        except Exception as error:
            if transaction.changed or member.exclusive:
                raise  # it may have written by itself: the whole transaction is rolled back
            transaction.undo_to(transaction.beginning() if mark is None else mark)
            member.error = self._translated(error)

    def _publish(self) -> None:
        head, before = self._transaction.head, self._known
        self._known = head
        # Commits of this connection change it as well, so it is read after each.
        self._data_version = self._writer.data_version()
        self._transaction.commit()
        if self.changes.listeners and head != before:
            self.changes.tell()

    def _abandon(self, members: list[Member[Any]], error: BaseException, committing: bool) -> None:
        """After an error that ended the transaction: forget, roll back, tell every member."""
        self._transaction.forget()
        self._known = None
        if self._writer.in_transaction:
            try:
                self._writer.execute("ROLLBACK")
            except apsw.Error as rollback_error:
                error.add_note(f"the rollback failed too: {rollback_error}")
        if committing and isinstance(error, apsw.Error):
            outcome: BaseException = AppendUnknownError(
                f"the commit to {self.path} failed ({error}), so it is unknown whether the events "
                "are stored; read the session again, or retry with the same idempotency keys"
            )
        elif isinstance(error, Exception):
            outcome = self._translated(error)
        else:
            outcome = AppendError("interrupted before the commit, nothing was stored; retry")
        outcome.__cause__ = error if outcome is not error else None
        _fail(members, outcome)

    def _translated(self, error: BaseException) -> BaseException:
        if isinstance(error, engine.FOREIGN):
            return engine.translate(error, self.path)
        return error

    # -- reading ---------------------------------------------------------------------------

    def reader(self) -> Reader:
        """A connection for reading, nobody else's until the block ends."""
        self.check_open()
        return Reader(self._readers)

    def snapshot(self) -> Snapshot:
        """A reading connection on which all statements see the same state of the file.

        Keep it short: an open snapshot holds back the recycling of the write-ahead log.
        """
        self.check_open()
        return Snapshot(self._readers)

    def now(self) -> int:
        """The time by the store's clock, in µs since 1970."""
        return self._clock()

    def head(self) -> Head:
        """The end of the log."""
        with self.reader() as connection:
            return reading.head_of(connection)

    def stream(self, session_id: str, incarnation: int | None = None) -> StreamHead | None:
        """The stream of a session id: the newest incarnation unless told."""
        with self.reader() as connection:
            return reading.stream_head(connection, session_id, incarnation)

    def stream_by_id(self, stream: int) -> StreamHead | None:
        """The stream with this number."""
        with self.reader() as connection:
            return reading.stream_by_id(connection, stream)

    def streams_with_prefix(self, prefix: str) -> list[StreamHead]:
        """Every stream whose session id starts with `prefix`."""
        with self.reader() as connection:
            return reading.streams_with_prefix(connection, prefix)

    def read_stream(
        self, stream: int, *, after: int = 0, upto: int | None = None, content: bool = False
    ) -> Iterator[Recorded]:
        """The events of one session in order, versions after … upto."""

        def read(mark: int, size: int) -> list[Recorded]:
            with self.reader() as connection:
                return reading.page_of_stream(connection, stream, mark, upto, content, size)

        return reading.pages(read, after, of_stream=True)

    def read_all(
        self, *, after: int = 0, upto: int | None = None, content: bool = False
    ) -> Iterator[Recorded]:
        """All events in order, positions after … upto."""

        def read(mark: int, size: int) -> list[Recorded]:
            with self.reader() as connection:
                return reading.page_of_log(connection, mark, upto, content, size)

        return reading.pages(read, after, of_stream=False)

    def last_events(self, *, after: int = 0) -> Iterator[tuple[str, Recorded]]:
        """Each session id with its last event, content included, if that is after a position."""
        stream, size = 0, reading.PAGE
        while size == reading.PAGE:
            with self.reader() as connection:
                page = reading.page_of_last_events(connection, stream, after, reading.PAGE)
            yield from page
            size = len(page)
            stream = page[-1][1].stream if page else stream

    @contextmanager
    def _data_versions(self) -> Iterator[Callable[[], int]]:
        """A look that gives another number once any other connection has written the file."""
        if self._memory_lock is not None:
            yield lambda: 0  # nobody else can write it
            return
        with self.reader() as connection:
            yield lambda: int(engine.rows_of(connection, "PRAGMA data_version")[0][0])

    def recall(self, key: Hashable) -> Any:
        """What a committed transaction remembered under this key, or None."""
        return self._memory.committed(key)

    def truncate_wal(self) -> tuple[bool, str | None]:
        """Move the write-ahead log into the file and empty it: ``(whether, why not)``."""
        if self.path == MEMORY:
            return True, None

        with self.reader() as connection:
            connection.set_busy_timeout(1000)
            [(busy, left, _)] = engine.rows_of(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            connection.set_busy_timeout(5000)
        if busy:
            return False, f"a reader or writer held the write-ahead log ({left} pages in it)"
        return True, None

    # -- closing ---------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise `StoreClosedError` after `close`, `StoreError` in a forked child."""
        if self._closed:
            raise StoreClosedError(f"the store {self.path} was closed")
        if os.getpid() != self._pid:
            raise StoreError(
                f"the store {self.path} was opened before this process was forked; open it again "
                "in the child"
            )

    def close(self) -> None:
        """Close every connection; harmless when closed already. Running reads finish first.

        Raises `StoreError` when one could not be closed as it should, after closing the others:
        what was answered is safe, the write-ahead log may be left for the next opener.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        with suppress(StoreClosedError):
            # Comes back, refused, when the group that is being written has been answered.
            self._group.submit(lambda _: None, exclusive=True)
        failed: apsw.Error | None = None
        for closable in (self._readers, self._writer):
            try:
                closable.close()
            except apsw.Error as error:
                failed = failed or error
        self.changes.close()  # whoever waits for events learns that none will come
        if failed is not None:
            raise engine.translate(failed, self.path) from failed


def _nothing(_: object) -> None:
    """The work of a member that only takes an outcome."""


def _fail(members: list[Member[Any]], error: BaseException) -> None:
    for member in members:
        if member.error is None:
            member.error = error
