"""What every test runs in, and `--not-passed`, which runs what did not pass yet.

A run without the option begins the list of the tests that passed anew, one with it goes on with
it. So what was skipped for want of a package is run, and nothing else, when the package is there.
"""

from __future__ import annotations

import os
import sys
import tempfile

import pytest

KEY = "eventstore/passed"


class Passing:
    """Keeps which tests passed, and takes them out if asked to."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        assert config.cache is not None
        self.only_others = config.getoption("--not-passed")
        self.passed = set(config.cache.get(KEY, []) if self.only_others else [])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.only_others:
            passed = [one for one in items if one.nodeid in self.passed]
            items[:] = [one for one in items if one.nodeid not in self.passed]
            self.config.hook.pytest_deselected(items=passed)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        elif report.failed:
            self.passed.discard(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        if not hasattr(self.config, "workerinput") and not self.config.option.collectonly:
            assert self.config.cache is not None
            self.config.cache.set(KEY, sorted(self.passed))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--not-passed", action="store_true", help="only tests that did not pass yet")


def pytest_configure(config: pytest.Config) -> None:
    if sys.dont_write_bytecode and "PYTHONDONTWRITEBYTECODE" in os.environ:
        # Each of the many processes that tests start would compile everything anew.
        folder = tempfile.TemporaryDirectory(prefix="eventstore-compiled-")
        config.add_cleanup(folder.cleanup)
        del os.environ["PYTHONDONTWRITEBYTECODE"]
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name
    if config.pluginmanager.hasplugin("cacheprovider"):
        config.pluginmanager.register(Passing(config))
