"""What must hold after a fault, whatever it was.

- Every answered append is there, its facts and content as they were given.
- A step that was not answered is there as a whole or not at all.
- The log verifies, every projection is what the log gives, the doctor finds nothing in the log.
- The store can be written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import to_builtins
from msgspec.structs import replace

from eventstore import SessionStore
from eventstore.doctor import Severity, examine
from eventstore.errors import EventStoreError
from eventstore.events.catalogue import ContentErased, ContentRedacted, Event
from eventstore.log.port import Recorded

#: What is appended on the handle that met a fault, wherever it comes to stand.
AFTER = "after the fault"

#: ``(stream, event)``: what an append leaves, its time and its salt aside.
Stored = tuple[int, Event | str]


class Group(NamedTuple):
    """The events of a step: whether it was answered, and whether they are one transaction.

    When it is `clean`, it said that none of the texts in `gone` is left.
    """

    events: list[Stored]
    answered: bool
    atomic: bool = True
    gone: tuple[str, ...] = ()
    clean: bool = False


def stored_in(store: SessionStore) -> list[Stored]:
    return [_stored(one) for one in store.log.read_all(content=True)]


def _stored(one: Recorded) -> Stored:
    text = getattr(one.event.content, "text", None)
    return (0, AFTER) if text == AFTER else (one.stream, one.event)


def violations(
    path: Path,
    groups: Sequence[Group],
    *,
    may_lose: bool = False,
    holds: Callable[[SessionStore], list[str]] | None = None,
    mend: bool = False,
    never: Sequence[str] = (),
) -> list[str]:
    """What does not hold of the file, reopened without the fault.

    `may_lose` lets answered groups be missing from the end, which power loss does at NORMAL.
    `holds` looks at what was written beside the store, `mend` has the doctor mend it first.
    """
    claimed = [text for group in groups if group.clean for text in group.gone]
    found = left_in(path, [*claimed, *never])
    try:
        if mend:
            examine(path, fix=True)
        with SessionStore.open(path, create=any(group.answered for group in groups)) as store:
            if not store.finish_erasures():
                found.append("an erasure cannot be finished")
            found += _unlike(stored_in(store), groups, may_lose)
            found += [f"verify: {finding}" for finding in store.verify()]
            found += [f"check: {difference}" for difference in store.check()]
            found += [] if holds is None else holds(store)
            finished = _erased_since(store, groups)
        found += left_in(path, finished)
        report = examine(path)
        found += [
            f"doctor: {one.code}: {one.message}"
            for one in report.findings
            if one.severity is Severity.ERROR
        ]
        found += _unwritable(path)
    except EventStoreError as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


def left_in(path: Path, texts: Sequence[str]) -> list[str]:
    """Of these texts, those of which the file or its write-ahead log still has the bytes."""
    found = []
    for name in (path, path.with_name(f"{path.name}-wal")):
        data = name.read_bytes() if texts and name.exists() else b""
        found += [f"{name.name} still has {text!r}" for text in texts if text.encode() in data]
    return found


def _erased_since(store: SessionStore, groups: Sequence[Group]) -> list[str]:
    """The texts to be gone, if an erasure of the steps is there and no event has them."""
    new = stored_in(store)[len(groups[0].events) :]
    if not any(isinstance(event, ContentErased | ContentRedacted) for _, event in new):
        return []
    return [text for group in groups for text in group.gone if text not in repr(new)]


def _unlike(found: list[Stored], groups: Sequence[Group], may_lose: bool) -> list[str]:
    """How the stored events differ from the groups in their order."""
    erased, redacted = _erased(found), _redacted(found)
    place = 0
    lost: int | None = None
    for number, group in enumerate(groups):
        common = _common(found, place, group.events, erased, redacted)
        if common == len(group.events) and lost is None:
            place += common
        elif group.answered and not may_lose:
            return [
                f"step {number} was answered and is not there: "
                f"{found[place + common : place + common + 1]} instead of "
                f"{group.events[common : common + 1]}"
            ]
        elif not group.atomic and lost is None:
            place += common
        elif group.answered:
            lost = number
    rest = found[place:]
    return [f"there are events of no whole step: {rest[:3]}"] if rest else []


def _erased(found: list[Stored]) -> set[int]:
    """The positions that erasures name; that these are wiped, and no others, verify checks."""
    return {
        position
        for _, event in found
        if isinstance(event, ContentErased)
        for first, length in event.positions
        for position in range(first, first + length)
    }


def _redacted(found: list[Stored]) -> dict[int, Any]:
    """What stands for the content of each event that was redacted after it was stored."""
    return {
        event.position: event.content
        for _, event in found
        if isinstance(event, ContentRedacted) and event.content is not None
    }


def _common(
    found: list[Stored],
    place: int,
    given: list[Stored],
    erased: set[int],
    redacted: dict[int, Any],
) -> int:
    """How many of the given events stand at this place."""
    for number, wanted in enumerate(given):
        here = found[place + number] if place + number < len(found) else None
        if here == wanted:
            continue
        if here is None or here[0] != wanted[0]:
            return number
        if not (isinstance(wanted[1], Event) and isinstance(here[1], Event)):
            return number
        if replace(wanted[1], content=None) != replace(here[1], content=None):
            return number
        position, content = place + number + 1, here[1].content
        if content is None and position in erased:
            continue
        if position not in redacted or to_builtins(content) != redacted[position]:
            return number
    return len(given)


def _unwritable(path: Path) -> list[str]:
    with SessionStore.open(path) as store:
        session = store.create("written after the fault")
        session.append("user", "still here")
        if session.chat()[-1]["content"] != "still here":
            return ["an append after the fault is not read back"]
    return []
