"""A compact range: the few hashes from which a tree grows and its root follows.

Those are the roots of the full subtrees that the leaves fall into, largest first: one for each bit
that is set in the size. Adding a leaf costs one node hash on average.
"""

from __future__ import annotations

from collections.abc import Iterable

from eventstore.merkle.hashing import EMPTY_ROOT, node_hash
from eventstore.merkle.making import HashReader, subtrees


class CompactRange:
    """A tree that only grows; see the module's docstring."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """An empty tree, or one of `size` leaves whose subtrees, largest first, have `hashes`."""
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} full subtrees")

    @classmethod
    def at(cls, size: int, hash_of: HashReader) -> CompactRange:
        """The tree of the first `size` leaves."""
        return cls(size, (hash_of(level, index) for level, index in subtrees(0, size)))

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash at the right."""
        size, hashes = self.size, self.hashes
        while size & 1:
            leaf = node_hash(hashes.pop(), leaf)
            size >>= 1
        hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root
