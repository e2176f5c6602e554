"""The tree over the log: the same roots and proofs wherever pages ended and tiles have come to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import merkle_support as rfc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from eventstore import Message, SessionStore
from eventstore.doctor import examine
from eventstore.errors import (
    CorruptStoreError,
    InvalidProofError,
    InvalidRangeError,
    ProjectionError,
)
from eventstore.log.port import Recorded
from eventstore.merkle import EMPTY_ROOT, CompactRange, Tile
from eventstore.store.proofs import tree_reader
from projections.queries.tree import TileReader, grow, leaves
from projections.tree.projection import Tree

EVENTS = 700


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionStore]:
    path = tmp_path_factory.mktemp("tree") / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        session = store.create("s")
        session.append_many([Message(role="user", content=f"m{n}") for n in range(EVENTS - 2)])
        session.append("user", "last")
        assert store.head.position == EVENTS
        yield store


@pytest.fixture(scope="module")
def log_leaves(store: SessionStore) -> list[bytes]:
    return [recorded.leaf for recorded in store.events()]


def test_the_root_is_that_of_the_leaves_in_their_order(
    store: SessionStore, log_leaves: list[bytes]
) -> None:
    for size in (1, 2, 255, 256, 257, 512, 600, EVENTS):
        head = store.tree_head(size)
        assert (head.size, head.root) == (size, rfc.mth(log_leaves[:size]))
    assert store.tree_head() == store.tree_head(EVENTS)
    assert store.tree_head(0).root == EMPTY_ROOT


def test_proofs_are_those_of_the_definition(store: SessionStore, log_leaves: list[bytes]) -> None:
    for position, size in ((1, 1), (1, EVENTS), (300, EVENTS), (EVENTS, EVENTS), (256, 257)):
        proof = store.prove_inclusion(position, size)
        assert list(proof.hashes) == rfc.path(position - 1, log_leaves[:size])
        assert (proof.leaf, proof.root) == (
            log_leaves[position - 1],
            rfc.mth(log_leaves[:size]),
        )
        proof.verify()
    for first, size in ((1, EVENTS), (256, EVENTS), (300, 600), (EVENTS, EVENTS)):
        growth = store.prove_consistency(first, size)
        assert list(growth.hashes) == rfc.proof(first, log_leaves[:size])
        growth.verify()


def test_a_proof_of_something_else_does_not_verify(store: SessionStore) -> None:
    proof = store.prove_inclusion(300)
    with pytest.raises(InvalidProofError):
        replace(proof, position=301).verify()
    with pytest.raises(InvalidProofError):
        replace(store.prove_consistency(300), first=301).verify()


@pytest.mark.parametrize(("position", "size"), [(0, None), (EVENTS + 1, None), (5, 4), (-1, None)])
def test_what_the_tree_does_not_have_cannot_be_proven(
    store: SessionStore, position: int, size: int | None
) -> None:
    with pytest.raises(InvalidRangeError):
        store.prove_inclusion(position, size)
    if position > 0:
        with pytest.raises(InvalidRangeError):
            store.prove_consistency(position, size)


def test_a_log_has_no_tree_of_more_events_than_it_has(store: SessionStore) -> None:
    with pytest.raises(InvalidRangeError, match=f"has {EVENTS} events"):
        store.tree_head(EVENTS + 1)
    with pytest.raises(InvalidRangeError):
        store.tree_head(-1)


def rows_of(connection: apsw.Connection) -> list[tuple[int, int, bytes]]:
    return connection.execute("SELECT * FROM tiles ORDER BY 1, 2").fetchall()


def expected_rows(log_leaves: list[bytes]) -> list[tuple[int, int, bytes]]:
    found, level, row = [], 0, log_leaves
    while row:
        for number in range(0, len(row), 256):
            found.append((level, number // 256, b"".join(row[number : number + 256])))
        row = [rfc.mth(row[at : at + 256]) for at in range(0, len(row) - 255, 256)]
        level += 1
    return found


@given(st.lists(st.integers(1, 400), max_size=12), st.integers(1, EVENTS))
@settings(max_examples=25, deadline=None)
def test_rows_do_not_depend_on_where_pages_end(
    store: SessionStore, log_leaves: list[bytes], cuts: list[int], end: int
) -> None:
    events: list[Recorded] = list(store.events(upto=end, content=False))
    connection = apsw.Connection(":memory:")
    projection = Tree()
    projection.create(connection)
    at = 0
    for size in [*cuts, end]:
        page = events[at : at + size]
        if page:
            projection.apply(connection, page)
        at += size
    assert rows_of(connection) == expected_rows(log_leaves[:end])


def test_levels_above_the_second_are_filled() -> None:
    """65,536 leaves and a few more, far beyond what a test could append."""
    connection = apsw.Connection(":memory:")
    projection = Tree()
    projection.create(connection)
    log_leaves = rfc.some_leaves(65_536 + 300)
    event = Recorded(0, 1, 1, 0, 0, None, None, None, b"")  # type: ignore[arg-type]
    for begin in range(0, len(log_leaves), 1000):
        page = log_leaves[begin : begin + 1000]
        projection.apply(
            connection,
            [event._replace(position=begin + n + 1, leaf=leaf) for n, leaf in enumerate(page)],
        )
    assert rows_of(connection) == expected_rows(log_leaves)
    reader = TileReader(connection, len(log_leaves))
    wanted = CompactRange()
    for leaf in log_leaves[:65_536]:
        wanted.append(leaf)
    assert CompactRange.at(65_536, reader).root() == wanted.root()


def test_a_tile_that_is_not_as_it_must_be_is_an_error_that_says_so() -> None:
    connection = apsw.Connection(":memory:")
    projection = Tree()
    projection.create(connection)
    event = Recorded(5, 1, 1, 0, 0, None, None, None, bytes(32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tile 0 of level 0 does not have 4 hashes"):
        projection.apply(connection, [event])
    with pytest.raises(ValueError, match="gap"):
        projection.apply(connection, [event._replace(position=1), event._replace(position=3)])


def test_check_finds_a_changed_tile_and_rebuild_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        session = store.create("s")
        session.append_many([Message(role="user", content=f"m{n}") for n in range(400)])
        root = store.tree_head().root
        assert store.check(["tree"]) == []
        store.log.transact(
            lambda tx: tx.connection.execute(
                "UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0 AND number = 0"
            ).fetchall(),
            exclusive=True,
        )
        found = store.check(["tree"])
        assert {(one.table, one.kind) for one in found} == {
            ("tiles", "extra"),
            ("tiles", "missing"),
        }
        assert store.rebuild(["tree"]) == ["tree"]
        assert store.check(["tree"]) == []
        assert store.tree_head().root == root
        session.append("user", "and on")
        assert store.tree_head().size == 402


def test_the_doctor_finds_a_changed_tile_and_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("s").append_many([Message(role="user", content="x")] * 300)
        root = store.tree_head().root
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0 AND number = 0")
    connection.execute("DROP TABLE checkpoint_notes")
    connection.close()
    found = {(one.code, one.table) for one in examine(path).findings}
    assert found == {
        ("projection.rows", "tiles"),
        ("schema.derived-table", "checkpoint_notes"),
    }
    examine(path, fix=True)
    assert examine(path).healthy
    with SessionStore.open(path) as store:
        assert store.tree_head().root == root


def test_tiles_are_caught_up_page_by_page_and_after_each_append(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("s")
        found = []
        for count in (1, 3, 250, 5, 300):
            session.append_many([Message(role="user", content="x")] * count)
            found.append(store.tree_head())
        every = [recorded.leaf for recorded in store.events()]
        assert [head.root for head in found] == [rfc.mth(every[: head.size]) for head in found]
        assert store.check() == []


def test_a_store_that_is_read_only_needs_no_tiles(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("s").append_many([Message(role="user", content="x")] * 600)
        every = [recorded.leaf for recorded in store.events()]
    with SessionStore.open(path, readonly=True) as store:
        assert store.tree_head().root == rfc.mth(every)
        store.prove_inclusion(17).verify()
    with SessionStore.open(path) as store:
        store.tree_head()
        store.session("s").append_many([Message(role="user", content="y")] * 300)
        every = [recorded.leaf for recorded in store.events()]
    with SessionStore.open(path, readonly=True) as store:  # behind by 300 events
        assert store.tree_head().root == rfc.mth(every)
        assert store.tree_head(550).root == rfc.mth(every[:550])
        store.prove_consistency(550).verify()


def test_tiles_of_another_history_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("s").append_many([Message(role="user", content="x")] * 600)
        store.tree_head()
        store.log.transact(
            lambda tx: [
                tx.connection.execute("UPDATE tiles SET hashes = zeroblob(length(hashes))"),
                tx.connection.execute("UPDATE projections SET leaf = ? WHERE name = 'tree'",
                                      (bytes(32),)),
            ],
            exclusive=True,
        )  # fmt: skip
        every = [recorded.leaf for recorded in store.events()]
    with SessionStore.open(path, readonly=True) as store:
        assert store.tree_head().root == rfc.mth(every)
    with SessionStore.open(path) as store:
        assert store.tree_head().root == rfc.mth(every)
        assert store.check(["tree"]) == []


def test_the_tiles_of_any_size_are_those_of_c2sp(
    store: SessionStore, log_leaves: list[bytes]
) -> None:
    for size in (0, 1, 255, 256, 600, EVENTS):
        with tree_reader(store.log, store.derived) as (_, reader, _):
            found = list(reader.tiles(size))
        assert [tile for tile, _ in found] == [
            Tile(level, number, len(hashes) // 32)
            for level, number, hashes in expected_rows(log_leaves[:size])
        ]
        assert [hashes for _, hashes in found] == [
            hashes for _, _, hashes in expected_rows(log_leaves[:size])
        ]
    with tree_reader(store.log, store.derived) as (connection, _, _):
        without = dict(TileReader(connection, 0).tiles(600))
        assert without == dict(TileReader(connection, EVENTS).tiles(600))


def test_leaves_that_are_not_there_are_an_error(store: SessionStore) -> None:
    with store.log.snapshot() as connection:
        with pytest.raises(CorruptStoreError, match="positions 701 to 702"):
            list(leaves(connection, EVENTS, EVENTS + 2))
        tree = CompactRange()
        grow(tree, connection, 300)
        assert tree.root() == store.tree_head(300).root


def test_a_log_with_a_gap_has_no_tree(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("s").append_many([Message(role="user", content="x")] * 5)

        def cut(tx: object) -> None:
            connection = tx.connection  # type: ignore[attr-defined]
            connection.execute("DROP TRIGGER events_are_permanent").fetchall()
            connection.execute("DELETE FROM events WHERE position = 3").fetchall()

        store.log.transact(cut, exclusive=True)
        with pytest.raises(ProjectionError, match="gap"):
            store.tree_head()
