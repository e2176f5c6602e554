"""The store for asyncio: the same names, awaitable, never blocking the event loop."""

from __future__ import annotations
