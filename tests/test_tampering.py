"""Whatever is changed in a closed file behind the store's back, `verify` finds it, and where."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
import pytest
from engine_support import BIG, BUDGET, budget, populated

from eventstore import SessionStore, errors
from eventstore.log import engine
from eventstore.log.sqlite import SqliteLog
from eventstore.log.verification import Finding, verify

SEED = 20250101

#: What identifies a row; rows are numbered in this order.
KEYS = {
    "events": "position", "contents": "position", "streams": "id", "blobs": "digest",
    "blob_references": "(digest, position)",
}  # fmt: skip
ORDER = {table: key.strip("()") for table, key in KEYS.items()}

COLUMNS = {
    "events": ("position", "stream", "version", "type", "schema", "recorded_at", "actor", "facts",
               "idempotency_key", "commitment", "leaf"),
    "contents": ("position", "salt", "body"),
    "streams": ("session_id", "incarnation", "uid"),
    "blobs": ("digest", "body"),
    "blob_references": ("digest", "position"),
}  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with every type of event, erased events, and an erased session."""
    path = tmp_path_factory.mktemp("tampering") / "s.db"
    with populated(path) as store:
        store.session("child").erase_events([store.session("child").messages()[0].position])
        store.session("gone~1").erase(reason="asked")
        store.create("twice").close()
        store.create("twice")
        assert store.verify() == []
    return path


class Tamperer:
    """A copy of the store that is edited through SQL, with the triggers gone."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.connection = apsw.Connection(self.path)
        for (name,) in self.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
            self.connection.execute(f"DROP TRIGGER {name}")

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()

    @contextmanager
    def reader(self) -> Iterator[apsw.Connection]:
        """All that `verify` wants of a log: a look at the edited rows."""
        with engine.translated(self.path):
            yield self.connection

    def found_after(self, *statements: tuple[str, tuple[Any, ...]]) -> list[Finding] | None:
        """The findings once the statements ran, which are undone; None when SQLite refused them."""
        self.connection.execute("BEGIN")
        try:
            for sql, values in statements:
                self.connection.execute(sql, values)
            return list(verify(self))  # type: ignore[arg-type]
        except apsw.ConstraintError:
            return None
        finally:
            self.connection.execute("ROLLBACK")


@pytest.fixture
def tamperer(original: Path, tmp_path: Path) -> Iterator[Tamperer]:
    path = tmp_path / "copy.db"
    shutil.copy(original, path)
    tamperer = Tamperer(path)
    yield tamperer
    tamperer.connection.close()


def flipped(value: Any, chance: random.Random) -> tuple[str, Any]:
    """``(SQL expression, bound value)`` that differs from `value` in one bit, or in being null."""
    if value is None:
        return "?", None
    if isinstance(value, int):
        return "?", value ^ (1 << chance.randrange(0, 40))
    data = bytearray(value.encode() if isinstance(value, str) else value)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return ("CAST(? AS TEXT)" if isinstance(value, str) else "?"), bytes(data)


INVENTED: dict[str, Any] = {
    "idempotency_key": "invented", "commitment": b"\1" * 32, "salt": b"\1" * 32, "body": "{}",
}  # fmt: skip


def cells(tamperer: Tamperer) -> list[tuple[str, int, str, Any]]:
    """Every ``(table, row number, column, value)`` of the log."""
    found = []
    for table, columns in COLUMNS.items():
        sql = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {ORDER[table]}"
        for number, row in enumerate(tamperer.rows(sql)):
            found += [
                (table, number, column, value) for column, value in zip(columns, row, strict=True)
            ]
    return found


def edit(_: Tamperer, table: str, number: int, column: str, expression: str) -> str:
    one = f"SELECT {ORDER[table]} FROM {table} ORDER BY {ORDER[table]} LIMIT 1 OFFSET {number}"
    return f"UPDATE {table} SET {column} = {expression} WHERE {KEYS[table]} = ({one})"


def to_blame(tamperer: Tamperer, table: str, number: int, column: str, value: Any) -> set[Any]:
    """The positions of which at least one must be named; None where no one event is to blame."""
    if table in ("events", "contents"):
        rows = tamperer.rows(
            f"SELECT position FROM {table} ORDER BY position LIMIT 1 OFFSET {number}"
        )
        return {rows[0][0]}
    if table == "streams":
        sql = f"SELECT id, session_id FROM streams ORDER BY id LIMIT 1 OFFSET {number}"
        stream, name = tamperer.rows(sql)[0]
        if column == "incarnation" or (column == "session_id" and name.startswith("erased:")):
            return {None}
        sql = "SELECT min(position) FROM events WHERE stream = ?"
        return {tamperer.rows(sql, (stream,))[0][0]}
    return {row[0] for row in tamperer.rows("SELECT position FROM blob_references")}


def one_change(tamperer: Tamperer, cell: tuple[str, int, str, Any], chance: random.Random) -> None:
    table, number, column, value = cell
    if table == "streams" and column == "incarnation":
        name = tamperer.rows(f"SELECT session_id FROM streams ORDER BY id LIMIT 1 OFFSET {number}")[
            0
        ][0]
        if name.startswith("erased:"):
            return  # the id it numbered is gone
    expression, changed = flipped(value, chance)
    if value is None:
        if column not in INVENTED:
            return
        changed = INVENTED[column]
    blamed = to_blame(tamperer, table, number, column, value)
    found = tamperer.found_after((edit(tamperer, table, number, column, expression), (changed,)))
    if found is None:
        return
    assert found, f"{table}.{column} of row {number}: {value!r} became {changed!r}"
    positions = {finding.position for finding in found}
    assert positions & blamed, f"{table}.{column} of row {number}: {found}"


def test_the_untouched_copy_verifies(tamperer: Tamperer) -> None:
    assert tamperer.found_after() == []


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table in COLUMNS for column in COLUMNS[table]]
)
def test_one_bit_of_a_column_is_found_and_its_position_named(
    tamperer: Tamperer, table: str, column: str
) -> None:
    chance = random.Random(f"{SEED}{table}{column}")
    pool = [cell for cell in cells(tamperer) if cell[0] == table and cell[2] == column]
    chance.shuffle(pool)
    for cell in pool[: budget(40)]:
        one_change(tamperer, cell, chance)


@pytest.mark.slow
def test_one_bit_of_any_cell_is_found(tamperer: Tamperer) -> None:
    chance = random.Random(SEED)
    for cell in cells(tamperer):
        for _ in range(4):
            one_change(tamperer, cell, chance)


@pytest.mark.parametrize("column", ["idempotency_key", "commitment", "salt", "body"])
def test_a_value_made_null_is_found(tamperer: Tamperer, column: str) -> None:
    for table, number, name, value in cells(tamperer):
        if name == column and value is not None and table in ("events", "contents"):
            blamed = to_blame(tamperer, table, number, column, value)
            found = tamperer.found_after((edit(tamperer, table, number, column, "?"), (None,)))
            assert found
            assert {finding.position for finding in found} & blamed
            break


SWAP = "UPDATE {t} SET {c} = CASE position WHEN ?1 THEN (SELECT {c} FROM {t} WHERE position = ?2) \
ELSE (SELECT {c} FROM {t} WHERE position = ?1) END WHERE position IN (?1, ?2)"

EDITS: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
    "an event is deleted": [("DELETE FROM events WHERE position = 8", ())],
    "an event and its content are deleted": [
        ("DELETE FROM events WHERE position = 8", ()),
        ("DELETE FROM contents WHERE position = 8", ()),
    ],
    "a content is deleted": [("DELETE FROM contents WHERE position = 7", ())],
    "a content is wiped with no word of it": [
        ("UPDATE contents SET salt = NULL, body = NULL WHERE position = 7", ())
    ],
    "the bodies of two events are swapped": [
        (SWAP.format(t="contents", c="body"), (6, 9)),
        (SWAP.format(t="contents", c="salt"), (6, 9)),
    ],
    "the facts of two events are swapped": [(SWAP.format(t="events", c="facts"), (6, 9))],
    "the leaves of two events are swapped": [(SWAP.format(t="events", c="leaf"), (6, 9))],
    "two events change places": [
        ("UPDATE events SET position = -1, version = -1 WHERE position = 6", ()),
        ("UPDATE events SET position = 6, version = 6 WHERE position = 9", ()),
        ("UPDATE events SET position = 9, version = 9 WHERE position = -1", ()),
    ],
    "an event is repeated": [
        ("INSERT INTO events SELECT (SELECT max(position) + 1 FROM events), stream, 1000, type, "
         "schema, recorded_at, actor, facts, NULL, commitment, leaf FROM events "
         "WHERE position = 8", ()),
    ],
    "an event is put before the first": [
        ("INSERT INTO events SELECT -5, stream, 1000, type, schema, recorded_at, actor, facts, "
         "NULL, commitment, leaf FROM events WHERE position = 8", ()),
    ],
    "an event is put far behind the last": [
        ("INSERT INTO events SELECT 1 << 60, stream, 1000, type, schema, recorded_at, actor, "
         "facts, NULL, commitment, leaf FROM events WHERE position = 8", ()),
    ],
    "a content is invented": [("INSERT INTO contents VALUES (10000, x'00', '{}')", ())],
    "a stream is deleted": [("DELETE FROM streams WHERE id = 2", ())],
    "a stream is invented": [("INSERT INTO streams VALUES (900, 'new', 1, zeroblob(16))", ())],
    "two incarnations are swapped": [
        ("UPDATE streams SET incarnation = 3 WHERE session_id = 'twice' AND incarnation = 1", ()),
        ("UPDATE streams SET incarnation = 1 WHERE session_id = 'twice' AND incarnation = 2", ()),
        ("UPDATE streams SET incarnation = 2 WHERE session_id = 'twice' AND incarnation = 3", ()),
    ],
    "a blob is deleted": [("DELETE FROM blobs", ())],
    "a blob is emptied": [("UPDATE blobs SET body = NULL", ())],
    "a blob is invented": [("INSERT INTO blobs VALUES (zeroblob(32), x'00')", ())],
    "a reference is deleted": [
        ("DELETE FROM blob_references WHERE position = (SELECT min(position) FROM blob_references)",
         ()),
    ],
    "a reference is invented": [
        ("INSERT INTO blob_references SELECT digest, 2 FROM blobs", ()),
    ],
    "an erasure claims everything for ever": [
        ("UPDATE events SET facts = '{\"positions\":[[1,9007199254740992]]}' "
         "WHERE type = 'content.erased'", ()),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_rows_deleted_swapped_or_invented_are_found(tamperer: Tamperer, name: str) -> None:
    found = tamperer.found_after(*EDITS[name])
    assert found is not None
    assert found


# -- bytes of the file -----------------------------------------------------------------------------


def values_of(path: Path) -> list[tuple[str, bytes]]:
    """The values of the log that can be looked for in the file's bytes."""
    wanted = {
        "events": ("type", "facts", "idempotency_key", "commitment", "leaf"),
        "contents": ("salt", "body"),
        "streams": ("uid",),
        "blobs": ("digest",),
    }
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    head = connection.execute("SELECT leaf FROM events ORDER BY position DESC LIMIT 1").get
    found = [("streams.session_id", name) for name in (b"other", b"child")]
    for table, columns in wanted.items():
        for column in columns:
            sql = f"SELECT DISTINCT CAST({column} AS BLOB) FROM {table} WHERE {column} IS NOT NULL"
            found += [
                (f"{table}.{column}", value)
                for (value,) in connection.execute(sql).fetchall()
                if len(value) > 3 and value != head  # which checkpoints hold as well
            ]
    connection.close()
    return found


def places_of(path: Path) -> list[tuple[str, int]]:
    """``(column, offset)`` of every byte of these values in the file."""
    data = path.read_bytes()
    found = []
    for name, value in values_of(path):
        at = data.find(value)
        while at >= 0:
            found += [(name, at + index) for index in range(len(value))]
            at = data.find(value, at + 1)
    return found


def outcome(path: Path) -> str:
    """What `verify` says of a damaged file: ``ok``, ``found`` or ``refused``."""
    try:
        log = SqliteLog(path, readonly=True)
    except errors.EventStoreError:
        return "refused"
    try:
        return "found" if list(verify(log)) else "ok"
    except errors.EventStoreError:
        return "refused"
    finally:
        log.close()


def with_byte(original: Path, target: Path, offset: int, bit: int) -> Path:
    data = bytearray(original.read_bytes())
    data[offset] ^= 1 << bit
    target.write_bytes(data)
    return target


def test_one_bit_of_a_value_in_the_file_is_found(original: Path, tmp_path: Path) -> None:
    places = places_of(original)
    chance = random.Random(SEED)
    names = sorted({name for name, _ in places})
    assert len(names) == 9
    for name in names:
        offsets = [offset for column, offset in places if column == name]
        for offset in chance.sample(offsets, min(budget(20), len(offsets))):
            path = with_byte(original, tmp_path / "s.db", offset, chance.randrange(8))
            assert outcome(path) != "ok", f"{name} at offset {offset}"


@pytest.mark.slow
def test_any_bit_of_any_value_in_the_file_is_found(original: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for name, offset in places_of(original):
        for bit in (0, 5, 7):
            if chance.random() >= BUDGET:
                continue
            path = with_byte(original, tmp_path / "s.db", offset, bit)
            assert outcome(path) != "ok", f"{name} at offset {offset}, bit {bit}"


def use(path: Path) -> None:
    """Open a damaged file for writing and read all of it; only this project's errors come out."""
    with (
        suppress(errors.EventStoreError),
        SessionStore.open(path, durability="normal") as store,
    ):
        for info in store.sessions(statuses=None):
            name = info.session_id + (f"~{info.incarnation}" if info.incarnation > 1 else "")
            session = store.get(name)
            if session is not None:
                session.chat()
                session.history()
                session.tool_calls()
        list(store.events())
        store.verify()
        store.check()


def test_a_damaged_file_gives_this_projects_errors_and_no_others(
    original: Path, tmp_path: Path
) -> None:
    size = original.stat().st_size
    chance = random.Random(SEED)
    for number in range(budget(150)):
        path = with_byte(
            original, tmp_path / f"{number}.db", chance.randrange(size), chance.randrange(8)
        )
        use(path)
        for left in tmp_path.glob(f"{number}.db*"):
            left.unlink()


@pytest.mark.parametrize("keep", [0, 1, 99, 100, 512, 4096, 5000, 0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused_or_found(original: Path, tmp_path: Path, keep: float) -> None:
    data = original.read_bytes()
    path = tmp_path / "s.db"
    path.write_bytes(data[: keep if keep == 0 or keep >= 1 else int(len(data) * keep)])
    assert outcome(path) != "ok"


def test_an_erasure_is_no_finding_in_the_process_that_made_it(tmp_path: Path) -> None:
    """The connection that verifies had searched before the full-text index was written anew."""
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        session.append("user", "needle " + BIG)
        session.append("user", "hay")
        assert store.search("needle").hits
        session.erase_events([session.history()[0].position])
        assert store.verify() == []
