"""nanobot's session manager, the original and the adapter: saves, loads and lists.

The original does not sync its files, so the adapter is measured at ``normal`` beside it, and at
``full`` for what the default costs. Each save adds one message to a session of some hundred; a
load is the first one of a process, except where the row says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from harness import Context, Row, cycle, in_turns, results, seconds

from eventstore.adapters.nanobot import SessionManager

HISTORY = 300
SESSIONS = 200
OURS = "agent-eventstore"
Make = Callable[[Path], Any]


def measure(context: Context) -> Iterator[Row]:
    """Rows of the adapter, beside the original where that is installed."""
    makers: dict[str, Make] = {OURS: _ours("normal")}
    theirs = _original()
    if theirs is None:
        yield Row("absent: it is not installed", "nanobot-ai 0.1.4", None, "", [])
    else:
        makers["nanobot-ai"] = theirs
    with ExitStack() as stack:
        workspaces = {name: _filled(context, stack, name, make) for name, make in makers.items()}
        yield from _saves(context, workspaces, "normal")
        yield from _loads(context, workspaces, makers)
        yield from _lists(context, workspaces, makers)
        full = {OURS: _filled(context, stack, "full", _ours("full"))}
        yield from _saves(context, full, "full")


def _ours(durability: str) -> Make:
    return lambda workspace: SessionManager(workspace, durability=durability)


def _original() -> Make | None:
    try:
        if not metadata.version("nanobot-ai").startswith("0.1."):
            return None
    except metadata.PackageNotFoundError:
        return None
    manager = import_module("nanobot.session.manager").SessionManager

    def make(workspace: Path) -> Any:
        made = manager(workspace)
        made.legacy_sessions_dir = workspace / "none"  # not the files in one's home
        return made

    return make


def _filled(context: Context, stack: ExitStack, name: str, make: Make) -> Any:
    """A manager with a long session and many short ones."""
    manager = make(context.folder / f"nanobot-{name}")
    if name != "nanobot-ai":
        stack.callback(manager.close)
    for number in range(SESSIONS):
        _say(manager, f"short:{number}", cycle(context.texts, number, 4))
    _say(manager, "long:1", cycle(context.texts, 0, HISTORY))
    return manager


def _say(manager: Any, key: str, texts: list[str]) -> None:
    session = manager.get_or_create(key)
    for number, text in enumerate(texts):
        session.add_message("assistant" if number % 2 else "user", text)
    manager.save(session)


def _saves(context: Context, managers: dict[str, Any], durability: str) -> Iterator[Row]:
    count = max(2, context.scale.appends // 4)

    def rate(manager: Any) -> Callable[[int], float]:
        def act(number: int) -> float:
            session = manager.get_or_create("long:1")
            texts = cycle(context.texts, number * count, count)
            begin = time.perf_counter()
            for text in texts:
                session.add_message("user", text)
                manager.save(session)
            elapsed = time.perf_counter() - begin
            del session.messages[HISTORY:]
            manager.save(session)
            return count / elapsed

        return act

    measured = in_turns({name: rate(one) for name, one in managers.items()}, context.scale.rounds)
    label = f"nanobot: add a message and save, session of {HISTORY}, {durability}"
    yield from results(label, "1/s", measured)


def _loads(context: Context, managers: dict[str, Any], makers: dict[str, Make]) -> Iterator[Row]:
    def first(name: str) -> Callable[[int], float]:
        def act(_: int) -> float:
            fresh = makers[name](managers[name].workspace)
            fresh.get_or_create("short:0")  # the file is open, and read once
            took = seconds(lambda: fresh.get_or_create("long:1").get_history())
            getattr(fresh, "close", lambda: None)()
            return took * 1000

        return act

    def again(name: str) -> Callable[[int], float]:
        def act(_: int) -> float:
            managers[name].invalidate("long:1")
            return seconds(lambda: managers[name].get_or_create("long:1").get_history()) * 1000

        return act

    def history(name: str) -> Callable[[int], float]:
        session = managers[name].get_or_create("long:1")
        return lambda _: seconds(session.get_history) * 1000

    for label, act in (
        ("load and history, first of a process", first),
        ("load and history, again", again),
        ("history", history),
    ):
        measured = in_turns({name: act(name) for name in managers}, context.scale.reads)
        yield from results(f"nanobot: {label}, session of {HISTORY}", "ms", measured)


def _lists(context: Context, managers: dict[str, Any], makers: dict[str, Make]) -> Iterator[Row]:
    def first(name: str) -> Callable[[int], float]:
        def act(_: int) -> float:
            fresh = makers[name](managers[name].workspace)
            took = seconds(fresh.list_sessions)
            getattr(fresh, "close", lambda: None)()
            return took * 1000

        return act

    def after_a_save(name: str) -> Callable[[int], float]:
        manager = managers[name]

        def act(number: int) -> float:
            session = manager.get_or_create(f"short:{number % SESSIONS}")
            session.add_message("user", "and now?")
            manager.save(session)
            return seconds(manager.list_sessions) * 1000

        return act

    for label, act in (("first of a process", first), ("after a save", after_a_save)):
        measured = in_turns({name: act(name) for name in managers}, context.scale.reads)
        yield from results(f"nanobot: list {SESSIONS} sessions, {label}", "ms", measured)
