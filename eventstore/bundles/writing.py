"""Writing a bundle: a folder of files that prove themselves.

What is written follows from the log, the checkpoint and the options, byte by byte. Of the log one
page of events is held, and what is known of each session: its last leaf and its id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import merge
from operator import attrgetter
from pathlib import Path

import apsw
from msgspec import Struct

from eventstore import codec, merkle
from eventstore.bundles import layout
from eventstore.bundles.layout import Erasures, Line
from eventstore.bundles.tiling import OneFile, Tiling
from eventstore.checkpoints import checkpoint
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.errors import CorruptStoreError, ExportFailedError
from eventstore.log import headers
from eventstore.log.entry import ZEROS
from eventstore.log.headers import StoredEvent
from eventstore.merkle import TILE_WIDTH
from eventstore.store.proofs import tree_reader
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore
from projections.queries.tree import TileReader

#: Events after which progress is told.
STEP = 1_000


class Written(Struct, frozen=True, kw_only=True):
    """What a bundle holds: `events` of the first `size` events of the log."""

    size: int
    root: bytes
    events: int
    sessions: int
    shown: int
    erased: int
    withheld: int


class _Chosen(Struct, frozen=True):
    """Which events go in: all, or those of `streams` and the erasures elsewhere that reach them."""

    whole: bool
    streams: tuple[int, ...]
    elsewhere: tuple[tuple[StoredEvent, bytes], ...]
    count: int


def write_bundle(
    store: SessionStore,
    folder: Path,
    note: str,
    *,
    sessions: Sequence[Session] | None = None,
    withhold: Callable[[StoredEvent], bool] = lambda event: False,
    older: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write the bundle of the log as a checkpoint names it, or of some of its sessions.

    `folder` is empty. `note` is the checkpoint, `older` are earlier ones of the same log that go
    along. `withhold` says of which events the content stays out. Raises `ExportFailedError` when a
    checkpoint is not one of this log, and `CorruptStoreError` when the log is damaged.
    """
    at, _ = checkpoint.read(note)
    earlier = {one.size: text for text in older for one, _ in [checkpoint.read(text)]}
    streams = None if sessions is None else [store.require_own(one).stream for one in sessions]
    writer = _Writer(store, folder, at, withhold)
    writer.put(layout.CHECKPOINT, note.encode())
    writer.put(layout.README, layout.README_TEXT.encode())
    with tree_reader(store.log, store.derived) as (connection, reader, head):
        for text in (note, *earlier.values()):
            _require(checkpoint.read(text)[0], at, reader, head)
        for size, text in earlier.items():
            writer.put(f"{layout.ANCHORS}{size}", text.encode())
        erasing = list(headers.of_types(connection, layout.ERASING))
        writer.erased = Erasures(_runs(erasing, at.size))
        writer.erased_later = Erasures(_runs(erasing, head))
        chosen = _choose(connection, streams, erasing, at.size)
        if not chosen.whole:
            wanted = _tiles_wanted(connection, chosen, earlier, at.size)
            for tile in merkle.tiles_of(at.size):
                if tile.level > 0 or tile.number in wanted:
                    writer.put(tile.path, reader.tile(tile))
    writer.write_events(chosen, progress)
    return writer.finish(chosen)


def _require(one: Checkpoint, at: Checkpoint, reader: TileReader, head: int) -> None:
    """Refuse a checkpoint that is not one of this log, or comes after the bundle's own."""
    if one.extensions or one.origin != at.origin or one.size > min(at.size, head):
        raise ExportFailedError(
            f"a checkpoint of {one.size} events of {one.origin} cannot go into a bundle of "
            f"{at.size} of {at.origin}, made of a log of {head}"
        )
    if merkle.root_of(one.size, reader) != one.root:
        raise ExportFailedError(
            f"the checkpoint of {one.size} events is not one of this log: the tree has another root"
        )


def _runs(erasing: Iterable[StoredEvent], upto: int) -> Iterator[tuple[int, int]]:
    wiping = layout.Wiping()
    for event in erasing:
        if event.position <= upto:
            facts = codec.decode(event.facts.encode())
            yield from wiping.runs(event.name, facts, event.position, event.commitment is not None)


def _choose(
    connection: apsw.Connection,
    streams: Sequence[int] | None,
    erasing: Sequence[StoredEvent],
    size: int,
) -> _Chosen:
    if streams is None:
        return _Chosen(True, (), (), size)
    wiped = [one for stream in streams for one in headers.wiped(connection, stream, size)]
    elsewhere = []
    for event in erasing:
        reached = Erasures(_runs([event], size))
        if event.stream not in streams and any(position in reached for position in wiped):
            leaf = headers.leaf_at(connection, event.stream, event.version - 1)
            elsewhere.append((event, leaf))
    count = sum(len(headers.positions(connection, stream, size)) for stream in streams)
    return _Chosen(False, tuple(streams), tuple(elsewhere), count + len(elsewhere))


def _tiles_wanted(
    connection: apsw.Connection, chosen: _Chosen, earlier: Iterable[int], size: int
) -> set[int]:
    """The tiles of leaves that hold an event of the bundle, or where an older tree ends."""
    ends = {(one >> 8) for one in (*earlier, size) if one % TILE_WIDTH}
    own = {
        (position - 1) // TILE_WIDTH
        for stream in chosen.streams
        for position in headers.positions(connection, stream, size)
    }
    return ends | own | {(event.position - 1) // TILE_WIDTH for event, _ in chosen.elsewhere}


class _Writer:
    """One bundle as it is written."""

    def __init__(
        self,
        store: SessionStore,
        folder: Path,
        at: Checkpoint,
        withhold: Callable[[StoredEvent], bool],
    ) -> None:
        self.erased = self.erased_later = Erasures(())
        self._store = store
        self._folder = folder
        self._at = at
        self._withhold = withhold
        self._counts: Counter[str] = Counter()
        self._last: dict[bytes, tuple[bytes, str | None]] = {}
        self._loose: dict[str, str] = {}
        self._long = 0
        self._seen = 0

    def put(self, name: str, data: bytes) -> None:
        """Write a file."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if name in (layout.CHECKPOINT, layout.README) or name.startswith(layout.ANCHORS):
            self._loose[name] = layout.digest(data)

    def write_events(self, chosen: _Chosen, progress: Callable[[int, int], None] | None) -> None:
        """Write the entries and their lines."""
        previous = {event.position: leaf for event, leaf in chosen.elsewhere}
        log, size = self._store.log, self._at.size
        events = (
            headers.of_log(log, size)
            if chosen.whole
            else merge(
                headers.of_streams(log, chosen.streams, size),
                (event for event, _ in chosen.elsewhere),
                key=attrgetter("position"),
            )
        )
        files = Tiling(self.put) if chosen.whole else OneFile(self._folder / layout.ENTRIES)
        count = 0
        with (self._folder / layout.EVENTS).open("xb") as lines:
            for count, event in enumerate(events, 1):
                files.add(self._record(event, previous.get(event.position)), event.leaf)
                lines.write(self._line(event, event.position in previous))
                if progress is not None and not count % STEP:
                    progress(count, chosen.count)
        files.finish()
        if count != chosen.count:
            raise CorruptStoreError(
                f"the log has {count} of the {chosen.count} events of the bundle"
            )

    def _record(self, event: StoredEvent, previous: bytes | None) -> bytes:
        """An entry, with its length before it."""
        leaf, _ = self._last.get(event.uid, (ZEROS, None))
        entry = event.entry(leaf if previous is None else previous)
        if merkle.leaf_hash(entry) != event.leaf:
            raise CorruptStoreError(
                f"event {event.position} cannot be proven: it or the one before it in its session "
                "is not as it was written, or is lost; `eventstore verify` says more"
            )
        if len(entry) <= layout.ENTRY_MAX:
            return len(entry).to_bytes(2) + entry
        self._long += 1
        self.put(f"{layout.LONG}{self._long}", entry)
        return bytes(2)

    def _line(self, event: StoredEvent, elsewhere: bool) -> bytes:
        """The event's line. What is not of a chosen session has no session's name."""
        _, session = self._last.get(event.uid, (ZEROS, None))
        state, part = self._content(event)
        first = event.version == 1 and event.name.startswith(layout.STARTING)
        if first and state == layout.SHOWN:
            session = codec.decode((event.body or "").encode())["session_id"]
        if not elsewhere:
            self._last[event.uid] = (event.leaf, session)
        head = Line(
            event.position, event.uid, event.version, event.recorded_at, event.actor, event.name,
            event.schema, event.facts,
        ).head()  # fmt: skip
        return head + part + layout.tail(session)

    def _content(self, event: StoredEvent) -> tuple[str, bytes]:
        """In which state the content is, and the part of the line that says so."""
        if event.commitment is None:
            return "", b""
        state = self._state(event)
        self._counts[state] += 1
        if state != layout.SHOWN or event.body is None or event.salt is None:
            return state, layout.absent(state)
        body = event.body.encode()
        for digest in layout.blobs_in(body):
            self._put_blob(digest)
        return state, layout.shown(body, event.salt)

    def _state(self, event: StoredEvent) -> str:
        if event.body is None:
            if event.position in self.erased:
                return layout.ERASED
            later = event.position in self.erased_later or self._erased_meanwhile(event.position)
            return layout.WITHHELD if later or self._withhold(event) else layout.MISSING
        return layout.WITHHELD if self._withhold(event) else layout.SHOWN

    def _erased_meanwhile(self, position: int) -> bool:
        """Whether an event that came after this bundle was begun erased the content."""
        head = self._store.head.position
        if head > self._seen:
            self._seen = head
            with self._store.log.reader() as connection:
                self.erased_later = Erasures(
                    _runs(headers.of_types(connection, layout.ERASING), head)
                )
        return position in self.erased_later

    def _put_blob(self, digest: str) -> None:
        name = f"{layout.BLOBS}{digest}"
        if (self._folder / name).exists():
            return
        with self._store.log.reader() as connection:
            data = headers.blob(connection, bytes.fromhex(digest))
        if data is None or layout.digest(data) != digest:
            raise CorruptStoreError(f"blob {digest} is missing, or has other bytes")
        self.put(name, data)

    def finish(self, chosen: _Chosen) -> Written:
        """Write the manifest."""
        self.put(
            layout.MANIFEST,
            layout.manifest(
                whole=chosen.whole,
                origin=self._at.origin,
                size=self._at.size,
                root=self._at.root,
                sessions=len(self._last),
                counts=self._counts,
                files=self._loose,
            ),
        )
        return Written(
            size=self._at.size,
            root=self._at.root,
            events=chosen.count,
            sessions=len(self._last),
            shown=self._counts[layout.SHOWN],
            erased=self._counts[layout.ERASED],
            withheld=self._counts[layout.WITHHELD],
        )
