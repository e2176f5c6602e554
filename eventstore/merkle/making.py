"""Roots and proofs, made from the hashes of full subtrees (RFC 6962 §2.1 to §2.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from eventstore.merkle.hashing import EMPTY_ROOT, node_hash

#: The hash of the full subtree at ``(level, index)``: over the leaves from ``index << level`` on,
#: ``1 << level`` of them.
HashReader: TypeAlias = Callable[[int, int], bytes]


def subtrees(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The full subtrees ``(level, index)`` that the leaves begin … end - 1 fall into, in order.

    `begin` is where a subtree of the tree begins that has at least so many leaves.
    """
    while begin < end:
        level = (end - begin).bit_length() - 1
        yield level, begin >> level
        begin += 1 << level


def root_of(size: int, hash_of: HashReader) -> bytes:
    """The root over the first `size` leaves."""
    if size < 0:
        raise ValueError(f"a tree has no size {size}")
    return EMPTY_ROOT if size == 0 else _root(0, size, hash_of)


def inclusion_proof(index: int, size: int, hash_of: HashReader) -> list[bytes]:
    """That the leaf `index` is in the tree of `size` leaves: the siblings up to the root.

    Raises `ValueError` when the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    proof: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_root(middle, end, hash_of))
            end = middle
        else:
            proof.append(_root(begin, middle, hash_of))
            begin = middle
    return proof[::-1]


def consistency_proof(first: int, second: int, hash_of: HashReader) -> list[bytes]:
    """That the tree of `first` leaves is the beginning of the one of `second`; empty when equal.

    Raises `ValueError` unless 0 < first <= second: there is nothing to prove of an empty tree.
    """
    if not 0 < first <= second:
        raise ValueError(f"there is no proof from a tree of {first} leaves to one of {second}")
    proof: list[bytes] = []
    begin, end, known = 0, second, True
    while end != first:
        middle = begin + _split(end - begin)
        if first <= middle:
            proof.append(_root(middle, end, hash_of))
            end = middle
        else:
            proof.append(_root(begin, middle, hash_of))
            begin, known = middle, False
    if not known:  # otherwise it is the first tree's root, which the verifier has
        proof.append(_root(begin, end, hash_of))
    return proof[::-1]


def _split(size: int) -> int:
    """The largest power of two that is smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _root(begin: int, end: int, hash_of: HashReader) -> bytes:
    """The hash over the leaves begin … end - 1, which are a subtree of the tree."""
    hashes = [hash_of(level, index) for level, index in subtrees(begin, end)]
    root = hashes.pop()
    while hashes:
        root = node_hash(hashes.pop(), root)
    return root
