"""The drop-in for little-loops' store beside the original: send, recent, search, backfill.

Both at the original's durability, which is that of `full`. Each call is made as the original's
callers make it, with the path of the file.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from harness import Context, Row, in_turns, results, seconds

from eventstore.adapters import little_loops as adapter

#: Rows that are there before reading is measured, and tool calls of one backfill.
STORED = 4_000
CALLS = 2_000


def measure(context: Context) -> Iterator[Row]:
    """Rows of both modules; only those of the adapter where the original is not installed."""
    modules = {"agent-eventstore": adapter}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            modules["little-loops"] = import_module("little_loops.session_store")
    except ImportError as error:
        yield Row(f"absent: {error}", "little-loops", None, "", [])
    quick = context.scale.quick
    stored, calls = (STORED // 4, CALLS // 4) if quick else (STORED, CALLS)
    yield from _send(context, modules)
    yield from _read(context, modules, stored)
    yield from _backfill(context, modules, calls)


def _send(context: Context, modules: dict[str, Any]) -> Iterator[Row]:
    count = context.scale.appends
    transports = {
        name: module.SQLiteTransport(context.folder / f"ll-send-{name}.db")
        for name, module in modules.items()
    }

    def rate(transport: Any) -> Callable[[int], float]:
        def act(_: int) -> float:
            begin = time.perf_counter()
            for number in range(count):
                transport.send(_event(number))
            return count / (time.perf_counter() - begin)

        return act

    acts = {name: rate(transport) for name, transport in transports.items()}
    measured = in_turns(acts, context.scale.rounds)
    for transport in transports.values():
        transport.close()
    yield from results("little-loops: send", "events/s", measured)


def _event(number: int) -> dict[str, Any]:
    return {
        "event": "state_enter",
        "loop_name": f"loop-{number % 20}",
        "state": f"state {number % 7}",
        "retries": number % 3,
        "ts": "2026-05-22T10:00:00Z",
    }


def _read(context: Context, modules: dict[str, Any], stored: int) -> Iterator[Row]:
    """Reads of a file that is not written meanwhile, and ones that follow a write each."""
    paths = {name: context.folder / f"ll-read-{name}.db" for name in modules}
    lines = _transcript(context.folder / "ll-read.jsonl", stored)
    transports = {}
    for name, module in modules.items():
        _backfilled(module, paths[name], lines)
        transports[name] = module.SQLiteTransport(paths[name])
        for number in range(200):
            transports[name].send(_event(number))
    reads: dict[str, Callable[[Any, Path], object]] = {
        "recent(kind='loop')": lambda module, path: module.recent(path, kind="loop"),
        "recent(kind='tool', limit=-1)": lambda module, path: module.recent(
            path, kind="tool", limit=-1
        ),
        "search, 28 hits": lambda module, path: module.search(path, query='"state 3"'),
        "search, every tool call a hit": lambda module, path: module.search(path, query="too*"),
    }
    for label, read in reads.items():

        def took(name: str, read: Callable[[Any, Path], object] = read) -> Callable[[int], float]:
            return lambda _: min(
                1000 * seconds(lambda: read(modules[name], paths[name])) for _ in range(5)
            )

        measured = in_turns({name: took(name) for name in modules}, context.scale.reads)
        yield from results(f"little-loops: {label}", "ms", measured)

    def after_a_send(name: str) -> Callable[[int], float]:
        def both() -> None:
            transports[name].send(_event(1))
            modules[name].recent(paths[name], kind="loop")

        return lambda _: 1000 * seconds(both)

    measured = in_turns({name: after_a_send(name) for name in modules}, context.scale.reads)
    for transport in transports.values():
        transport.close()
    yield from results("little-loops: send, then recent", "ms", measured)


def _backfill(context: Context, modules: dict[str, Any], calls: int) -> Iterator[Row]:
    lines = _transcript(context.folder / "ll-backfill.jsonl", calls)

    def rate(name: str) -> Callable[[int], float]:
        def act(number: int) -> float:
            path = context.folder / f"ll-backfill-{name}-{number}.db"
            modules[name].ensure_db(path)
            return calls / seconds(lambda: _backfilled(modules[name], path, lines))

        return act

    measured = in_turns({name: rate(name) for name in modules}, context.scale.rounds)
    yield from results("little-loops: backfill", "tool calls/s", measured)


def _backfilled(module: Any, path: Path, lines: Path) -> None:
    nowhere = path.parent / "nowhere"
    module.backfill(path, issues_dir=nowhere, loops_dir=nowhere, jsonl_files=[lines])


def _transcript(path: Path, calls: int) -> Path:
    """A transcript in which every other line calls a tool, as Claude Code writes them."""
    lines = []
    for number in range(calls):
        at = f"2026-05-22T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
        common = {"sessionId": f"s{number // 500}", "timestamp": at, "cwd": "/home/me/project"}
        use = {
            "type": "tool_use",
            "id": f"toolu_{number:08}",
            "name": ("tool_a", "tool_b", "tool_c")[number % 3],
            "input": {"command": f"grep -rn word{number} .", "timeout": number},
        }
        said = {"role": "assistant", "content": [{"type": "text", "text": "I look. " * 20}, use]}
        answer = {"type": "tool_result", "tool_use_id": use["id"], "content": "found it " * 60}
        heard = {"role": "user", "content": [answer]}
        lines.append(json.dumps({"type": "assistant", "message": said, **common}))
        lines.append(json.dumps({"type": "user", "message": heard, **common}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
