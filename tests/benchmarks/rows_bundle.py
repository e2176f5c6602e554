"""Bundles: how fast one is written, and checked by the script and by the package.

The script runs in a process of its own, as an auditor runs it; its start is in the time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engines import ThisEngine
from harness import Context, Row, result
from rows_export import CHARACTERS, make_store

from eventstore import SessionStore
from eventstore.bundles.checking import Verdict, check_bundle
from eventstore.bundles.files import write_tar
from eventstore.bundles.writing import write_bundle
from eventstore.checkpoints.checkpoint import Checkpoint

SCRIPT = Path(__file__).parents[2] / "docs" / "verify" / "verify_bundle.py"


def measure(context: Context) -> Iterator[Row]:
    """Rows of writing and checking a bundle of a whole log, per event."""
    folder = context.folder / "bundles"
    folder.mkdir()
    path = folder / "s.db"
    make_store(path, context.scale.exported, [text[:CHARACTERS] for text in context.texts])
    bundle, tar = folder / "bundle", folder / "bundle.tar"
    with SessionStore.open(path) as store:
        head = store.tree_head()
        note = Checkpoint("agent-eventstore/benchmark", head.size, head.root).text

        def write() -> None:
            shutil.rmtree(bundle, ignore_errors=True)
            bundle.mkdir()
            write_bundle(store, bundle, note)

        works: list[tuple[str, Callable[[], None]]] = [
            ("written", write),
            ("checked by the script", lambda: _script(bundle)),
            ("checked by the package", lambda: _package(bundle)),
        ]
        for label, work in works:
            rates = [head.size / _seconds(work) for _ in range(context.scale.processes)]
            name = f"bundle of {head.size:,} events, {label}"
            yield result(name, ThisEngine.name, "events/s", rates)
    with tar.open("wb") as out:
        write_tar(bundle, out)
    size = [tar.stat().st_size / head.size]
    yield result("size of a bundle per event", ThisEngine.name, "B", size)
    shutil.rmtree(folder)


def _seconds(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _script(bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(bundle)], capture_output=True, check=False
    )
    assert done.returncode == 4, done.stdout  # right, and signed by nobody


def _package(bundle: Path) -> None:
    assert check_bundle(bundle).verdict is Verdict.UNSIGNED
