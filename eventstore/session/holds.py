"""Legal holds: what they stop, and when one may be placed or released. Pure rules.

A hold has a name within its session. It is in force from the event that placed it until one
releases it, or until its time is over. A session may be under several.
"""

from __future__ import annotations

from eventstore.errors import HeldError, InvalidValueError
from eventstore.events.catalogue import HoldPlaced, HoldReleased
from eventstore.session.state import Hold, SessionState

#: Characters of a hold's name, of who placed it and of why.
WORDS_MAX = 200

#: The latest end of a hold: the largest number that facts hold.
UNTIL_MAX = 2**53


def in_force(state: SessionState, now: int) -> tuple[Hold, ...]:
    """The holds that a session is under at a time (µs since 1970)."""
    return tuple(one for one in state.holds if one.until is None or now < one.until)


def require_none(state: SessionState, now: int, session: str) -> None:
    """Raise `HeldError`, naming the holds, when the session is under any."""
    holds = in_force(state, now)
    if holds:
        told = ", ".join(_told(one) for one in holds)
        raise HeldError(
            f"session {session!r} is under a legal hold ({told}); nothing of it is erased or "
            "redacted until it is released"
        )


def _told(hold: Hold) -> str:
    by = "" if hold.by is None else f" by {hold.by}"
    why = "" if hold.reason is None else f": {hold.reason}"
    return f"{hold.name!r}{by}{why}"


def placed(
    state: SessionState,
    name: str,
    now: int,
    *,
    by: str | None,
    reason: str | None,
    until: int | None,
) -> HoldPlaced:
    """The event that places a hold; one of the same name whose time is over is replaced.

    Raises `InvalidValueError` when one of this name is in force, or for a value that cannot be.
    """
    _check(name=name, by=by, reason=reason)
    if not name:
        raise InvalidValueError("a hold needs a name")
    if any(one.name == name for one in in_force(state, now)):
        raise InvalidValueError(f"the session is under a hold named {name!r} already")
    if until is not None and not now < until <= UNTIL_MAX:
        raise InvalidValueError(
            f"a hold ends after now ({now}) and before the year 2255, not at {until}"
        )
    return HoldPlaced(hold=name, by=by, reason=reason, until=until)


def released(state: SessionState, name: str, *, by: str | None, reason: str | None) -> HoldReleased:
    """The event that releases a hold; raises `InvalidValueError` when there is none of the name."""
    _check(name=name, by=by, reason=reason)
    if not any(one.name == name for one in state.holds):
        names = ", ".join(repr(one.name) for one in state.holds) or "none"
        raise InvalidValueError(f"the session has no hold named {name!r}; it has {names}")
    return HoldReleased(hold=name, by=by, reason=reason)


def _check(**words: str | None) -> None:
    for field, text in words.items():
        if text is not None and not (
            isinstance(text, str) and text.isprintable() and len(text) <= WORDS_MAX
        ):
            raise InvalidValueError(
                f"{field} is printable text of at most {WORDS_MAX} characters: {text!r}"
            )
