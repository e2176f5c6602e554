"""Makes the original's store importable beside this adapter."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.util import find_spec
from types import ModuleType


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
