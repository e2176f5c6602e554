"""The projections of one store: which there are, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apsw

from eventstore import claims, codec, snapshots
from eventstore.checkpoints import notes
from eventstore.consumers import positions as consumers
from eventstore.errors import ProjectionBehindError, ProjectionError
from eventstore.log import reading
from eventstore.log.port import Head
from eventstore.log.sqlite import SqliteLog
from eventstore.log.transaction import SqliteTransaction
from eventstore.traces import due
from projections import checkpoints
from projections.activities.projection import Activities
from projections.base import OF_THE_FILE, Projection, StaleError
from projections.builtin import BUILTIN
from projections.catchup import catch_up, catch_up_here, missing_in, reset, usable
from projections.check import Difference, check
from projections.inline import BUILTIN_NAME, InlineProjections
from projections.rebuild import rebuild, shadow_of
from projections.search.projection import Search
from projections.tree.projection import Tree

#: Built-in projections that are caught up before a read, each with a checkpoint of its own.
ON_READ: tuple[type[Projection], ...] = (Search, Activities, Tree)

#: The names of every projection that a store has by itself.
NAMES = tuple(projection.name for projection in (*BUILTIN, *ON_READ))

#: Tables that stand beside the log and come with no migration.
_BESIDE_THE_LOG = (
    "projections", "snapshots", "claims", "consumers", "erasures_due", *notes.TABLES,
)  # fmt: skip
_THERE = "SELECT count(*) FROM sqlite_schema WHERE name IN (SELECT value FROM json_each(?))"


class Registry:
    """The built-in projections and a user's own."""

    def __init__(self, users: Sequence[type[Projection]]) -> None:
        self.builtin = tuple(cls() for cls in BUILTIN)
        self.on_read = tuple(cls() for cls in ON_READ)
        self.users = tuple(cls() for cls in users)
        every = (*self.builtin, *self.on_read, *self.users)
        names = [projection.name for projection in every]
        tables = [table for projection in every for table in projection.tables]
        if len(set(names)) < len(names) or len(set(tables)) < len(tables) or BUILTIN_NAME in names:
            raise ProjectionError(
                f"names and tables of projections must differ: {sorted(names)}, {sorted(tables)}"
            )
        inline = [projection for projection in self.users if projection.inline]
        self.inline = InlineProjections(self.builtin, inline)

    def prepare(self, log: SqliteLog) -> None:
        """Create the tables that are missing and catch up what must be current."""

        def work(transaction: SqliteTransaction) -> None:
            connection = transaction.connection
            snapshots.create_table(connection)
            claims.create_table(connection)
            checkpoints.create_table(connection)
            consumers.create_table(connection)
            due.create_table(connection)
            notes.create_tables(connection)
            try:
                catch_up_here(connection, self.builtin, BUILTIN_NAME, self.inline.version)
            except ProjectionError:  # rows that the log does not give are in the way
                reset(connection, self.builtin, BUILTIN_NAME, self.inline.version)
                catch_up_here(connection, self.builtin, BUILTIN_NAME, self.inline.version)

        with log.reader() as connection:
            there = connection.execute(_THERE, (codec.encode(_BESIDE_THE_LOG).decode(),)).get
            ready = there == len(_BESIDE_THE_LOG) and self.is_current(connection)
        if not ready:
            log.transact(work, exclusive=True)
        for projection in self.inline.users:
            try:
                catch_up(log, (projection,), projection.name, projection.version)
            except ProjectionError as error:
                self.inline.detach(projection.name, error)

    def is_current(self, connection: apsw.Connection) -> bool:
        """Whether the built-in projections are at the head, derived by this very version."""
        head = usable(connection, self.builtin, BUILTIN_NAME, self.inline.version)
        return head == reading.head_of(connection)

    def _chosen(self, names: Sequence[str] | None) -> list[tuple[str, int, list[Projection]]]:
        """Groups of projections that share a checkpoint: ``(checkpoint, version, projections)``."""
        own = (*self.on_read, *self.users)
        known = {projection.name: projection for projection in (*self.builtin, *own)}
        chosen = list(known) if names is None else list(names)
        for name in chosen:
            if name not in known:
                raise ProjectionError(f"there is no projection {name!r}; there are {list(known)}")
        groups = [
            (projection.name, projection.version, [projection])
            for projection in own
            if projection.name in chosen
        ]
        builtin = [projection for projection in self.builtin if projection.name in chosen]
        if builtin:
            groups.insert(0, (BUILTIN_NAME, self.inline.version, builtin))
        return groups

    def rebuild(
        self,
        log: SqliteLog,
        names: Sequence[str] | None,
        progress: Callable[[str, int, int], None] | None,
    ) -> list[str]:
        """Rebuild the named projections, all if None; the names of those rebuilt.

        Built-in ones of which it is not known how far they are, are rebuilt with any of them.
        """
        done: list[str] = []
        for checkpoint, version, chosen in self._chosen(names):
            shared = checkpoint == BUILTIN_NAME
            members = chosen if not shared or self._is_known(log) else list(self.builtin)
            label = ", ".join(projection.name for projection in members)

            def told(position: int, head: int, label: str = label) -> None:
                if progress is not None:
                    progress(label, position, head)

            others = [one for one in self.builtin if one not in members] if shared else []
            rebuild(
                log, members, checkpoint, version,
                others=others, kept_at_head=shared, progress=told,
            )  # fmt: skip
            for projection in members:
                self.inline.detached.pop(projection.name, None)
                done.append(projection.name)
        return done

    def _is_known(self, log: SqliteLog) -> bool:
        with log.snapshot() as connection:
            return bool(usable(connection, self.builtin, BUILTIN_NAME, self.inline.version))

    def check(
        self,
        log: SqliteLog,
        names: Sequence[str] | None,
        progress: Callable[[int, int], None] | None,
    ) -> list[Difference]:
        """The differences between the named projections' rows and what the log gives."""
        found: list[Difference] = []
        for checkpoint, _, members in self._chosen(names):

            def reached(connection: apsw.Connection, _: Projection, name: str = checkpoint) -> int:
                at = checkpoints.read(connection, name)
                return 0 if at is None else at.head.position

            found.extend(check(log, members, reached, progress))
        return found

    def catch_up(self, log: SqliteLog, name: str, seconds: float | None) -> int:
        """Catch up one on-read projection; the number of events it still lacks."""
        for checkpoint, version, members in self._chosen([name]):
            if checkpoint != BUILTIN_NAME:
                return catch_up(log, members, checkpoint, version, seconds=seconds)
        return 0

    def catch_up_within(self, connection: apsw.Connection, name: str) -> None:
        """Catch up one on-read projection wholly, in the transaction that is open."""
        for checkpoint, version, members in self._chosen([name]):
            catch_up_here(connection, members, checkpoint, version)

    def missing(self, connection: apsw.Connection, name: str) -> int:
        """The number of events at the end of the log that a projection does not have yet."""
        [(checkpoint, version, members)] = self._chosen([name])
        return missing_in(connection, members, checkpoint, version)

    def reached(self, connection: apsw.Connection, name: str) -> int | None:
        """The position that a projection has reached, None when its tables cannot be used.

        They are not there, or of another version or history.
        """
        [(checkpoint, version, members)] = self._chosen([name])
        head = usable(connection, members, checkpoint, version)
        return None if head is None else head.position

    def erase(self, connection: apsw.Connection, positions: Sequence[int]) -> None:
        """Have every projection let go of the text of these events, which is still there.

        Tables that cannot be trusted to, and half-made ones of a rebuild, are dropped: they are
        made anew from the log, without the text.
        """
        for projection in (*self.on_read, *self.users):
            if type(projection).erase is Projection.erase:
                continue
            shadow_of(projection).drop(connection)
            events = reading.by_positions(connection, positions, content=True)
            try:
                if usable(connection, [projection], projection.name, projection.version) is None:
                    raise StaleError("the tables are of another version or history")
                projection.erase(connection, events)
            except Exception as error:
                if isinstance(error, OF_THE_FILE) and not isinstance(error, apsw.CorruptError):
                    raise
                projection.drop(connection)
                checkpoints.delete(connection, projection.name)
                if not isinstance(error, StaleError):
                    self.inline.detach(projection.name, ProjectionError(str(error)))

    def require_current(
        self, connection: apsw.Connection, name: str, head: Head | None = None
    ) -> None:
        """Raise `ProjectionBehindError` unless a projection has come to `head`, or to the end."""
        wanted = (head or reading.head_of(connection)).position
        for checkpoint, version, members in self._chosen([name]):
            at = usable(connection, members, checkpoint, version) or checkpoints.START
            missing = wanted - at.position
            if missing > 0:
                raise ProjectionBehindError(
                    f"projection {name!r} lacks the last {missing} events; give it more time, or "
                    "open the store for writing once"
                )
