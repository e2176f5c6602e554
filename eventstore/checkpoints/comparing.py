"""Whether a log is still what a checkpoint says it was: the same hash, not only as many events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from eventstore import merkle
from eventstore.checkpoints import checkpoint, note, notes
from eventstore.checkpoints.anchors import Anchor, ReadableAnchor
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.keys import VerifierKey
from eventstore.errors import (
    AnchorError,
    CheckpointError,
    ForkDetectedError,
    OtherLogError,
    RollbackDetectedError,
)
from eventstore.log import reading
from eventstore.store.proofs import PROJECTION
from eventstore.store.session_store import SessionStore
from projections.queries.tree import TileReader


class Verified(Struct, frozen=True, kw_only=True):
    """A checkpoint that the log agrees with, and the keys whose signatures were verified.

    None were where no key was trusted beforehand: then the note is only as good as its source.
    """

    checkpoint: Checkpoint
    keys: tuple[VerifierKey, ...]


def require(
    known: Checkpoint, where: str, reader: TileReader, size: int, origins: Sequence[str]
) -> None:
    """Raise unless a log of this size, tree and these origins, the present first, agrees.

    A checkpoint of an earlier origin says nothing of what was restored since.

    Raises `RollbackDetectedError`, `ForkDetectedError` or `OtherLogError`.
    """
    if known.origin in origins[1:]:
        return
    if origins and known.origin != origins[0]:
        raise OtherLogError(known.origin, origins[0], where)
    if known.size > size:
        raise RollbackDetectedError(known.size, known.root, size, where)
    root = merkle.root_of(known.size, reader)
    if root != known.root:
        raise ForkDetectedError(known.size, known.root, root, where)
    if not origins:
        raise OtherLogError(known.origin, None, where)


def compare(
    store: SessionStore, known: Iterable[tuple[Checkpoint, str]], *, thorough: bool = False
) -> None:
    """Raise what `require` does unless the store agrees with these checkpoints, told by where.

    The tree is read from its tiles; `thorough` hashes the leaves of the log itself anew, which also
    finds events that were rewritten below tiles that were left as they were.
    """
    with store.log.snapshot() as connection:
        reached = 0 if thorough else store.derived.reached(connection, PROJECTION) or 0
        reader = TileReader(connection, reached)
        size = reading.head_of(connection).position
        origins = notes.origins(connection)
        for one, where in known:
            require(one, where, reader, size, origins)


def verify_note(
    store: SessionStore, data: bytes | str, trusted: Sequence[VerifierKey] = ()
) -> Verified:
    """Verify a note against the store, leaf by leaf, and its signatures if keys are trusted.

    Raises `NoteError`, `UnverifiedNoteError`, `MissingExtraError` and what `require` does.
    """
    found, written = checkpoint.read(data)
    keys = signers(written, trusted)
    compare(store, [(found, "the note")], thorough=True)
    return Verified(checkpoint=found, keys=keys)


def signers(written: note.Note, trusted: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The trusted keys that signed a note; raises `UnverifiedNoteError` when none of them did."""
    if not trusted:
        return ()
    ids = {(one.name, one.key_id) for one in note.verified(written, trusted)}
    return tuple(one for one in trusted if (one.name, one.key_id) in ids)


def verify_anchor(
    store: SessionStore, anchor: Anchor, trusted: Sequence[VerifierKey] = ()
) -> list[Verified]:
    """Hold the log against every note that an anchor has of it, and it against its receipts.

    Raises `CheckpointError` when it has none, `AnchorError`, and what `verify_note` does.
    """
    with store.log.snapshot() as connection:
        tried = [one for one in notes.anchorings(connection) if one.anchor == anchor.name]
        kept = {(one.origin, one.size): one.note for one in notes.listed(connection)}
        origin = notes.origin(connection)
    if not isinstance(anchor, ReadableAnchor):
        raise AnchorError(f"{anchor.name} cannot give back the notes that it took")
    found = []
    for data in () if origin is None else anchor.notes(origin):
        known, written = checkpoint.read(data)
        found.append(Verified(checkpoint=known, keys=signers(written, trusted)))
    if not found:
        raise CheckpointError(f"{anchor.name} has no note of this log, which is {origin}")
    compare(store, [(one.checkpoint, anchor.name) for one in found], thorough=True)
    for one in tried:
        sent = kept.get((one.origin, one.size))
        if one.receipt is not None and sent is not None:
            anchor.verify(sent, one.receipt)
    return found
