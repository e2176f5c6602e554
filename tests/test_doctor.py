"""Every planted fault is found and named; what is derived is mended, the log never touched."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from cli_support import db, run
from engine_support import clean, populated, tables_of, ticking

from eventstore import SessionStore, ToolCall, errors, snapshots
from eventstore.doctor import Diagnosis, Report, examine, file
from eventstore.doctor.report import CODES
from projections.builtin import BUILTIN
from projections.search.projection import Search

__all__ = ["db"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every type of event, snapshots, a search index and an erased session."""
    path = tmp_path_factory.mktemp("doctor") / "s.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "TAIL_MIN", 4)
        with populated(path) as store:
            store.session("gone~1").erase(reason="asked")
            store.search("hello")
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "s.db"
    shutil.copy(original, copy)
    copy.chmod(0o600)
    return copy


def plant(path: Path, *statements: str) -> None:
    """Change the file as nobody should, with the triggers out of the way and put back."""
    connection = apsw.Connection(str(path))
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    kept = triggers.fetchall()
    for name, _ in kept:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement).fetchall()
    for _, sql in kept:
        connection.execute(sql)
    connection.close()


def log_of(path: Path) -> list[Any]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = [
        connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        for table in ("streams", "events", "contents", "blobs", "blob_references")
    ]
    connection.close()
    return found


def codes(found: tuple[Diagnosis, ...]) -> set[str]:
    return {one.code for one in found}


def only(report: Report, code: str) -> Diagnosis:
    """The finding with this code, which all findings have."""
    assert codes(report.findings) == {code}, report.findings
    return report.findings[0]


def is_mended(path: Path, *expected: str) -> None:
    """The faults are found, are mended, the log is as it was, and the store is in order."""
    before = log_of(path)
    assert codes(examine(path).findings) == set(expected)
    report = examine(path, fix=True)
    assert report.findings == ()
    assert codes(report.fixed) == set(expected)
    assert log_of(path) == before
    assert examine(path).findings == ()
    with SessionStore.open(path) as store:
        clean(store)
        assert store.search("hello").hits


def is_left_alone(path: Path, *expected: str) -> None:
    """The faults are found, and asking for a fix changes not one byte."""
    before = path.read_bytes()
    assert set(expected) <= codes(examine(path).findings)
    report = examine(path, fix=True)
    assert set(expected) <= codes(report.findings)
    assert report.fixed == ()
    assert path.read_bytes() == before
    assert not report.healthy


def test_a_sound_store_is_healthy(path: Path) -> None:
    report = examine(path)
    assert report.findings == ()
    assert report.healthy
    with SessionStore.open(path) as store:
        assert report.events == store.head.position


def test_examining_does_not_write(path: Path) -> None:
    before = path.read_bytes()
    examine(path)
    assert path.read_bytes() == before


# -- what is derived is mended -------------------------------------------------------------------

DERIVED = [table for cls in BUILTIN for table in cls.tables]


@pytest.mark.parametrize("table", [*DERIVED, *Search.tables])
def test_a_derived_table_that_is_gone(path: Path, table: str) -> None:
    plant(path, f"DROP TABLE {table}")
    assert "schema.derived-table" in codes(examine(path).findings)
    examine(path, fix=True)
    assert examine(path).findings == ()


@pytest.mark.parametrize("table", ["snapshots", "projections"])
def test_a_cache_that_is_gone(path: Path, table: str) -> None:
    plant(path, f"DROP TABLE {table}")
    assert "schema.derived-table" in codes(examine(path).findings)
    assert examine(path, fix=True).findings == ()


@pytest.mark.parametrize("table", ["snapshots", "projections", "messages"])
def test_a_derived_table_with_other_columns(path: Path, table: str) -> None:
    plant(path, f"DROP TABLE {table}", f"CREATE TABLE {table} (something TEXT)")
    assert "schema.derived-table" in codes(examine(path).findings)
    assert examine(path, fix=True).findings == ()


def test_a_column_that_was_added_to_a_derived_table(path: Path) -> None:
    plant(path, "ALTER TABLE usage ADD COLUMN mood TEXT")
    before = log_of(path)
    assert "schema.derived-table" in codes(examine(path).findings)
    assert examine(path, fix=True).findings == ()
    assert log_of(path) == before


def test_a_row_of_a_projection_that_was_changed(path: Path) -> None:
    plant(path, "UPDATE messages SET role = 'system' WHERE role = 'user'")
    assert only(examine(path), "projection.rows").table == "messages"
    is_mended(path, "projection.rows")


def test_a_row_of_a_projection_that_was_deleted(path: Path) -> None:
    plant(path, "DELETE FROM usage")
    is_mended(path, "projection.rows")


def test_a_row_of_the_search_index_that_was_deleted(path: Path) -> None:
    plant(path, "DELETE FROM search_rows WHERE position = (SELECT max(position) FROM search_rows)")
    is_mended(path, "projection.rows")


def test_a_damaged_search_index(path: Path) -> None:
    plant(path, "UPDATE search_index_data SET block = x'0011' WHERE id > 100")
    is_mended(path, "search.index")


def test_a_search_index_with_a_word_too_many(path: Path) -> None:
    plant(path, "INSERT INTO search_index (rowid, text) VALUES (99999, 'invented')")
    is_mended(path, "search.index")


@pytest.mark.parametrize("inside", ["data", "idx", "docsize", "config"])
def test_a_search_index_without_its_insides(path: Path, inside: str) -> None:
    plant(path, f"DROP TABLE search_index_{inside}")
    assert "schema.derived-table" in codes(examine(path).findings)
    assert examine(path, fix=True).findings == ()


def test_a_checkpoint_of_another_version(path: Path) -> None:
    plant(path, "UPDATE projections SET version = version + 1000")
    is_mended(path, "projection.checkpoint")


def test_a_checkpoint_of_another_history(path: Path) -> None:
    plant(path, "UPDATE projections SET position = 5, leaf = zeroblob(32)")
    is_mended(path, "projection.checkpoint")


def test_a_projection_that_is_behind(path: Path) -> None:
    plant(
        path,
        "UPDATE projections SET position = 5, leaf = (SELECT leaf FROM events WHERE position = 5) "
        "WHERE name = 'builtin'",
    )
    is_mended(path, "projection.checkpoint")


def test_a_rebuild_that_did_not_come_to_its_end(path: Path) -> None:
    plant(
        path,
        "CREATE TABLE messages_rebuild (seq INTEGER)",
        "INSERT INTO projections VALUES ('builtin_rebuild:messages', 1, 0, zeroblob(32))",
    )
    assert only(examine(path), "projection.unfinished").table == "messages_rebuild"
    assert examine(path).healthy
    is_mended(path, "projection.unfinished")
    with SessionStore.open(path) as store, store.log.reader() as connection:
        names = connection.execute("SELECT name FROM projections").fetchall()
    assert not any("rebuild" in name for (name,) in names)


def test_a_damaged_snapshot(path: Path) -> None:
    plant(path, "UPDATE snapshots SET state = substr(state, 1, 20)")
    is_mended(path, "snapshot.damaged")


def test_a_snapshot_that_is_whole_and_not_true(path: Path) -> None:
    """Its checksum holds: only folding shows that it is the state of nothing."""
    with SessionStore.open(path) as store, store.log.reader() as connection:
        stream, version, _, leaf, stored = snapshots.rows(connection)[0]
        state = snapshots.decoded(version, leaf, stored)
    assert state is not None
    changed = type(state)(version=version, messages=state.messages + 1)
    connection = apsw.Connection(str(path))
    snapshots.write(connection, stream, changed, leaf)
    connection.close()
    is_mended(path, "snapshot.damaged")


@pytest.mark.parametrize("change", ["reducer = 0", "leaf = zeroblob(32)", "version = version + 99"])
def test_a_stale_snapshot(path: Path, change: str) -> None:
    plant(path, f"UPDATE snapshots SET {change}")
    is_mended(path, "snapshot.stale")


def test_a_trigger_that_is_gone(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("DROP TRIGGER events_are_immutable")
    connection.close()
    is_mended(path, "schema.trigger")
    connection = apsw.Connection(str(path))
    with pytest.raises(apsw.ConstraintError):
        connection.execute("UPDATE events SET actor = 5")
    connection.close()


def test_a_trigger_that_does_nothing_any_more(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("DROP TRIGGER events_are_permanent")
    connection.execute(
        "CREATE TRIGGER events_are_permanent BEFORE DELETE ON events BEGIN SELECT 1; END"
    )
    connection.close()
    is_mended(path, "schema.trigger")


@pytest.mark.parametrize("index", ["events_by_key", "lineage_by_source"])
def test_an_index_that_is_gone(path: Path, index: str) -> None:
    plant(path, f"DROP INDEX {index}")
    is_mended(path, "schema.index")


def test_the_view_that_is_gone(path: Path) -> None:
    plant(path, "DROP VIEW log")
    is_mended(path, "schema.view")


def test_an_index_that_lacks_rows(path: Path) -> None:
    """As after a program that wrote the table and not its index."""
    connection = apsw.Connection(str(path))
    sql = "SELECT sql FROM sqlite_schema WHERE name = 'events_by_key'"
    made = connection.execute(sql).get
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("DROP INDEX events_by_key")
    connection.execute("CREATE UNIQUE INDEX events_by_key ON events (stream, idempotency_key) "
                       "WHERE idempotency_key = 'nothing has this'")  # fmt: skip
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'events_by_key'", (made,))
    connection.close()
    assert only(examine(path), "sqlite.index").table == "events"
    is_mended(path, "sqlite.index")


def test_a_write_ahead_log_that_grew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "WAL_BYTES_MAX", 1000)
    with SessionStore.open(path) as store:  # the last who closes the store empties it
        store.session("root").append("user", "hello once more")
        os.chmod(f"{path}-wal", 0o600)
        assert only(examine(path), "file.wal").fixable
        assert codes(examine(path, fix=True).fixed) == {"file.wal"}
        assert os.path.getsize(f"{path}-wal") == 0
        assert store.verify() == []


# -- what is not derived is left alone -----------------------------------------------------------

CHANGED_LOG = {
    "log.leaf": "UPDATE events SET actor = 5 WHERE position = 3",
    "log.content": "UPDATE contents SET body = replace(body, 'hello', 'HELLO')",
    "log.gap": "DELETE FROM events WHERE position = 5",
    "log.version": "DELETE FROM events WHERE position = 6",
    "log.blob": "DELETE FROM blobs",
    "log.stream": "UPDATE streams SET session_id = 'nobody' WHERE id = 1",
    "log.event": "UPDATE events SET facts = '{' WHERE position = 4",
    "schema.identity": "PRAGMA application_id = 7",
    "schema.log-table": "DROP TABLE blobs",
}


@pytest.mark.parametrize("code", CHANGED_LOG)
def test_a_log_that_was_changed_is_left_alone(path: Path, code: str) -> None:
    plant(path, CHANGED_LOG[code])
    is_left_alone(path, code)


def test_what_is_derived_is_not_mended_beside_a_changed_log(path: Path) -> None:
    """It still says what the log said before: it is evidence."""
    plant(path, CHANGED_LOG["log.leaf"], "DELETE FROM usage")
    is_left_alone(path, "log.leaf", "projection.rows")


def test_the_store_version_number(path: Path) -> None:
    plant(path, "PRAGMA user_version = 0")
    is_left_alone(path, "schema.identity")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_pages_are_left_alone(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(path.read_bytes())
    pages = len(data) // 4096
    for page in chance.sample(range(1, pages), 3):
        data[page * 4096 : page * 4096 + 4096] = chance.randbytes(4096)
    path.write_bytes(data)
    is_left_alone(path, "sqlite.damage")


def test_a_file_without_its_first_page(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(4096) + path.read_bytes()[4096:])
    is_left_alone(path, "sqlite.damage")


def test_a_parent_that_does_not_exist(path: Path) -> None:
    with SessionStore.open(path) as store:
        store.create("orphan", parent=store.session("root"))
        store.session("orphan").reparent(store.session("fork"))
        position = store.head.position
    connection = apsw.Connection(str(path))
    connection.execute("DROP TRIGGER events_are_immutable")
    connection.execute(
        "UPDATE events SET facts = '{\"parent\":777}' WHERE position = ?", (position,)
    )
    connection.close()
    is_left_alone(path, "session.parent", "log.leaf")
    found = [one for one in examine(path).findings if one.code == "session.parent"]
    assert [one.session for one in found] == ["orphan"]


def test_a_fork_whose_origin_is_not_what_it_was(path: Path) -> None:
    plant(
        path,
        "UPDATE events SET leaf = zeroblob(32) WHERE stream = 1 AND version = "
        "(SELECT facts ->> 'origin_version' FROM events WHERE type = 'session.forked')",
    )
    is_left_alone(path, "session.origin", "log.leaf")


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_a_file_that_others_can_read(path: Path) -> None:
    path.chmod(0o644)
    found = only(examine(path, fix=True), "file.mode")
    assert "0644" in found.message
    assert not examine(path).healthy
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_trigger_that_is_not_ours(path: Path) -> None:
    plant(path, "CREATE TRIGGER spy AFTER INSERT ON events BEGIN SELECT 1; END")
    assert only(examine(path, fix=True), "schema.unknown-trigger").table == "events"


def test_a_table_that_is_not_ours_is_a_note(path: Path) -> None:
    plant(path, "CREATE TABLE diary (day TEXT)")
    report = examine(path, fix=True)
    assert only(report, "schema.unknown").table == "diary"
    assert report.healthy


def test_a_setting_of_the_file_is_a_note(path: Path) -> None:
    plant(path, "PRAGMA journal_mode = DELETE")
    assert only(examine(path), "schema.pragma").severity == "note"


def test_free_pages_are_a_note(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "FREE_MIN", 0)
    filler = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
    fill = f"INSERT INTO big {filler} SELECT zeroblob(4000) FROM n"
    plant(path, "CREATE TABLE big (x BLOB)", fill, "DROP TABLE big")
    assert only(examine(path), "file.free-pages").severity == "note"


def test_calls_without_a_result_and_results_without_a_call_are_notes(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", clock=ticking()) as store:
        session = store.create("a")
        call = ToolCall(id="call-1", name="read")
        session.append("assistant", "I look", tool_calls=[call])
        assert examine(tmp_path / "s.db").findings == ()  # its result may still come
        session.append("user", "never mind")
        session.append("tool", "found", call_id="call-2")
        session.append("user", "what?")
    report = examine(tmp_path / "s.db")
    assert report.healthy
    found = {one.code: one for one in report.findings}
    assert set(found) == {"session.calls", "session.results"}
    assert "call-1" in found["session.calls"].message
    assert "call-2" in found["session.results"].message
    assert found["session.results"].session == "a"


# -- a store repairs what is derived by itself -----------------------------------------------------

GONE = [*DERIVED, "snapshots", "projections", *Search.tables]


@pytest.mark.parametrize("table", GONE)
def test_opening_brings_back_a_derived_table(path: Path, table: str) -> None:
    with SessionStore.open(path) as store:
        expected = tables_of(store)
    plant(path, f"DROP TABLE {table}")
    with SessionStore.open(path) as store:
        assert store.search("hello").hits
        assert tables_of(store) == expected
        clean(store)


GARBAGE: dict[str, Callable[[int], str]] = {
    "messages": lambda n: (
        f"INSERT INTO messages SELECT stream, {n}, position, {n}, role, state, "
        "kind, inherited, round, tokens, folded_version, removed_version FROM messages LIMIT 1"
    ),
    "lineage": lambda _: "INSERT INTO lineage VALUES (99, 'spawned', 1, NULL)",
}


def test_an_append_is_not_stopped_by_garbage_in_a_derived_table(path: Path) -> None:
    """The row that stands where its message belongs is not the log's: all are derived anew."""
    with SessionStore.open(path) as store:
        seq = store.session("root").append("user", "one more")
    plant(path, GARBAGE["messages"](seq + 1).replace("LIMIT 1", "WHERE stream = 1 LIMIT 1"))
    with SessionStore.open(path) as store:
        assert "projection.rows" in codes(examine(path).findings)
        assert store.session("root").append("user", "hello again") == seq + 1
        clean(store)


@pytest.mark.parametrize("table", GARBAGE)
def test_garbage_rows_are_found_and_mended(path: Path, table: str) -> None:
    plant(path, GARBAGE[table](77))
    is_mended(path, "projection.rows")


def test_claims_that_the_log_does_not_give_are_found_and_mended(path: Path) -> None:
    with SessionStore.open(path) as store:
        store.session("root").set_title("Ours alone", unique=True)
    plant(path, "UPDATE claims SET digest = zeroblob(32)")
    is_mended(path, "claims.rows")
    plant(path, "DROP TABLE claims")
    is_mended(path, "schema.derived-table")
    with SessionStore.open(path) as store, pytest.raises(errors.TitleTakenError):
        store.create("one more").set_title("Ours alone", unique=True)


# -- the command ---------------------------------------------------------------------------------


def test_the_exit_code_says_whether_something_is_left(db: Path) -> None:
    db.chmod(0o600)
    assert run("doctor", "--db", db).exit_code == 0
    plant(db, "DELETE FROM usage")
    done = run("doctor", "--db", db)
    assert done.exit_code == 3
    assert "projection.rows" in done.stdout
    assert run("doctor", "--fix", "--db", db).exit_code == 0
    assert run("doctor", "--db", db).exit_code == 0
    plant(db, "UPDATE events SET actor = 5 WHERE position = 3", "DELETE FROM usage")
    done = run("doctor", "--fix", "--db", db)
    assert done.exit_code == 3
    assert "nothing was written" in done.stderr


def test_a_file_of_somebody_else_is_refused(db: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    connection = apsw.Connection(str(other))
    connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()
    before = other.read_bytes()
    done = run("doctor", "--fix", "--json", "--db", other)
    assert done.exit_code == 1
    assert json.loads(done.stderr)["error"]["kind"] == "not_a_store"
    assert other.read_bytes() == before
    assert run("doctor", "--db", tmp_path / "none.db").exit_code == 1


def test_every_code_is_explained() -> None:
    text = (Path(__file__).parent.parent / "docs" / "operating.md").read_text(encoding="utf-8")
    for code, kind in CODES.items():
        fixed = "yes" if kind.fixable else ""
        assert f"| `{code}` | {kind.severity} | {fixed} |" in text, code


def test_progress_is_told(path: Path) -> None:
    told: list[str] = []
    examine(path, progress=lambda part, *_: told.append(part))
    assert list(dict.fromkeys(told)) == ["schema", "pages", "events", "sessions", "projections"]
