"""Finding what changed in a list of messages since it was stored.

`Kept` holds private copies of the stored messages. Texts are shared with the messages compared, so
that as long as nothing changed, comparing is looking at pointers, and Python does it without
running code of ours. Python calls 1, 1.0 and True equal and JSON does not: in the copies, numbers
are wrapped in what tells them apart.
"""

from __future__ import annotations

from typing import Any

from eventstore.adapters.nanobot.messages import Entry, plain
from eventstore.redaction import marks


class _Number:
    """A number or truth value that is equal to the like of its own type only."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: float) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        value = self.value
        # 0.0 and -0.0 are equal, and are spelled differently.
        return type(other) is type(value) and other == value and (
            bool(value) or repr(other) == repr(value)
        )  # fmt: skip


_NUMBERS = frozenset({int, float, bool})
_TEXT = {str}


class Kept:
    """The stored messages of one session, as they were when they were stored or read."""

    def __init__(self, entries: list[Entry]) -> None:
        """Keep these messages; they are nobody else's from now on."""
        self._entries = entries
        self._nested: list[int] = []
        self._wrap(0)

    def __len__(self) -> int:
        return len(self._entries)

    def replace(self, start: int, entries: list[Entry]) -> None:
        """Forget the messages from `start` on and keep copies of these in their place."""
        self._entries[start:] = map(dict, entries)
        while self._nested and self._nested[-1] >= start:
            self._nested.pop()
        self._wrap(start)

    def _wrap(self, start: int) -> None:
        fits = _TEXT.issuperset
        new = enumerate(self._entries[start:], start)
        nested = [index for index, entry in new if not fits(map(type, entry.values()))]
        for index in nested:
            self._entries[index] = _wrapped(self._entries[index])
        self._nested += nested

    def copies(self) -> list[Entry]:
        """The messages, for somebody who may change them."""
        copies = [entry.copy() for entry in self._entries]
        for index in self._nested:
            copies[index] = copy(self._entries[index])
        return copies

    def common(self, entries: list[Entry]) -> int:
        """How many messages at the beginning are the same, what was redacted aside.

        Raises what `plain` raises, for a message that is not.
        """
        size = min(len(self._entries), len(entries))
        ours = self._entries if size == len(self._entries) else self._entries[:size]
        theirs = entries if size == len(entries) else entries[:size]
        if ours == theirs:
            return size
        differing = (i for i in range(size) if ours[i] != theirs[i])
        return next((i for i in differing if not same(theirs[i], ours[i])), size)


def same(one: Any, stored: Any) -> bool:
    """Whether JSON holds a value as what is stored, redacted texts aside.

    Raises what `plain` raises.
    """
    value, kept = plain(one), copy(stored)
    return bool(_wrapped(kept) == value) or marks.alike(kept, value)


def _wrapped(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: item if type(item) is str else _wrapped(item) for key, item in value.items()}
    if kind is list:
        return [_wrapped(item) for item in value]
    if kind is tuple:
        return tuple([_wrapped(item) for item in value])
    return _Number(value) if kind in _NUMBERS else value


def copy(value: Any) -> Any:
    """A copy of nested dicts, lists and tuples; everything else is shared."""
    kind = type(value)
    if kind is dict:
        return {key: item if type(item) is str else copy(item) for key, item in value.items()}
    if kind is list:
        return [copy(item) for item in value]
    if kind is tuple:
        return tuple([copy(item) for item in value])
    return value.value if kind is _Number else value
