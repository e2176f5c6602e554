"""What a compaction's note stands for, down to the messages that people and models wrote."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from eventstore.events.catalogue import Run
from eventstore.session import runs


class Coverage(Struct, frozen=True, kw_only=True):
    """What one active note covers.

    `runs` are what it took the place of, notes among them; `messages` are the messages that are in
    it in the end, because a note covers what a note that it folded covered; `notes` are the seqs of
    those notes. `count` is the number of `messages`.
    """

    seq: int
    runs: tuple[Run, ...]
    messages: tuple[Run, ...]
    notes: tuple[int, ...]
    count: int


def coverage(seq: int, notes: Mapping[int, Sequence[Run]]) -> Coverage:
    """What the note `seq` covers; `notes` are the runs of every note of the session."""
    ordered = sorted(notes)
    folded: list[int] = []

    def messages_in(stretch: Sequence[Run]) -> Iterator[Run]:
        for first, length in stretch:
            start, end = first, first + length
            for note in ordered[bisect_left(ordered, start) : bisect_left(ordered, end)]:
                yield start, note - start
                folded.append(note)
                yield from messages_in(notes[note])
                start = note + 1
            yield start, end - start

    messages = runs.joined(messages_in(notes[seq]))
    return Coverage(
        seq=seq,
        runs=tuple(notes[seq]),
        messages=messages,
        notes=tuple(folded),
        count=runs.count(messages),
    )
