"""Values kept beside the log, so that they need not be read or folded again.

A transaction sees the committed values and its own; its own become committed with it, or are
forgotten with it. Readers see committed values only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

#: Values kept before all are dropped: those still needed come back with the next read.
SIZE_MAX = 20_000


class Memory:
    """Committed values, and what the one transaction that is under way sees."""

    def __init__(self) -> None:
        self._committed: dict[Hashable, Any] = {}
        self._seen: dict[Hashable, Any] = {}
        #: What to put back where this transaction remembered something, newest last.
        self.undo: list[tuple[Hashable, Any]] = []
        #: What this transaction, or a committed one, remembered under a key, or None.
        self.recall: Callable[[Hashable], Any] = self._seen.get

    def committed(self, key: Hashable) -> Any:
        """What a committed transaction remembered under this key, or None."""
        return self._committed.get(key)

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep a value for this transaction and, once it is committed, for later ones."""
        self.undo.append((key, self._seen.get(key)))
        self._seen[key] = value

    def undo_to(self, mark: int) -> None:
        """Forget what this transaction remembered since `undo` was this long."""
        while len(self.undo) > mark:
            key, old = self.undo.pop()
            if old is None:
                del self._seen[key]
            else:
                self._seen[key] = old

    def commit(self) -> None:
        """Make this transaction's values committed ones."""
        if len(self._committed) > SIZE_MAX:
            self.forget()
        for key, _ in self.undo:
            self._committed[key] = self._seen[key]
        self.undo.clear()

    def forget(self) -> None:
        """Forget everything, committed or not."""
        self._committed.clear()
        self._seen.clear()
        self.undo.clear()
