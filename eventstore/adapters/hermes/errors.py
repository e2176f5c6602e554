"""The engine's errors as the ones that callers of Hermes's store catch.

Only the exception classes of `sqlite3` are used: that library never touches the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import DatabaseError, IntegrityError, OperationalError, ProgrammingError

from eventstore.errors import (
    AppendUnknownError,
    DiskFullError,
    NotAStoreError,
    NotJSONError,
    ReadOnlyStoreError,
    RuleError,
    StoreBusyError,
    TitleTakenError,
)


class ForeignDatabaseError(NotAStoreError, DatabaseError):
    """The path holds another kind of SQLite database, such as one of Hermes Agent itself."""


class ClosedError(AttributeError):
    """The `SessionDB` was used after `close`."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the errors of the engine's rules and of its file as Python's and `sqlite3`'s own.

    A title that is taken stays what it is: its caller says it in Hermes's words.
    """
    try:
        yield
    except NotJSONError as error:
        raise ProgrammingError(str(error)) from error
    except TitleTakenError:
        raise
    except RuleError as error:
        raise ValueError(str(error)) from error
    except StoreBusyError as error:
        raise OperationalError(f"database is locked: {error}") from error
    except (DiskFullError, ReadOnlyStoreError, AppendUnknownError) as error:
        raise OperationalError(str(error)) from error


def unknown_session(session_id: object) -> IntegrityError:
    """For a row that would refer to a session that is not there."""
    return IntegrityError(
        f"FOREIGN KEY constraint failed: there is no session {session_id!r}; create it first"
    )


def missing(column: str) -> IntegrityError:
    """For a value that must be there."""
    return IntegrityError(f"NOT NULL constraint failed: {column}; give it a value")


def require_text(value: object, name: str) -> None:
    """Raise what SQLite's binding would for a value that is neither None nor a storable text."""
    if value is None:
        return
    if not isinstance(value, str):
        raise ProgrammingError(
            f"Error binding {name}: type {type(value).__name__!r} is not supported; give a text"
        )
    if not value.isascii():
        value.encode("utf-8")  # a lone surrogate is no text: UnicodeEncodeError
