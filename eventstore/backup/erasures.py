"""What was erased, in a form that outlives the store, and erasing it again in another copy.

An event is named by its session's uid, its version and its leaf. A position alone would not do:
after a restore the same positions are given out again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import apsw
import msgspec
from msgspec import Meta, Struct

from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import ContentErased, ContentRedacted
from eventstore.log import engine, reading, redactions
from eventstore.log.port import Recorded
from eventstore.log.sqlite import SqliteLog
from eventstore.session import runs
from eventstore.store.erasure import Target, Words, erase
from eventstore.store.session_store import SessionStore

#: Redactions that wiped what was stored count as erasures of what they wiped.
_ERASING = (
    "SELECT position FROM events WHERE type = 'content.erased' "
    "OR (type = 'content.redacted' AND commitment IS NOT NULL) ORDER BY position"
)
_STREAM = "SELECT id FROM streams WHERE uid = ?"
_UID = "SELECT uid FROM streams WHERE id = ?"
_LEAF = "SELECT position, leaf FROM events WHERE stream = ? AND version = ?"
_BODY = "SELECT body IS NOT NULL FROM contents WHERE position = ?"
_NAME = "SELECT session_id FROM streams WHERE id = ?"

#: What a file with exported erasures begins with.
FORMAT = "agent-eventstore/erasures/v1"


_Uid = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Leaf = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Version = Annotated[int, Meta(ge=1, le=1 << 53)]


class Erasure(Struct, frozen=True, kw_only=True):
    """One erasure: of which session, of which events, and what its own event says of it.

    `events` are ``(version, leaf in hex)``, `derived` the versions of those that were derived from
    others. With the scope ``session`` its id was erased too.
    """

    uid: _Uid
    scope: str
    by: str | None
    reason: str | None
    events: tuple[tuple[_Version, _Leaf], ...]
    basis: str | None = None
    derived: tuple[_Version, ...] = ()


class _Exported(Struct):
    format: str
    erasures: list[Erasure]


def erasures(store: str | Path) -> list[Erasure]:
    """Every erasure that is on the record of a store, oldest first."""
    log = SqliteLog(store, readonly=True, create=False)
    try:
        with log.snapshot() as connection:
            return erasures_in(connection)
    finally:
        log.close()


def erasures_in(connection: apsw.Connection) -> list[Erasure]:
    """The same, through a connection to a store."""
    positions = [row[0] for row in engine.rows_of(connection, _ERASING)]
    found = []
    for recorded in reading.by_positions(connection, positions, content=False):
        event = _erasing(connection, recorded)
        numbers = list(runs.numbers_of(event.positions))
        named = list(reading.by_positions(connection, numbers, content=False))
        derived = set(runs.numbers_of(event.derived))
        uid = connection.execute(_UID, (recorded.stream,)).get
        assert isinstance(uid, bytes)
        found.append(
            Erasure(
                uid=uid.hex(),
                scope=event.scope,
                by=event.by,
                reason=event.reason,
                events=tuple((one.version, one.leaf.hex()) for one in named),
                basis=event.basis,
                derived=tuple(one.version for one in named if one.position in derived),
            )
        )
    return found


def _erasing(connection: apsw.Connection, recorded: Recorded) -> ContentErased:
    """The event of an erasure; for one of a redaction, what it erased in copies without it."""
    event = recorded.event
    if isinstance(event, ContentRedacted):
        wiped = redactions.wiped_by(connection, recorded.position, event.position)
        return ContentErased(
            positions=runs.from_numbers(wiped), by=event.by, reason=event.reason or "redacted"
        )
    assert isinstance(event, ContentErased)
    return event


def exported(found: Iterable[Erasure]) -> dict[str, Any]:
    """Erasures as JSON, to be kept where the store is not."""
    return {"format": FORMAT, "erasures": [msgspec.to_builtins(one) for one in found]}


def read_from(source: str | Path) -> list[Erasure]:
    """The erasures of a store, or of a file that `exported` was written to.

    Raises `InvalidValueError` for a file that is neither, and what opening a store raises.
    """
    path = Path(source).expanduser()
    if path.is_file() and path.suffix == ".json":
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Exported)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidValueError(f"{path} holds no exported erasures: {error}") from error
        if found.format != FORMAT:
            raise InvalidValueError(f"{path} has the format {found.format!r}, not {FORMAT!r}")
        return found.erasures
    return erasures(path)


def apply(store: SessionStore, found: Iterable[Erasure]) -> list[int]:
    """Erase in this store what these erasures erased; the positions whose content is gone now.

    Sessions and events that the store does not have, or has of another history, are passed over.
    """
    erased: list[int] = []
    for erasure in found:
        with store.log.snapshot() as connection:
            stream = connection.execute(_STREAM, (bytes.fromhex(erasure.uid),)).get
            if not isinstance(stream, int):
                continue
            same, present = _in_store(connection, stream, erasure)
            named = not str(connection.execute(_NAME, (stream,)).get).startswith("erased:")
        whole = erasure.scope == "session" and named and (same or not erasure.events)
        if whole or present:
            erased += _again(store, stream, erasure, whole, present)
    return sorted(set(erased))


def _again(
    store: SessionStore,
    stream: int,
    erasure: Erasure,
    whole: bool,
    present: dict[int, int],
) -> tuple[int, ...]:
    """Erase what is present of an erasure, or the whole session."""
    target = Target(
        stream=stream,
        positions=None if whole else list(present.values()),
        derived=[present[version] for version in erasure.derived if version in present],
    )
    words = Words(by=erasure.by, reason=erasure.reason, basis=erasure.basis)
    return erase(
        store.log, lambda _: [target], words, store.derived.erase, despite_holds=True
    ).positions


def _in_store(
    connection: apsw.Connection, stream: int, erasure: Erasure
) -> tuple[bool, dict[int, int]]:
    """Whether any of the events is here, and the positions by version of those whose content is."""
    same, present = False, dict[int, int]()
    for version, leaf in erasure.events:
        row = connection.execute(_LEAF, (stream, version)).fetchone()
        if row is not None and row[1] == bytes.fromhex(leaf):
            same = True
            if connection.execute(_BODY, (row[0],)).get:
                present[version] = row[0]
    return same, present
