"""The breakages fit the source, and tests notice them."""

from __future__ import annotations

from pathlib import Path

import pytest
from breakages import BREAKAGES, Breakage
from engine_support import budget
from plant import ROOT, copied, planted, run_tests, tried

SLOW = BREAKAGES[:: max(1, len(BREAKAGES) // budget(len(BREAKAGES)))]


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda one: one.name)
def test_the_text_of_a_breakage_is_in_the_source_once(breakage: Breakage) -> None:
    source = (ROOT / breakage.file).read_text(encoding="utf-8")
    assert planted(breakage, source) != source
    compile(planted(breakage, source), breakage.file, "exec")
    for test in breakage.tests:
        assert (ROOT / test.partition("::")[0]).is_file()


def test_a_text_that_is_not_there_or_twice_is_an_error() -> None:
    breakage = BREAKAGES[0]
    for source in ("", breakage.old * 2):
        with pytest.raises(ValueError, match="times in"):
            planted(breakage, source)


@pytest.mark.slow
def test_tests_that_catch_pass_in_an_unbroken_copy(tmp_path: Path) -> None:
    """Otherwise it would not be the breakage that they catch."""
    copy = copied(tmp_path)
    for breakage in SLOW:
        outcome = run_tests(breakage, copy)
        assert (outcome.test, "passed" in outcome.told) == (None, True), outcome


@pytest.mark.slow
@pytest.mark.parametrize("breakage", SLOW, ids=lambda one: one.name)
def test_a_breakage_is_caught(breakage: Breakage, tmp_path: Path) -> None:
    outcome = tried(breakage, copied(tmp_path))
    assert outcome.test is not None, outcome.told
