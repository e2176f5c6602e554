"""The SQLite log fulfils the contract of a log, in a file and in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from eventstore.log.engine import Durability
from eventstore.log.port import Log
from eventstore.log.sqlite import SqliteLog
from eventstore.testing import LogContract


class TestSqliteLogInAFile(LogContract):
    def fresh_log(self) -> Log:
        self.folder = tempfile.TemporaryDirectory()
        return SqliteLog(Path(self.folder.name) / "s.db", durability=Durability.NORMAL)

    def teardown_method(self) -> None:
        super().teardown_method()
        self.folder.cleanup()


class TestSqliteLogInMemory(LogContract):
    def fresh_log(self) -> Log:
        return SqliteLog(":memory:")
