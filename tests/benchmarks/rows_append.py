"""Appending: one a commit, many a commit, and from many threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from harness import Context, Row, cycle, in_turns, opened, result, results

BATCH = 100
THREADS = 64


def measure(context: Context) -> Iterator[Row]:
    """Rows of appends at both durabilities."""
    for durability in ("normal", "full"):
        yield from _one_by_one(context, durability)
    for durability in ("normal", "full"):
        yield from _in_batches(context, durability)
    yield from _threads(context, "full")


def _one_by_one(context: Context, durability: str) -> Iterator[Row]:
    count = context.scale.appends
    with ExitStack() as stack:
        stores = opened(context, stack, context.engines, durability, "one")

        def rate(store: Any) -> Callable[[int], float]:
            def act(number: int) -> float:
                texts = cycle(context.texts, number * count, count)
                begin = time.perf_counter()
                store.append_each(texts)
                return count / (time.perf_counter() - begin)

            return act

        acts = {name: rate(store) for name, store in stores.items()}
        measured = in_turns(acts, context.scale.rounds)
    yield from results(f"append, one a commit, {durability}", "messages/s", measured)


def _in_batches(context: Context, durability: str) -> Iterator[Row]:
    batches = context.scale.batches
    with ExitStack() as stack:
        able = [engine for engine in context.engines if engine.batches]
        stores = opened(context, stack, able, durability, "many")

        def rate(store: Any) -> Callable[[int], float]:
            def act(number: int) -> float:
                first = number * batches * BATCH
                parts = [
                    cycle(context.texts, first + index * BATCH, BATCH) for index in range(batches)
                ]
                begin = time.perf_counter()
                for part in parts:
                    store.append_batch(part)
                return batches * BATCH / (time.perf_counter() - begin)

            return act

        acts = {name: rate(store) for name, store in stores.items()}
        measured = in_turns(acts, context.scale.rounds)
    yield from results(f"append, {BATCH} a commit, {durability}", "messages/s", measured)


def _threads(context: Context, durability: str) -> Iterator[Row]:
    with ExitStack() as stack:
        able = [engine for engine in context.engines if engine.threads]
        stores = opened(context, stack, able, durability, "threads")
        waits: dict[str, list[list[float]]] = {name: [] for name in stores}

        def rate(name: str) -> Callable[[int], float]:
            def act(number: int) -> float:
                found, elapsed = together(context, stores[name], number)
                if number:
                    waits[name].append(sorted(found))
                return len(found) / elapsed

            return act

        measured = in_turns({name: rate(name) for name in stores}, context.scale.thread_rounds)
    label = f"append, {THREADS} threads, {durability}"
    yield from results(label, "messages/s", measured)
    for quantile, title in ((0.5, "p50"), (0.99, "p99")):
        for name, rounds in waits.items():
            samples = [found[int(quantile * (len(found) - 1))] * 1000 for found in rounds]
            yield result(f"{label}, {title}", name, "ms", samples)


def together(context: Context, store: Any, number: int) -> tuple[list[float], float]:
    """Append from all threads, each to its own session; every wait, and the time of all."""
    count = context.scale.thread_appends
    waits: list[list[float]] = [[] for _ in range(THREADS)]
    for session in range(THREADS):
        if number == 0:
            store.append_one("Hello", session)  # the sessions exist before the clock runs
    start = threading.Barrier(THREADS + 1)

    def work(session: int) -> None:
        texts = cycle(context.texts, (number * THREADS + session) * count, count)
        start.wait()
        for text in texts:
            begin = time.perf_counter()
            store.append_one(text, session)
            waits[session].append(time.perf_counter() - begin)

    threads = [threading.Thread(target=work, args=(session,)) for session in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    assert all(len(found) == count for found in waits), "an append of a thread failed"
    return [wait for found in waits for wait in found], elapsed
