"""What a log owes: the types and the protocol that every backend implements.

A log keeps events in one total order. An event's *position* is its place in it (1, 2, 3 … without
gaps), its *version* the place within its session's stream (likewise). Appends are atomic over one
or several sessions, and a transaction's work is decided while nobody else can write. Nothing here
knows SQLite; `eventstore.testing` holds the contract tests that accept a backend.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from eventstore.events.catalogue import Event

T = TypeVar("T")


class Actor(IntEnum):
    """Who caused an event."""

    UNKNOWN = 0
    USER = 1
    MODEL = 2
    TOOL = 3
    SYSTEM = 4
    OPERATOR = 5


class Expected(NamedTuple):
    """What a writer expects of a session's version; use the constants or `exactly`.

    *Exactly n* holds when no event that does not commute is later than n, *unchanged since n* when
    no event at all is.
    """

    kind: str
    version: int = 0

    def __str__(self) -> str:
        match self.kind:
            case "exactly":
                return f"version {self.version}"
            case "unchanged since":
                return f"nothing after version {self.version}"
            case _:
                return self.kind


ANY = Expected("any version")
NO_STREAM = Expected("no session yet")
EXISTS = Expected("an existing session")


def exactly(version: int) -> Expected:
    """Expect the session at this version, later events that commute aside."""
    return Expected("exactly", version)


def unchanged_since(version: int) -> Expected:
    """Expect that nothing at all was appended to the session after this version."""
    return Expected("unchanged since", version)


class NewEvent(NamedTuple):
    """An event to append. `key` makes a retry safe (scope: the session)."""

    event: Event
    actor: Actor = Actor.UNKNOWN
    key: str | None = None


#: Events as they may be stored from a position on, and events that say what was taken out of them.
Redact: TypeAlias = Callable[
    [Sequence[NewEvent], int], tuple[Sequence[NewEvent], Sequence[NewEvent]]
]


class Recorded(NamedTuple):
    """An event in the log. `recorded_at` is the store's clock in µs since 1970."""

    position: int
    stream: int
    version: int
    recorded_at: int
    actor: int
    event: Event
    key: str | None
    commitment: bytes | None
    leaf: bytes


class StreamHead(NamedTuple):
    """A session's stream and how far it is.

    `solid_version` is the version of its last event that does not commute, -1 when not known.
    """

    id: int
    session_id: str
    incarnation: int
    uid: bytes
    version: int
    leaf: bytes
    solid_version: int


class Head(NamedTuple):
    """The end of the log: the last position (0 when empty) and its leaf."""

    position: int
    leaf: bytes


class Transaction(Protocol):
    """A unit of work that runs while nobody else writes; all of it is stored, or nothing."""

    def stream(self, session_id: str) -> StreamHead | None:
        """The newest stream with this session id."""

    def stream_by_id(self, stream: int) -> StreamHead | None:
        """The stream with this number."""

    def create_stream(self, session_id: str) -> StreamHead:
        """A new stream: incarnation 1 of the id, or the next one."""

    def append(
        self, stream: int, events: Sequence[NewEvent], expected: Expected = ANY
    ) -> list[Recorded]:
        """Append to a stream; with keys that are all stored already, the original events."""

    def keyed(self, stream: int, keys: Sequence[str]) -> list[Recorded] | None:
        """The events stored under these keys, None when there are none of them."""

    def read_stream(
        self, stream: int, *, after: int = 0, upto: int | None = None, content: bool = False
    ) -> Iterator[Recorded]:
        """The stream's events after a version, what this transaction appended included."""

    def recall(self, key: Hashable) -> Any:
        """What `remember` kept under this key, or None."""

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep a value beside the log; it is forgotten when the transaction fails."""


class Log(Protocol):
    """An append-only log of session events."""

    def transact(self, work: Callable[[Transaction], T], *, exclusive: bool = False) -> T:
        """Run `work` and commit; answers after the commit that covers it.

        Works of several threads may share one commit. An exclusive one runs alone.
        """

    def head(self) -> Head:
        """The end of the log."""

    def stream(self, session_id: str, incarnation: int | None = None) -> StreamHead | None:
        """The stream of a session id: the newest incarnation unless told."""

    def read_stream(
        self, stream: int, *, after: int = 0, upto: int | None = None, content: bool = False
    ) -> Iterator[Recorded]:
        """The events of one session in order, versions after … upto."""

    def read_all(
        self, *, after: int = 0, upto: int | None = None, content: bool = False
    ) -> Iterator[Recorded]:
        """All events in order, positions after … upto."""

    def close(self) -> None:
        """Close; further use raises `StoreClosedError`."""
