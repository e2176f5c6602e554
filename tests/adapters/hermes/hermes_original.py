"""The original package, where it is installed, and what comparing with it needs."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest

VERSION = "0.13.0"


def original() -> Any:
    """The module `hermes_state` of hermes-agent; skips the test where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module("hermes_state")
    except ImportError as error:
        pytest.skip(f"hermes-agent=={VERSION} is not installed ({error})")
    if module.SCHEMA_VERSION != 11:
        pytest.skip(f"hermes-agent has schema {module.SCHEMA_VERSION}, compared is {VERSION}'s 11")
    return module


def open_original(path: Path) -> Any:
    """The original's database, without waiting for the disk."""
    found = original().SessionDB(path)
    found._conn.execute("PRAGMA synchronous = OFF")
    return found
