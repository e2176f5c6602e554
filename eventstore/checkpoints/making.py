"""Making a checkpoint note: durable, then signed, then kept, then handed out.

What is signed must never be taken back, so the events and the row that names them are on the disk
before there is a signature. Nothing is signed that contradicts the newest note that was kept. The
new part of the tree is hashed from the log's own leaves, not from tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from eventstore import merkle
from eventstore.checkpoints import checkpoint, comparing, note, notes, side_file
from eventstore.checkpoints.anchors import Anchor
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.keys import SignerKey
from eventstore.checkpoints.notes import Anchoring, KeptNote
from eventstore.errors import AnchorError, CorruptStoreError
from eventstore.log.sqlite import now_us
from eventstore.log.transaction import SqliteTransaction
from eventstore.merkle import CompactRange
from eventstore.store.proofs import tree_reader
from eventstore.store.session_store import SessionStore
from projections.queries.tree import grow

#: Notes that one anchor is offered again in one go.
OFFERED_MAX = 100


class Made(Struct, frozen=True, kw_only=True):
    """A note that was made, and what came of putting it, and earlier ones, into the anchors."""

    note: KeptNote
    anchored: tuple[Anchoring, ...]

    @property
    def failures(self) -> list[Anchoring]:
        """The attempts to anchor that failed."""
        return [one for one in self.anchored if one.receipt is None]


def make_note(
    store: SessionStore,
    signer: SignerKey | None,
    path: Path | None,
    anchors: Sequence[Anchor],
    reason: str,
) -> Made:
    """Make a note of the log as it is now, sign it if there is a key, and hand it out.

    `path` is that of the side file. Raises what `comparing.require` does when the log contradicts
    the newest note or the side file, `CorruptStoreError` when the tiles are not what the log gives,
    and `CheckpointError` when the side file cannot be written: the note is made and kept then. A
    failed anchor raises nothing.
    """
    known = None if path is None else side_file.read(path)  # first: another process may write it
    made = _signed(store, signer, _durable(store, known, reason))
    if path is not None and (
        known is None or made.size >= known.size or known.origin != made.origin
    ):
        side_file.write(path, made.note)
    return Made(note=made, anchored=tuple(anchor_notes(store, anchors, made)))


def _durable(store: SessionStore, known: Checkpoint | None, reason: str) -> KeptNote:
    """The bare note of the log's end, in a row that is on the disk with all that it covers."""
    with tree_reader(store.log, store.derived) as (connection, reader, size):
        origins = notes.origins(connection)
        last = notes.newest(connection, origins[0]) if origins else None
        if known is not None:
            comparing.require(known, "the side file", reader, size, origins)
        if last is not None:
            kept_last = Checkpoint(last.origin, last.size, last.root)
            where = "the newest note that was kept"
            comparing.require(kept_last, where, reader, size, origins)
        tree = CompactRange.at(0 if last is None else last.size, reader)
        grow(tree, connection, size)
        if tree.root() != merkle.root_of(size, reader):
            raise CorruptStoreError(
                "the tree's tiles are not what the log gives; `eventstore rebuild tree` makes "
                "them anew, nothing was signed"
            )

    def work(transaction: SqliteTransaction) -> KeptNote:
        connection = transaction.connection
        end = transaction.head.position
        now = transaction.clock()
        origin = notes.origin(connection) or notes.begin_origin(connection, now)
        grow(tree, connection, end)
        kept = notes.at(connection, origin, end)
        if kept is not None:
            return kept
        bare = Checkpoint(origin, end, tree.root())
        made = KeptNote(
            origin=origin, size=end, root=bare.root, note=bare.text, reason=reason, made_at=now
        )
        notes.keep(connection, made)
        return made

    return store.log.transact(work, full=True)


def _signed(store: SessionStore, signer: SignerKey | None, made: KeptNote) -> KeptNote:
    """The note with the key's signature, which is kept before anybody sees it."""
    if signer is None:
        return made
    _, written = checkpoint.read(made.note)
    if any((one.name, one.key_id) == (signer.name, signer.key_id) for one in written.signatures):
        return made
    signature = signer.sign(written.text).signatures

    def work(transaction: SqliteTransaction) -> KeptNote:
        """Others may have signed meanwhile, with another key."""
        kept = notes.at(transaction.connection, made.origin, made.size) or made
        _, now = checkpoint.read(kept.note)
        both = note.signed(now.text, [*now.signatures, *signature])
        signed = replace(kept, note=str(both))
        notes.keep(transaction.connection, signed)
        return signed

    return store.log.transact(work, full=True)


def anchor_notes(
    store: SessionStore, anchors: Sequence[Anchor], made: KeptNote | None = None
) -> list[Anchoring]:
    """Put a note into every anchor, and before it what an anchor did not take; what came of it.

    Without a note only what waits is put there. An anchor that fails is not asked again this time.
    """
    found: list[Anchoring] = []
    for anchor in anchors:
        with store.log.snapshot() as connection:
            origin = notes.origin(connection)
            size = None if made is None else made.size
            waiting = [] if origin is None else notes.waiting(connection, origin, anchor.name, size)
        failure: str | None = None
        for one in waiting[:OFFERED_MAX]:
            tried = _offered(anchor, one, failure)
            store.log.transact(partial(_remember, tried), exclusive=True)
            found.append(tried)
            failure = tried.failure
    return found


def _remember(tried: Anchoring, transaction: SqliteTransaction) -> None:
    notes.tried(transaction.connection, tried)


def _offered(anchor: Anchor, one: KeptNote, failure: str | None) -> Anchoring:
    """What comes of offering a note to an anchor, which is not asked after a `failure`."""
    receipt = None
    if failure is None:
        try:
            receipt = anchor.submit(one.note)
        except AnchorError as error:
            failure = str(error)
        except Exception as error:  # an anchor of a user's own must not stop what is kept already
            failure = f"{type(error).__name__}: {error}"
    return Anchoring(
        origin=one.origin,
        size=one.size,
        anchor=anchor.name,
        receipt=receipt,
        failure=failure,
        tried_at=now_us(),
    )
