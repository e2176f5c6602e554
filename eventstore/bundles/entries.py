"""The entries of a bundle and their lines in `events.jsonl`, read side by side."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import IO, Any, NamedTuple

from eventstore import merkle
from eventstore.bundles import layout
from eventstore.bundles.files import READ_MAX, BundleError, BundleFiles
from eventstore.bundles.layout import Erasures, Line
from eventstore.bundles.tree import BundleTree
from eventstore.log.entry import ENTRY_LABEL, ZEROS, commitment_of
from eventstore.merkle.tiles import ENTRIES, TILE_WIDTH, Tile

_HEAD = struct.Struct(f">{len(ENTRY_LABEL)}sQQQ16s32s32sBH16sH")
_LENGTH = struct.Struct(">I")
_TYPE = re.compile("[a-z0-9._-]{1,64}", re.ASCII)
_CONTENT = b',"content":'
_SALT = b',"salt":"'


class Entry(NamedTuple):
    """An entry, taken apart. `facts` are the stored text, `value` is what it says."""

    line: Line
    previous: bytes
    commitment: bytes
    leaf: bytes
    value: Any


def parse_entry(data: bytes) -> Entry:
    """Take an entry apart; raises `BundleError` and what hostile bytes can make decoding raise."""
    (
        label, position, version, at, uid, previous, commitment, actor, schema, _, length,
    ) = _HEAD.unpack_from(data)  # fmt: skip
    begin = _HEAD.size + length + _LENGTH.size
    name = data[_HEAD.size : _HEAD.size + length].decode("ascii")
    (facts_length,) = _LENGTH.unpack_from(data, _HEAD.size + length)
    if label != ENTRY_LABEL or begin + facts_length != len(data) or not _TYPE.fullmatch(name):
        raise BundleError("there is something that is no entry")
    facts = data[begin:].decode()
    line = Line(position, uid, version, at, actor, name, schema, facts)
    return Entry(line, previous, commitment, merkle.leaf_hash(data), strict_json(facts))


def strict_json(text: str) -> Any:
    """The value of a JSON text without NaN and infinities."""
    return _decoder.decode(text)


def _refuse(name: str) -> Any:
    raise BundleError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)


class Chain(NamedTuple):
    """How far a session has come: its last version and leaf, and its id where that is disclosed."""

    version: int
    leaf: bytes
    session: str | None


class Scan:
    """One pass over entries and lines."""

    def __init__(
        self, files: BundleFiles, tree: BundleTree, fault: Callable[[bool, str], None]
    ) -> None:
        self.chains: dict[bytes, Chain] = {}
        self.states: dict[str, list[int]] = {
            layout.SHOWN: [],
            layout.ERASED: [],
            layout.WITHHELD: [],
        }
        self.blobs: set[str] = set()
        self._files = files
        self._tree = tree
        self._fault = fault
        self._runs: list[tuple[int, int]] = []
        self._wiping = layout.Wiping()

    def run(self) -> None:
        """Read everything; raises `BundleError` where going on makes no sense."""
        stream, end = self._files.open(layout.EVENTS)
        with stream:
            last = 0
            for data in self._records():
                entry = parse_entry(data)
                position = entry.line.position
                upto = last + 1 if self._tree.whole else self._tree.size
                if not last < position <= min(upto, self._tree.size):
                    raise BundleError(f"event {position} follows event {last}")
                self._check(entry, stream.readline(READ_MAX))
                last = position
            if self._tree.whole and last != self._tree.size:
                raise BundleError(f"there are {last} of {self._tree.size} events")
            if stream.tell() != end:
                raise BundleError(f"{layout.EVENTS} has other lines than there are entries")

    def _records(self) -> Iterator[bytes]:
        """Every entry."""
        longs = count(1)
        if not self._tree.whole:
            yield from self._records_of(layout.ENTRIES, longs)
            return
        size = self._tree.size
        for number in range(-(-size // TILE_WIDTH)):
            width = min(TILE_WIDTH, size - number * TILE_WIDTH)
            name = Tile(ENTRIES, number, width).path
            found = 0
            for data in self._records_of(name, longs):
                found += 1
                yield data
            if found != width:
                raise BundleError(f"{name} has {found} entries")

    def _records_of(self, name: str, longs: Iterator[int]) -> Iterator[bytes]:
        stream, end = self._files.open(name)
        with stream:
            while stream.tell() < end:
                length = int.from_bytes(_exactly(stream, 2))
                yield (
                    _exactly(stream, length)
                    if length
                    else self._files.read(f"{layout.LONG}{next(longs)}")
                )
            if stream.tell() != end:
                raise BundleError(f"{name} ends within an entry")

    def _check(self, entry: Entry, line: bytes) -> None:
        at = entry.line
        self._fault(
            self._tree.leaf(at.position) == entry.leaf, f"event {at.position} is not in the tree"
        )
        runs = list(self._wiping.runs(at.name, entry.value, at.position, entry.commitment != ZEROS))
        self._runs += runs
        chain = self.chains.get(at.uid)
        lone = bool(runs) and not self._tree.whole and chain is None and at.version > 1
        before = chain or Chain(0, ZEROS, None)
        self._fault(
            lone or (at.version - 1, entry.previous) == (before.version, before.leaf),
            f"event {at.position}: the event before it in its session is another, or missing",
        )
        session = self._check_line(entry, line, before.session)
        if not lone:
            self.chains[at.uid] = Chain(at.version, entry.leaf, session)

    def _check_line(self, entry: Entry, line: bytes, session: str | None) -> str | None:
        """Compare a line with its entry; the session's id, as far as it is known after it."""
        position, head = entry.line.position, entry.line.head()
        rest = line[len(head) :]
        part = b""
        if rest.startswith(_CONTENT):
            end = rest.rindex(_SALT)
            body = rest[len(_CONTENT) : end]
            salt = bytes.fromhex(rest[end + len(_SALT) : end + len(_SALT) + 64].decode())
            right = commitment_of(salt, body) == entry.commitment
            self._fault(right, f"event {position}: its content is not what was committed to")
            value = strict_json(body.decode())
            if entry.line.version == 1 and entry.line.name.startswith(layout.STARTING):
                session = value["session_id"]
            self.blobs.update(layout.blobs_in(body))
            self.states[layout.SHOWN].append(position)
            part = layout.shown(body, salt)
        elif entry.commitment != ZEROS:
            erased = rest.startswith(b',"erased"')
            state = layout.ERASED if erased else layout.WITHHELD
            self.states[state].append(position)
            part = layout.absent(state)
        right = line == head + part + layout.tail(session)
        self._fault(right, f"event {position}: its line says something else")
        return session

    def check_states(self) -> None:
        """Compare what is shown and absent with the erasures that follow."""
        erasures = Erasures(self._runs)
        for state, positions in self.states.items():
            wrong = [one for one in positions if (one in erasures) != (state == layout.ERASED)]
            self._fault(not wrong, f"{state}, but not by the erasures that follow: {wrong[:20]}")


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise BundleError("an entry is cut off")
    return data
