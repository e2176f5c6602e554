"""What a writer does, as a function of seed, slot, thread and number.

A slot is a writer process and those that are started in its place after a kill. They know what it
was about to do, so they can try again what carries a key, and the check knows what nobody began.
"""

from __future__ import annotations

import random
from typing import NamedTuple

#: Sessions that all writers append to.
SHARED = ("shared-0", "shared-1", "shared-2")

#: What an operation is, and how often.
KINDS = {"append": 40, "batch": 15, "keyed": 20, "keyed batch": 5, "expected": 10, "usage": 10}


class Operation(NamedTuple):
    """One call: to which session, of which kind, the names of the messages."""

    session: str
    kind: str
    names: tuple[str, ...]

    @property
    def keyed(self) -> bool:
        """Whether it can be tried again: its messages carry their names as keys."""
        return self.kind.startswith("keyed")


def own_session(slot: str, thread: int) -> str:
    """The session that only this thread of a slot appends to."""
    return f"own-{slot}-{thread}"


def operation(seed: int, slot: str, thread: int, number: int) -> Operation:
    """The operation of this number."""
    chance = random.Random(f"{seed} {slot} {thread} {number}")
    [kind] = chance.choices(tuple(KINDS), tuple(KINDS.values()))
    session = own_session(slot, thread) if chance.random() < 0.5 else chance.choice(SHARED)
    count = chance.randint(2, 8) if "batch" in kind else 0 if kind == "usage" else 1
    names = tuple(f"{slot}.{thread}.{number}.{index}" for index in range(count))
    return Operation(session, kind, names)


def text_of(name: str) -> str:
    """The text of a message: most are short, some are kept as blobs."""
    chance = random.Random(name)
    size = 70_000 if chance.random() < 0.002 else chance.choice((0, 0, 200, 2_000))
    return f"{name} " + "x" * size


def name_of(text: str) -> str:
    """The name of the message with this text, or what is damaged about it."""
    name = text.split(" ", 1)[0]
    return name if text == text_of(name) else f"damaged {text[:80]!r}"
