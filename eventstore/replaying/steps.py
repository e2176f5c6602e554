"""A session's history as steps: each event with the state before and after it.

Steps are made as they are asked for, each by one fold of the state before it. States hold numbers,
not text, so a step costs what its event costs to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from eventstore.events.stored import name_of
from eventstore.log.port import Recorded
from eventstore.replaying.conditions import parse
from eventstore.session import runs
from eventstore.session.fold import fold
from eventstore.session.runs import Runs
from eventstore.session.state import SessionState


class Step(Struct, frozen=True, kw_only=True):
    """An event and what it did to its session.

    `added` and `removed` are the seqs, as runs ``(first, length)``, that joined and left the active
    messages, in active order. `stopped` says that the replay ends here because `until` holds.
    """

    event: Recorded
    before: SessionState
    after: SessionState
    added: Runs
    removed: Runs
    stopped: bool = False


#: When to stop: a condition as text (`eventstore.replaying.conditions`), or a function of a step.
Until: TypeAlias = str | Callable[[Step], bool]


def steps(
    state: SessionState,
    events: Iterable[Recorded],
    *,
    types: Sequence[str] | None,
    until: Until | None,
) -> Iterator[Step]:
    """The steps from a state on through the events after it.

    With `types` only those of these types are given; the others are folded all the same. The step
    for which `until` holds is given whatever its type, and is the last.
    """
    return _made(state, events, types, _met(until))


def _made(
    state: SessionState,
    events: Iterable[Recorded],
    types: Sequence[str] | None,
    met: Callable[[Step], bool] | None,
) -> Iterator[Step]:
    for recorded in events:
        before, state = state, fold(state, recorded)
        step = _step(recorded, before, state)
        if met is not None and met(step):
            yield replace(step, stopped=True)
            return
        if types is None or name_of(recorded.event) in types:
            yield step


def _met(until: Until | None) -> Callable[[Step], bool] | None:
    if not isinstance(until, str):
        return until
    condition = parse(until)
    return lambda step: condition.matches(step.event)


def _step(recorded: Recorded, before: SessionState, after: SessionState) -> Step:
    added: Runs = ()
    removed: Runs = ()
    if before.active != after.active:
        added = runs.without(after.active, before.active)
        removed = runs.without(before.active, after.active)
    return Step(event=recorded, before=before, after=after, added=added, removed=removed)
