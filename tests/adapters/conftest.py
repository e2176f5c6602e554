"""Where the originals are installed, a test that is skipped has failed.

With ``EVENTSTORE_ORIGINALS=required`` a skip for any reason but the allowed ones fails: it would
take what is compared with an original out of the run, and nobody would see it.
"""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

REQUIRED = os.environ.get("EVENTSTORE_ORIGINALS") == "required"

#: Two versions of nanobot cannot be installed at once, Windows has no fork, and real transcripts
#: are not part of the project.
ALLOWED = ("needs nanobot-ai>=0.3.5", "there is no fork", "the transcripts ")


def not_skipped(report: Report) -> Report:
    """The report, failed where it is of a skip that is not allowed."""
    if REQUIRED and report.skipped and not hasattr(report, "wasxfail"):
        why = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not why.removeprefix("Skipped: ").startswith(ALLOWED):
            report.outcome = "failed"
            report.longrepr = f"{why}, where EVENTSTORE_ORIGINALS=required"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return not_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return not_skipped((yield))
