"""Erasing and vacuuming: one session at a time, many at once, and giving the space back."""

from __future__ import annotations

import time
from collections.abc import Iterator

from engines import ThisEngine
from harness import Context, Row, result, seconds
from rows_history import CHARACTERS, make_history

from eventstore import Message, SessionStore
from eventstore.erasing import Selection, erase, plan

#: Sessions of one user, and the messages of each.
SESSIONS, MESSAGES = 20, 50


def measure(context: Context) -> Iterator[Row]:
    """Rows of erasing in a store with a long history, its index made."""
    path = context.folder / "erasing.db"
    make_history(path, context.scale.rebuilt, [text[:CHARACTERS] for text in context.texts])
    with SessionStore.open(path, create=False, durability="normal") as store:
        for number in range(2 * SESSIONS):
            user = "one by one" if number < SESSIONS else "at once"
            session = store.create(f"erase-{number}", metadata={"user": user})
            texts = [context.texts[n % len(context.texts)][:CHARACTERS] for n in range(MESSAGES)]
            session.append_many([Message(role="user", content=text) for text in texts])
        store.catch_up("search")
        label = f"{store.head.position:,} events"
        each = [
            1000 * seconds(store.session(f"erase-{number}").erase)
            for number in range(min(context.scale.reads, SESSIONS))
        ]
        yield result(f"erase a session, {label}", ThisEngine.name, "ms", each)
        chosen = Selection(metadata=(("user", "at once"),))
        took = 1000 * seconds(lambda: plan(store, chosen))
        yield result(f"plan to erase {SESSIONS} sessions, {label}", ThisEngine.name, "ms", [took])
        took = 1000 * seconds(lambda: erase(store, chosen))
        yield result(f"erase {SESSIONS} sessions at once, {label}", ThisEngine.name, "ms", [took])
        yield from _vacuumed(store)


def _vacuumed(store: SessionStore) -> Iterator[Row]:
    store.rebuild(["search"])
    begun = time.perf_counter()
    done = store.vacuum()
    rate = (done.before.file_bytes - done.after.file_bytes) / (time.perf_counter() - begun) / 1e6
    yield result("vacuum in steps", ThisEngine.name, "MB/s", [rate])
    begun = time.perf_counter()
    done = store.vacuum(full=True)
    rate = done.before.file_bytes / (time.perf_counter() - begun) / 1e6
    yield result("vacuum --full", ThisEngine.name, "MB/s", [rate])
