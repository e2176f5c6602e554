"""What every test runs in."""

from __future__ import annotations

import os
import sys
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if sys.dont_write_bytecode and "PYTHONDONTWRITEBYTECODE" in os.environ:
        # Each of the many processes that tests start would compile everything anew.
        folder = tempfile.TemporaryDirectory(prefix="eventstore-compiled-")
        config.add_cleanup(folder.cleanup)
        del os.environ["PYTHONDONTWRITEBYTECODE"]
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name
