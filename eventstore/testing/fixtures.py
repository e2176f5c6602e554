"""Running an agent's loop against a fixture that ``eventstore fixture`` wrote; no store is needed.

The test that is written beside a fixture uses these; docs/replaying.md shows how to put your own
loop in.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from eventstore.replaying.recording import Recording


def load(path: str | Path, *, ignore: Collection[str] = ()) -> Recording:
    """The recording in a fixture; use it in ``with``, so that a loop that ends early fails."""
    return Recording.from_file(path, ignore=ignore)


def walk(recording: Recording) -> None:
    """A loop that asks just what was asked: it shows that a fixture is whole, and how to use it."""
    while (messages := recording.expected) is not None:
        recording.model(messages)
        for call in recording.pending:
            if call.result is not None:
                recording.tool(call.name, call.arguments)
