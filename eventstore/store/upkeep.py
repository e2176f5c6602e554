"""What keeps a store sound: verify, check, rebuild, and bringing projections forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import apsw

from eventstore import claims, snapshots, traces
from eventstore.errors import ProjectionError
from eventstore.log.sqlite import SqliteLog
from eventstore.log.verification import Finding, verify
from eventstore.store.derived import Registry
from eventstore.vacuum import Vacuumed, vacuum
from projections.check import Difference


class Upkeep:
    """The part of a `SessionStore` that looks after what is stored and what is derived from it."""

    log: SqliteLog
    derived: Registry

    def verify(self, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
        """Check every row of the log against its hashes; an empty list means nothing was changed.

        `progress` is told ``(position, head)`` from time to time.
        """
        return list(verify(self.log, progress))

    def rebuild(
        self,
        names: Sequence[str] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[str]:
        """Derive projections anew from the log and swap them in; the names of those rebuilt.

        Readers and writers go on meanwhile; an interrupted rebuild is resumed by the next one.
        Stale snapshots are dropped, and without `names` claims are made anew. `progress` is told
        ``(name, position, head)``.
        """
        rebuilt = self.derived.rebuild(self.log, names, progress)
        self.log.transact(lambda tx: snapshots.drop_stale(tx.connection), exclusive=True)
        if names is None:
            self.log.transact(lambda tx: claims.rebuild(tx.connection), exclusive=True)
        return rebuilt

    def check(
        self,
        names: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Difference]:
        """Derive projections a second time and compare row by row; no difference means correct."""
        return self.derived.check(self.log, names, progress)

    def catch_up(self, name: str, *, seconds: float | None = None) -> int:
        """Bring an on-read projection forward; the number of events it still lacks."""
        return self.derived.catch_up(self.log, name, seconds)

    @contextmanager
    def read(self, name: str, *, seconds: float | None = None) -> Iterator[apsw.Connection]:
        """A connection for reading a projection's tables, caught up first.

        Raises `ProjectionBehindError` when the time budget did not suffice, or when the store was
        opened read-only and the projection is behind.
        """
        head = None if self.log.readonly else self.log.head()
        if head is not None:
            self.catch_up(name, seconds=seconds)
        with self.log.snapshot() as connection:
            # What others append meanwhile is for the next reader.
            self.derived.require_current(connection, name, head)
            connection.execute("PRAGMA query_only = ON").fetchall()
            try:
                yield connection
            finally:
                connection.execute("PRAGMA query_only = OFF").fetchall()

    def detached(self) -> dict[str, ProjectionError]:
        """User projections that failed inline and stay behind until they are rebuilt."""
        return dict(self.derived.inline.detached)

    def finish_erasures(self) -> bool:
        """Finish erasures that left, or may have left, traces in the file; whether all are done.

        May write the whole file anew. `eventstore.traces.finish` also tells what stood in the way.
        """
        return traces.finish(self.log).complete

    def vacuum(
        self,
        *,
        seconds: float | None = None,
        full: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Vacuumed:
        """Give space that nothing uses back to the file system; see `eventstore.vacuum.vacuum`.

        At most for about `seconds`, in short transactions; with `full` the file is written anew.
        """
        return vacuum(self.log, seconds=seconds, full=full, progress=progress)
