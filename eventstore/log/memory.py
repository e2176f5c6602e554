"""Values kept beside the log, so that they need not be read or folded again.

A transaction sees the committed values and its own; its own become committed with it, or are
forgotten with it. Readers see committed values only.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

#: Values kept before all are dropped: those still needed come back with the next read.
SIZE_MAX = 20_000


class Memory:
    """Committed values, and those of the one transaction that is under way."""

    def __init__(self) -> None:
        self._committed: dict[Hashable, Any] = {}
        self._own: dict[Hashable, Any] = {}
        #: What to put back, newest last.
        self.undo: list[tuple[Hashable, Any]] = []

    def committed(self, key: Hashable) -> Any:
        """What a committed transaction remembered under this key, or None."""
        return self._committed.get(key)

    def recall(self, key: Hashable) -> Any:
        """What this transaction, or a committed one, remembered under this key, or None."""
        value = self._own.get(key)
        return self._committed.get(key) if value is None else value

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep a value for this transaction and, once it is committed, for later ones."""
        self.undo.append((key, self._own.get(key)))
        self._own[key] = value

    def undo_to(self, mark: int) -> None:
        """Forget what this transaction remembered since `undo` was this long."""
        while len(self.undo) > mark:
            key, old = self.undo.pop()
            if old is None:
                self._own.pop(key, None)
            else:
                self._own[key] = old

    def commit(self) -> None:
        """Make this transaction's values committed ones."""
        if not self.undo:
            return
        if len(self._committed) > SIZE_MAX:
            self._committed.clear()
        self._committed.update(self._own)
        self._own.clear()
        self.undo.clear()

    def forget(self) -> None:
        """Forget everything, committed or not."""
        if not self._committed and not self.undo:
            return
        self._committed.clear()
        self._own.clear()
        self.undo.clear()
