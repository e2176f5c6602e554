"""Faults below SQLite: a disk that fails, fills up and loses power, on demand and by a seed.

Every store that is opened while a `FaultyDisk` is in use stands on it:

>>> from eventstore.testing.faults import Fault, FaultyDisk, Kind
>>> with FaultyDisk([Fault(at=3, kind=Kind.WRITE)]) as disk:
...     disk.calls
0

What a disk does is deterministic: the same calls, faults and seeds give the same outcome. Only the
SQLite of `apsw` is reached; what a program does to files by other means is not.
"""

from __future__ import annotations

from eventstore.testing.faults.disk import Disk, Mix
from eventstore.testing.faults.plan import Fault, Kind, Outcome
from eventstore.testing.faults.vfs import FaultyDisk

__all__ = ["Disk", "Fault", "FaultyDisk", "Kind", "Mix", "Outcome"]
