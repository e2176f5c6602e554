"""The file itself: who can read it, what SQLite says of its pages, and what takes room in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import apsw

from eventstore.doctor.report import Diagnosis, diagnosis
from eventstore.log.engine import rows_of
from eventstore.traces import due

#: A write-ahead log longer than this is told: nothing cuts it back while a reader holds it.
WAL_BYTES_MAX = 64 << 20

#: Free pages are told when they are more than this share of the file, and more than `FREE_MIN`.
FREE_SHARE = 0.25
FREE_MIN = 1000

#: Damage reported at most.
REPORTED_MAX = 20

#: What SQLite says when a full-text index lacks its insides; it checks nothing else then.
VIRTUAL = "vtable constructor failed"
SEARCH = "search_index"

_INDEX_FAULT = re.compile(
    r"(?:missing from|wrong # of entries in|non-unique entry in|differ from|of) index (\S+)$"
)
_STRICT_FAULT = re.compile(r"^(?:NULL|(?:non-)?[A-Z]+) value in (\w+)\.")
_INDEX_TABLE = "SELECT tbl_name FROM sqlite_schema WHERE type = 'index' AND name = ?"


def files(path: str) -> Iterator[Diagnosis]:
    """What the file system says of the store's files; they are not opened."""
    for name in (path, f"{path}-wal", f"{path}-shm"):
        try:
            status = os.stat(name)
        except FileNotFoundError:
            continue
        if os.name == "posix" and status.st_mode & 0o077:
            mode = status.st_mode & 0o777
            yield diagnosis("file.mode", f"{Path(name).name} has the mode {mode:04o}, not 0600")
        if name.endswith("-wal") and status.st_size > WAL_BYTES_MAX:
            yield diagnosis("file.wal", f"the write-ahead log has {status.st_size:,} bytes")


def free_pages(connection: apsw.Connection) -> Iterator[Diagnosis]:
    """Room in the file that nothing uses."""
    free = int(rows_of(connection, "PRAGMA freelist_count")[0][0])
    pages = int(rows_of(connection, "PRAGMA page_count")[0][0])
    if free > FREE_MIN and free > pages * FREE_SHARE:
        yield diagnosis("file.free-pages", f"{free:,} of {pages:,} pages are free")


def unfinished_erasures(connection: apsw.Connection) -> Iterator[Diagnosis]:
    """Erasures of which traces may be left in the file or its write-ahead log."""
    for one in due.read(connection):
        cause = one.cause or "nobody has looked yet"
        yield diagnosis(
            "file.erasures", f"an erasure is not finished: {cause}", position=one.position
        )


def integrity(connection: apsw.Connection, derived: set[str]) -> Iterator[Diagnosis]:
    """SQLite's own check of every page, index and full-text index.

    Only what is plainly the fault of an index or of a derived row is told as that; whatever else
    SQLite says counts as damage of the file.
    """
    indexes: dict[str, str] = {}
    try:
        rows = rows_of(connection, f"PRAGMA integrity_check({REPORTED_MAX})")
    except apsw.SQLError as error:
        if VIRTUAL not in str(error):
            raise
        yield diagnosis("search.index", f"SQLite cannot check the file: {error}", table=SEARCH)
        return
    for (text,) in rows:
        fault = _INDEX_FAULT.search(text)
        strict = _STRICT_FAULT.match(text)
        if text == "ok":
            continue
        if "fts5" in text.lower():
            yield diagnosis("search.index", text, table=SEARCH)
        elif fault is not None:
            indexes.setdefault(fault[1], text)
        elif strict is not None and strict[1] in derived:
            yield diagnosis("projection.rows", text, table=strict[1])
        else:
            yield diagnosis("sqlite.damage", text)
    for name, text in indexes.items():
        table = connection.execute(_INDEX_TABLE, (name,)).get or name
        yield diagnosis("sqlite.index", text, table=str(table))
