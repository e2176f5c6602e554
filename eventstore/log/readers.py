"""Connections for reading: kept open for the next reader, and lent to one at a time.

Lending is a small class, not a generator: reading one row costs hardly more than the calls that a
generator's context manager makes.
"""

from __future__ import annotations

import threading
from types import TracebackType

import apsw

from eventstore.log import engine
from eventstore.log.engine import Durability

#: Reading connections that are kept open for the next reader.
IDLE_MAX = 8


class Readers:
    """The reading connections of one file."""

    def __init__(self, path: str, durability: Durability, *, readonly: bool) -> None:
        self.path = path
        self._durability = durability
        self._readonly = readonly
        self._closed = False
        self._idle: list[apsw.Connection] = []
        self._lock = threading.Lock()

    def take(self) -> apsw.Connection:
        """A connection that nobody else has until it is given back."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return engine.connect(self.path, self._durability, readonly=self._readonly)

    def give_back(self, connection: apsw.Connection, failed: bool = False) -> None:
        """Keep a connection for the next reader, or close it.

        A reader that `failed` may have left a statement behind, which its error keeps alive; to
        whoever reads on that connection the file would stay what it was then.
        """
        stuck = failed and connection.txn_state() != apsw.SQLITE_TXN_NONE
        with self._lock:
            if stuck or self._closed or len(self._idle) >= IDLE_MAX:
                with engine.translated(self.path):
                    connection.close()
            else:
                self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it is given back.

        Raises the first error of one that could not be closed, after closing the others.
        """
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        failed: apsw.Error | None = None
        for connection in idle:
            try:
                connection.close()
            except apsw.Error as error:
                failed = failed or error
        if failed is not None:
            raise failed


class OneConnection:
    """The connection of a store in memory, which readers have when nobody writes."""

    def __init__(self, path: str, connection: apsw.Connection, lock: threading.RLock) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    def take(self) -> apsw.Connection:
        """The connection, once no other thread has it."""
        self._lock.acquire()
        return self._connection

    def give_back(self, _: apsw.Connection, failed: bool = False) -> None:
        """Let another thread have it."""
        self._lock.release()

    def close(self) -> None:
        """Nothing: the log closes what it writes with."""


class Reader:
    """Lends a connection for a `with` block; errors of apsw's in it become this project's."""

    __slots__ = ("_connection", "_lender")

    _connection: apsw.Connection

    def __init__(self, lender: Readers | OneConnection) -> None:
        self._lender = lender

    def __enter__(self) -> apsw.Connection:
        self._connection = self._lender.take()
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lender.give_back(self._connection, error is not None)
        if error is not None and isinstance(error, engine.FOREIGN):
            raise engine.translate(error, self._lender.path) from error


class Snapshot(Reader):
    """Lends a connection on which all statements see the same state of the file."""

    __slots__ = ("_began",)

    def __enter__(self) -> apsw.Connection:
        self._connection = connection = self._lender.take()
        try:
            self._began = not connection.in_transaction
            if self._began:
                connection.execute("BEGIN")
        except BaseException as error:
            super().__exit__(type(error), error, None)
            raise
        return connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._began and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except BaseException as failed:
            super().__exit__(type(failed), failed, None)
            raise
        super().__exit__(kind, error, traceback)
