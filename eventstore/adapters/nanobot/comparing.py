"""Finding what changed in a list of messages since it was stored.

`Kept` holds private copies of the stored messages; texts are shared, so comparing is a matter of
pointers as long as nothing changed. Python calls 1, 1.0 and True equal and JSON does not, so
messages that hold anything but texts are looked at a second time.
"""

from __future__ import annotations

from typing import Any

Entry = dict[str, Any]

_TEXT = {str}


class Kept:
    """The stored messages of one session, as they were when they were stored or read."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries: list[Entry] = []
        self._mixed: list[int] = []
        self.replace(0, entries)

    def __len__(self) -> int:
        return len(self._entries)

    def replace(self, start: int, entries: list[Entry]) -> None:
        """Forget the messages from `start` on and keep these in their place."""
        del self._entries[start:]
        self._mixed = [index for index in self._mixed if index < start]
        for index, entry in enumerate(entries, start):
            if set(map(type, entry.values())) <= _TEXT:
                self._entries.append(dict(entry))
            else:
                self._entries.append(copy(entry))
                self._mixed.append(index)

    def copies(self) -> list[Entry]:
        """The messages, for somebody who may change them."""
        copies = [entry.copy() for entry in self._entries]
        for index in self._mixed:
            copies[index] = copy(self._entries[index])
        return copies

    def common(self, entries: list[Entry]) -> int:
        """How many messages at the beginning are the same."""
        size = min(len(self._entries), len(entries))
        ours = self._entries if size == len(self._entries) else self._entries[:size]
        theirs = entries if size == len(entries) else entries[:size]
        if ours != theirs:
            size = next(i for i in range(size) if ours[i] != theirs[i])
        for index in self._mixed:
            if index >= size:
                break
            if not same(self._entries[index], entries[index]):
                return index
        return size


def copy(value: Any) -> Any:
    """A copy of nested dicts, lists and tuples; everything else is shared."""
    kind = type(value)
    if kind is dict:
        return {key: item if type(item) is str else copy(item) for key, item in value.items()}
    if kind is list:
        return [copy(item) for item in value]
    if kind is tuple:
        return tuple([copy(item) for item in value])
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types throughout."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        return len(one) == len(other) and all(
            key in other and same(item, other[key]) for key, item in one.items()
        )
    if kind is list or kind is tuple:
        return len(one) == len(other) and all(map(same, one, other))
    if kind is float:
        return repr(one) == repr(other)
    return bool(one == other)
