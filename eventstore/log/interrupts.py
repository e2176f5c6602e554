"""Ctrl-C at a time when it does no harm.

Python raises `KeyboardInterrupt` in the main thread between any two steps. In the middle of a group
commit that would leave other threads waiting for an answer for ever. While `deferred` is entered,
an interrupt is only noted; it is delivered when the group has been answered. Work that may take
long is done under `allowed`, where an interrupt comes through at once.

Only the main thread is affected, and only a handler that Python code installed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TypeAlias

_Handler: TypeAlias = Callable[[int, FrameType | None], Any]

#: `signal.signal` looks its arguments up among enumerations, which takes longer than an append's
#: own part of the work; what it wraps does the same without. CPython names that in a module of its
#: own; where that is missing, the slow one will do.
_set_handler: Callable[[int, Any], Any] = getattr(
    sys.modules.get("_signal"), "signal", signal.signal
)
_SIGINT = int(signal.SIGINT)


class _MainThread:
    """The main thread: its number, which is another after a fork, and what is entered in it.

    An object's attributes, since Python forgets what it learnt of a class when one of the class's
    own is set.
    """

    def __init__(self) -> None:
        #: The innermost `deferred` that is entered.
        self.innermost: deferred | None = None
        self.look()

    def look(self) -> None:
        """See which thread it is."""
        self.ident = threading.main_thread().ident


_main = _MainThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_main.look)


class deferred:  # noqa: N801  (used as a statement, like the ones of contextlib)
    """Context in which an interrupt of the main thread is noted and delivered at the end."""

    _handler: _Handler | None = None
    _outer: deferred | None = None
    _noted: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> deferred:
        if threading.get_ident() == _main.ident:
            found = _set_handler(_SIGINT, self._note)
            self._outer, _main.innermost = _main.innermost, self
            if callable(found):
                self._handler = found
            else:
                _set_handler(_SIGINT, found)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = (number, frame)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self is _main.innermost:
            _main.innermost = self._outer
        if self._handler is not None:
            _set_handler(_SIGINT, self._handler)
            if self._noted is not None:
                self._handler(*self._noted)


def pending() -> bool:
    """Whether an interrupt of this, the main thread, waits to be delivered."""
    now = _main.innermost
    return now is not None and now._noted is not None and threading.get_ident() == _main.ident


class allowed:  # noqa: N801
    """Context within `deferred` in which an interrupt comes through at once."""

    __slots__ = ("_now",)

    def __enter__(self) -> None:
        self._now = _main.innermost if threading.get_ident() == _main.ident else None
        if self._now is not None and self._now._handler is not None:
            _set_handler(_SIGINT, self._now._handler)
            if self._now._noted is not None:
                noted, self._now._noted = self._now._noted, None
                self._now._handler(*noted)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._now is not None and self._now._handler is not None:
            _set_handler(_SIGINT, self._now._note)
