"""Importer of little-loops' databases (``.ll/session.db``, later ``.ll/history.db``)."""

from __future__ import annotations

from eventstore.importers.little_loops.plugin import LittleLoops

__all__ = ["LittleLoops"]
