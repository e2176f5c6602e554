"""Importer of Hermes Agent's session databases (`state.db`, schemas up to 22)."""

from __future__ import annotations

from eventstore.importers.hermes.plugin import Hermes

__all__ = ["Hermes"]
