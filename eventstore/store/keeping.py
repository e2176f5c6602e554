"""What a store asks of whoever looks after its checkpoints; `eventstore.checkpoints` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from eventstore.store.session_store import SessionStore


class Keeping(Protocol):
    """Looks after one open store."""

    @property
    def failure(self) -> Exception | None:
        """Why the last note that nobody waited for was not made."""

    def wanted(self, reason: str) -> None:
        """Have a checkpoint note made soon. Never waits and never raises."""

    def close(self) -> None:
        """Make what was asked for and stop, before the file is closed."""


class Checkpointing(Protocol):
    """How a store is to make checkpoints."""

    def begin(self, store: SessionStore) -> Keeping:
        """Begin to look after a store that was just opened; may refuse it by an error."""
