"""The Merkle tree of RFC 6962 and RFC 9162 over SHA-256: pure functions, no I/O.

A tree of size n has the leaves 0 … n - 1. What is made of it (roots, proofs) is made from a *hash
reader*, `hash_of(level, index)`: the hash of the full subtree over the leaves ``index << level`` to
``((index + 1) << level) - 1``. What is checked needs nothing but the proof. Tiles are those of
C2SP's tlog-tiles: 256 hashes of every eighth level.
"""

from eventstore.merkle.compact import CompactRange
from eventstore.merkle.hashing import EMPTY_ROOT, HASH_BYTES, leaf_hash, node_hash
from eventstore.merkle.making import HashReader, consistency_proof, inclusion_proof, root_of
from eventstore.merkle.tiles import TILE_WIDTH, Tile, parse_path, subtree, tile_of, tiles_of
from eventstore.merkle.verifying import verify_consistency, verify_inclusion

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "TILE_WIDTH",
    "CompactRange",
    "HashReader",
    "Tile",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "parse_path",
    "root_of",
    "subtree",
    "tile_of",
    "tiles_of",
    "verify_consistency",
    "verify_inclusion",
]
