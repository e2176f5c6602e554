"""Whole files: import of transcripts, rebuild, size of a message, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from engines import ThisEngine
from harness import Context, Row, cycle, opened, result
from rows_history import CHARACTERS, make_history
from samples import made_transcript

CHILD = Path(__file__).with_name("child.py")


def measure(context: Context) -> Iterator[Row]:
    """Rows of import, rebuild and sizes."""
    yield from _import(context)
    yield from _rebuild(context)
    yield from _sizes(context)


def _import(context: Context) -> Iterator[Row]:
    paths = list(context.transcripts)
    if not paths:
        paths = [context.folder / "made.jsonl"]
        made_transcript(paths[0], context.texts[: context.scale.transcript])
    size = sum(path.stat().st_size for path in paths) / 1e6
    runs = [
        run_child("import", context.folder / f"import-{number}.db", *paths)
        for number in range(context.scale.processes)
    ]
    rates = [size / run["seconds"] for run in runs]
    yield result(f"import of {size:.1f} MB of transcripts", ThisEngine.name, "MB/s", rates)
    yield result("peak memory of import", ThisEngine.name, "MB", [run["memory"] for run in runs])


def _rebuild(context: Context) -> Iterator[Row]:
    path = context.folder / "rebuild.db"
    make_history(path, context.scale.rebuilt, [text[:CHARACTERS] for text in context.texts])
    for task, label in (("rebuild", "structural"), ("rebuild-all", "search included")):
        runs = [run_child(task, path) for _ in range(context.scale.processes)]
        rates = [run["events"] / run["seconds"] for run in runs]
        row = f"rebuild of {context.scale.rebuilt:,} events, {label}"
        yield result(row, ThisEngine.name, "events/s", rates)
        memory = [run["memory"] for run in runs]
        yield result(f"peak memory of rebuild, {label}", ThisEngine.name, "MB", memory)
    idle = [run_child("idle", path)["memory"] for _ in runs]
    yield result("memory of a process that only opened the store", ThisEngine.name, "MB", idle)


def run_child(*arguments: str | Path) -> dict[str, Any]:
    """Run one task in a process of its own, whose memory is its own."""
    command = [sys.executable, str(CHILD), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _sizes(context: Context) -> Iterator[Row]:
    count = context.scale.stored
    texts = cycle(context.texts, 0, count)
    label = "file, a message"
    text = sum(len(one.encode("utf-8", "replace")) for one in texts) / count
    yield result(label, "the text itself", "bytes", [text])
    with ExitStack() as stack:
        stores = opened(context, stack, context.engines, "normal", "size")
        for store in stores.values():
            for start in range(0, count, 100):
                part = texts[start : start + 100]
                (store.append_batch if store.batches else store.append_each)(part)
    for name in stores:
        path = context.folder / f"size-normal-{name.replace(' ', '-')}.db"
        files = [path, path.with_name(path.name + "-wal")]
        size = sum(file.stat().st_size for file in files if file.exists())
        yield result(label, name, "bytes", [size / count])
