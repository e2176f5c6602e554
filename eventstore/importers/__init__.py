"""Importers: transcripts of other tools into the store, and their records back.

`import_paths` imports files and folders, each record once; `records_of` gives the records of a
session back as they were. Formats are plug-ins, see `registry`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "FileReport": "eventstore.importers.reports",
    "Importer": "eventstore.importers.registry",
    "Problem": "eventstore.importers.reports",
    "formats": "eventstore.importers.registry",
    "import_paths": "eventstore.importers.registry",
    "records_of": "eventstore.importers.stored_records",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'eventstore.importers' has no attribute {name!r}")
    return getattr(import_module(home), name)
