"""Coverage-guided fuzzing: ``python tests/fuzz/fuzz.py [TARGET]... [--seconds 60]``.

Needs atheris (``pip install atheris``). Each target runs in a process of its own. What breaks it is
written to ``tests/fuzz/findings/TARGET/``; what is there is a test from then on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent)]

#: Of a run: seconds for one input, and MiB of memory.
SECONDS_MAX, MEMORY_MAX = 30, 2_048


def fuzz_here(name: str, corpus: str, seconds: int) -> None:
    """Fuzz one target in this process; ends it."""
    import atheris

    with atheris.instrument_imports(include=["eventstore", "projections"]):
        from targets import TARGETS

    findings = HERE / "findings" / name
    findings.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-timeout={SECONDS_MAX}",
               f"-rss_limit_mb={MEMORY_MAX}", f"-artifact_prefix={findings}/", "-max_len=65536",
               "-print_final_stats=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, corpus], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets one after the other; 1 when one broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="all unless named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--here", metavar="CORPUS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        fuzz_here(options.targets[0], options.here, options.seconds)
    from seeds import seeds
    from targets import TARGETS

    broken = []
    for name in options.targets or TARGETS:
        with tempfile.TemporaryDirectory(prefix="eventstore-corpus-") as corpus:
            for number, seed in enumerate(seeds(name)):
                (Path(corpus) / str(number)).write_bytes(seed)
            run = subprocess.run(
                [sys.executable, __file__, name, "--here", corpus, "--seconds",
                 str(options.seconds)], stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        stats = dict(line.removeprefix("stat::").split(":", 1) for line in run.stderr.splitlines()
                     if line.startswith("stat::"))  # fmt: skip
        executed = stats.get("number_of_executed_units", "?").strip()
        print(
            f"{name}: {executed} inputs in {options.seconds} s, exit {run.returncode}", flush=True
        )
        if run.returncode:
            broken.append(name)
            print(run.stderr[-3_000:])
    print(f"broken: {', '.join(broken)}" if broken else "nothing was broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
