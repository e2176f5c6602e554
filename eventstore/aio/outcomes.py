"""What became of a write whose task was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from eventstore.errors import AppendError, AppendUnknownError, RuleError

T = TypeVar("T")


class AppendCancelledError(asyncio.CancelledError):
    """A task was cancelled while it wrote; the write is wholly there or not at all.

    `stored` says which: True, and `result` is what the call would have returned; False, and nothing
    is there; None when nobody knows, because the commit itself failed. `error` is what the call
    would have raised, if it came to that.

    It is a `CancelledError`: let it pass on, unless you know why you stop it. `asyncio.timeout`
    turns it into a `TimeoutError` whose `__cause__` it is.
    """

    def __init__(
        self, stored: bool | None, result: Any = None, error: BaseException | None = None
    ) -> None:
        words = {True: "is stored", False: "is not stored", None: "may be stored or not"}
        super().__init__(f"the task was cancelled while it wrote; what it wrote {words[stored]}")
        self.stored = stored
        self.result = result
        self.error = error


async def outcome_of(
    future: asyncio.Future[T], withdraw: Callable[[], bool], *, sure: bool = True
) -> T:
    """The future's outcome. Cancelled, it withdraws the work, or waits for what becomes of it.

    `withdraw` says whether the work was taken back in time; `sure` that an error means that nothing
    is stored, unknown commits aside. Raises `AppendCancelledError`, however often the task is
    cancelled meanwhile.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not future.done() and withdraw():
            raise AppendCancelledError(False) from None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        raise _cancelled(future, sure) from None


def _cancelled(future: asyncio.Future[Any], sure: bool) -> AppendCancelledError:
    error = future.exception()
    if error is None:
        return AppendCancelledError(True, result=future.result())
    unknown = isinstance(error, AppendUnknownError)
    refused = sure or isinstance(error, AppendError | RuleError)
    return AppendCancelledError(False if refused and not unknown else None, error=error)
