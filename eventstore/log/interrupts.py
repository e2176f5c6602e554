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
from threading import get_ident
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
    """The main thread: its number, which is another after a fork, and what is kept of it.

    An object's attributes, since Python forgets what it learnt of a class when one of the class's
    own is set.
    """

    def __init__(self) -> None:
        #: The handler whose interrupts are deferred.
        self.handler: _Handler | None = None
        #: The interrupt that came meanwhile.
        self.noted: tuple[int, FrameType | None] | None = None
        self.look()

    def look(self) -> None:
        """See which thread it is."""
        self.ident = threading.main_thread().ident


_main = _MainThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_main.look)


def _note(number: int, frame: FrameType | None) -> None:
    """The handler that is set while interrupts are deferred."""
    _main.noted = (number, frame)


def _deliver(handler: _Handler) -> None:
    if _main.noted is not None:
        noted, _main.noted = _main.noted, None
        handler(*noted)


class deferred:  # noqa: N801  (used as a statement, like the ones of contextlib)
    """Context in which an interrupt of the main thread is noted and delivered at the end."""

    __slots__ = ("_handler", "_outer")

    def __enter__(self) -> None:
        self._handler: _Handler | None = None
        if get_ident() == _main.ident:
            if _main.handler is None:
                _main.noted = None  # a second interrupt was faster than its delivery
            found = _set_handler(_SIGINT, _note)
            if found is _note:
                pass  # an outer one restores and delivers
            elif callable(found):
                self._outer, _main.handler = _main.handler, found
                self._handler = found
            else:
                _set_handler(_SIGINT, found)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        handler = self._handler
        if handler is not None:
            _main.handler = self._outer
            _set_handler(_SIGINT, handler)
            if _main.noted is not None:
                _deliver(handler)


def pending() -> bool:
    """Whether an interrupt of this, the main thread, waits to be delivered."""
    return _main.noted is not None and _main.handler is not None and get_ident() == _main.ident


class allowed:  # noqa: N801
    """Context within `deferred` in which an interrupt comes through at once."""

    __slots__ = ("_handler",)

    def __enter__(self) -> None:
        self._handler = _main.handler if get_ident() == _main.ident else None
        if self._handler is not None:
            _set_handler(_SIGINT, self._handler)
            _deliver(self._handler)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handler is not None:
            _set_handler(_SIGINT, _note)
