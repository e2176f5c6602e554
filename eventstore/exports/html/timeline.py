"""A session's timeline as HTML, piece by piece: turns with their messages, events and sums.

A turn begins with a person's message and ends before the next one; messages of a person that
follow each other are of one turn. Source records that are no messages are listed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from eventstore.events.catalogue import (
    ContextCompacted,
    MessageAppended,
    PromptChanged,
    RecordImported,
    SessionForked,
    UsageRecorded,
)
from eventstore.exports.html import events
from eventstore.exports.html.figures import Tally, day, duration, plural
from eventstore.exports.html.history import Entry, History
from eventstore.exports.html.items import Messages

#: Source records listed together: what is held back until another event comes.
_TOGETHER_MAX = 200

#: Events after which progress is told.
_STEP = 200

Progress = Callable[[int, int], None]


class Timeline:
    """Writes the timeline of one session."""

    def __init__(
        self, history: History, prompt_position: int | None, spawned: Mapping[str, str]
    ) -> None:
        """`prompt_position` is where the prompt in force is; of `spawned` see `Messages`."""
        self._history = history
        self._messages = Messages(history, spawned)
        self._prompt_position = prompt_position
        self._records: list[str] = []
        self._tally = Tally()
        self._turn = 0
        self._asked = True
        self._begun: int | None = None
        self._last = 0
        self._day: str | None = None

    def chunks(self, progress: Progress | None = None) -> Iterator[str]:
        """The whole of it."""
        yield '<section class="turn" aria-labelledby="t0"><h2 id="t0">Before the first turn</h2>\n'
        for entry in self._history.entries():
            yield from self._one(entry)
            if progress is not None and entry.recorded.version % _STEP == 0:
                progress(entry.recorded.version, self._history.version)
        yield from self._listed_records()
        yield from self._end_turn()
        if progress is not None:
            progress(self._history.version, self._history.version)

    def _one(self, entry: Entry) -> Iterator[str]:
        event = entry.recorded.event
        if isinstance(event, RecordImported):
            yield from self._record(entry)
            return
        yield from self._listed_records()
        if isinstance(event, MessageAppended):
            if event.role == "user" and (self._turn == 0 or not self._asked):
                yield from self._begin_turn(entry)
            self._asked = event.role == "user"
        yield from self._date(entry)
        if isinstance(event, MessageAppended | ContextCompacted):
            yield from self._messages.item(entry)
        else:
            yield from self._event(entry)

    def _event(self, entry: Entry) -> Iterator[str]:
        event = entry.recorded.event
        if isinstance(event, UsageRecorded) and not entry.corrected:
            self._tally.add(event)
        in_force = (
            isinstance(event, PromptChanged) and entry.recorded.position == self._prompt_position
        )
        yield from events.item(entry, self._history, in_force=in_force)
        if isinstance(event, SessionForked):
            for taken in self._history.messages(event.active):
                yield from self._messages.item(taken, inherited=True)

    def _record(self, entry: Entry) -> Iterator[str]:
        self._records.append("".join(events.item(entry, self._history)))
        if len(self._records) >= _TOGETHER_MAX:
            yield from self._listed_records()

    def _listed_records(self) -> Iterator[str]:
        if self._records:
            label = plural(len(self._records), "source record") + " beside the conversation"
            yield f'<details class="i e records"><summary>{label}</summary>\n'
            yield from self._records
            yield "</details>\n"
            self._records = []

    def _begin_turn(self, entry: Entry) -> Iterator[str]:
        yield from self._end_turn()
        self._turn += 1
        name = f"t{self._turn}"
        self._begun = entry.at
        self._tally = Tally()
        yield (
            f'<section class="turn" aria-labelledby="{name}">'
            f'<h2 id="{name}">Turn {self._turn:,}</h2>\n'
        )

    def _end_turn(self) -> Iterator[str]:
        if self._tally.calls:
            took = self._last - self._begun if self._begun is not None else 0
            lasted = f" · {duration(took)}" if took > 0 else ""
            name = f"Turn {self._turn:,}" if self._turn else "Before the first turn"
            yield f'<p class="sum"><b>{name}:</b> {self._tally}{lasted}</p>\n'
        yield "</section>\n"

    def _date(self, entry: Entry) -> Iterator[str]:
        self._last = entry.at
        if (now := day(entry.at)) != self._day:
            self._day = now
            yield f'<p class="day">{now}</p>\n'
