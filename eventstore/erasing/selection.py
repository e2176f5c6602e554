"""Choosing what to erase.

`sessions` (ids), `prefix` (of ids) and `metadata` (that a session was created with) name sessions,
every incarnation of a prefix included. Alone they mean those sessions as a whole. With `seqs`,
`author`, `message_metadata`, `query` or `text` they mean only the events in them that one of those
names; those look at every session when none is named. `positions` are places in the whole log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from eventstore import codec
from eventstore.errors import InvalidRangeError, InvalidValueError, UnknownMessageError
from eventstore.events.catalogue import MessageContent, SessionContent
from eventstore.log import reading
from eventstore.log.engine import rows_of
from eventstore.log.port import Recorded
from eventstore.log.redactions import BODY
from eventstore.store.searching import WORDS, read_query
from eventstore.store.session_store import SessionStore
from eventstore.traces.needles import strings_in

_MESSAGES = "SELECT position FROM messages WHERE stream = ? AND seq >= ? AND seq <= ? ORDER BY seq"
_FOUND = "SELECT rowid FROM {0} WHERE {0} MATCH ?"
_HOLDING = (
    "SELECT e.position FROM events AS e JOIN contents AS c ON c.position = e.position "  # noqa: S608
    f"WHERE e.position > ? AND e.type IN (?, ?) AND instr({BODY}, ?) ORDER BY e.position"
)
_STREAM_OF = "SELECT stream FROM events WHERE position = ?"
_END = 1 << 62


class Selection(Struct, frozen=True, kw_only=True):
    """What to erase; see the module.

    `seqs` and `positions` are ``(first, last)``, both included, a `last` of None the end. `author`
    is the `name` of messages, `query` words as `SessionStore.search` reads them, of which every hit
    counts, retracted and closed ones too; `text` is a text that occurs anywhere in an event's
    content, in whatever case.
    """

    sessions: tuple[str, ...] = ()
    prefix: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    seqs: tuple[tuple[int, int | None], ...] = ()
    positions: tuple[tuple[int, int], ...] = ()
    author: str | None = None
    message_metadata: tuple[tuple[str, str], ...] = ()
    query: str | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        for name in ("prefix", "author", "query", "text"):
            if getattr(self, name) is not None and not getattr(self, name).strip():
                raise InvalidValueError(f"{name} is empty, which would choose everything")
        if not (self.names_sessions or self.narrows or self.positions):
            raise InvalidValueError("nothing was chosen: name sessions, messages or a search")
        if self.seqs and not self.names_sessions:
            raise InvalidValueError("seqs count within a session: name the session as well")
        ranges: tuple[tuple[int, int | None], ...] = (*self.seqs, *self.positions)
        for first, last in ranges:
            if first < 1 or (last is not None and last < first):
                raise InvalidRangeError(f"{first} to {last} is no range of numbers from 1")

    @property
    def names_sessions(self) -> bool:
        """Whether sessions are named."""
        return bool(self.sessions or self.prefix is not None or self.metadata)

    @property
    def narrows(self) -> bool:
        """Whether single events are named by what they are or say."""
        given = (self.author, self.query, self.text)
        return bool(self.seqs or self.message_metadata) or any(one is not None for one in given)


class Chosen:
    """Sessions to be erased as a whole, and single events."""

    def __init__(self) -> None:
        self.whole: set[int] = set()
        self.positions: set[int] = set()

    def add(self, other: Chosen) -> None:
        """Take the other's in."""
        self.whole |= other.whole
        self.positions |= other.positions


def prepared(store: SessionStore, selection: Selection) -> None:
    """Bring the indexes that a search needs forward, where the store can be written."""
    if selection.query is not None and not store.log.readonly:
        for name in ("search", "activities"):
            store.catch_up(name)


def chosen(
    store: SessionStore, connection: apsw.Connection, selection: Selection, after: int = 0
) -> Chosen:
    """What a selection means at this moment.

    Events that are known by what they say are looked for behind the position `after` alone.

    Raises `UnknownSessionError`, `UnknownMessageError`, `InvalidRangeError` for what is not there.
    """
    found = Chosen()
    streams = set(_sessions(store, connection, selection, after))
    for first, last in selection.positions:
        head = reading.head_of(connection).position
        if last > head:
            raise InvalidRangeError(f"the log ends at position {head}, so there is no {last}")
        found.positions.update(range(first, last + 1))
    if not selection.narrows:
        found.whole |= streams
        return found
    for stream in sorted(streams):
        for begin, end in selection.seqs:
            found.positions.update(_messages(connection, stream, begin, end))
    said = set(_saying(store, connection, selection, after))
    if selection.names_sessions:
        said = {one for one in said if connection.execute(_STREAM_OF, (one,)).get in streams}
    found.positions |= said
    return found


def _sessions(
    store: SessionStore, connection: apsw.Connection, selection: Selection, after: int
) -> Iterator[int]:
    for name in selection.sessions:
        yield store.session(name).stream
    if selection.prefix is not None:
        for head in reading.streams_with_prefix(connection, selection.prefix):
            if not head.session_id.startswith("erased:"):
                yield head.id
    if selection.metadata:
        first = selection.metadata[0][0]
        types = ("session.created", "session.forked")
        for recorded in _holding(connection, types, first, after):
            content = recorded.event.content
            if isinstance(content, SessionContent) and _has(content.metadata, selection.metadata):
                yield recorded.stream


def _messages(
    connection: apsw.Connection, stream: int, first: int, last: int | None
) -> Iterator[int]:
    rows = rows_of(connection, _MESSAGES, (stream, first, _END if last is None else last))
    if not rows:
        raise UnknownMessageError(f"the session has no message from {first} to {last or 'the end'}")
    for (position,) in rows:
        yield position


def _saying(
    store: SessionStore, connection: apsw.Connection, selection: Selection, after: int
) -> Iterator[int]:
    """Events that are named by what they say."""
    if selection.query is not None:
        yield from _matching(store, connection, selection.query)
    types = ("message.appended", "context.compacted")
    if selection.author is not None:
        for recorded in _holding(connection, types, selection.author, after):
            content = recorded.event.content
            if isinstance(content, MessageContent) and content.name == selection.author:
                yield recorded.position
    if selection.message_metadata:
        for recorded in _holding(connection, types, selection.message_metadata[0][0], after):
            content = recorded.event.content
            if isinstance(content, MessageContent) and _has(
                content.metadata, selection.message_metadata
            ):
                yield recorded.position
    if selection.text is not None:
        for recorded in everything(connection, after):
            if contains(recorded, selection.text):
                yield recorded.position


def _matching(store: SessionStore, connection: apsw.Connection, query: str) -> Iterator[int]:
    """Every event that an index has for a query, hidden ones too."""
    match = read_query(query, WORDS)[0]
    if not match:
        raise InvalidValueError(f"there is no word in the query {query!r}")
    for name, table in (("search", "search_index"), ("activities", "activity_index")):
        if connection.in_transaction and not store.log.readonly and _writes(connection):
            store.derived.catch_up_within(connection, name)
        else:
            store.derived.require_current(connection, name)
        for (position,) in rows_of(connection, _FOUND.format(table), (match,)):
            yield position


def _writes(connection: apsw.Connection) -> bool:
    return connection.txn_state("main") == apsw.SQLITE_TXN_WRITE


def _holding(
    connection: apsw.Connection, types: tuple[str, str], text: str, after: int
) -> Iterable[Recorded]:
    """Events of two types whose stored content has this string in it."""
    quoted = codec.encode(text).decode()
    positions = [row[0] for row in rows_of(connection, _HOLDING, (after, *types, quoted))]
    return reading.by_positions(connection, positions, content=True)


def _has(metadata: dict[str, Any] | None, wanted: tuple[tuple[str, str], ...]) -> bool:
    """Whether metadata has all these values; a value that is no text counts as its JSON."""
    return all(
        metadata is not None and key in metadata and _text_of(metadata[key]) == value
        for key, value in wanted
    )


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else codec.encode(value).decode()


def everything(connection: apsw.Connection, after: int) -> Iterator[Recorded]:
    """Every event behind a position, with its content."""

    def page(mark: int, size: int) -> list[Recorded]:
        return reading.page_of_log(connection, mark, None, True, size)

    return reading.pages(page, after, of_stream=False)


def contains(recorded: Recorded, text: str) -> bool:
    """Whether a text occurs anywhere in an event's content, in whatever case."""
    if recorded.event.content is None:
        return False
    value = msgspec.to_builtins(recorded.event.content)
    wanted = text.casefold()
    return any(wanted in one.casefold() for one in strings_in(value, keys=True))
