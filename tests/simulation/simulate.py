"""Simulate processes on one file: ``python tests/simulation/simulate.py [--seeds 100] [--seed 7]``.

Prints what was covered, and every seed of which the log does not explain what clients were told.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from world import World, described


def main() -> int:
    """Simulate and print; 1 when something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    options = parser.parse_args()
    begun, broken, covered = time.monotonic(), 0, Counter[str]()
    for seed in range(options.seed, options.seed + options.seeds):
        with tempfile.TemporaryDirectory(prefix="eventstore-simulation-") as folder:
            world = World(seed, Path(folder))
            found = world.run()
            covered.update(described(world))
        if found:
            broken += 1
            print(f"VIOLATED seed {seed}", *found, sep="\n  ", flush=True)
    counts = ", ".join(f"{count:,} {name}" for name, count in covered.items())
    print(f"{options.seeds} seeds ({counts}), {broken} violated, {time.monotonic() - begun:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
