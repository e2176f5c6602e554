"""A memory of the newest keys, so that importing a file of any size takes bounded memory."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Remembers the values of the `size` keys that were added last."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values: dict[K, V] = {}

    def add(self, key: K, value: V) -> None:
        """Remember a value; the key that has not been added for longest is forgotten if need be."""
        self.values.pop(key, None)
        self.values[key] = value
        if len(self.values) > self.size:
            del self.values[next(iter(self.values))]

    def get(self, key: K) -> V | None:
        """The value of a key, None when it is not remembered."""
        return self.values.get(key)

    def __contains__(self, key: object) -> bool:
        return key in self.values
