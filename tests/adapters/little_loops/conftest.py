"""The tests below use what all tests share, and some a folder of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.adapters.little_loops.opening import close_unused

sys.path.insert(0, str(Path(__file__).parent.parent.parent))


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder to work in; stores that were opened there are closed."""
    monkeypatch.chdir(tmp_path)
    yield
    close_unused()
