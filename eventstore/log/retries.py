"""Whether an event that is appended again is the one that was stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from eventstore.events import stored
from eventstore.events.catalogue import Event
from eventstore.log.port import Recorded

#: What an append gives an event.
_ASSIGNED = frozenset({"seq", "runs", "count", "occurred_at", "content"})


def says_the_same(event: Event, old: Recorded, is_redacted: Callable[[int], bool]) -> bool:
    """Whether a retried event says the same as the stored one, as far as that can be told.

    Of an erased content it cannot, nor of one that was redacted.
    """
    if same_event(event, old):
        return True
    bare = old._replace(event=replace(old.event, content=None))
    return same_event(event, bare) and is_redacted(old.position)


def same_event(event: Any, old: Recorded) -> bool:
    """Whether a retried event says the same as the stored one, as far as it was not erased.

    What the session's state gives it (seqs, runs) may differ, and so may its time.
    """
    if stored.name_of(event) != stored.name_of(old.event):
        return False
    for field in event.__struct_fields__:
        if field not in _ASSIGNED and getattr(event, field) != getattr(old.event, field):
            return False
    erased = old.event.content is None and old.commitment is not None
    return erased or bool(event.content == old.event.content)
