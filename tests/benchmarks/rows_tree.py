"""The Merkle tree and signed checkpoints: catching up, proofs, notes, and what an append pays."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from engines import ThisEngine
from harness import Context, Row, cycle, in_turns, result, results, seconds
from rows_history import CHARACTERS, make_history

from eventstore import Checkpoints, SessionStore
from eventstore.checkpoints.keeping import make
from eventstore.checkpoints.keys import SignerKey
from eventstore.errors import MissingExtraError


def measure(context: Context) -> Iterator[Row]:
    """Rows of the tree over a log, and of checkpoints of it."""
    path = context.folder / "tree.db"
    make_history(path, context.scale.rebuilt, [text[:CHARACTERS] for text in context.texts])
    with SessionStore.open(path, create=False, durability="normal") as store:
        events = store.head.position
        took = seconds(lambda: store.catch_up("tree"))
        yield result("tree, caught up from nothing", ThisEngine.name, "leaves/s", [events / took])
        label = f"{events:,} events"
        chance = random.Random(1)
        for name, act in _proofs(store, chance, events).items():
            took_each = [1000 * seconds(act) for _ in range(context.scale.reads)]
            yield result(f"{name}, {label}", ThisEngine.name, "ms", took_each)
    signer = _signer()
    if signer is not None:
        yield from _notes(context, path, signer)
    yield from _appends(context, signer)


def _proofs(
    store: SessionStore, chance: random.Random, events: int
) -> dict[str, Callable[[], object]]:
    return {
        "inclusion proof": lambda: store.prove_inclusion(chance.randint(1, events)),
        "consistency proof": lambda: store.prove_consistency(chance.randint(1, events)),
        "root": store.tree_head,
    }


def _signer() -> SignerKey | None:
    try:
        return SignerKey.new("example.com/bench")
    except MissingExtraError:
        return None


def _notes(context: Context, path: Path, signer: SignerKey) -> Iterator[Row]:
    """What a signed note costs whoever waits for it, with one more event each time."""
    settings = Checkpoints(signer, side_file=context.folder / "side")
    with SessionStore.open(path, create=False, checkpoints=settings) as store:
        session = store.session("s0")
        took = []
        for _ in range(context.scale.reads):
            session.append("user", "x")
            took.append(1000 * seconds(lambda: make(store)))
    yield result("signed checkpoint, kept durably", ThisEngine.name, "ms", took)


def _appends(context: Context, signer: SignerKey | None) -> Iterator[Row]:
    """Appends one a commit to stores with and without checkpoints, in turns."""
    count = context.scale.appends
    settings = Checkpoints(signer, side_file=None)
    with ExitStack() as stack:
        acts: dict[str, Callable[[int], float]] = {}
        for name, checkpoints in (("without checkpoints", None), ("with checkpoints", settings)):
            file = context.folder / f"{name.replace(' ', '-')}.db"
            store = stack.enter_context(
                SessionStore.open(file, durability="normal", checkpoints=checkpoints)
            )
            session = store.create("s0")

            def act(number: int, append: Callable[..., int] = session.append) -> float:
                texts = cycle(context.texts, number * count, count)
                begin = time.perf_counter()
                for text in texts:
                    append("user", text)
                return count / (time.perf_counter() - begin)

            acts[name] = act
        measured = in_turns(acts, context.scale.rounds)
    yield from results("append, one a commit, normal", "messages/s", measured)
