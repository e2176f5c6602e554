"""What the adapter raises: this project's errors that are also those of the original.

Code written for power-loop catches `ValueError` and the errors of `sqlite3`; each class here is
one of those as well. Of `sqlite3` nothing else is used: no file is opened with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from sqlite3 import DatabaseError, IntegrityError, OperationalError, ProgrammingError
from typing import ParamSpec, TypeVar

from eventstore.errors import (
    AppendUnknownError,
    CorruptStoreError,
    EventStoreError,
    InvalidValueError,
    NewerStoreError,
    NotAStoreError,
    NotJSONError,
    ProjectionError,
    RuleError,
    SessionClosedError,
    SessionExistsError,
    SpawnDepthError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    UnknownSessionError,
)

P = ParamSpec("P")
T = TypeVar("T")


class ClosedError(StoreClosedError, ProgrammingError):
    """The store was used after it was closed."""


class DuplicateSessionError(SessionExistsError, IntegrityError):
    """There is a session with this id."""


class MissingSessionError(UnknownSessionError, ValueError):
    """There is no session with this id, or it was closed."""


class TooDeepError(SpawnDepthError, ValueError):
    """Sub-agents would nest deeper than `MAX_SPAWN_DEPTH`."""


class RefusedValueError(InvalidValueError, ValueError):
    """A value that this engine does not store."""


class MissingValueError(InvalidValueError, IntegrityError):
    """None was given for something that must be there."""


class BindingError(NotJSONError, ProgrammingError):
    """A value of a type that cannot be stored."""


class RefusedError(RuleError, ValueError):
    """Another rule of the session forbids it."""


class LockedError(StoreBusyError, OperationalError):
    """Another process holds the file."""


class UnknownOutcomeError(AppendUnknownError, OperationalError):
    """The commit itself failed."""


class NoStoreError(NotAStoreError, DatabaseError):
    """The file is not a store of this engine."""


class DamagedError(CorruptStoreError, DatabaseError):
    """The file is damaged."""


class FileError(StoreError, OperationalError):
    """The file cannot be opened, read or written."""


class DerivedError(ProjectionError, OperationalError):
    """What is derived from the log cannot be used."""


#: The first class that an error is an instance of decides.
_UPSTREAM: tuple[tuple[type[EventStoreError], type[EventStoreError]], ...] = (
    (StoreClosedError, ClosedError),
    (SessionExistsError, DuplicateSessionError),
    (UnknownSessionError, MissingSessionError),
    (SessionClosedError, MissingSessionError),
    (SpawnDepthError, TooDeepError),
    (InvalidValueError, RefusedValueError),
    (NotJSONError, BindingError),
    (RuleError, RefusedError),
    (StoreBusyError, LockedError),
    (AppendUnknownError, UnknownOutcomeError),
    (NotAStoreError, NoStoreError),
    (NewerStoreError, NoStoreError),
    (CorruptStoreError, DamagedError),
    (StoreError, FileError),
    (ProjectionError, DerivedError),
)

_OURS = (ValueError, DatabaseError)


def upstream(error: EventStoreError) -> EventStoreError:
    """The error as the original's callers catch it; itself where there is nothing like it."""
    if not isinstance(error, _OURS):
        for ours, theirs in _UPSTREAM:
            if isinstance(error, ours):
                return theirs(str(error))
    return error


def translated(call: Callable[P, T]) -> Callable[P, T]:
    """The call, raising the errors of this module."""

    @wraps(call)
    def translating(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except EventStoreError as error:
            raise upstream(error) from error

    return translating
