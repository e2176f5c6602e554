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
    """The reading connections of one file.

    Needs no lock: appending to a list and popping from it are atomic, so each idle connection is
    lent or closed by one thread alone.
    """

    def __init__(self, path: str, durability: Durability, *, readonly: bool) -> None:
        self.path = path
        self._durability = durability
        self._readonly = readonly
        self._closed = False
        self._idle: list[apsw.Connection] = []

    def take(self) -> apsw.Connection:
        """A connection that nobody else has until it is given back."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        return engine.connect(self.path, self._durability, readonly=self._readonly)

    def give_back(self, connection: apsw.Connection, failed: bool = False) -> None:
        """Keep a connection for the next reader, or close it.

        A reader that `failed` may have left a statement behind, which its error keeps alive; to
        whoever reads on that connection the file would stay what it was then.
        """
        idle = self._idle
        if len(idle) >= IDLE_MAX or (failed and connection.txn_state() != apsw.SQLITE_TXN_NONE):
            with engine.translated(self.path):
                connection.close()
            return
        idle.append(connection)
        if self._closed:  # perhaps after `close` looked for the last time
            with engine.translated(self.path):
                self._close_idle()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it is given back.

        Raises the first error of one that could not be closed, after closing the others.
        """
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        failed: apsw.Error | None = None
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                break  # another thread closes the last
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
