"""Which call fails, and how: counted over all files in the order in which SQLite makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

import apsw
from msgspec import Struct


class Kind(StrEnum):
    """What SQLite asks of a disk."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"
    SYNC = "sync"
    TRUNCATE = "truncate"
    SIZE = "size"
    LOCK = "lock"
    ACCESS = "access"
    DELETE = "delete"


class Outcome(StrEnum):
    """What comes of a call that a fault meets.

    `ERROR`: nothing is done and the error of its kind is told. `SHORT`: half of a read or write is
    done. `FULL`: the disk is full. `LOST`: a sync fails and what it should have kept is gone.
    `POWER`: the power goes; this call and all that follow fail.
    """

    ERROR = "error"
    SHORT = "short"
    FULL = "full"
    LOST = "lost"
    POWER = "power"


class Fault(Struct, frozen=True, kw_only=True):
    """A fault at the `at`-th call (from 1) of a kind, or of all calls; `calls` of them in a row.

    `file` is the end of the file's name, such as ``-wal``; only calls on such files are counted.
    """

    at: int
    kind: Kind | None = None
    outcome: Outcome = Outcome.ERROR
    calls: int = 1
    file: str = ""


#: The error that SQLite's own VFS tells when a call of this kind fails.
ERRORS: dict[Kind, int] = {
    Kind.OPEN: apsw.SQLITE_CANTOPEN,
    Kind.READ: apsw.SQLITE_IOERR_READ,
    Kind.WRITE: apsw.SQLITE_IOERR_WRITE,
    Kind.SYNC: apsw.SQLITE_IOERR_FSYNC,
    Kind.TRUNCATE: apsw.SQLITE_IOERR_TRUNCATE,
    Kind.SIZE: apsw.SQLITE_IOERR_FSTAT,
    Kind.LOCK: apsw.SQLITE_IOERR_LOCK,
    Kind.ACCESS: apsw.SQLITE_IOERR_ACCESS,
    Kind.DELETE: apsw.SQLITE_IOERR_DELETE,
}


class Plan:
    """Counts calls and says which of them meet a fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        self.calls = 0
        self.by_kind: Counter[Kind] = Counter()
        self.met: list[tuple[Kind, str]] = []
        self.power_is_gone = False
        self._seen: Counter[Fault] = Counter()

    def next(self, kind: Kind, path: str) -> Outcome | None:
        """Count a call; the outcome when it meets a fault."""
        self.calls += 1
        self.by_kind[kind] += 1
        if self.power_is_gone:
            return Outcome.POWER
        for fault in self.faults:
            if (fault.kind is None or fault.kind is kind) and path.endswith(fault.file):
                self._seen[fault] += 1
                if fault.at <= self._seen[fault] < fault.at + fault.calls:
                    self.met.append((kind, path))
                    self.power_is_gone = fault.outcome is Outcome.POWER
                    return fault.outcome
        return None


def error_of(kind: Kind, outcome: Outcome) -> Exception:
    """What SQLite is told."""
    code = apsw.SQLITE_FULL if outcome is Outcome.FULL else ERRORS[kind]
    error = apsw.exception_for(code)
    error.args = (f"{outcome} at {kind}",)
    return error
