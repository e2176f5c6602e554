"""What became of a write whose task was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from eventstore.errors import (
    AppendCancelledError,
    AppendError,
    AppendUnknownError,
    RuleError,
)

T = TypeVar("T")


async def outcome_of(
    future: asyncio.Future[T], withdraw: Callable[[], bool], *, sure: bool = True
) -> T:
    """The future's outcome. Cancelled, it withdraws the work, or waits for what becomes of it.

    `withdraw` says whether the work was taken back in time; `sure` that an error means that nothing
    is stored, unknown commits aside. Raises `asyncio.CancelledError` with an `AppendCancelledError`
    for its cause, however often the task is cancelled meanwhile. (It is no class of ours, because
    `asyncio.timeout` of Python 3.11 knows the class itself only.)
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError as cancelled:
        if not future.done() and withdraw():
            raise cancelled from AppendCancelledError(False)
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        raise cancelled from _cancelled(future, sure)


def _cancelled(future: asyncio.Future[Any], sure: bool) -> AppendCancelledError:
    error = future.exception()
    if error is None:
        return AppendCancelledError(True, result=future.result())
    unknown = isinstance(error, AppendUnknownError)
    refused = sure or isinstance(error, AppendError | RuleError)
    return AppendCancelledError(False if refused and not unknown else None, error=error)


def cancelled_append(error: BaseException) -> AppendCancelledError | None:
    """What became of the write that a `CancelledError`, or a `TimeoutError` from one, ended.

    None when the task was not writing, so that nothing was stored by what was cancelled.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, AppendCancelledError):
        seen = seen.__cause__
    return seen
