"""Claims: what only one open session may have at a time, because its writer asked for that.

A title set as ``unique`` is claimed for its session in the transaction of its event. The claim ends
when the session gets another title or none, is closed, or the event is erased or redacted. A row
holds a digest and no text, and goes in the transaction that erases the text, since a digest can be
guessed.

The table follows from the log alone: `rebuild` makes it anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files

import apsw

from eventstore import codec
from eventstore.errors import TitleTakenError
from eventstore.events.catalogue import SessionClosed, TitleContent, TitleSet
from eventstore.log import blobs, reading
from eventstore.log.engine import rows_of
from eventstore.log.port import Recorded
from eventstore.log.transaction import SqliteTransaction

SCHEMA = (files("eventstore.claims") / "claims.sql").read_text(encoding="utf-8")

TITLE = "title"

#: The digest that stands for "none" among what a transaction keeps.
_NONE = b""

_HOLDER = "SELECT stream FROM claims WHERE kind = ? AND digest = ?"
_CLAIMED = "SELECT digest FROM claims WHERE kind = ? AND stream = ?"
_TAKE = "INSERT INTO claims (kind, digest, stream, position) VALUES (?, ?, ?, ?)"
_RELEASE = "DELETE FROM claims WHERE kind = ? AND stream = ?"
_ERASE = "DELETE FROM claims WHERE position IN (SELECT value FROM json_each(?))"
_CLEAR = "DELETE FROM claims"
_ROWS = "SELECT kind, digest, stream, position FROM claims"
_EXISTS = "SELECT count(*) FROM sqlite_schema WHERE name = 'claims'"
_EVENTS = (
    "SELECT e.position, e.stream, e.type, e.schema, json_extract(e.facts, '$.unique'), c.body "
    "FROM events AS e LEFT JOIN contents AS c ON c.position = e.position "
    "WHERE e.type IN ('title.set', 'session.closed') ORDER BY e.position"
)


def digest_of(title: str) -> bytes:
    """What stands for a title in the table."""
    return hashlib.sha256(b"title\0" + title.encode("utf-8", "surrogatepass")).digest()


def follow(transaction: SqliteTransaction, recorded: Sequence[Recorded]) -> None:
    """Take and release what events that were just appended say.

    Raises `TitleTakenError` when another open session has the title.
    """
    for one in recorded:
        event = one.event
        if type(event) is TitleSet:
            title = event.content.title if event.unique and event.content is not None else None
            digest = _NONE if title is None else digest_of(title)
            holder = _holder(transaction, digest)
            if title is not None and holder not in (0, one.stream):
                head = transaction.stream_by_id(holder)
                raise TitleTakenError(title, str(holder) if head is None else head.session_id)
            _move(transaction, one, digest)
        elif type(event) is SessionClosed:
            _move(transaction, one, _NONE)


def _holder(transaction: SqliteTransaction, digest: bytes) -> int:
    """The stream that has this claim, 0 when none has."""
    kept: int | None = transaction.kept((TITLE, digest))
    if kept is None and digest:
        row = transaction.connection.execute(_HOLDER, (TITLE, digest)).fetchone()
        kept = None if row is None else int(row[0])
    return kept or 0


def _claimed(transaction: SqliteTransaction, stream: int) -> bytes:
    """What a session has claimed."""
    kept: bytes | None = transaction.kept(("claimed", stream))
    if kept is None:
        row = transaction.connection.execute(_CLAIMED, (TITLE, stream)).fetchone()
        kept = _NONE if row is None else bytes(row[0])
    return kept


def _move(transaction: SqliteTransaction, one: Recorded, digest: bytes) -> None:
    """Let a session have this claim in the place of the one it has."""
    stream, position = one.stream, one.position
    before = _claimed(transaction, stream)
    if before == digest == _NONE:
        return
    if before:
        transaction.keep((TITLE, before), 0)
    transaction.keep(("claimed", stream), digest)
    if digest:
        transaction.keep((TITLE, digest), stream)

    def write(connection: apsw.Connection) -> None:
        connection.execute(_RELEASE, (TITLE, stream))
        if digest:
            connection.execute(_TAKE, (TITLE, digest, stream, position))

    transaction.defer(write)


def erase(connection: apsw.Connection, positions: Sequence[int]) -> None:
    """Release what the events at these positions claimed: their text is about to be wiped."""
    connection.execute(_ERASE, (codec.encode(positions).decode(),))


def create_table(connection: apsw.Connection) -> None:
    """Create the table from the log where it is missing."""
    if not connection.execute(_EXISTS).get:
        connection.execute(SCHEMA).fetchall()
        rebuild(connection)


def rebuild(connection: apsw.Connection) -> None:
    """Make the table anew from the log."""
    connection.execute(_CLEAR)
    connection.executemany(_TAKE, list(_derived(connection)))


def differs(connection: apsw.Connection) -> bool:
    """Whether the table has other rows than the log gives."""
    return set(rows_of(connection, _ROWS)) != set(_derived(connection))


def _derived(connection: apsw.Connection) -> Iterator[tuple[str, bytes, int, int]]:
    """The rows that follow from the log."""
    fetch = reading.blob_fetcher(connection)
    claimed: dict[int, tuple[bytes, int]] = {}
    for position, stream, name, schema, unique, body in rows_of(connection, _EVENTS):
        claimed.pop(stream, None)
        if name == TitleSet.type and unique and body is not None:
            content = blobs.read_content(name, schema, body.encode(), fetch)
            if isinstance(content, TitleContent):
                claimed[stream] = (digest_of(content.title), position)
    for stream, (digest, position) in claimed.items():
        yield TITLE, digest, stream, position
