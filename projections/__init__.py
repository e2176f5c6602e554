"""Read models derived from the log: the framework and the built-in ones.

A projection never writes the log, and the log knows none by name. Everything here can be dropped
and rebuilt at any time.
"""

from __future__ import annotations

from projections.base import Projection

__all__ = ["Projection"]
