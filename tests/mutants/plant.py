"""Plant each breakage in a copy of the engine, and see that a test fails.

    python tests/mutants/plant.py [--only NAME]

prints each breakage, the test that caught it and the seconds that took; 1 when one was not caught.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from breakages import BREAKAGES, Breakage

ROOT = Path(__file__).parents[2]

#: What a copy of the project is made of.
PARTS = ("eventstore", "projections", "tests", "docs", "pyproject.toml", "README.md")

#: Seconds after which the tests are ended; a breakage that makes them hang is not caught.
SECONDS_MAX = 180

#: What pytest answers when tests failed, and nothing else went wrong.
_FAILED = 1
_FIRST = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", re.MULTILINE)


class Outcome(NamedTuple):
    """Which test caught a breakage; None when none did, and then what came instead."""

    test: str | None
    told: str
    seconds: float


def planted(breakage: Breakage, source: str) -> str:
    """The source with the breakage; raises `ValueError` unless its text is there exactly once."""
    count = source.count(breakage.old)
    if count != 1:
        raise ValueError(f"{breakage.name}: the text is {count} times in {breakage.file}")
    return source.replace(breakage.old, breakage.new)


def copied(folder: Path) -> Path:
    """A copy of the project to break."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(
                ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".*")
            )
        elif (ROOT / part).exists():
            shutil.copy(ROOT / part, folder / part)
    return folder


def tried(breakage: Breakage, copy: Path) -> Outcome:
    """Plant a breakage in the copy, run its tests, and take it out again."""
    file = copy / breakage.file
    source = file.read_text(encoding="utf-8")
    file.write_text(planted(breakage, source), encoding="utf-8")
    begun = time.monotonic()
    try:
        outcome = run_tests(breakage, copy)
    finally:
        file.write_text(source, encoding="utf-8")
    return outcome._replace(seconds=time.monotonic() - begun)


def run_tests(breakage: Breakage, copy: Path) -> Outcome:
    """Run a breakage's tests in the copy as it is."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-rfE", "--tb=no", "-p",
               "no:cacheprovider", *breakage.tests]  # fmt: skip
    settings = {
        **os.environ, "PYTHONPATH": str(copy), "EVENTSTORE_TEST_BUDGET": "1",
        # What was compiled of one breakage must not be taken for the next one.
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=copy, env=settings, capture_output=True, text=True, timeout=SECONDS_MAX,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(None, f"the tests took more than {SECONDS_MAX} s", 0.0)
    first = _FIRST.search(done.stdout)
    if done.returncode == _FAILED and first is not None:
        return Outcome(first[1], "", 0.0)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return Outcome(None, lines[-1] if lines else f"pytest ended with {done.returncode}", 0.0)


def main() -> int:
    """Plant and print; 1 when a breakage was not caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="breakages with this in their name")
    options = parser.parse_args()
    chosen = [one for one in BREAKAGES if options.only in one.name]
    missed, begun = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="eventstore-mutants-") as name:
        copy = copied(Path(name))
        for breakage in chosen:
            outcome = tried(breakage, copy)
            missed += outcome.test is None
            caught = outcome.test or f"NOT CAUGHT ({outcome.told})"
            print(f"{breakage.name:40} {outcome.seconds:6.1f} s  {caught}", flush=True)
    print(f"{len(chosen)} breakages, {missed} not caught, {time.monotonic() - begun:.0f} s")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
