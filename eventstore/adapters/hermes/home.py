"""Where Hermes Agent keeps its files."""

from __future__ import annotations

import os
from pathlib import Path


def get_hermes_home() -> Path:
    """The folder in ``HERMES_HOME``, else ``~/.hermes``."""
    given = os.environ.get("HERMES_HOME", "").strip()
    return Path(given) if given else Path.home() / ".hermes"


#: The file of a `SessionDB` that is not given a path; computed when this module is loaded.
DEFAULT_DB_PATH = get_hermes_home() / "state.db"
