"""Mending what is derived. Nothing here changes a row of the log, or deletes one.

A file whose pages are damaged, or whose log is not as it was written, is left wholly alone: writing
to the first can make it worse, and the second is evidence. Triggers, views and indexes are put
back, because the code says what they must be and they hold nothing that the log does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from eventstore import claims, snapshots
from eventstore.doctor.report import Diagnosis, Severity
from eventstore.doctor.schema import (
    LOG_TABLES,
    all_tables,
    is_of_a_rebuild,
    pattern,
    things_in,
)
from eventstore.doctor.sessions import Snapshot
from eventstore.log import engine
from eventstore.log.engine import Durability, rows_of
from eventstore.store.derived import ON_READ
from eventstore.store.session_store import SessionStore
from projections import checkpoints
from projections.base import Projection
from projections.builtin import BUILTIN
from projections.rebuild import SUFFIX

_GUARDS = ("schema.index", "schema.trigger", "schema.view")
_CACHES = ("snapshots", "projections", "claims")
_DERIVED_ANEW = (
    "projection.checkpoint", "projection.rows", "search.index", "sqlite.index", "schema.index",
    "schema.derived-table",
)  # fmt: skip
_NAMES = "SELECT name FROM projections"


def is_allowed(findings: Sequence[Diagnosis]) -> bool:
    """Whether the file may be written to: nothing is wrong that cannot be derived anew."""
    return not any(one.severity is Severity.ERROR and not one.fixable for one in findings)


def mend(
    path: str,
    findings: Sequence[Diagnosis],
    bad_snapshots: Sequence[Snapshot],
    users: Sequence[type[Projection]],
) -> None:
    """Make anew what the findings say is wrong and can be derived."""
    connection = engine.connect(path, Durability.FULL, readonly=False)
    try:
        with engine.translated(path):
            connection.set_busy_timeout(0)
            engine.begin_immediate(connection.cursor())
            _restore_schema(connection, findings)
            _drop_unfinished(connection)
            for stream, version in bad_snapshots:
                snapshots.drop(connection, stream, version)
            connection.execute("COMMIT")
    finally:
        with engine.translated(path):
            connection.close()
    codes = {one.code for one in findings}
    with SessionStore.open(path, create=False, projections=users) as store:
        tables = {one.table for one in findings if one.code in _DERIVED_ANEW}
        registry = store.derived
        names = [
            one.name
            for one in (*registry.builtin, *registry.on_read, *registry.users)
            if not tables.isdisjoint(all_tables(type(one)))
        ]
        if names:
            store.rebuild(names)
        if "claims.rows" in codes:
            store.log.transact(lambda tx: claims.rebuild(tx.connection), exclusive=True)
        if "file.wal" in codes:
            store.log.truncate_wal()


def _restore_schema(connection: apsw.Connection, findings: Sequence[Diagnosis]) -> None:
    wanted = pattern()
    changed = {one.table for one in findings if one.code == "schema.derived-table"}
    for projection in (*BUILTIN, *ON_READ):
        if not changed.isdisjoint(all_tables(projection)):
            _drop(connection, projection)
    for name in _CACHES:
        if name in changed:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
    snapshots.create_table(connection)
    checkpoints.create_table(connection)
    claims.create_table(connection)
    touched = {one.table for one in findings if one.code in _GUARDS}
    for thing in wanted.values():
        if thing.table in touched and thing.kind != "table" and _is_of_the_log(thing.table):
            connection.execute(f"DROP {thing.kind} IF EXISTS {thing.name}")
            connection.execute(thing.sql)
    for one in findings:
        if one.code == "sqlite.index" and one.table in LOG_TABLES:
            connection.execute(f"REINDEX {one.table}")


def _is_of_the_log(table: str) -> bool:
    return table in LOG_TABLES or table == "log"


def _drop(connection: apsw.Connection, projection: type[Projection]) -> None:
    """Drop a projection's tables; a virtual one can only be dropped with its insides there."""
    found = things_in(connection)
    if any(table in found and "virtual" in found[table].sql.lower() for table in projection.tables):
        for name in all_tables(projection) - set(projection.tables) - set(found):
            connection.execute(pattern()[name].sql)
            if name.endswith("_config"):
                connection.execute(f"INSERT INTO {name} VALUES ('version', 4)")  # noqa: S608
    projection().drop(connection)


def _drop_unfinished(connection: apsw.Connection) -> None:
    """Drop the tables and checkpoints of rebuilds that did not come to their end."""
    for thing in list(things_in(connection).values()):
        ours = thing.name.endswith(SUFFIX) and is_of_a_rebuild(thing, pattern())
        if thing.kind == "table" and ours:
            connection.execute(f"DROP TABLE IF EXISTS {engine.quoted(thing.name)}")
    for (name,) in rows_of(connection, _NAMES):
        if f"{SUFFIX}:" in name:
            checkpoints.delete(connection, name)
