"""Foreign SQLite files, read without leaving a trace.

Nothing is written to the file or beside it, no lock is taken and no shared memory is opened. A
file with a write-ahead log or a rollback journal that holds something is copied, with it, into a
temporary folder and read there; any other is read in place. The program that owns the file may go
on writing: what was read is of one moment, or `ImportFailedError` says that it was not.

`apsw` is the only SQLite library in this process, so a file of another program is read with it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
from msgspec import Struct

from eventstore.errors import ImportFailedError
from eventstore.log.engine import quoted

#: The first bytes of every SQLite file.
MAGIC = b"SQLite format 3\0"

#: Names of the files beside a database that can hold a part of it.
_BESIDE = ("-wal", "-journal")

#: How often a file that changes while it is copied is copied again.
_ATTEMPTS = 5

_TABLES = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)
_COLUMNS = "SELECT name FROM pragma_table_info(?) ORDER BY cid"


class Row(Struct, frozen=True):
    """A row: the values of the columns that were asked for, None for one that the table lacks.

    `damaged` says, column by column, which texts are not UTF-8; they are given with the bytes in
    question replaced.
    """

    values: dict[str, Any]
    damaged: dict[str, str]


class SqliteSource:
    """An open foreign database; get it from `reading`.

    `tables` are the columns of every table.
    """

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self.path = path
        self._connection = connection
        with _translated(path):
            names = [str(name) for (name,) in connection.execute(_TABLES)]
            self.tables: Mapping[str, tuple[str, ...]] = {
                name: tuple(str(column) for (column,) in connection.execute(_COLUMNS, (name,)))
                for name in names
            }

    def rows(
        self,
        table: str,
        columns: Sequence[str],
        *,
        where: Mapping[str, Any] | None = None,
        order: Sequence[str] = (),
    ) -> Iterator[Row]:
        """The rows of a table whose columns equal those in `where`, in an order of columns.

        Raises `ImportFailedError` for a table that is not there, and for damage once the rows
        before it have been given.
        """
        present = self.tables.get(table)
        if present is None:
            raise ImportFailedError(f"{self.path} has no table {table!r}; it has {[*self.tables]}")
        asked = [column for column in columns if column in present]
        where = where or {}
        sql = f"SELECT {', '.join(map(_value, asked))} FROM {quoted(table)}"  # noqa: S608
        if where:
            sql += " WHERE " + " AND ".join(f"{quoted(column)} IS ?" for column in where)
        ordered = [quoted(column) for column in order if column in present]
        if ordered:
            sql += f" ORDER BY {', '.join(ordered)}"
        with _translated(self.path):
            for row in self._connection.execute(sql, tuple(where.values())):
                yield _row(columns, asked, row)


def _value(column: str) -> str:
    """A column's value and whether it is a text: texts come as bytes, whatever is in them."""
    name = quoted(column)
    return f"iif(typeof({name}) = 'text', CAST({name} AS BLOB), {name}), typeof({name}) = 'text'"


def _row(columns: Sequence[str], asked: Sequence[str], found: Sequence[Any]) -> Row:
    values: dict[str, Any] = dict.fromkeys(columns)
    damaged: dict[str, str] = {}
    for column, value, is_text in zip(asked, found[::2], found[1::2], strict=True):
        if not is_text:
            values[column] = value
            continue
        try:
            values[column] = value.decode("utf-8")
        except UnicodeDecodeError as error:
            values[column] = value.decode("utf-8", "replace")
            damaged[column] = f"not UTF-8: {error.reason} at byte {error.start}"
    return Row(values, damaged)


def is_sqlite(head: bytes) -> bool:
    """Whether a file that begins so is a SQLite database."""
    return head.startswith(MAGIC)


@contextmanager
def reading(path: Path) -> Iterator[SqliteSource]:
    """Open a foreign database for reading only.

    Raises `ImportFailedError` when it is no database, is damaged so far that not even its tables
    can be told, or is written to all the time.
    """
    if any(_size(beside) for beside in _files(path)[1:]):
        with tempfile.TemporaryDirectory(prefix="eventstore-") as folder:
            copy = _copied(path, Path(folder))
            with _connected(path, f"file:{quote(str(copy))}", apsw.SQLITE_OPEN_READWRITE) as source:
                yield source
        return
    before = _stamps(path)
    place = f"file:{quote(str(path.absolute()))}?immutable=1"
    with _connected(path, place, apsw.SQLITE_OPEN_READONLY) as source:
        yield source
    if _stamps(path) != before:
        raise ImportFailedError(
            f"{path} was written to while it was read, so what was read may be of two moments; "
            "import it again, which adds what is missing"
        )


@contextmanager
def _connected(path: Path, place: str, flags: int) -> Iterator[SqliteSource]:
    with _translated(path):
        connection = apsw.Connection(place, flags=flags | apsw.SQLITE_OPEN_URI)
    try:
        yield SqliteSource(path, connection)
    finally:
        connection.close()


def _files(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + ending) for ending in _BESIDE)]


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _stamps(path: Path) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for file in _files(path):
        try:
            status = file.stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_size, status.st_mtime_ns))
    return found


def _copied(path: Path, folder: Path) -> Path:
    """A copy of the file with what lies beside it, all of one moment."""
    for _ in range(_ATTEMPTS):
        before = _stamps(path)
        for file, stamp in zip(_files(path), before, strict=True):
            copy = folder / file.name
            copy.unlink(missing_ok=True)
            if stamp is not None:
                with suppress(FileNotFoundError):
                    shutil.copyfile(file, copy)
        if _stamps(path) == before:
            return folder / path.name
    raise ImportFailedError(
        f"{path} was written to each of the {_ATTEMPTS} times it was copied; stop the program that "
        "writes it, or import it when it is idle"
    )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.NotADBError as error:
        raise ImportFailedError(f"{path} is not a SQLite database") from error
    except apsw.CorruptError as error:
        raise ImportFailedError(f"{path} is damaged: {error}") from error
    except (apsw.Error, UnicodeError) as error:
        raise ImportFailedError(
            f"{path} cannot be read: {type(error).__name__}: {error}"
        ) from error
