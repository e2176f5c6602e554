"""Checking the lines of an exported log: every hash is computed anew, every number must follow.

What is accepted here is a log that `verify` finds nothing in. A change of any line is refused with
the number of the line, the loss of lines at the end with that of the last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from eventstore.errors import (
    CorruptStoreError,
    EventFormatError,
    ImportFailedError,
)
from eventstore.events.catalogue import ContentErased, ContentRedacted, Event, SessionContent
from eventstore.exports.jsonl import lines
from eventstore.exports.jsonl.lines import BlobLine, EventLine, Header
from eventstore.log import blobs, reading
from eventstore.log.entry import SALT_BYTES, UID_BYTES, ZEROS, commitment_of, leaf_of
from eventstore.log.losses import SALVAGED, Losses
from eventstore.log.port import Head
from eventstore.log.verification import incarnations_fit

_LEAF_BYTES = len(ZEROS)


class LineError(ImportFailedError):
    """A line is not what was exported; `line` is its number."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


class _Chain:
    """What is known of one stream."""

    __slots__ = ("erased", "incarnation", "leaf", "line", "session", "uid", "version")

    def __init__(self, line: EventLine, number: int) -> None:
        self.session = line.session
        self.incarnation = line.incarnation
        self.uid = line.uid
        self.version = 0
        self.leaf = ZEROS
        self.line = number
        self.erased = False


class Checker:
    """The lines of one file, taken in order; `fetch` gives the blob of a digest."""

    def __init__(self, fetch: Callable[[bytes], bytes | None]) -> None:
        self.chains: dict[int, _Chain] = {}
        self._read = reading.event_reader(fetch)
        self._header: Header | None = None
        self._head = Head(0, ZEROS)
        self._blobs: dict[bytes, int] = {}
        self._uids: set[str] = set()
        self._wiped: dict[int, int] = {}
        self._replacing: dict[int, int] = {}
        self._unproven: dict[int, int] = {}
        self._losses = Losses()

    def session_ids(self) -> list[str]:
        """The ids of the sessions, each once."""
        return list(dict.fromkeys(chain.session for chain in self.chains.values()))

    def header(self, number: int, header: Header) -> None:
        """Take the header, which must be the first line."""
        if number != 1:
            raise ImportFailedError("a second header; one file holds one log")
        if header.format != lines.FORMAT or header.version != lines.VERSION:
            raise ImportFailedError(
                f"the file is {header.format} version {header.version}, and {lines.FORMAT} version "
                f"{lines.VERSION} can be read; update agent-eventstore"
            )
        if header.sessions is not None or header.content != "full":
            what = "only some sessions" if header.sessions is not None else "no texts"
            raise ImportFailedError(
                f"the file holds {what} of a log, which is no log; export all of it to import it"
            )
        self._header = header

    def blob(self, number: int, line: BlobLine) -> tuple[bytes, bytes]:
        """The digest and the bytes of a blob."""
        self._require_header()
        data = lines.blob_data(line)
        digest = hashlib.sha256(data).digest()
        if digest.hex() != line.digest:
            raise ImportFailedError(f"blob {line.digest} has other bytes than its digest says")
        self._blobs[digest] = number
        return digest, data

    def event(self, number: int, line: EventLine) -> Event:
        """Check an event against the hashes and the events before it."""
        header = self._require_header()
        position = self._head.position + 1
        if line.position != position:
            raise ImportFailedError(f"position {line.position} follows {position - 1}")
        if position > header.to_position:
            raise ImportFailedError(f"the header says that the log ends at {header.to_position}")
        chain = self._chain(number, line)
        if line.version != chain.version + 1:
            raise ImportFailedError(
                f"version {line.version} of session {line.session!r} follows {chain.version}"
            )
        commitment = self._content(number, line)
        leaf = _bytes(line.leaf, _LEAF_BYTES, "leaf")
        if leaf != _leaf(line, chain, commitment):
            self._unproven[position] = number
        event = self._meaning(line, chain, commitment)
        chain.version, chain.leaf = line.version, leaf
        self._head = Head(position, leaf)
        return event

    def finish(self) -> Head:
        """What only the whole file shows; the end of its log."""
        header = self._require_header()
        if (self._head.position, self._head.leaf.hex()) != (header.to_position, header.head):
            raise ImportFailedError(
                f"the file ends with event {self._head.position}, its header says "
                f"{header.to_position}, {header.head}: it is not complete"
            )
        for position, number in self._unproven.items():
            if position not in self._losses.unproven:
                raise LineError(
                    number, "the event, or one before it in its session, is not as it was written"
                )
        for position, number in self._wiped.items():
            if position not in self._losses.contents:
                raise LineError(number, "the content is gone, but no event says it was erased")
        for digest, number in self._blobs.items():
            raise LineError(number, f"no event refers to blob {digest.hex()}")
        self._incarnations()
        return self._head

    # -- parts -------------------------------------------------------------------------------

    def _require_header(self) -> Header:
        if self._header is None:
            raise ImportFailedError("the file does not begin with a header")
        return self._header

    def _chain(self, number: int, line: EventLine) -> _Chain:
        chain = self.chains.get(line.stream)
        if chain is None:
            _bytes(line.uid, UID_BYTES, "uid")
            if line.uid in self._uids:
                raise ImportFailedError(f"another stream has the uid {line.uid}")
            self._uids.add(line.uid)
            chain = self.chains[line.stream] = _Chain(line, number)
        if (line.session, line.incarnation, line.uid) != (
            chain.session, chain.incarnation, chain.uid,
        ):  # fmt: skip
            raise ImportFailedError(
                f"stream {line.stream} is {chain.session!r} in line {chain.line}, not "
                f"{line.session!r}"
            )
        return chain

    def _content(self, number: int, line: EventLine) -> bytes | None:
        """The commitment, if the content is what it is a commitment to, or was erased."""
        present = line.salt is not None and line.body is not None
        absent = line.salt is None and line.body is None
        if not present and not absent:
            raise ImportFailedError("a salt and a body belong together")
        if line.commitment is None:
            if present or line.erased:
                raise ImportFailedError("there is content, but no commitment to it")
            return None
        if present == line.erased or line.withheld:
            raise ImportFailedError("content is there or was erased, one of the two")
        commitment = _bytes(line.commitment, _LEAF_BYTES, "commitment")
        if line.body is None or line.salt is None:
            self._wiped[line.position] = number
            return commitment
        salt = _bytes(line.salt, SALT_BYTES, "salt")
        if commitment_of(salt, line.body.encode()) != commitment:
            raise ImportFailedError("the content is not what was committed to")
        try:
            for digest in blobs.digests_in(line.body.encode()):
                self._blobs.pop(digest, None)
        except (EventFormatError, ValueError, TypeError) as error:
            raise ImportFailedError(f"the body cannot be read: {error}") from error
        return commitment

    def _meaning(self, line: EventLine, chain: _Chain, commitment: bytes | None) -> Event:
        """The event, decoded, and what follows from it for those before it."""
        try:
            body = None if line.body is None else line.body.encode()
            event = self._read(line.position, line.type, line.schema, line.facts, body)
        except CorruptStoreError as error:
            raise ImportFailedError(str(error)) from error
        if isinstance(event, ContentErased):
            chain.erased = chain.erased or event.scope == "session"
            for first, length in event.positions:
                for position in _within(self._wiped, first, length):
                    del self._wiped[position]
        elif isinstance(event, ContentRedacted) and commitment is not None:
            # What stood in the content's place is wiped as well, if something did.
            self._wiped.pop(event.position, None)
            self._wiped.pop(self._replacing.get(event.position, 0), None)
            self._replacing[event.position] = line.position
        elif line.type == SALVAGED:
            self._losses.take(line.facts.encode())
        content: Any = event.content
        if isinstance(content, SessionContent) and content.session_id != line.session:
            raise ImportFailedError(
                f"the session was created as {content.session_id!r}, not as {line.session!r}"
            )
        return event

    def _incarnations(self) -> None:
        """An id's incarnations are numbered from 1; those missing were renamed by erasure."""
        found: dict[str, list[_Chain]] = {}
        renamed: set[int] = set()
        for chain in self.chains.values():
            if chain.erased:
                renamed.add(chain.incarnation)
                if chain.session != f"erased:{chain.uid}":
                    raise LineError(chain.line, "the session was erased, but has a name")
            else:
                found.setdefault(chain.session, []).append(chain)
        for session, chains in found.items():
            numbers = [chain.incarnation for chain in chains]
            if not incarnations_fit(numbers, renamed):
                raise LineError(chains[-1].line, f"session {session!r} has incarnations {numbers}")


def _within(positions: dict[int, int], first: int, length: int) -> list[int]:
    if length < len(positions):
        return [one for one in range(first, first + length) if one in positions]
    return [one for one in positions if first <= one < first + length]


def _leaf(line: EventLine, chain: _Chain, commitment: bytes | None) -> bytes:
    try:
        return leaf_of(
            line.position, line.version, line.recorded_at, bytes.fromhex(chain.uid), chain.leaf,
            commitment, line.actor, line.schema, line.key, line.type.encode("ascii"),
            line.facts.encode(),
        )  # fmt: skip
    except Exception as error:  # numbers and texts that no entry can hold
        raise ImportFailedError(f"the event cannot be an entry of a log: {error}") from error


def _bytes(text: str, size: int, name: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != size or data.hex() != text:
        raise ImportFailedError(f"{name} is {size} bytes in lower-case hexadecimal, not {text!r}")
    return data
