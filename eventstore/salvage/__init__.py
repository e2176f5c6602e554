"""Saving what is left of a damaged file into a new store; see `salvaging.salvage`."""

from eventstore.salvage.salvaging import Report, salvage

__all__ = ["Report", "salvage"]
