"""The shim between SQLite and the real files: it counts, fails, and tells the model of the disk.

Calls go through to SQLite's own VFS, so the real files hold what programs read. Memory that
processes share for the write-ahead log, and locks on it, are not reached: apsw hands those calls
through without asking.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

from eventstore.testing.faults.disk import Disk, Mix
from eventstore.testing.faults.plan import Fault, Kind, Outcome, Plan, error_of

_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


class FaultyDisk:
    """While it is entered, every connection that is opened stands on it.

    `lies` makes a disk that says it synced and does not; `capacity` one that is full after so many
    bytes have been written to the ends of files.
    """

    def __init__(
        self, faults: Sequence[Fault] = (), *, lies: bool = False, capacity: int | None = None
    ) -> None:
        self.plan = Plan(faults)
        self.disk = Disk(lies=lies)
        self.left = capacity
        self._vfs: _Vfs | None = None

    def __enter__(self) -> Self:
        self._vfs = _Vfs(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._vfs is not None
        self._vfs.unregister()
        self._vfs = None

    @property
    def calls(self) -> int:
        """How many calls were made until now."""
        return self.plan.calls

    def after_power_loss(self, seed: int, folder: Path, mix: Mix | None = None) -> None:
        """Write what a power loss at this moment leaves into `folder`; see `Disk`."""
        self.disk.after_power_loss(seed, folder, mix)

    def meets(self, kind: Kind, path: str) -> Outcome | None:
        """Count a call; raises what SQLite is told unless half of the call is to be done."""
        outcome = self.plan.next(kind, path)
        if outcome is None or (outcome is Outcome.SHORT and kind in (Kind.READ, Kind.WRITE)):
            return outcome
        if outcome is Outcome.LOST and kind is Kind.SYNC:
            self.disk.drop_pending(path)
        raise error_of(kind, outcome)

    def sleep(self, microseconds: int) -> int:
        """Wait for a lock that another connection holds, as SQLite asks; the time that it took."""
        time.sleep(microseconds / 1_000_000)
        return microseconds

    def take_room(self, grown: int) -> bool:
        """Whether a file may grow by so many bytes."""
        if self.left is None or grown <= 0:
            return True
        if grown > self.left:
            return False
        self.left -= grown
        return True


class _Vfs(apsw.VFS):
    def __init__(self, disk: FaultyDisk) -> None:
        self.disk = disk
        self.base = apsw.vfs_names()[0]
        super().__init__(f"faulty-{id(disk):x}", base=self.base, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self.disk.meets(Kind.OPEN, path)
        return _File(self.disk, self.base, path, name, flags)

    def xAccess(self, path: str, flags: int) -> bool:  # noqa: N802
        self.disk.meets(Kind.ACCESS, path)
        return super().xAccess(path, flags)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return self.disk.sleep(microseconds)

    def xDelete(self, path: str, sync_folder: bool) -> None:  # noqa: N802
        self.disk.meets(Kind.DELETE, path)
        super().xDelete(path, sync_folder)
        self.disk.disk.remove(path)
        if sync_folder:
            self.disk.disk.sync_folder(os.path.dirname(path))


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, base: str, path: str, name: Any, flags: list[int]) -> None:
        self.disk = disk
        self.path = path
        existed = os.path.exists(path)
        super().__init__(base, name, flags)
        #: SQLite's VFS syncs the folder with the first sync of a journal that it made.
        self.syncs_folder = not existed and bool(flags[0] & _JOURNALS)
        self.disk.disk.open(
            path, lambda: super(_File, self).xRead(super(_File, self).xFileSize(), 0)
        )

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        outcome = self.disk.meets(Kind.READ, self.path)
        data = super().xRead(amount, offset)
        return data[: len(data) // 2] if outcome is Outcome.SHORT else data

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        outcome = self.disk.meets(Kind.WRITE, self.path)
        half = data[: len(data) // 2] if outcome is Outcome.SHORT else data
        if not self.disk.take_room(offset + len(data) - super().xFileSize()):
            raise error_of(Kind.WRITE, Outcome.FULL)
        super().xWrite(half, offset)
        self.disk.disk.write(self.path, offset, bytes(half))
        if outcome is Outcome.SHORT:
            raise error_of(Kind.WRITE, Outcome.ERROR)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.disk.meets(Kind.TRUNCATE, self.path)
        super().xTruncate(size)
        self.disk.disk.truncate(self.path, size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.meets(Kind.SYNC, self.path)
        super().xSync(flags)
        self.disk.disk.sync(self.path, folder=self.syncs_folder)
        self.syncs_folder = False

    def xFileSize(self) -> int:  # noqa: N802
        self.disk.meets(Kind.SIZE, self.path)
        return super().xFileSize()

    def xLock(self, level: int) -> None:  # noqa: N802
        self.disk.meets(Kind.LOCK, self.path)
        super().xLock(level)
