"""What clients did and were told, and whether one log explains it.

The log is the order: every answered append has a place in it. It explains what happened when

- each answered append is there once, where its answer said, with the text it was given;
- of two appends to one session, one of which was answered before the other began, the earlier one
  stands before the later one (*linearizable*: the order of the log fits the order of time);
- an append that expected a version is the next one after it, events that commute aside;
- a retried append, whatever became of its first try, is there once;
- a read shows everything answered before it began, and a beginning of the session's log;
- a named consumer was given every position, in order, and after a crash goes on at or before the
  first one that it had not dealt with.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from eventstore import Recorded, SessionStore
from eventstore.events.catalogue import MessageAppended


class Append(NamedTuple):
    """An answered append: when it began and ended, the seq it was given, what it expected."""

    session: str
    text: str
    began: int
    ended: int
    seq: int
    expected: int | None


class Read(NamedTuple):
    """The texts of a session, as a read showed them."""

    session: str
    began: int
    texts: tuple[str, ...]


class History:
    """Everything that clients tell."""

    def __init__(self) -> None:
        self.clock = 0
        self.appends: list[Append] = []
        self.reads: list[Read] = []
        self.attempted: set[str] = set()
        self.delivered: list[list[int]] = []
        self.committed: list[int] = [0]
        self.rebuilds = 0
        self.conflicts = 0

    def tick(self) -> int:
        """A moment that no other event has."""
        self.clock += 1
        return self.clock


class _Placed(NamedTuple):
    """An event of a session: the seq and text of a message, or whether it commutes with others."""

    version: int
    seq: int
    text: str | None
    commutes: bool


def violations(
    history: History, store: SessionStore, named: Callable[[str], str] = str
) -> list[str]:
    """What the log does not explain; `named` gives the name by which clients told of a text."""
    found, sessions, count = [], defaultdict[int, list[_Placed]](list), 0
    for count, one in enumerate(store.log.read_all(content=True), 1):
        if one.position != count:
            found.append(f"position {one.position} at place {count}")
        sessions[one.stream].append(_placed(one, named))
    told = defaultdict[str, list[Append]](list)
    for append in history.appends:
        told[append.session].append(append)
    for session, appends in sorted(told.items()):
        own = sessions[store.session(session).stream]
        found += _of_session(session, own, appends)
        reads = [read for read in history.reads if read.session == session]
        found += _of_reads(session, _texts(own), appends, reads)
    texts = Counter(text for own in sessions.values() for text in _texts(own))
    found += [f"{text!r} is there {times} times" for text, times in texts.items() if times > 1]
    found += [f"nobody wrote {text!r}" for text in sorted(set(texts) - history.attempted)]
    return found + _of_consumer(history, count)


def _placed(one: Recorded, named: Callable[[str], str]) -> _Placed:
    event = one.event
    if isinstance(event, MessageAppended):
        assert event.content is not None
        return _Placed(one.version, event.seq, named(str(event.content.text)), event.commutes)
    return _Placed(one.version, 0, None, type(event).commutes)


def _texts(events: Iterable[_Placed]) -> list[str]:
    return [one.text for one in events if one.text is not None]


def _of_session(session: str, own: list[_Placed], appends: list[Append]) -> list[str]:
    placed = {one.text: one for one in own if one.text is not None}
    found = []
    for append in appends:
        one = placed.get(append.text)
        if one is None:
            found.append(f"{session}: {append.text!r} was answered and is not there")
        elif one.seq != append.seq:
            found.append(f"{session}: {append.text!r} was said to be {append.seq}: {one}")
        elif append.expected is not None:
            between = own[append.expected : one.version - 1]
            found += [f"{session}: {append.text!r} expected {append.expected}, but {other}"
                      for other in between if not other.commutes]  # fmt: skip
    latest: Append | None = None
    for append in sorted(appends, key=lambda append: append.seq):
        if latest is not None and append.ended < latest.began:
            found.append(
                f"{session}: {append.text!r} was answered before {latest.text!r} began, "
                "and stands behind it"
            )
        if latest is None or append.began > latest.began:
            latest = append
    return found


def _of_reads(
    session: str, texts: list[str], appends: list[Append], reads: list[Read]
) -> list[str]:
    found = []
    for read in reads:
        if list(read.texts) != texts[: len(read.texts)]:
            found.append(f"{session}: a read showed no beginning of the log: {read}")
        missing = {a.text for a in appends if a.ended < read.began} - set(read.texts)
        found += [f"{session}: a read at {read.began} lacks {text!r}" for text in sorted(missing)]
    return found


def _of_consumer(history: History, head: int) -> list[str]:
    found = []
    for number, positions in enumerate(history.delivered):
        if not positions:
            continue
        if positions != list(range(positions[0], positions[0] + len(positions))):
            found.append(f"run {number} of the consumer was given {positions}")
        dealt_with = max((run[-1] for run in history.delivered[:number] if run), default=0)
        if positions[0] > dealt_with + 1:
            found.append(f"run {number} of the consumer skipped {dealt_with + 1}")
    if max((run[-1] for run in history.delivered if run), default=0) != head:
        found.append(f"the consumer was not given all {head} events")
    return found
