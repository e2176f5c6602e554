"""Checking the log against itself: every row, every hash, every gap.

`verify` recomputes each leaf and each commitment from the stored bytes, follows each stream's
chain, and compares what must agree: positions and versions without gaps, contents and blobs with
what refers to them, wiped contents with the events that erased them, session ids with the ids the
sessions were created with. Rows that cannot be read are reported with their position, never
skipped in silence. An empty result means that nothing of the log was changed.

It cannot see that the newest events were cut off, nor that everything was rewritten: that takes a
checkpoint kept elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from msgspec import Struct

from eventstore import codec
from eventstore.errors import EventStoreError
from eventstore.events import stored
from eventstore.events.catalogue import ContentErased, SessionContent
from eventstore.log import blobs
from eventstore.log.engine import rows_of
from eventstore.log.entry import ZEROS, commitment_of, leaf_of
from eventstore.log.sqlite import SqliteLog

PAGE = 500

_ROWS = (
    "SELECT e.position, e.stream, e.version, CAST(e.type AS BLOB), e.schema, e.recorded_at, "
    "e.actor, CAST(e.facts AS BLOB), CAST(e.idempotency_key AS BLOB), e.commitment, e.leaf, "
    "c.position, c.salt, CAST(c.body AS BLOB), typeof(e.type) || typeof(e.facts) || "
    "replace(typeof(e.idempotency_key), 'null', 'text') || replace(typeof(c.body), 'null', 'text') "
    "FROM events AS e NOT INDEXED LEFT JOIN contents AS c ON c.position = e.position WHERE "
)
_PAGE = _ROWS + "e.position > ? AND e.position <= ? ORDER BY e.position LIMIT ?"
_ONE = _ROWS + "e.position = ?"
_HEAD = "SELECT coalesce(max(position), 0) FROM events NOT INDEXED"
_STREAMS = "SELECT id, CAST(session_id AS BLOB), incarnation, uid FROM streams NOT INDEXED"
_LOST_CONTENTS = (
    "SELECT c.position FROM contents AS c WHERE NOT EXISTS "
    "(SELECT 1 FROM events AS e WHERE e.position = c.position) LIMIT 100"
)
_BLOB = "SELECT body FROM blobs WHERE digest = ?"
_REFERENCE = "SELECT count(*) FROM blob_references WHERE digest = ? AND position = ?"


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is not as it was written. `position` is None when no one event is to blame."""

    position: int | None
    kind: str
    message: str


class _Row(NamedTuple):
    """A row of `_ROWS`; texts as bytes, since a damaged text need not be UTF-8."""

    position: int
    stream: int
    version: int
    name: bytes
    schema: int
    recorded_at: int
    actor: int
    facts: bytes
    key: bytes | None
    commitment: bytes | None
    leaf: bytes
    content_position: int | None
    salt: bytes | None
    body: bytes | None
    types: str


class _Chain:
    """What the scan knows of one stream."""

    __slots__ = ("alternative", "incarnation", "leaf", "session_id", "uid", "version")

    def __init__(self, session_id: bytes, incarnation: int, uid: bytes) -> None:
        self.session_id = session_id
        self.incarnation = incarnation
        self.uid = uid
        self.version = 0
        self.leaf = ZEROS
        self.alternative: bytes | None = None


def verify(log: SqliteLog, progress: Callable[[int, int], None] | None = None) -> Iterator[Finding]:
    """Everything in the log that is not as it was written, in order of position."""
    scan = _Scan(log)
    yield from scan.streams()
    yield from scan.events(progress)
    yield from scan.rest()


class _Scan:
    """One pass over the log."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self.chains: dict[int, _Chain] = {}
        self.wiped: set[int] = set()

    def streams(self) -> Iterator[Finding]:
        seen: dict[bytes, list[int]] = {}
        try:
            with self.log.reader() as connection:
                rows = rows_of(connection, _STREAMS)
        except EventStoreError as error:
            yield _finding(None, "unreadable", f"the table of streams cannot be read: {error}")
            return
        for number, session_id, incarnation, uid in rows:
            self.chains[number] = _Chain(session_id, incarnation, uid)
            seen.setdefault(session_id, []).append(incarnation)
        for session_id, incarnations in seen.items():
            if sorted(incarnations) != list(range(1, len(incarnations) + 1)):
                if session_id.startswith(b"erased:"):
                    continue
                yield _finding(
                    None,
                    "stream",
                    f"session {session_id!r} has incarnations {sorted(incarnations)}",
                )

    def events(self, progress: Callable[[int, int], None] | None) -> Iterator[Finding]:
        try:
            with self.log.reader() as connection:
                head = int(rows_of(connection, _HEAD)[0][0])
        except EventStoreError as error:
            yield _finding(None, "unreadable", f"the end of the log cannot be read: {error}")
            return
        position = 0
        while position < head:
            upto = min(position + PAGE, head)
            rows = yield from self._rows(position, upto)
            for row in rows:
                for missing in range(position + 1, row.position):
                    yield _finding(missing, "gap", "there is no event at this position")
                position = row.position
                yield from self._check(row)
            for missing in range(position + 1, upto + 1):
                yield _finding(missing, "gap", "there is no event at this position")
            position = upto
            if progress is not None:
                progress(position, head)
        for position in sorted(self.wiped):
            yield _finding(
                position, "content", "the content was wiped, but no event says that it was erased"
            )

    def _rows(self, after: int, upto: int) -> Generator[Finding, None, list[_Row]]:
        """The rows after … upto as the generator's return value; unreadable ones are findings."""
        try:
            with self.log.reader() as connection:
                found = rows_of(connection, _PAGE, (after, upto, PAGE))
                return [_Row(*row) for row in found]
        except EventStoreError:
            pass
        rows: list[_Row] = []
        for position in range(after + 1, upto + 1):
            try:
                with self.log.reader() as connection:
                    rows.extend(_Row(*row) for row in rows_of(connection, _ONE, (position,)))
            except EventStoreError as error:
                yield _finding(position, "unreadable", f"the event cannot be read: {error}")
        return rows

    def _check(self, row: _Row) -> Iterator[Finding]:
        position, stream, version = row.position, row.stream, row.version
        chain = self.chains.get(stream)
        if chain is None:
            yield _finding(position, "stream", f"stream {stream} does not exist")
            return
        if version != chain.version + 1:
            yield _finding(
                position, "version", f"version {version} of stream {stream} follows {chain.version}"
            )
        chain.version = version
        if row.types != "texttexttexttext":
            yield _finding(position, "event", f"a text is not stored as text: {row.types}")
        yield from self._check_leaf(chain, row)
        yield from self._check_content(row)
        yield from self._check_meaning(chain, row)

    def _check_content(self, row: _Row) -> Iterator[Finding]:
        position, salt, body = row.position, row.salt, row.body
        if row.commitment is None:
            if row.content_position is not None:
                yield _finding(position, "content", "there is content, but no commitment to it")
        elif row.content_position is None:
            yield _finding(position, "content", "the content is missing")
        elif body is None and salt is None:
            self.wiped.add(position)
        elif body is None or salt is None or commitment_of(salt, body) != row.commitment:
            yield _finding(position, "content", "the content is not what was committed to")

    def _check_leaf(self, chain: _Chain, row: _Row) -> Iterator[Finding]:
        def computed(previous: bytes) -> bytes | None:
            try:
                key = None if row.key is None else row.key.decode("utf-8")
                return leaf_of(
                    row.position, row.version, row.recorded_at, chain.uid, previous,
                    row.commitment, row.actor, row.schema, key, row.name, row.facts,
                )  # fmt: skip
            except Exception:  # a damaged column can have any value: whatever fails, differs
                return None

        expected = computed(chain.leaf)
        alternative, chain.alternative = chain.alternative, None
        # When only the leaf before this one was changed, that was reported there.
        if row.leaf != expected and (alternative is None or row.leaf != computed(alternative)):
            yield _finding(
                row.position, "leaf", "the event, or the chain before it, is not as it was written"
            )
            chain.alternative = expected
        chain.leaf = row.leaf if isinstance(row.leaf, bytes) else ZEROS

    def _check_meaning(self, chain: _Chain, row: _Row) -> Iterator[Finding]:
        position, schema, body = row.position, row.schema, row.body
        try:
            text = row.name.decode("ascii")
            event = stored.read(text, schema, row.facts)
            if isinstance(event, ContentErased):
                for first, length in event.positions:
                    self.wiped.difference_update(range(first, first + length))
            if body is None:
                return
            for digest in blobs.digests_in(body):
                yield from self._check_blob(position, digest)
            if text in ("session.created", "session.forked"):
                content = stored.type_content(text, schema, codec.decode(body))
                yield from _check_session_id(position, chain, content)
        except (EventStoreError, UnicodeDecodeError, ValueError) as error:
            yield _finding(position, "event", f"the event cannot be understood: {error}")

    def _check_blob(self, position: int, digest: bytes) -> Iterator[Finding]:
        with self.log.reader() as connection:
            data = connection.execute(_BLOB, (digest,)).get
            referred = connection.execute(_REFERENCE, (digest, position)).get
        if not isinstance(data, bytes) or hashlib.sha256(data).digest() != digest:
            yield _finding(position, "blob", f"blob {digest.hex()} is missing or changed")
        if not referred:
            yield _finding(position, "blob", f"the reference to blob {digest.hex()} is missing")

    def rest(self) -> Iterator[Finding]:
        """What no single event shows: contents without events, and SQLite's own checks."""
        try:
            with self.log.reader() as connection:
                for (position,) in rows_of(connection, _LOST_CONTENTS):
                    yield _finding(position, "content", "there is content without an event")
                for (text,) in rows_of(connection, "PRAGMA integrity_check(20)"):
                    if text != "ok":
                        yield _finding(None, "sqlite", text)
        except EventStoreError as error:
            yield _finding(None, "unreadable", f"SQLite cannot check the file: {error}")


def _check_session_id(position: int, chain: _Chain, content: object) -> Iterator[Finding]:
    name = chain.session_id
    if isinstance(content, SessionContent) and content.session_id.encode() != name:
        yield _finding(
            position,
            "stream",
            f"the session was created as {content.session_id!r}, but is listed as {name!r}",
        )


def _finding(position: int | None, kind: str, message: str) -> Finding:
    return Finding(position=position, kind=kind, message=message)
