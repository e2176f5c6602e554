"""Checking the log against itself: every row, every hash, every gap.

`verify` recomputes each leaf and each commitment from the stored bytes, follows each stream's
chain, and compares what must agree: positions and versions without gaps, contents and blobs with
what refers to them, wiped contents with the events that erased or redacted them, session ids with
the ids the sessions were created with. Rows that cannot be read are reported with their position,
never skipped in silence. What a salvaged store says that it lost is reported as lost. An empty
result means that nothing of the log was changed.

It cannot see that the newest events were cut off, nor that everything was rewritten: that takes a
checkpoint kept elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import apsw
from msgspec import Struct

from eventstore import codec
from eventstore.errors import EventStoreError
from eventstore.events import stored
from eventstore.events.catalogue import ContentErased, ContentRedacted, SessionContent
from eventstore.log import blobs
from eventstore.log.engine import quoted, rows_of
from eventstore.log.entry import ZEROS, commitment_of, leaf_of
from eventstore.log.losses import Losses
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
_STREAMS = (
    "SELECT id, CAST(session_id AS BLOB), incarnation, uid FROM streams NOT INDEXED ORDER BY id"
)
_NEXT = "SELECT min(position) FROM events NOT INDEXED WHERE position > ?"
_BEFORE_FIRST = "SELECT position FROM events NOT INDEXED WHERE position < 1 LIMIT 100"
_LOST_CONTENTS = (
    "SELECT c.position FROM contents AS c WHERE NOT EXISTS "
    "(SELECT 1 FROM events AS e WHERE e.position = c.position) LIMIT 100"
)
_LOST_REFERENCES = (
    "SELECT position FROM blob_references AS r WHERE NOT EXISTS (SELECT 1 FROM contents AS c "
    "WHERE c.position = r.position AND instr(c.body, lower(hex(r.digest)))) LIMIT 100"
)
_LOST_BLOBS = (
    "SELECT lower(hex(digest)) FROM blobs AS b WHERE NOT EXISTS "
    "(SELECT 1 FROM blob_references AS r WHERE r.digest = b.digest) LIMIT 100"
)
_BLOB = "SELECT body FROM blobs WHERE digest = ?"
_FULL_TEXT = "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5%'"
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

    __slots__ = ("alternative", "erased", "incarnation", "leaf", "session_id", "uid", "version")

    def __init__(self, session_id: bytes, incarnation: int, uid: bytes) -> None:
        self.erased = False
        self.session_id = session_id
        self.incarnation = incarnation
        self.uid = uid
        self.version = 0
        self.leaf = ZEROS
        self.alternative: bytes | None = None


def verify(log: SqliteLog, progress: Callable[[int, int], None] | None = None) -> Iterator[Finding]:
    """Everything in the log that is not as it was written, in order of position."""
    with log.reader():  # a store that is closed is no finding
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
        self.replacing: dict[int, int] = {}
        self.losses = Losses()

    def streams(self) -> Iterator[Finding]:
        try:
            with self.log.reader() as connection:
                rows = rows_of(connection, _STREAMS)
                self.losses.load(connection)
        except EventStoreError as error:
            yield _finding(None, "unreadable", f"the table of streams cannot be read: {error}")
            return
        for number, session_id, incarnation, uid in rows:
            if isinstance(incarnation, int) and isinstance(uid, bytes) and session_id is not None:
                self.chains[number] = _Chain(session_id, incarnation, uid)
            else:
                yield _finding(None, "stream", f"stream {number} cannot be understood")

    def events(self, progress: Callable[[int, int], None] | None) -> Iterator[Finding]:
        try:
            with self.log.reader() as connection:
                head = int(rows_of(connection, _HEAD)[0][0])
                for (before,) in rows_of(connection, _BEFORE_FIRST):
                    yield _finding(before, "gap", "there is an event before the first position")
        except EventStoreError as error:
            yield _finding(None, "unreadable", f"the end of the log cannot be read: {error}")
            return
        position = last = 0
        while position < head:
            upto = self._next_page(position, head)
            rows = yield from self._rows(position, upto)
            for row in rows:
                yield from _gap(last, row.position)
                last = row.position
                yield from self._check(row)
            position = upto
            if progress is not None:
                progress(position, head)
        for position in sorted(self.wiped & self.losses.contents):
            yield _finding(position, "lost", "the content was lost")
        for position in sorted(self.wiped - self.losses.contents):
            yield _finding(
                position, "content", "the content was wiped, but no event says that it was erased"
            )

    def _next_page(self, after: int, head: int) -> int:
        """The end of the page after a position; empty stretches, of any length, are skipped."""
        try:
            with self.log.reader() as connection:
                first = rows_of(connection, _NEXT, (after,))[0][0]
        except EventStoreError:
            first = None
        return min((after if first is None else max(first - 1, after)) + PAGE, head)

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
        for text in self.losses.told_at(position):
            yield _finding(position, "lost", text)
        chain = self.chains.get(stream)
        if chain is None:
            yield _finding(position, "stream", f"stream {stream} does not exist")
            return
        if version != chain.version + 1:
            yield _finding(
                position, "version", f"version {version} of stream {stream} follows {chain.version}"
            )
        chain.version = version if isinstance(version, int) else chain.version + 1
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
        elif not _is_committed(salt, body, row.commitment):
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

        if row.position in self.losses.unproven:
            chain.leaf = row.leaf if isinstance(row.leaf, bytes) else ZEROS
            chain.alternative = None
            return
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
                self._erased(chain, event)
            elif isinstance(event, ContentRedacted) and row.commitment is not None:
                self._redacted(row.position, event)
            if body is None:
                return
            for digest in blobs.digests_in(body):
                yield from self._check_blob(position, digest)
            if text in ("session.created", "session.forked"):
                content = stored.type_content(text, schema, codec.decode(body))
                yield from _check_session_id(position, chain, content)
        except Exception as error:  # changed bytes can break any assumption about them
            yield _finding(position, "event", f"the event cannot be understood: {error}")

    def _erased(self, chain: _Chain, event: ContentErased) -> None:
        chain.erased = chain.erased or event.scope == "session"
        for first, length in event.positions:
            self.wiped = {one for one in self.wiped if not first <= one < first + length}

    def _redacted(self, position: int, event: ContentRedacted) -> None:
        """What stood in the content's place is wiped as well, if something did."""
        self.wiped -= {event.position, self.replacing.get(event.position, 0)}
        self.replacing[event.position] = position

    def _check_blob(self, position: int, digest: bytes) -> Iterator[Finding]:
        with self.log.reader() as connection:
            data = connection.execute(_BLOB, (digest,)).get
            referred = connection.execute(_REFERENCE, (digest, position)).get
        if not isinstance(data, bytes) or hashlib.sha256(data).digest() != digest:
            yield _finding(position, "blob", f"blob {digest.hex()} is missing or changed")
        if not referred:
            yield _finding(position, "blob", f"the reference to blob {digest.hex()} is missing")

    def rest(self) -> Iterator[Finding]:
        """What no single event shows: streams, rows without events, and SQLite's own checks."""
        yield from self._incarnations()
        try:
            with self.log.reader() as connection:
                for (position,) in rows_of(connection, _LOST_CONTENTS):
                    yield _finding(position, "content", "there is content without an event")
                for (position,) in rows_of(connection, _LOST_REFERENCES):
                    yield _finding(position, "blob", "a blob is referred to, but not by the body")
                for (digest,) in rows_of(connection, _LOST_BLOBS):
                    yield _finding(None, "blob", f"nothing refers to blob {digest}")
                _refresh_indexes(connection)
                for (text,) in rows_of(connection, "PRAGMA integrity_check(20)"):
                    if text != "ok":
                        yield _finding(None, "sqlite", text)
        except EventStoreError as error:
            yield _finding(None, "unreadable", f"SQLite cannot check the file: {error}")

    def _incarnations(self) -> Iterator[Finding]:
        """An id's incarnations are numbered from 1; those missing were renamed by erasure."""
        seen: dict[bytes, list[int]] = {}
        renamed: set[int] = set()
        for number, chain in self.chains.items():
            if chain.version == 0:
                yield _finding(None, "stream", f"stream {number} has no events")
            if not chain.erased:
                seen.setdefault(chain.session_id, []).append(chain.incarnation)
                continue
            renamed.add(chain.incarnation)
            if chain.session_id != b"erased:" + chain.uid.hex().encode():
                yield _finding(None, "stream", f"stream {number} was erased, but has a name")
        for session_id, found in seen.items():
            if not incarnations_fit(found, renamed):
                yield _finding(None, "stream", f"session {session_id!r} has incarnations {found}")


def incarnations_fit(found: Sequence[int], renamed: set[int]) -> bool:
    """Whether these are the incarnations of an id, in order of their streams.

    Every number up to the last is there, or is that of a session which erasure `renamed`.
    """
    # The last may be any number, so they are not counted one by one.
    filled = sum(1 for number in renamed.union(found) if 0 < number <= found[-1])
    return list(found) == sorted(set(found)) and found[0] >= 1 and filled >= found[-1]


def _refresh_indexes(connection: apsw.Connection) -> None:
    """Have full-text indexes read their structure anew: the check uses what the last query read.

    Another connection may have written since, and a sound index would be found damaged.
    """
    for (name,) in rows_of(connection, _FULL_TEXT):
        with suppress(apsw.Error):  # of a damaged one the check tells more
            table = quoted(name)
            rows_of(connection, f"SELECT rowid FROM {table} WHERE {table} MATCH 'a' LIMIT 1")  # noqa: S608


def _is_committed(salt: object, body: object, commitment: bytes) -> bool:
    """Whether the commitment is to this content; columns of a damaged file have any type."""
    if not isinstance(salt, bytes) or not isinstance(body, bytes):
        return False
    return commitment_of(salt, body) == commitment


def _gap(after: int, before: int) -> Iterator[Finding]:
    """The positions missing between two, as one finding: there can be any number of them."""
    if before - after == 2:
        yield _finding(after + 1, "gap", "there is no event at this position")
    elif before - after > 2:
        text = f"there are no events at the positions {after + 1} to {before - 1}"
        yield _finding(after + 1, "gap", text)


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
