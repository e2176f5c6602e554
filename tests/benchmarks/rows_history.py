"""Reading a session: resume after a short and a long history, and reads of the past."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from engines import ACTIVE, STEP, ThisEngine, remember
from harness import Context, Row, in_turns, opened, result, results, seconds

from eventstore import SessionStore

SHORT = 1_000
#: The history's texts are cut, so that a million of them fit into the time of the benchmark.
CHARACTERS = 200


def measure(context: Context) -> Iterator[Row]:
    """Rows of resume and of as-of reads."""
    texts = [text[:CHARACTERS] for text in context.texts]
    long = context.folder / "history.db"
    built = make_history(long, context.scale.history, texts)
    yield result(f"history built, {STEP} messages and a compaction a step", ThisEngine.name,
                 "events/s", [built])  # fmt: skip
    with ExitStack() as stack:
        stores = opened(context, stack, context.engines, "normal", "resume")
        for store in stores.values():
            store.remember([texts[index % len(texts)] for index in range(SHORT)])
        # Opened anew: a session is resumed by a process that does not remember it.
        stores[ThisEngine.name].close()
        stores |= opened(context, stack, [ThisEngine], "normal", "resume")
        present = stack.enter_context(SessionStore.open(long, create=False))
        measured = in_turns(_acts(stores, present), context.scale.reads)
        past = [_as_of(present, number) for number in range(context.scale.reads)]
    longest = measured.pop("long")
    yield from results(f"resume, {SHORT:,} events of history", "ms", measured)
    label = f"{context.scale.history:,} events of history"
    yield result(f"resume, {label}", ThisEngine.name, "ms", longest)
    yield result(f"as-of read, {label}", ThisEngine.name, "ms", past)


def _acts(stores: dict[str, Any], present: SessionStore) -> dict[str, Callable[[int], float]]:
    def short(store: Any) -> Callable[[int], float]:
        return lambda _: 1000 * seconds(store.resume)

    acts = {name: short(store) for name, store in stores.items()}
    return acts | {"long": lambda _: 1000 * seconds(present.session("s0").messages)}


def _as_of(store: SessionStore, number: int) -> float:
    session = store.session("s0")
    chance = random.Random(number)
    version = chance.randint(min(2 * ACTIVE, session.version), session.version)
    return 1000 * seconds(lambda: session.messages(at=version))


def make_history(path: Path, events: int, texts: list[str]) -> float:
    """A store with one session of about this many events; how many a second were appended."""
    with SessionStore.open(path, durability="normal") as store:
        session = store.create("s0")
        messages = max(1, events // (STEP + 1)) * STEP
        many = [texts[index % len(texts)] for index in range(messages)]
        took = seconds(lambda: remember(session, many))
        return store.head.position / took
