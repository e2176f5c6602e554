"""The Merkle tree against RFC 6962's definition, and its checks against every wrong proof."""

from __future__ import annotations

import hashlib

import merkle_support as rfc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.errors import InvalidProofError, InvalidValueError
from eventstore.merkle import (
    EMPTY_ROOT,
    TILE_WIDTH,
    CompactRange,
    Tile,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    parse_path,
    root_of,
    subtree,
    tile_of,
    tiles_of,
    verify_consistency,
    verify_inclusion,
)
from eventstore.merkle.tiles import ENTRIES

SIZES = 130
LEAVES = rfc.some_leaves(1 << 12)
READER = rfc.Reader(LEAVES)
ROOTS = [rfc.mth(LEAVES[:size]) for size in range(SIZES + 1)]


def test_hashes_of_leaves_and_nodes_have_the_prefixes_of_the_rfc() -> None:
    assert leaf_hash(b"x") == hashlib.sha256(b"\0x").digest()
    assert node_hash(b"l" * 32, b"r" * 32) == hashlib.sha256(b"\1" + b"l" * 32 + b"r" * 32).digest()
    assert leaf_hash(b"").hex().startswith("6e340b9cffb37a98")  # the RFC's empty leaf


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT
    assert root_of(0, READER) == EMPTY_ROOT == CompactRange().root()


def test_roots_are_those_of_the_definition_at_every_size() -> None:
    growing = CompactRange()
    for size in range(SIZES + 1):
        assert root_of(size, READER) == ROOTS[size] == growing.root()
        assert CompactRange.at(size, READER).hashes == growing.hashes
        growing.append(LEAVES[size])


def test_inclusion_proofs_are_those_of_the_definition_and_verify() -> None:
    for size in range(1, SIZES + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, READER)
            assert proof == rfc.path(index, LEAVES[:size])
            verify_inclusion(index, size, LEAVES[index], proof, ROOTS[size])


def test_consistency_proofs_are_those_of_the_definition_and_verify() -> None:
    for second in range(1, SIZES + 1):
        for first in range(1, second + 1):
            proof = consistency_proof(first, second, READER)
            assert proof == rfc.proof(first, LEAVES[:second])
            verify_consistency(first, second, ROOTS[first], ROOTS[second], proof)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_larger_trees_agree_with_the_definition(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(LEAVES)))
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size))
    root = rfc.mth(LEAVES[:size])
    assert root_of(size, READER) == root
    assert inclusion_proof(index, size, READER) == rfc.path(index, LEAVES[:size])
    assert consistency_proof(first, size, READER) == rfc.proof(first, LEAVES[:size])
    verify_inclusion(index, size, LEAVES[index], inclusion_proof(index, size, READER), root)
    verify_consistency(
        first, size, root_of(first, READER), root, consistency_proof(first, size, READER)
    )


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (0, 0), (1, 1), (5, 5), (6, 5)])
def test_there_is_no_inclusion_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(index, size, READER)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 3), (4, 3), (-1, 3)])
def test_there_is_no_consistency_proof_from_nothing_or_backwards(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="no proof"):
        consistency_proof(first, second, READER)


def test_a_tree_has_no_negative_size() -> None:
    with pytest.raises(ValueError, match="size -1"):
        root_of(-1, READER)


def test_a_compact_range_needs_a_hash_for_each_bit_of_its_size() -> None:
    with pytest.raises(ValueError, match="2 full subtrees"):
        CompactRange(3, [LEAVES[0]])


# -- wrong inclusion proofs --------------------------------------------------------------------

#: (index, size): a first leaf, a last one, one in the middle, and a right edge with few siblings.
PLACES = [(0, 1), (0, 8), (5, 8), (2, 3), (1, 5), (4, 5), (6, 7), (12, 13)]


def refuse_inclusion(
    index: int, size: int, leaf: bytes, proof: list[bytes], root: bytes, match: str = "."
) -> None:
    with pytest.raises(InvalidProofError, match=match):
        verify_inclusion(index, size, leaf, proof, root)


@pytest.fixture(params=PLACES, ids=[f"{index} of {size}" for index, size in PLACES])
def included(request: pytest.FixtureRequest) -> tuple[int, int, bytes, list[bytes], bytes]:
    index, size = request.param
    return index, size, LEAVES[index], inclusion_proof(index, size, READER), ROOTS[size]


Included = tuple[int, int, bytes, list[bytes], bytes]


def test_inclusion_refuses_the_next_index(included: Included) -> None:
    index, size, *rest = included
    refuse_inclusion(index + 1, size, *rest)


def test_inclusion_refuses_the_index_before(included: Included) -> None:
    index, size, *rest = included
    refuse_inclusion(index - 1, size, *rest)


def test_inclusion_refuses_an_index_with_a_bit_flipped(included: Included) -> None:
    index, size, *rest = included
    refuse_inclusion(index ^ 2, size, *rest)


def test_inclusion_refuses_twice_the_size(included: Included) -> None:
    index, size, *rest = included
    refuse_inclusion(index, size * 2, *rest)


def test_inclusion_refuses_half_the_size(included: Included) -> None:
    index, size, leaf, proof, root = included
    refuse_inclusion(index, size // 2, leaf, proof, root)


def test_inclusion_refuses_size_zero(included: Included) -> None:
    _, _, leaf, proof, root = included
    refuse_inclusion(0, 0, leaf, proof, root, "no leaf")


def test_inclusion_refuses_another_leaf(included: Included) -> None:
    index, size, _, proof, root = included
    refuse_inclusion(index, size, rfc.sha(b"wrong"), proof, root, "gives the root")


def test_inclusion_refuses_another_root(included: Included) -> None:
    index, size, leaf, proof, _ = included
    refuse_inclusion(index, size, leaf, proof, rfc.sha(b"wrong"), "gives the root")


def test_inclusion_refuses_the_root_of_nothing(included: Included) -> None:
    index, size, leaf, proof, _ = included
    refuse_inclusion(index, size, leaf, proof, EMPTY_ROOT)


def test_inclusion_refuses_zero_length_hashes(included: Included) -> None:
    index, size, leaf, proof, root = included
    refuse_inclusion(index, size, b"", proof, root, "32 bytes")
    refuse_inclusion(index, size, leaf, proof, b"", "32 bytes")
    for at in range(len(proof)):
        refuse_inclusion(index, size, leaf, [*proof[:at], b"", *proof[at + 1 :]], root, "32 bytes")


def test_inclusion_refuses_an_empty_leaf_with_an_empty_root() -> None:
    refuse_inclusion(0, 1, b"", [], b"", "32 bytes")


def test_inclusion_refuses_a_flipped_bit_anywhere(included: Included) -> None:
    index, size, leaf, proof, root = included
    for at, one in enumerate(proof):
        wrong = bytes([one[0] ^ 8]) + one[1:]
        refuse_inclusion(index, size, leaf, [*proof[:at], wrong, *proof[at + 1 :]], root)


def test_inclusion_refuses_an_extra_hash_at_any_place(included: Included) -> None:
    index, size, leaf, proof, root = included
    for at in range(len(proof) + 1):
        for extra in (rfc.sha(b"garbage"), root, leaf):
            refuse_inclusion(index, size, leaf, [*proof[:at], extra, *proof[at:]], root)


def test_inclusion_refuses_a_missing_hash(included: Included) -> None:
    index, size, leaf, proof, root = included
    for at in range(len(proof)):
        refuse_inclusion(index, size, leaf, proof[:at] + proof[at + 1 :], root)


def test_inclusion_refuses_hashes_in_another_order(included: Included) -> None:
    index, size, leaf, proof, root = included
    if len(proof) > 1:
        refuse_inclusion(index, size, leaf, proof[::-1], root)


def test_inclusion_refuses_an_index_past_64_bits() -> None:
    refuse_inclusion(1 << 64, 1 << 63, LEAVES[0], [], ROOTS[1], "no leaf")


# -- wrong consistency proofs ------------------------------------------------------------------

STEPS = [(1, 8), (6, 8), (2, 5), (4, 8), (3, 7), (7, 13), (5, 6)]

Consistent = tuple[int, int, bytes, bytes, list[bytes]]


def refuse_consistency(
    first: int, second: int, old: bytes, new: bytes, proof: list[bytes], match: str = "."
) -> None:
    with pytest.raises(InvalidProofError, match=match):
        verify_consistency(first, second, old, new, proof)


@pytest.fixture(params=STEPS, ids=[f"{first} to {second}" for first, second in STEPS])
def consistent(request: pytest.FixtureRequest) -> Consistent:
    first, second = request.param
    return first, second, ROOTS[first], ROOTS[second], consistency_proof(first, second, READER)


def test_consistency_refuses_wrong_first_sizes(consistent: Consistent) -> None:
    first, second, *rest = consistent
    for wrong in {first - 1, first + 1, first ^ 2} - {first}:
        refuse_consistency(wrong, second, *rest)


def test_consistency_refuses_wrong_second_sizes(consistent: Consistent) -> None:
    first, second, *rest = consistent
    for wrong in (second * 2, second // 2):
        refuse_consistency(first, wrong, *rest)


def test_consistency_refuses_another_first_root(consistent: Consistent) -> None:
    first, second, _, new, proof = consistent
    refuse_consistency(first, second, rfc.sha(b"wrong"), new, proof, "gives the root")


def test_consistency_refuses_another_second_root(consistent: Consistent) -> None:
    first, second, old, _, proof = consistent
    refuse_consistency(first, second, old, rfc.sha(b"wrong"), proof, f"for {second} leaves")


def test_consistency_refuses_swapped_roots(consistent: Consistent) -> None:
    first, second, old, new, proof = consistent
    refuse_consistency(first, second, new, old, proof)


def test_consistency_refuses_an_empty_proof(consistent: Consistent) -> None:
    first, second, old, new, _ = consistent
    refuse_consistency(first, second, old, new, [])


def test_consistency_refuses_extra_hashes_at_any_place(consistent: Consistent) -> None:
    first, second, old, new, proof = consistent
    for at in range(len(proof) + 1):
        for extra in (rfc.sha(b"garbage"), old, new, proof[0]):
            refuse_consistency(first, second, old, new, [*proof[:at], extra, *proof[at:]])


def test_consistency_refuses_a_missing_hash(consistent: Consistent) -> None:
    first, second, old, new, proof = consistent
    for at in range(len(proof)):
        refuse_consistency(first, second, old, new, proof[:at] + proof[at + 1 :])


def test_consistency_refuses_a_flipped_bit_anywhere(consistent: Consistent) -> None:
    first, second, old, new, proof = consistent
    for at, one in enumerate(proof):
        wrong = one[:-1] + bytes([one[-1] ^ 16])
        refuse_consistency(first, second, old, new, [*proof[:at], wrong, *proof[at + 1 :]])


def test_consistency_refuses_zero_length_hashes(consistent: Consistent) -> None:
    first, second, old, new, proof = consistent
    refuse_consistency(first, second, b"", new, proof, "32 bytes")
    refuse_consistency(first, second, old, b"", proof, "32 bytes")
    for at in range(len(proof)):
        wrong = [*proof[:at], b"", *proof[at + 1 :]]
        refuse_consistency(first, second, old, new, wrong, "32 bytes")


@pytest.mark.parametrize("size", [0, 1, 5, 64])
def test_equal_sizes_are_consistent_with_equal_roots_and_no_proof(size: int) -> None:
    verify_consistency(size, size, ROOTS[size], ROOTS[size], [])
    verify_consistency(size, size, b"dummy hash 1", b"dummy hash 1", [])  # says only: the same


@pytest.mark.parametrize("size", [0, 1, 5])
def test_equal_sizes_refuse_different_roots(size: int) -> None:
    refuse_consistency(size, size, ROOTS[size], rfc.sha(b"wrong"), [], "roots are not")


@pytest.mark.parametrize("size", [0, 1, 5])
def test_equal_sizes_refuse_a_proof(size: int) -> None:
    refuse_consistency(size, size, ROOTS[size], ROOTS[size], [ROOTS[1]], "nothing to prove")


def test_a_first_size_of_zero_proves_nothing() -> None:
    refuse_consistency(0, 1, EMPTY_ROOT, ROOTS[1], [], "empty tree")
    refuse_consistency(0, 5, EMPTY_ROOT, ROOTS[5], [ROOTS[5]], "empty tree")


def test_a_tree_does_not_shrink() -> None:
    refuse_consistency(2, 1, ROOTS[2], ROOTS[1], [], "does not grow")
    refuse_consistency(8, 6, ROOTS[8], ROOTS[6], consistency_proof(6, 8, READER), "does not grow")
    refuse_consistency(-1, 1, ROOTS[1], ROOTS[1], [], "does not grow")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_changed_proof_verifies(data: st.DataObject) -> None:
    """One change to anything a verifier is given, of any kind, and it refuses."""
    second = data.draw(st.integers(2, SIZES))
    first = data.draw(st.integers(1, second - 1))
    index = data.draw(st.integers(0, second - 1))
    inclusion = inclusion_proof(index, second, READER)
    growth = consistency_proof(first, second, READER)
    noise = data.draw(st.binary(min_size=32, max_size=32))
    for proof in (inclusion, growth):
        at = data.draw(st.integers(0, len(proof)))
        match data.draw(st.sampled_from(["insert", "drop", "swap", "change"])):
            case "insert":
                proof.insert(at, noise)
            case "drop" if at < len(proof):
                del proof[at]
            case "swap" if at + 1 < len(proof):
                proof[at], proof[at + 1] = proof[at + 1], proof[at]
            case _ if at < len(proof):
                proof[at] = noise
            case _:
                proof.append(noise)
    refuse_inclusion(index, second, LEAVES[index], inclusion, ROOTS[second])
    refuse_consistency(first, second, ROOTS[first], ROOTS[second], growth)


# -- tiles -------------------------------------------------------------------------------------

PATHS = [
    (Tile(0, 0), "tile/0/000"),
    (Tile(0, 1), "tile/0/001"),
    (Tile(0, 1, 5), "tile/0/001.p/5"),
    (Tile(5, 123456078), "tile/5/x123/x456/078"),
    (Tile(5, 123456078, 2), "tile/5/x123/x456/078.p/2"),
    (Tile(1, 1234067), "tile/1/x001/x234/067"),
    (Tile(63, 999), "tile/63/999"),
    (Tile(0, 1000, 255), "tile/0/x001/000.p/255"),
    (Tile(ENTRIES, 3057500), "tile/entries/x003/x057/500"),
    (Tile(ENTRIES, 0, 1), "tile/entries/000.p/1"),
]


@pytest.mark.parametrize(("tile", "path"), PATHS)
def test_paths_of_tiles_are_those_of_c2sp(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/5/123/456/078",  # only the last element has no x
        "tile/5/x123/x456/x078",
        "tile/-1/000",
        "tile/00/000",
        "tile/64/000",
        "tile/07/000",
        "tile/0/0",
        "tile/0/x000/001",  # one path a tile
        "tile/0/001.p/0",
        "tile/0/001.p/256",  # a full tile has no width
        "tile/0/001.p/05",
        "tile/0/001.p/300",
        "tile/0/001.p/",
        "tile/0/001/",
        "/tile/0/001",
        "tile/0/٠٠١",
        "tile/data/000",
        "tile/0/001\n",
        "",
    ],
)
def test_a_path_that_is_not_canonical_is_refused(path: str) -> None:
    with pytest.raises(InvalidValueError, match="no path"):
        parse_path(path)


@given(st.integers(0, 63), st.integers(0, 1 << 40), st.integers(1, 256))
def test_paths_and_tiles_are_one_to_one(level: int, index: int, width: int) -> None:
    assert parse_path(Tile(level, index, width).path) == Tile(level, index, width)


def test_the_tiles_of_a_tree_are_those_of_the_text() -> None:
    """The example of tlog-tiles: 70,000 leaves."""
    tiles = list(tiles_of(70_000))
    assert tiles[:273] == [Tile(0, index) for index in range(273)]
    assert tiles[273:] == [Tile(0, 273, 112), Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


def test_every_hash_of_a_tree_comes_from_one_tile() -> None:
    size = len(LEAVES)
    rows = {0: LEAVES, 1: [rfc.mth(LEAVES[at : at + 256]) for at in range(0, size, 256)]}
    for level in range(13):
        for index in {0, 1, (size >> level) - 1} & set(range(size >> level)):
            tile_level, tile, first, count = tile_of(level, index)
            start = tile * TILE_WIDTH + first
            hashes = b"".join(rows[tile_level][start : start + count])
            assert first + count <= TILE_WIDTH
            assert subtree(hashes) == READER(level, index)
