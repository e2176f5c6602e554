"""One task of the benchmark in a process of its own; prints what it took as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from eventstore import SessionStore
from eventstore.exports.runner import export
from eventstore.importers import import_paths
from projections.builtin import BUILTIN


def main() -> None:
    """``child.py import|rebuild|rebuild-all|idle|export STORE [FILE...|FORMAT TARGET]``."""
    task, path, *rest = sys.argv[1:]
    with SessionStore.open(path, durability="normal") as store:
        begin = time.perf_counter()
        if task == "import":
            for _ in import_paths(store, map(Path, rest)):
                pass
        elif task == "export":
            name, target = rest
            export(store, name, target, record=False)
        elif task == "rebuild":
            store.rebuild([projection.name for projection in BUILTIN])
        elif task == "rebuild-all":
            store.rebuild()
        took = time.perf_counter() - begin
        events = store.head.position
    print(json.dumps({"seconds": took, "events": events, "memory": peak_memory()}))


def peak_memory() -> float:
    """The most memory that this process had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what `resource` tells there counts the parent's memory too
        [line] = [line for line in status.read_text().split("\n") if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
