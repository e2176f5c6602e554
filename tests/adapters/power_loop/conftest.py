"""Makes the original's store importable beside this adapter, and what its tests share."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

import pytest

from eventstore import SessionStore as Engine
from eventstore.adapters.power_loop import SessionStore


def without_dependencies(name: str) -> None:
    """Let the modules of a package be imported where the package itself cannot be.

    `power_loop/__init__.py` imports clients of models, which need packages that its store does
    not. Only where that fails, a bare package takes its place: same folder, nothing run.
    """
    spec = find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    except ImportError:
        for left in [one for one in sys.modules if one.startswith(f"{name}.")]:
            del sys.modules[left]
        bare = ModuleType(name)
        bare.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = bare


without_dependencies("power_loop")


@pytest.fixture
def store() -> Iterator[SessionStore]:
    """A store in memory, whose clock goes on by 2 ms with each look at it."""
    now = iter(range(1_700_000_000_000_000, 1 << 60, 2_000))
    engine = Engine.open(":memory:", clock=lambda: next(now))
    with SessionStore(engine, ":memory:") as made:
        yield made
