"""Roots of the Merkle tree over the log, and proofs: that an event is in it, that it only grew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw
from msgspec import Struct

from eventstore import merkle
from eventstore.errors import InvalidRangeError
from eventstore.log import reading
from eventstore.log.sqlite import SqliteLog
from eventstore.store.derived import Registry
from projections.queries.tree import TileReader, leaves

PROJECTION = "tree"


class TreeHead(Struct, frozen=True, kw_only=True):
    """The root over the first `size` events of the log."""

    size: int
    root: bytes


class InclusionProof(Struct, frozen=True, kw_only=True):
    """That the event at `position` is in the tree: the hashes up to the root (RFC 6962 §2.1.1).

    Its index in the tree is ``position - 1``, and its leaf hash is the event's leaf.
    """

    position: int
    leaf: bytes
    size: int
    root: bytes
    hashes: tuple[bytes, ...]

    def verify(self) -> None:
        """Raise `InvalidProofError` unless the hashes lead from the leaf to the root."""
        merkle.verify_inclusion(self.position - 1, self.size, self.leaf, self.hashes, self.root)


class ConsistencyProof(Struct, frozen=True, kw_only=True):
    """That the first `first` events of the log are as they were when its root was `first_root`.

    The hashes are those of RFC 6962 §2.1.2, none where the sizes are equal.
    """

    first: int
    first_root: bytes
    size: int
    root: bytes
    hashes: tuple[bytes, ...]

    def verify(self) -> None:
        """Raise `InvalidProofError` unless the hashes lead to both roots."""
        merkle.verify_consistency(self.first, self.size, self.first_root, self.root, self.hashes)


@contextmanager
def tree_reader(
    log: SqliteLog, registry: Registry
) -> Iterator[tuple[apsw.Connection, TileReader, int]]:
    """A snapshot of the file, the reader of its tree, caught up first, and the tree's size.

    In a store that is open for reading only, what the tiles lack is hashed from the log.
    """
    if not log.readonly:
        registry.catch_up(log, PROJECTION, None)
    with log.snapshot() as connection:
        reached = registry.reached(connection, PROJECTION) or 0
        yield connection, TileReader(connection, reached), reading.head_of(connection).position


class Proofs:
    """The part of a `SessionStore` that reads the tree."""

    log: SqliteLog
    derived: Registry

    def tree_head(self, size: int | None = None) -> TreeHead:
        """The root of the Merkle tree (RFC 6962) over the log, or over its first `size` events.

        Raises `InvalidRangeError` when the log has fewer.
        """
        with tree_reader(self.log, self.derived) as (_, reader, head):
            return TreeHead(size=_size(size, head), root=merkle.root_of(_size(size, head), reader))

    def prove_inclusion(self, position: int, size: int | None = None) -> InclusionProof:
        """Prove that an event is in the tree over the whole log, or over its first `size` events.

        Raises `InvalidRangeError` when that has no such event.
        """
        with tree_reader(self.log, self.derived) as (connection, reader, head):
            end = _size(size, head)
            if not 1 <= position <= end:
                raise InvalidRangeError(f"the tree has the events 1 to {end}, not {position}")
            [leaf] = leaves(connection, position - 1, position)
            return InclusionProof(
                position=position,
                leaf=leaf,
                size=end,
                root=merkle.root_of(end, reader),
                hashes=tuple(merkle.inclusion_proof(position - 1, end, reader)),
            )

    def prove_consistency(self, first: int, size: int | None = None) -> ConsistencyProof:
        """Prove that the tree over the first `first` events grew into the one over `size`, or all.

        Raises `InvalidRangeError` unless 0 < first <= size and the log has so many.
        """
        with tree_reader(self.log, self.derived) as (_, reader, head):
            end = _size(size, head)
            if not 1 <= first <= end:
                raise InvalidRangeError(
                    f"a proof goes from 1 to {end} events on to {end}, not from {first}"
                )
            return ConsistencyProof(
                first=first,
                first_root=merkle.root_of(first, reader),
                size=end,
                root=merkle.root_of(end, reader),
                hashes=tuple(merkle.consistency_proof(first, end, reader)),
            )


def _size(size: int | None, head: int) -> int:
    if size is None:
        return head
    if not 0 <= size <= head:
        raise InvalidRangeError(f"the log has {head} events, so it has no tree of {size}")
    return size
