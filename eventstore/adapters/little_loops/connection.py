"""`connect`: a connection for reading the original's tables, which are views of the store here.

It has what callers of `sqlite3` use for reading. Every statement is read to its end at once, so
that none holds back the recycling of the write-ahead log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import apsw

from eventstore.adapters.little_loops import views
from eventstore.adapters.little_loops.errors import MisuseError, of_a_statement, of_the_store
from eventstore.adapters.little_loops.opening import DEFAULT_DB_PATH, Shared, acquire, release
from eventstore.log import engine
from eventstore.log.engine import Durability
from eventstore.store.activities import PROJECTION

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]

#: What a statement may do; the rest is a write, or looks for another file.
_ALLOWED = frozenset(
    {
        apsw.SQLITE_SELECT,
        apsw.SQLITE_READ,
        apsw.SQLITE_FUNCTION,
        apsw.SQLITE_RECURSIVE,
        apsw.SQLITE_TRANSACTION,
        apsw.SQLITE_SAVEPOINT,
    }
)
#: Pragmas that tell of tables.
_TELLING = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "foreign_key_list"})
#: Pragmas that only tell, when they are given no value.
ASKING = frozenset(
    {
        "application_id",
        "busy_timeout",
        "cache_size",
        "compile_options",
        "database_list",
        "encoding",
        "foreign_keys",
        "freelist_count",
        "journal_mode",
        "page_count",
        "page_size",
        "query_only",
        "schema_version",
        "synchronous",
        "user_version",
    }
)


def connect(path: Path | str = DEFAULT_DB_PATH) -> Connection:
    """A connection for reading, whose rows are indexed by name; the store is created if need be.

    The tables are the original's. Raises as `ensure_db` does.
    """
    shared = acquire(path)
    try:
        with of_the_store():
            opened = engine.connect(shared.store.path, Durability.FULL, readonly=True)
        opened.execute(views.SQL).fetchall()
        opened.authorizer = _authorize
    except BaseException:
        release(shared)
        raise
    return Connection(shared, opened)


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    allowed = action in _ALLOWED
    if action == apsw.SQLITE_PRAGMA and first is not None:
        pragma = first.lower()
        allowed = pragma in _TELLING or (pragma in ASKING and second is None)
    return apsw.SQLITE_OK if allowed else apsw.SQLITE_DENY


class Row:
    """A row whose values are found by place or by name, in any letter case."""

    __slots__ = ("_names", "_places", "_values")

    def __init__(self, cursor: Cursor, values: Sequence[Any]) -> None:
        self._names = cursor.names
        self._places = cursor.places
        self._values = tuple(values)

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self._names)

    def __getitem__(self, key: int | slice | str) -> Any:
        if not isinstance(key, str):
            return self._values[key]
        place = self._places.get(key)
        if place is None:
            place = self._places.get(key.lower())
        if place is None:
            raise IndexError("No item with that key")
        return self._values[place]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Row):
            return NotImplemented
        return self._names == other._names and self._values == other._values

    def __hash__(self) -> int:
        return hash((self._names, self._values))

    def __repr__(self) -> str:
        return f"<Row {dict(zip(self._names, self._values, strict=True))}>"


def _places_of(names: Sequence[str]) -> dict[str, int]:
    """Where each column is, the first of those with one name."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(name.lower(), place)
    return places


class Cursor:
    """The rows of one statement after the other."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.names: tuple[str, ...] = ()
        self.places: dict[str, int] = {}
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1
        self._rows: Iterator[Any] = iter(())

    @property
    def description(self) -> tuple[tuple[Any, ...], ...] | None:
        """For each column its name and six times None; None without a statement."""
        return tuple((name, *[None] * 6) for name in self.names) or None

    def execute(self, sql: str, values: Values = ()) -> Self:
        """Run a statement that reads.

        Raises `ReadOnlyViewError` for one that writes, `ViewError`, `MisuseError`.
        """
        with of_a_statement():
            cursor = self.connection.current().cursor()
            cursor.exec_trace = self._told
            self.names = ()
            self._rows = iter(cursor.execute(sql, values).fetchall())
        return self

    def _told(self, cursor: apsw.Cursor, _: str, __: Any) -> bool:
        """Keep the names of the columns: afterwards there are none to ask for without rows."""
        self.names = tuple(column[0] for column in cursor.get_description())
        self.places = _places_of(self.names)
        return True

    def executemany(self, sql: str, many: Iterable[Values]) -> Self:
        """Run a statement with each of the values."""
        for values in many:
            self.execute(sql, values)
        return self

    def fetchone(self) -> Any:
        """The next row, None at the end."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows, `arraysize` of them unless told."""
        count = self.arraysize if size is None else size
        return [row for _, row in zip(range(count), self, strict=False)]

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        row = next(self._rows)
        factory = self.connection.row_factory
        return row if factory is None else factory(self, row)

    def close(self) -> None:
        """Forget the rows."""
        self._rows = iter(())


class Connection:
    """A connection for reading; see `connect`. `row_factory` None makes tuples of the rows."""

    def __init__(self, shared: Shared, opened: apsw.Connection) -> None:
        self._shared = shared
        self._opened: apsw.Connection | None = opened
        self.row_factory: Callable[[Cursor, Sequence[Any]], Any] | None = Row
        self.total_changes = 0

    def opened(self) -> apsw.Connection:
        """The connection below; raises `MisuseError` after `close`."""
        if self._opened is None:
            raise MisuseError("Cannot operate on a closed database.")
        return self._opened

    def current(self) -> apsw.Connection:
        """The connection below, for a statement that sees everything recorded so far."""
        opened = self.opened()
        if not opened.in_transaction:
            with of_the_store():
                self._shared.store.catch_up(PROJECTION)
        return opened

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction was begun."""
        return self.opened().in_transaction

    def cursor(self) -> Cursor:
        """A new cursor."""
        self.opened()
        return Cursor(self)

    def execute(self, sql: str, values: Values = ()) -> Cursor:
        """Run a statement on a cursor of its own."""
        return self.cursor().execute(sql, values)

    def executemany(self, sql: str, many: Iterable[Values]) -> Cursor:
        """Run a statement with each of the values, on a cursor of its own."""
        return self.cursor().executemany(sql, many)

    def executescript(self, sql: str) -> Cursor:
        """Run several statements."""
        return self.cursor().execute(sql)

    def commit(self) -> None:
        """End the transaction, if one was begun."""
        if self.opened().in_transaction:
            self.opened().execute("COMMIT")

    def rollback(self) -> None:
        """End the transaction, if one was begun."""
        if self.opened().in_transaction:
            self.opened().execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; harmless when it is closed already."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()
            release(self._shared)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.commit()
