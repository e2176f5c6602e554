"""Roots and proofs against a Merkle tree that somebody else wrote (pymerkle)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventstore import Message, SessionStore
from eventstore.merkle import (
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    subtree,
)
from eventstore.store.proofs import InclusionProof

pymerkle: Any = pytest.importorskip(
    "pymerkle", reason="pymerkle is not installed (tests/exports/validators.txt)"
)

SIZE = 300
ENTRIES = [f"entry {number}".encode() for number in range(SIZE)]


@pytest.fixture(scope="module")
def theirs() -> Any:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in ENTRIES:
        tree.append_entry(entry)
    return tree


def hash_of(level: int, index: int) -> bytes:
    first = index << level
    return subtree(b"".join(map(leaf_hash, ENTRIES[first : first + (1 << level)])))


def test_roots_at_every_size_are_theirs(theirs: Any) -> None:
    growing = CompactRange()
    for size in range(1, SIZE + 1):
        growing.append(leaf_hash(ENTRIES[size - 1]))
        assert growing.root() == root_of(size, hash_of) == theirs.get_root(size)


@pytest.mark.parametrize("size", [1, 2, 3, 64, 65, 127, 255, 256, 257, SIZE])
def test_inclusion_proofs_are_theirs(theirs: Any, size: int) -> None:
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        proof = theirs.prove_inclusion(index + 1, size)
        assert proof.path == [leaf_hash(ENTRIES[index]), *inclusion_proof(index, size, hash_of)]
        pymerkle.verify_inclusion(
            leaf_hash(ENTRIES[index]), root_of(size, hash_of), proof, index + 1, size
        )


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 3), (64, 65), (100, 257), (256, SIZE)])
def test_what_is_consistent_here_is_consistent_there(theirs: Any, first: int, second: int) -> None:
    """Their proofs have another form than the RFC's, so only what they prove is compared."""
    assert consistency_proof(first, second, hash_of)
    pymerkle.verify_consistency(
        root_of(first, hash_of),
        root_of(second, hash_of),
        theirs.prove_consistency(first, second),
        first,
        second,
    )


def as_theirs(proof: InclusionProof) -> Any:
    """A proof of ours in their form: the sides that the hashes stand on come from the index."""
    rule, at, last = [], proof.position - 1, proof.size - 1
    for _ in proof.hashes:
        while at == last and not at & 1:
            at, last = at >> 1, last >> 1
        rule.append(at & 1)
        at, last = at >> 1, last >> 1
    return pymerkle.InclusionProof(
        algorithm="sha256",
        security=True,
        size=proof.size,
        index=proof.position,
        rule=[*rule, 0],
        path=[proof.leaf, *proof.hashes],
    )


def test_they_verify_the_proofs_of_a_store(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        store.create("s").append_many([Message(role="user", content="x")] * 520)
        leaves = [recorded.leaf for recorded in store.events()]
        for position, size in ((1, 1), (1, 521), (300, 521), (521, 521), (256, 256), (257, 400)):
            proof = store.prove_inclusion(position, size)
            pymerkle.verify_inclusion(
                leaves[position - 1], proof.root, as_theirs(proof), position, size
            )
            with pytest.raises(pymerkle.InvalidProof):
                pymerkle.verify_inclusion(
                    leaves[position % 521], proof.root, as_theirs(proof), position, size
                )
