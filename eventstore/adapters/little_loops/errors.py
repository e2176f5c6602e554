"""What a caller of the original catches: this project's errors that are `sqlite3`'s as well.

Only the names of exceptions are taken from `sqlite3`; no file is opened with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import DatabaseError, IntegrityError, OperationalError, ProgrammingError

import apsw

from eventstore.errors import CorruptStoreError, EventStoreError, NotAStoreError, StoreError


class LittleLoopsStoreError(StoreError, OperationalError):
    """The store could not be opened, read or written."""


class NotThisStoreError(NotAStoreError, DatabaseError):
    """The path holds no store of this engine: perhaps a database of little-loops, to import."""


class ReadOnlyViewError(StoreError, OperationalError):
    """A write was asked of a connection, which is for reading."""


class ViewError(StoreError, OperationalError):
    """A statement cannot be run on a connection."""


class MisuseError(StoreError, ProgrammingError):
    """A connection was used after `close`, or with values that do not fit the statement."""


class TooLargeError(StoreError, OverflowError):
    """A number has more than the 64 bits that a statement can take."""


class ValueTypeError(StoreError, IntegrityError):
    """A value has a type that the statement cannot take, such as a text for a limit."""


@contextmanager
def of_the_store() -> Iterator[None]:
    """Turn errors of the store into those that callers of the original catch."""
    try:
        yield
    except (NotAStoreError, CorruptStoreError) as error:
        raise NotThisStoreError(
            f"{error}; a database that little-loops made is imported into a new file: "
            "eventstore --db NEW import --format little-loops OLD"
        ) from error
    except EventStoreError as error:
        if isinstance(error.__cause__, apsw.MismatchError):
            raise ValueTypeError("datatype mismatch") from error
        raise LittleLoopsStoreError(str(error)) from error


#: How the messages begin of Python's errors that `sqlite3` has its own for.
_OF_VALUES = ("Bad binding argument type", "null character in query")


@contextmanager
def of_a_statement() -> Iterator[None]:
    """Turn errors of a statement into those of `sqlite3`."""
    try:
        yield
    except (apsw.AuthError, apsw.ReadOnlyError) as error:
        raise _refused() from error
    except apsw.SQLError as error:
        if "because it is a view" in str(error):
            raise _refused() from error
        raise ViewError(str(error).removeprefix("SQLError: ")) from error
    except (apsw.ConnectionClosedError, apsw.BindingsError, apsw.MisuseError) as error:
        raise MisuseError(str(error)) from error
    except apsw.MismatchError as error:
        raise ValueTypeError(str(error)) from error
    except KeyError as error:
        raise MisuseError(f"You did not supply a value for binding parameter {error}.") from error
    except (TypeError, ValueError) as error:
        if not str(error).startswith(_OF_VALUES):
            raise
        raise MisuseError(str(error)) from error
    except apsw.Error as error:
        raise LittleLoopsStoreError(str(error)) from error


def _refused() -> ReadOnlyViewError:
    return ReadOnlyViewError(
        "attempt to write a readonly database: rows are written by SQLiteTransport and backfill"
    )


__all__ = [
    "EventStoreError",
    "LittleLoopsStoreError",
    "MisuseError",
    "NotThisStoreError",
    "ReadOnlyViewError",
    "TooLargeError",
    "ValueTypeError",
    "ViewError",
    "of_a_statement",
    "of_the_store",
]
