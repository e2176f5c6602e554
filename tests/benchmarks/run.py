"""Measure this engine beside others: ``python tests/benchmarks/run.py [--quick] [--json]``.

Everything is measured in one run, engine after engine in turns, and told as medians with their
spread. Engines that are not installed are told as absent; `pip install --group bench` brings them.
`docs/benchmarks.md` says what the rows mean and shows a run.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import apsw
import rows_adapter_hermes
import rows_adapter_little_loops
import rows_adapter_nanobot
import rows_adapter_power_loop
import rows_append
import rows_bundle
import rows_erasing
import rows_export
import rows_files
import rows_follow
import rows_history
import rows_latency
import rows_search
import rows_tree
from engines import BareInsert, ThisEngine
from harness import QUICK, Context, Row, Scale
from peers import PEERS, present
from samples import texts_of, transcripts

#: Each yields rows; another one is a module and its name here.
MODULES = (
    rows_append,
    rows_history,
    rows_files,
    rows_search,
    rows_follow,
    rows_latency,
    rows_tree,
    rows_export,
    rows_bundle,
    rows_erasing,
    rows_adapter_hermes,
    rows_adapter_little_loops,
    rows_adapter_nanobot,
    rows_adapter_power_loop,
)

PACKAGES = ("power-loop", "hermes-agent", "eventsourcing", "eventsource-py", "little-loops")


def main() -> None:
    """Measure and print."""
    options = _options()
    scale = (QUICK if options.quick else Scale()).times(options.factor)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="eventstore-bench-") as folder:
        rows = list(_measure(Path(folder), scale, options.only))
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print("\n".join(table(rows)))
    _say(f"took {time.monotonic() - begin:.0f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure this engine beside others.")
    parser.add_argument("--quick", action="store_true", help="less of everything, under a minute")
    parser.add_argument("--json", action="store_true", help="an array of objects, not a table")
    parser.add_argument("--factor", type=float, default=1.0, help="multiply all sizes")
    parser.add_argument("--only", default="", help="only modules whose name has this in it")
    return parser.parse_args()


def _measure(folder: Path, scale: Scale, only: str) -> Iterator[Row]:
    kind = "quick run: fewer samples, shorter history" if scale.quick else "full run"
    yield Row("settings", kind, None, "", [])
    yield Row("settings", environment(), None, "", [])
    found = transcripts()
    yield Row("settings", f"{'real' if found else 'made'} messages", None, "", [])
    absent: list[Row] = []
    peers = present(
        folder, lambda name, why: absent.append(Row(f"absent: {why}", name, None, "", []))
    )
    yield from absent
    engines = (ThisEngine, BareInsert, *peers)
    assert len(peers) + len(absent) == len(PEERS)
    context = Context(scale, folder, texts_of(found), found, engines)
    for module in MODULES:
        if only in module.__name__:
            # What earlier rows left behind is not for the collector to go through in later ones.
            gc.collect()
            gc.freeze()
            yield from _told(module.measure, context)


def _told(measure: Callable[[Context], Iterator[Row]], context: Context) -> Iterator[Row]:
    for row in measure(context):
        _say(f"{row.row}: {row.engine} {shown(row.value)} {row.unit}")
        yield row


def environment() -> str:
    """The machine and the versions."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(
        (f"Python {platform.python_version()}", f"SQLite {apsw.sqlite_lib_version()}", *versions)
    )


def table(rows: list[Row]) -> list[str]:
    """The rows for people, as a table of Markdown."""
    lines = ["| row | engine | median | unit | least – most |", "|---|---|--:|---|---|"]
    for row in rows:
        spread = f"{shown(min(row.samples))} – {shown(max(row.samples))}" if row.samples else ""
        lines.append(f"| {row.row} | {row.engine} | {shown(row.value)} | {row.unit} | {spread} |")
    return lines


def shown(value: float | None) -> str:
    """A number with three digits that matter."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
