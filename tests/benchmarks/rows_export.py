"""Exports: how fast each format is written, and whether its memory grows with the store.

Each export runs in a process of its own. The store has sessions of model calls, tool calls with
results, usage and a compaction; it is measured small and ten times as large.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from engines import ThisEngine
from harness import Context, Row, cycle, result
from rows_files import run_child

from eventstore import Message, SessionStore, ToolCall
from eventstore.exports.registry import exporter, formats

#: Events of a session; its last one is the note of a compaction.
SESSION = 500
#: Characters of a text: those of the samples are cut, as in the long histories.
CHARACTERS = 400
#: How much smaller the small store is.
SMALLER = 10


def measure(context: Context) -> Iterator[Row]:
    """Rows of exporting, and of importing what can be imported again."""
    count = context.scale.exported
    folder = context.folder / "exports"
    folder.mkdir()
    sizes = (count // SMALLER, count)
    stores = {size: folder / f"{size}.db" for size in sizes}
    for size, path in stores.items():
        make_store(path, size, [text[:CHARACTERS] for text in context.texts])
    for name in formats():
        if not _works(name):
            yield Row(f"export, {name}", "absent", None, "", [])
            continue
        for size, path in stores.items():
            runs = []
            for number in range(context.scale.processes):
                target = folder / f"{name}-{size}-{number}"
                runs.append(run_child("export", path, name, target))
                if number:
                    _remove(target)
            if size == count:
                rates = [run["events"] / run["seconds"] for run in runs]
                label = f"export of {size:,} events, {name}"
                yield result(label, ThisEngine.name, "events/s", rates)
            memory = [run["memory"] for run in runs]
            label = f"peak memory of export, {size:,} events, {name}"
            yield result(label, ThisEngine.name, "MB", memory)
    for size in sizes:
        file = folder / f"events-jsonl-{size}-0"
        runs = [
            run_child("import", folder / f"again-{size}-{number}.db", file)
            for number in range(context.scale.processes)
        ]
        label = f"import of {size:,} events, events-jsonl"
        rates = [run["events"] / run["seconds"] for run in runs]
        yield result(label, ThisEngine.name, "events/s", rates)
        memory = [run["memory"] for run in runs]
        yield result(f"peak memory of {label}", ThisEngine.name, "MB", memory)
    shutil.rmtree(folder)


def make_store(path: Path, count: int, texts: Sequence[str]) -> None:
    """A store of about so many events."""
    with SessionStore.open(path, durability="normal") as store:
        for number in range(max(1, count // SESSION)):
            session = store.create(f"session-{number}", title=f"No. {number}", prompt="Be brief.")
            messages: list[Message] = []
            for turn, text in enumerate(cycle(texts, number, (SESSION - 10) // 4)):
                call = ToolCall(id=f"c{turn}", name="run", arguments={"n": turn})
                messages += [
                    Message(role="user", content=text),
                    Message(role="assistant", tool_calls=(call,), response_id=f"a{turn}"),
                    Message(role="tool", content=text, call_id=call.id, tool_name="run"),
                ]
            session.append_many(messages)
            for turn in range((SESSION - 10) // 4):
                session.record_usage(f"a{turn}", input=100, cache_read=900, output=turn, cost=0.01)
            session.compact(1, len(messages) // 2, "what was said so far")


def _works(name: str) -> bool:
    """Whether what the format needs is installed."""
    check = getattr(exporter(name), "check", None)
    try:
        if check is not None:
            check({}, "full")
    except Exception:
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
