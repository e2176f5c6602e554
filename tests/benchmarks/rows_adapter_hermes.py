"""The adapter for Hermes Agent beside the original: the same calls, at the same durability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from harness import Context, Row, cycle, in_turns, results, seconds
from peer_sessions import Hermes

from eventstore.adapters.hermes import SessionDB

ADAPTER = "adapter for Hermes"

#: Messages of each session of the store that is read.
MESSAGES = 40
#: Messages of the session whose conversation is loaded, for each of the others.
LONG = 4
CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}
#: What is searched for stands in one message of so many.
COMMON = 20


def measure(context: Context) -> Iterator[Row]:
    """Rows of appends, conversations, searches and lists."""
    makers = {ADAPTER: _adapter}
    if Hermes in context.engines:
        makers[Hermes.name] = _original
    for durability in ("normal", "full"):
        yield from _appends(context, makers, durability)
    with ExitStack() as stack:
        stores = _opened(context, stack, makers, "normal", "read")
        for store in stores.values():
            _fill(store, context.texts, context.scale.sessions)
        for label, act in _reads(context.scale.sessions).items():
            acts = {name: _timed(store, act) for name, store in stores.items()}
            measured = in_turns(acts, context.scale.reads)
            yield from results(f"Hermes's calls: {label}", "ms", measured)


def _adapter(path: Path, durability: str) -> Any:
    return SessionDB(path, durability=durability)


def _original(path: Path, durability: str) -> Any:
    store = import_module("hermes_state").SessionDB(path)
    store._conn.execute(f"PRAGMA synchronous = {durability.upper()}")
    return store


def _opened(
    context: Context, stack: ExitStack, makers: dict[str, Any], durability: str, label: str
) -> dict[str, Any]:
    stores = {}
    for number, (name, make) in enumerate(makers.items()):
        store = make(context.folder / f"hermes-{label}-{durability}-{number}.db", durability)
        stack.callback(store.close)
        stores[name] = store
    return stores


def _appends(context: Context, makers: dict[str, Any], durability: str) -> Iterator[Row]:
    count = context.scale.appends
    with ExitStack() as stack:
        stores = _opened(context, stack, makers, durability, "append")

        def rate(store: Any) -> Callable[[int], float]:
            store.create_session("s", "benchmark")

            def act(number: int) -> float:
                texts = cycle(context.texts, number * count, count)

                def appended() -> None:
                    for text in texts:
                        store.append_message("s", "user", text)

                return count / seconds(appended)

            return act

        acts = {name: rate(store) for name, store in stores.items()}
        measured = in_turns(acts, context.scale.rounds)
    yield from results(f"Hermes's calls: append, {durability}", "messages/s", measured)


def _fill(store: Any, texts: Sequence[str], sessions: int) -> None:
    """Sessions with titles, costs and tool calls, and a long one."""
    for number in range(sessions):
        session_id = f"s{number:04}"
        store.create_session(session_id, ("cli", "telegram")[number % 2], model="m")
        store.set_session_title(session_id, f"title {number}")
        store.update_token_counts(session_id, 100, 10, estimated_cost_usd=0.01)
        _say(store, session_id, cycle(texts, number * MESSAGES, MESSAGES), number)
    store.create_session("long", "cli")
    _say(store, "long", cycle(texts, 0, LONG * sessions), 0)
    store.search_messages("harbour")


def _say(store: Any, session_id: str, texts: Sequence[str], start: int) -> None:
    for number, text in enumerate(texts, start):
        said = f"{text[:100]} harbour {text[100:]}" if number % COMMON == 0 else text
        if number % 3 == 2:
            store.append_message(session_id, "assistant", said, tool_calls=[CALL], reasoning="so")
        else:
            store.append_message(session_id, ("user", "assistant")[number % 3], said)


def _reads(sessions: int) -> dict[str, Callable[[Any], Any]]:
    return {
        f"conversation of {LONG * sessions} messages": lambda db: db.get_messages_as_conversation(
            "long"
        ),
        f"search of {sessions * (MESSAGES + LONG):,} messages": lambda db: db.search_messages(
            "harbour"
        ),
        f"rich list, 20 of {sessions + 1} sessions": lambda db: db.list_sessions_rich(),
        "row of a session": lambda db: db.get_session(f"s{sessions // 2:04}"),
    }


def _timed(store: Any, act: Callable[[Any], Any]) -> Callable[[int], float]:
    def timed(_: int) -> float:
        assert act(store)
        return 1000 * seconds(lambda: act(store))

    return timed
