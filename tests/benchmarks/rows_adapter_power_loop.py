"""The drop-in for power-loop beside the original: append, load what is active, list children."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from engines import ACTIVE
from harness import Context, Row, cycle, in_turns, results, seconds

from eventstore.adapters import power_loop

ADAPTER = "power-loop adapter"
ORIGINAL = "power-loop"
CHILDREN = 50


def measure(context: Context) -> Iterator[Row]:
    """Rows of the adapter and, where it is installed, of the original, at equal durability."""
    for durability in ("normal", "full"):
        with ExitStack() as stack:
            stores = _opened(context, stack, durability)
            yield from _append(context, stores, durability)
            if durability == "normal":
                yield from _reads(context, stores)


def _opened(context: Context, stack: ExitStack, durability: str) -> dict[str, Any]:
    def place(name: str) -> Path:
        return context.folder / f"adapter-{durability}-{name}.db"

    stores: dict[str, Any] = {
        ADAPTER: power_loop.SessionStore.open(place("ours"), durability=durability)
    }
    if any(engine.name == ORIGINAL for engine in context.engines):
        module = import_module("power_loop.runtime.session_store")
        original = stores[ORIGINAL] = module.SessionStore.open(place("theirs"))
        original._conn.execute(f"PRAGMA synchronous = {durability.upper()}")
    for store in stores.values():
        stack.callback(store.close)
        store.create_session(session_id="s")
    return stores


def _append(context: Context, stores: dict[str, Any], durability: str) -> Iterator[Row]:
    count = context.scale.appends

    def rate(store: Any) -> Callable[[int], float]:
        def act(number: int) -> float:
            texts = cycle(context.texts, number * count, count)

            def append() -> None:
                for text in texts:
                    store.append_message("s", role="user", content=text)

            return count / seconds(append)

        return act

    acts = {name: rate(store) for name, store in stores.items()}
    yield from results(
        f"adapter, append, {durability}", "messages/s", in_turns(acts, context.scale.rounds)
    )


def _reads(context: Context, stores: dict[str, Any]) -> Iterator[Row]:
    for store in stores.values():
        store.create_session(session_id="r", system_prompt="Be brief.", config={"max_rounds": 5})
        for text in cycle(context.texts, 0, ACTIVE):
            store.append_message("r", role="user", content=text)
        for number in range(CHILDREN):
            store.create_session(parent_session_id="r", metadata={"number": number})
    for label, read in (
        (f"adapter, load {ACTIVE} active messages", "load_active_messages"),
        (f"adapter, list {CHILDREN} children", "list_children"),
        ("adapter, get a session", "get_session"),
    ):

        def took(store: Any, read: str = read) -> Callable[[int], float]:
            return lambda _: 1000 * seconds(lambda: getattr(store, read)("r"))

        acts = {name: took(store) for name, store in stores.items()}
        yield from results(label, "ms", in_turns(acts, context.scale.reads))
