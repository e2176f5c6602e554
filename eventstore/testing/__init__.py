"""Contract tests for other people's log backends: subclass `LogContract` and run pytest."""

from __future__ import annotations

from eventstore.testing.log_contract import LogContract

__all__ = ["LogContract"]
