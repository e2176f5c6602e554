"""The plug-in: recognising a session file of nanobot's and importing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from eventstore.adapters.nanobot.storage import SOURCE, Storage
from eventstore.importers.lines import parse
from eventstore.importers.nanobot.files import import_session
from eventstore.importers.reports import FileReport
from eventstore.store.session_store import SessionStore

#: Lines at the start of a file among which one must be its metadata.
_PROBED = 50


class Nanobot(Struct, frozen=True):
    """Importer of nanobot's session files, one session a file."""

    name: str = SOURCE
    patterns: tuple[str, ...] = ("*.jsonl",)

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether one of the first lines is a session's metadata as nanobot writes it."""
        lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        return any(_is_metadata(parse(0, line.rstrip(b"\r")).value) for line in lines[:_PROBED])

    def import_file(
        self, store: SessionStore, path: Path, progress: Callable[[int], None] | None = None
    ) -> FileReport:
        """Bring the file's session to what the file says; damaged lines are kept and reported."""
        report = import_session(Storage(store), path)
        if progress is not None:
            progress(path.stat().st_size)
        return report


def _is_metadata(value: dict[str, Any] | None) -> bool:
    return (
        value is not None
        and value.get("_type") == "metadata"
        and ("key" in value or "created_at" in value)
    )
