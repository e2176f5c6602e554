"""The composition root: log, rules, snapshots and projections joined into `SessionStore`."""

from __future__ import annotations
