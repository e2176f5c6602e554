"""An export takes no more memory for a larger store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.exports.registry import formats

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.slow

#: Events of the small store, which fills SQLite's cache already; how often as many the large one
#: has; and what that may add, in MB. Held in memory, the texts alone would add more than 40.
SMALL, TIMES, GROWTH_MAX = 15_000, 3, 15


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("memory")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from rows_export import make_store
    finally:
        sys.path.remove(str(BENCHMARKS))
    made = {}
    for size in (SMALL, SMALL * TIMES):
        made[size] = folder / f"{size}.db"
        make_store(made[size], size, ["some words " * 200])
    return made


@pytest.mark.parametrize("name", formats())
def test_memory_does_not_grow_with_the_store(
    name: str, stores: dict[int, Path], tmp_path: Path
) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    peaks = []
    for size, path in stores.items():
        target = tmp_path / str(size)
        done = subprocess.run(
            [sys.executable, str(BENCHMARKS / "child.py"), "export", str(path), name, str(target)],
            check=True, capture_output=True, text=True, cwd=BENCHMARKS.parents[1],
        )  # fmt: skip
        peaks.append(json.loads(done.stdout)["memory"])
    assert peaks[1] - peaks[0] < GROWTH_MAX, peaks
