"""Sequences of numbers as runs ``(first, length)``.

The active messages of a session are a sequence of seqs in active order. Almost always they are a
few stretches of consecutive numbers, so that a context of thousands of messages is a few pairs. A
note carries a higher seq than what follows it, so runs are in active order, not in order of seq.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from eventstore.events.catalogue import Run

Runs: TypeAlias = tuple[Run, ...]


def appended(runs: Runs, number: int) -> Runs:
    """The runs with one more number at the end."""
    if runs:
        first, length = runs[-1]
        if first + length == number:
            return (*runs[:-1], (first, length + 1))
    return (*runs, (number, 1))


def extended(runs: Runs, numbers: Iterable[int]) -> Runs:
    """What `appended` gives when it is called for each of these numbers in turn."""
    added = from_numbers(numbers)
    if runs and added:
        first, length = runs[-1]
        if first + length == added[0][0]:
            return (*runs[:-1], (first, length + added[0][1]), *added[1:])
    return (*runs, *added)


def from_numbers(numbers: Iterable[int]) -> Runs:
    """The runs of a sequence of numbers, in its order."""
    runs: list[Run] = []
    for number in numbers:
        if runs and runs[-1][0] + runs[-1][1] == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return tuple(runs)


def joined(parts: Iterable[Run]) -> Runs:
    """The runs of a sequence given as runs, neighbours merged and empty ones dropped."""
    runs: list[Run] = []
    for first, length in parts:
        if length <= 0:
            continue
        if runs and runs[-1][0] + runs[-1][1] == first:
            runs[-1] = (runs[-1][0], runs[-1][1] + length)
        else:
            runs.append((first, length))
    return tuple(runs)


def numbers_of(runs: Iterable[Run]) -> Iterator[int]:
    """Every number, in order."""
    for first, length in runs:
        yield from range(first, first + length)


def count(runs: Iterable[Run]) -> int:
    """How many numbers the runs hold."""
    return sum(length for _, length in runs)


def index_of(runs: Sequence[Run], number: int) -> int | None:
    """The place of a number in the sequence, counted from 0; None when it is not in it."""
    before = 0
    for first, length in runs:
        if first <= number < first + length:
            return before + number - first
        before += length
    return None


def cut(runs: Sequence[Run], start: int, stop: int) -> Runs:
    """The part of the sequence from index `start` to before index `stop`."""
    parts: list[Run] = []
    before = 0
    for first, length in runs:
        low, high = max(start - before, 0), min(stop - before, length)
        if low < high:
            parts.append((first + low, high - low))
        before += length
    return tuple(parts)


def chosen(runs: Sequence[Run], wanted: Sequence[Run]) -> Runs:
    """The part of the sequence that is in `wanted`, in the sequence's order."""
    parts: list[Run] = []
    for first, length in runs:
        spans = [(max(first, low), min(first + length, low + size)) for low, size in wanted]
        parts.extend((low, high - low) for low, high in sorted(spans) if low < high)
    return joined(parts)


def without(runs: Sequence[Run], others: Sequence[Run]) -> Runs:
    """The numbers of the first sequence that are not in the second, in the order of the first."""
    same = 0
    for one, other in zip(runs, others, strict=False):
        if one != other:
            break
        same += 1
    taken = sorted(others[same:])
    starts = [first for first, _ in taken]
    parts: list[Run] = []
    for first, length in runs[same:]:
        at, end = first, first + length
        for low, many in taken[max(0, bisect_right(starts, first) - 1) :]:
            if low >= end:
                break
            if low + many > at:
                parts.append((at, low - at))
                at = low + many
        parts.append((at, end - at))
    return joined(parts)
