"""Checking proofs without the tree, step by step as RFC 9162 §2.1.3.2 and §2.1.4.2 say.

Everything that is given may be hostile: each hash must have 32 bytes, and a proof must have exactly
the hashes that its sizes ask for. `InvalidProofError` says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.errors import InvalidProofError
from eventstore.merkle.hashing import HASH_BYTES, node_hash


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that `leaf` is the leaf hash at `index` in the tree of `size` leaves with this root.

    Raises `InvalidProofError`.
    """
    if not 0 <= index < size:
        raise InvalidProofError(f"a tree of {size} leaves has no leaf {index}")
    _check_hashes((leaf, root, *proof))
    at, last, made = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InvalidProofError(f"the proof has more hashes than leaf {index} of {size} needs")
        if at & 1 or at == last:
            made = node_hash(sibling, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = node_hash(made, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise InvalidProofError(f"the proof has fewer hashes than leaf {index} of {size} needs")
    if made != root:
        raise InvalidProofError(f"the proof gives the root {made.hex()}, not {root.hex()}")


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `first` leaves is the beginning of the tree of `second` leaves.

    Equal sizes need equal roots and no proof: that says that both are the same tree, and nothing of
    it. Nothing can be proven of an empty tree and a larger one. Raises `InvalidProofError`.
    """
    if not 0 <= first <= second:
        raise InvalidProofError(f"a tree of {first} leaves does not grow into one of {second}")
    if first == second:
        if proof:
            raise InvalidProofError("the sizes are equal, so there is nothing to prove")
        if first_root != second_root:
            raise InvalidProofError("the sizes are equal and the roots are not")
        return
    if first == 0:
        raise InvalidProofError("nothing can be proven of an empty tree")
    _check_hashes((first_root, second_root, *proof))
    _check_growth(first, second, first_root, second_root, proof)


def _check_growth(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """The steps of RFC 9162 §2.1.4.2, for 0 < first < second."""
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        raise InvalidProofError("the proof is empty")
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise InvalidProofError(f"the proof has more hashes than {first} to {second} needs")
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise InvalidProofError(f"the proof has fewer hashes than {first} to {second} needs")
    for size, made, root in ((first, old, first_root), (second, new, second_root)):
        if made != root:
            raise InvalidProofError(
                f"the proof gives the root {made.hex()} for {size} leaves, not {root.hex()}"
            )


def _check_hashes(hashes: Sequence[bytes]) -> None:
    for one in hashes:
        if len(one) != HASH_BYTES:
            raise InvalidProofError(f"a hash has {HASH_BYTES} bytes, not {len(one)}")
