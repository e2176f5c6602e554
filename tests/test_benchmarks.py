"""The benchmark runs and prints rows, whatever is installed, real transcripts or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parent / "benchmarks" / "run.py"
FIELDS = {"row", "engine", "value", "unit", "samples"}


def test_a_quick_run_prints_rows(tmp_path: Path) -> None:
    options = ["--quick", "--json", "--factor", "0.02"]
    done = subprocess.run(
        [sys.executable, str(RUN), *options],
        env={**os.environ, "EVENTSTORE_TEST_DATA": str(tmp_path)},
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert all(set(row) == FIELDS for row in rows)
    notes = [row["engine"] for row in rows if row["row"] == "settings"]
    assert "quick run: fewer samples, shorter history" in notes
    assert "made messages" in notes
    measured = [row for row in rows if row["value"] is not None]
    assert all(row["value"] > 0 and row["unit"] and row["samples"] for row in measured)
    found = {(row["row"].split(",")[0], row["engine"]) for row in measured}
    for subject in ("append", "resume", "as-of read", "peak memory of import", "file"):
        assert (subject, "agent-eventstore") in found
    assert ("append", "bare INSERT") in found
    for engine in ("agent-eventstore", "FTS5 by hand"):
        assert ("index of 400 messages built", engine) in found
        assert ("search of 400 messages", engine) in found
    absent = {row["engine"] for row in rows if row["row"].startswith("absent: ")}
    for peer in ("power-loop", "Hermes SessionDB", "eventsourcing recorder", "eventsource-py"):
        assert (peer in absent) != (("append", peer) in found)
