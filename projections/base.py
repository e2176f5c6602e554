"""What a projection is.

A projection is a read model: tables that are derived from the log and nothing else. It has a name,
a version, its tables' DDL, and `apply(connection, events)`. The same `apply` serves inline use,
catching up and rebuilding, with the events cut into any pages: rows must depend on the events
alone, never on the clock, on chance, or on where a page ends.

A projection with text of people or models in its tables must hold it as positions, joined with
`contents` when read; otherwise erasure would not reach it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import ClassVar, NamedTuple, TypeAlias

import apsw

from eventstore.errors import ProjectionError
from eventstore.events.catalogue import Event
from eventstore.log.inline import MessageColumns
from eventstore.log.port import Recorded

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"


#: Errors of the file itself; every other error is the fault of what a projection does with it.
OF_THE_FILE = (
    apsw.FullError, apsw.IOError, apsw.NoMemError, apsw.InterruptError, apsw.CorruptError,
    apsw.BusyError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.NotADBError,
)  # fmt: skip


#: Places in a `MessageColumns`.
POSITION, STREAM, VERSION, AT, SEQ, ROLE, ROUND, TOKENS = range(8)

#: Picks a statement's values out of a message.
Pick: TypeAlias = Callable[[MessageColumns], tuple[int | str | None, ...]]


class OneRow(NamedTuple):
    """A statement that changes one row, and what picks its values out of a message.

    One that may find no row `must_change` one all the same; otherwise the tables are made anew.
    """

    sql: str
    pick: Pick
    must_change: bool


class StaleError(Exception):
    """Raised by `apply` or `erase`: the tables cannot be brought forward and are made anew."""


class Projection(ABC):
    """Base of every projection, built in or a user's own.

    In `schema` and in the SQL given to `sql`, tables are written ``{table}``; each must be listed
    in `tables`. They are filled in with the live tables' names, or with those of the copy that a
    rebuild or a check writes. `indexes` is DDL for what only makes reading faster.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]]
    schema: ClassVar[str]
    indexes: ClassVar[str] = ""
    #: Written with each append; otherwise caught up before a read.
    inline: ClassVar[bool] = False
    #: Whether `apply` looks at `event.content` (None for it otherwise: reading it costs time).
    reads_content: ClassVar[bool] = False
    #: The types of events that change the tables; None when all do. A built-in projection is not
    #: asked to apply a commit that has none of them.
    reads: ClassVar[frozenset[type[Event]] | None] = None
    #: What `apply` does with one message without tool calls, which nearly every commit is; None
    #: where only `apply` can tell.
    of_message: tuple[OneRow, ...] | None = None

    def __init__(self, names: dict[str, str] | None = None) -> None:
        self.names = names or {table: table for table in self.tables}
        self.prepare()

    def sql(self, template: str) -> str:
        """A statement with this instance's table names filled in."""
        for table, name in self.names.items():
            template = template.replace("{" + table + "}", name)
        return template

    def prepare(self) -> None:  # noqa: B027
        """Make statements ready, if wanted: called once, when the table names are known."""

    @abstractmethod
    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        """Bring the tables forward by these events, which follow those applied before.

        Runs inside a transaction that also moves the checkpoint. May raise to refuse an event.
        """

    def erase(self, connection: apsw.Connection, events: Iterable[Recorded]) -> None:  # noqa: B027
        """Take the text of these events out of the tables: it is about to be wiped.

        Runs in the erasure's own transaction, for every projection that has tables; `events` still
        have their content and can be gone through once. Some may not have been applied yet. A
        projection that holds positions only has nothing to do. When this raises, the tables are
        dropped, text and all, and made anew from the log when they are needed.
        """

    def redact(
        self, connection: apsw.Connection, replaced: Sequence[tuple[Recorded, Recorded]]
    ) -> None:
        """Have the new text of these events in the place of the old: ``(before, after)`` of each.

        Runs in the redaction's own transaction, in which the log has the new text already. Some may
        not have been applied yet. Otherwise as `erase`; unless a projection that holds text has its
        own way, its tables are made anew from the log.
        """
        raise StaleError(f"projection {self.name!r} is made anew after a redaction")

    def compared(self, connection: apsw.Connection, table: str, qualified: str) -> str:
        """What `check` reads in the place of a table: the table itself, as ``schema.name``."""
        return qualified

    def create(self, connection: apsw.Connection, *, indexes: bool = True) -> None:
        """Create the tables."""
        connection.execute(self.sql(self.schema)).fetchall()
        if indexes:
            self.create_indexes(connection)

    def create_indexes(self, connection: apsw.Connection) -> None:
        """Create what makes reading faster."""
        if self.indexes:
            connection.execute(self.sql(self.indexes)).fetchall()

    def exists(self, connection: apsw.Connection) -> bool:
        """Whether all the tables are there."""
        found = {row[0] for row in connection.execute(_TABLES).fetchall()}
        return found.issuperset(self.names.values())

    def drop(self, connection: apsw.Connection) -> None:
        """Drop the tables where they exist."""
        for name in self.names.values():
            connection.execute(f"DROP TABLE IF EXISTS {name}")


def combined_version(projections: Iterable[Projection | type[Projection]]) -> int:
    """One number for the versions of projections that share a checkpoint, in their order."""
    return reduce(lambda total, projection: total * 100 + projection.version, projections, 0)


def apply_page(
    projection: Projection, connection: apsw.Connection, events: Sequence[Recorded]
) -> None:
    """Apply events; a failure names the projection and the stretch of the log."""
    if not events:
        return
    try:
        projection.apply(connection, events)
    except (*OF_THE_FILE, StaleError):
        raise
    except Exception as error:
        raise ProjectionError(
            f"projection {projection.name!r} cannot apply the events at positions "
            f"{events[0].position} to {events[-1].position}: {type(error).__name__}: {error}"
        ) from error
