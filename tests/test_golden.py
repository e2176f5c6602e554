"""What was released stays as it is: the bytes that are hashed, and files of every format."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_support import tables_of

from eventstore import SessionStore
from eventstore.log import schema
from eventstore.log.entry import commitment_of, leaf_of

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))

import make_entry_v1  # noqa: E402
from make_format_1 import described  # noqa: E402

VECTORS = json.loads((GOLDEN / "entry_v1.json").read_text(encoding="utf-8"))


def test_the_vectors_are_what_the_second_opinion_says() -> None:
    assert make_entry_v1.cases() == VECTORS


@pytest.mark.parametrize("case", VECTORS["commitments"], ids=lambda case: case["body"][:8])
def test_commitments_are_frozen(case: dict[str, str]) -> None:
    found = commitment_of(bytes.fromhex(case["salt"]), case["body"].encode())
    assert found.hex() == case["commitment"]


@pytest.mark.parametrize("case", VECTORS["leaves"], ids=lambda case: case["type"][:16])
def test_leaves_are_frozen(case: dict[str, Any]) -> None:
    committed = case["commitment"]
    found = leaf_of(
        case["position"], case["version"], case["recorded_at"], bytes.fromhex(case["uid"]),
        bytes.fromhex(case["previous"]), None if committed is None else bytes.fromhex(committed),
        case["actor"], case["schema"], case["idempotency_key"], case["type"].encode(),
        case["facts"].encode(),
    )  # fmt: skip
    assert found.hex() == case["leaf"]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    path = tmp_path / "format_1.db"
    shutil.copy(GOLDEN / "format_1.db", path)
    return path


def test_a_store_of_format_1_opens_and_reads_equal(released: Path) -> None:
    expected = json.loads((GOLDEN / "format_1.json").read_text(encoding="utf-8"))
    with SessionStore.open(released) as store:
        assert store.verify() == []
        assert store.check() == []
        assert described(store) == expected
        before = tables_of(store)
        store.rebuild()
        assert tables_of(store) == before
        store.session("root").append("user", "goes on")
        assert store.verify() == []
        assert store.check() == []


def test_a_store_of_format_1_is_read_without_being_written(released: Path) -> None:
    if len(schema.migrations()) > 1:
        pytest.skip("an older format is brought forward first")
    before = released.read_bytes()
    with SessionStore.open(released, readonly=True) as store:
        assert store.session("root").chat()
        assert store.verify() == []
    assert released.read_bytes() == before
