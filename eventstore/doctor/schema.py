"""Whether the file has the tables, indexes, triggers and settings that a new store has.

The pattern is a store that is made in memory, so nothing is listed here twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import apsw

from eventstore.doctor.report import Diagnosis, diagnosis
from eventstore.log import schema
from eventstore.log.engine import MEMORY, rows_of
from eventstore.store.derived import ON_READ
from eventstore.store.session_store import SessionStore
from projections.base import Projection
from projections.rebuild import SUFFIX

#: The tables that are not derived from anything.
LOG_TABLES = ("streams", "events", "contents", "blobs", "blob_references")

_THINGS = (
    "SELECT type, name, tbl_name, sql FROM sqlite_schema "
    "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)
_QUOTE = re.compile("[\"'`]")
_COMMENT = re.compile(r"--[^\n]*")
_CODES = {"index": "schema.index", "trigger": "schema.trigger", "view": "schema.view"}


class Thing(NamedTuple):
    """A table, index, trigger or view as the schema has it."""

    kind: str
    name: str
    table: str
    sql: str


def things_in(connection: apsw.Connection) -> dict[str, Thing]:
    """Everything in a schema by name."""
    return {row[1]: Thing(*row) for row in rows_of(connection, _THINGS)}


@cache
def pattern() -> dict[str, Thing]:
    """Everything in a new store."""
    with SessionStore.open(MEMORY) as store:
        for projection in ON_READ:
            store.catch_up(projection.name)
        with store.log.reader() as connection:
            return things_in(connection)


def on_read_tables() -> list[set[str]]:
    """Of each projection that comes into being when it is first read, every table it has."""
    return [all_tables(projection) for projection in ON_READ]


def all_tables(projection: type[Projection]) -> set[str]:
    """A projection's tables, with those in which a full-text index keeps its insides."""
    if projection not in ON_READ:
        return set(projection.tables)
    return {
        name
        for name in pattern()
        if any(name == table or name.startswith(table + "_") for table in projection.tables)
    }


def identity(connection: apsw.Connection) -> Iterator[Diagnosis]:
    """The numbers in the file's header by which a store is known."""
    for name, wanted in (
        ("application_id", schema.APPLICATION_ID),
        ("user_version", len(schema.migrations())),
    ):
        found = connection.execute(f"PRAGMA {name}").get
        if found != wanted:
            yield diagnosis("schema.identity", f"{name} is {found}, not {wanted}")


def settings(connection: apsw.Connection) -> Iterator[Diagnosis]:
    """The settings that are kept in the file."""
    for name, wanted in (("journal_mode", "wal"), ("auto_vacuum", 2), ("encoding", "UTF-8")):
        found = connection.execute(f"PRAGMA {name}").get
        if found != wanted:
            yield diagnosis("schema.pragma", f"{name} is {found}, not {wanted}")


def schema_of(connection: apsw.Connection, known: set[str]) -> Iterator[Diagnosis]:
    """What the schema lacks, has otherwise, or has too much; `known` tables are a user's own."""
    wanted, found = pattern(), things_in(connection)
    lazy = {name for own in on_read_tables() if own.isdisjoint(found) for name in own}
    wanted = {name: thing for name, thing in wanted.items() if thing.table not in lazy}
    for name, thing in wanted.items():
        there = found.get(name)
        if there is None:
            yield _diagnosed(thing, "is missing")
        elif there.kind != thing.kind or plain(there.sql) != plain(thing.sql):
            yield _diagnosed(thing, "is not what a new store has")
    for name, thing in found.items():
        if name not in wanted and thing.table not in known:
            yield from _unknown(thing, wanted)


def _diagnosed(thing: Thing, what: str) -> Diagnosis:
    text = f"{thing.kind} {thing.name!r} {what}"
    if thing.kind != "table":
        return diagnosis(_CODES[thing.kind], text, table=thing.table)
    code = "schema.log-table" if thing.name in LOG_TABLES else "schema.derived-table"
    return diagnosis(code, text, table=thing.name)


def _unknown(thing: Thing, wanted: dict[str, Thing]) -> Iterator[Diagnosis]:
    text = f"{thing.kind} {thing.name!r} is none of ours"
    if is_of_a_rebuild(thing, wanted):
        if thing.kind == "table" and thing.name.endswith(SUFFIX):
            text = f"table {thing.name!r} is left of a rebuild that did not come to its end"
            yield diagnosis("projection.unfinished", text, table=thing.name)
    elif thing.kind == "trigger":
        yield diagnosis("schema.unknown-trigger", text, table=thing.table)
    else:
        yield diagnosis("schema.unknown", text, table=thing.table)


def is_of_a_rebuild(thing: Thing, wanted: dict[str, Thing]) -> bool:
    """Whether it belongs to the second set of tables that a rebuild writes."""
    base, mark, _ = thing.table.partition(SUFFIX)
    return bool(mark) and base in set(wanted).union(*on_read_tables())


def plain(sql: str) -> str:
    """A definition without what makes no difference: comments, blanks, quotes round names."""
    return " ".join(_QUOTE.sub("", _COMMENT.sub("", sql)).replace("(", " (").split()).lower()
