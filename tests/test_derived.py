"""Snapshots are a cache that may be wrong, projections may fail: neither harms the log."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import apsw
import pytest
from engine_support import BIG, clean, populated, ticking

from eventstore import Message, SessionStore, errors, snapshots
from eventstore.events.catalogue import MessageAppended
from eventstore.log.port import Recorded
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState
from projections import Projection


def execute(store: SessionStore, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Change rows that are not the log's, as nobody should."""

    def work(transaction: Any) -> None:
        for sql, values in statements:
            transaction.connection.execute(sql, values)

    store.log.transact(work, exclusive=True)


def rows(store: SessionStore, sql: str) -> list[tuple[Any, ...]]:
    with store.log.reader() as connection:
        return connection.execute(sql).fetchall()


# -- snapshots -------------------------------------------------------------------------------------


@pytest.fixture
def small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "TAIL_MIN", 4)
    monkeypatch.setattr(snapshots, "SPACING", 4)


SPOILT = {
    "truncated": "UPDATE snapshots SET state = substr(state, 1, length(state) / 2)",
    "garbage": "UPDATE snapshots SET state = x'c1c1c1'",
    "empty": "UPDATE snapshots SET state = x''",
    "not UTF-8": "UPDATE snapshots SET state = x'81a6737461747573a1ff'",
    "another reducer": "UPDATE snapshots SET reducer = reducer + 1",
    "another leaf": "UPDATE snapshots SET leaf = zeroblob(32)",
    "another stream": "UPDATE OR REPLACE snapshots SET stream = 3 - stream",
    "states of other versions": (
        "UPDATE snapshots SET state = (SELECT s.state FROM snapshots AS s "
        "WHERE s.stream = snapshots.stream ORDER BY s.version LIMIT 1)"
    ),
    "beyond the end": "UPDATE snapshots SET version = version + 1000",
}


@pytest.mark.usefixtures("small_tails")
@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_snapshots_are_ignored_and_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        for session in (store.create("a"), store.create("b")):
            session.append_many([Message(role="user", content=str(n)) for n in range(20)])
            session.compact(3, 9, "note")
    with SessionStore.open(path, durability="normal") as store:
        count = len(rows(store, "SELECT 1 FROM snapshots"))
        assert count > 4
        execute(store, (SPOILT[name], ()))
    for _ in range(2):  # the second time they were replaced
        with SessionStore.open(path, durability="normal") as store:
            for session in (store.session("a"), store.session("b")):
                events = list(session.events(content=False))
                for version in range(len(events) + 1):
                    assert session.state(version) == fold_all(SessionState(), events[:version])
                session.append_many([Message(role="user", content="more")] * 6)
            store.rebuild()
            clean(store)


@pytest.mark.usefixtures("small_tails")
def test_a_snapshot_with_one_bit_wrong_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        a = store.create("a", model="model-1")
        a.append_many([Message(role="user", content=str(n)) for n in range(20)])
        expected = [a.state(version) for version in range(a.version + 1)]
    with SessionStore.open(path, durability="normal") as store:
        sql = "SELECT version, state FROM snapshots ORDER BY version DESC LIMIT 1"
        version, state = rows(store, sql)[0]
        for index in range(len(state)):
            wrong = state[:index] + bytes([state[index] ^ 1]) + state[index + 1 :]
            change = "UPDATE snapshots SET state = ? WHERE version = ?"
            execute(store, (change, (wrong, version)))
            store.log._memory.forget()
            assert store.session("a").state(version) == expected[version]


@pytest.mark.usefixtures("small_tails")
def test_dropping_every_snapshot_loses_nothing(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        before = [store.session_of(n).state() for n in range(1, 7)]
        execute(store, ("DELETE FROM snapshots", ()))
        store.log._memory.forget()
        assert [store.session_of(n).state() for n in range(1, 7)] == before
        clean(store)


def test_resume_reads_a_tail_and_not_the_history(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        a = store.create("a")
        for _ in range(30):
            seqs = a.append_many([Message(role="user", content="x")] * 100)
            a.compact(a.messages()[0].seq, seqs[-2], "note")
    with SessionStore.open(path) as store:
        with store.log.reader() as connection:
            read: list[int] = []
            connection.set_progress_handler(lambda: bool(read.append(1)) and False, 1000)
        state = store.session("a").state()
        assert state.messages == 3030
        assert len(read) < 100, "a resume went through the whole history"


# -- projections of users --------------------------------------------------------------------------


class Words(Projection):
    """How many words each role has written: a projection in twenty lines."""

    name = "words"
    tables = ("words",)
    schema = "CREATE TABLE {words} (role TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT"
    reads_content = True

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            event = recorded.event
            if isinstance(event, MessageAppended) and event.content and event.content.text:
                connection.execute(
                    self.sql(
                        "INSERT INTO {words} VALUES (?1, ?2) "
                        "ON CONFLICT (role) DO UPDATE SET count = count + ?2"
                    ),
                    (event.role, len(event.content.text.split())),
                )


class InlineWords(Words):
    name = "inline_words"
    tables = ("inline_words",)
    schema = Words.schema.replace("words", "inline_words")
    inline = True

    def sql(self, template: str) -> str:
        return super().sql(template.replace("{words}", "{inline_words}"))


def words(store: SessionStore, name: str = "words") -> dict[str, int]:
    with store.read(name) as connection:
        return dict(connection.execute(f"SELECT role, count FROM {name}").fetchall())


@pytest.mark.parametrize(("cls", "name"), [(Words, "words"), (InlineWords, "inline_words")])
def test_a_projection_of_twenty_lines(tmp_path: Path, cls: type[Projection], name: str) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        store.create("a").append("user", "one two")  # before the projection was known
    with SessionStore.open(path, durability="normal", projections=[cls]) as store:
        a = store.session("a")
        a.append("user", "three")
        a.append("assistant", "four five " + BIG)
        expected = {"user": 3, "assistant": 3}
        assert words(store, name) == expected
        clean(store)
        assert store.check([name]) == []
        execute(store, (f"UPDATE {name} SET count = 99", ()))
        assert {difference.projection for difference in store.check()} == {name}
        assert store.rebuild([name]) == [name]
        assert words(store, name) == expected
    with SessionStore.open(path, durability="normal") as store:
        store.session("a").append("user", "six")  # while the projection is not registered
    with SessionStore.open(path, durability="normal", projections=[cls]) as store:
        assert words(store, name) == {"user": 4, "assistant": 3}
        clean(store)


def test_an_inline_projection_moves_with_the_append(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", projections=[InlineWords]) as store:
        a = store.create("a")
        a.append("user", "one two three")
        assert rows(store, "SELECT * FROM inline_words") == [("user", 3)]
        with pytest.raises(errors.NotJSONError):
            a.append_many([Message(role="user", content="x"), Message(role="user", content=[{1}])])
        assert rows(store, "SELECT * FROM inline_words") == [("user", 3)]


class Failing(Projection):
    """Fails on the word ``fail`` in the way that `failure` says."""

    name = "failing"
    tables = ("failing",)
    schema = "CREATE TABLE {failing} (position INTEGER PRIMARY KEY) STRICT"
    inline = True
    reads_content = True
    failure: ClassVar[str] = "none"

    def apply(self, connection: apsw.Connection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            event = recorded.event
            text = event.content.text if isinstance(event, MessageAppended) else None
            insert = self.sql("INSERT INTO {failing} VALUES (?)")
            if text == "fail" and self.failure == "python":
                raise ValueError("no such word")
            if text == "fail" and self.failure == "sql":
                connection.execute("SELECT nonsense")
            elif text == "fail" and self.failure == "bindings":
                connection.execute(insert, (1, 2))
            elif text == "fail" and self.failure == "type":
                connection.execute(insert, ("text",))
            elif text == "fail" and self.failure == "constraint":
                connection.execute(insert, (events[0].position,))
                connection.execute(insert, (events[0].position,))
            elif text == "fail" and self.failure == "overflow":
                connection.execute(insert, (2**70,))
            else:
                connection.execute(insert, (recorded.position,))


@pytest.fixture(params=["python", "sql", "bindings", "type", "constraint", "overflow"])
def failing(request: pytest.FixtureRequest) -> Iterator[type[Projection]]:
    Failing.failure = request.param
    yield Failing
    Failing.failure = "none"


@pytest.mark.parametrize("action", ["always", "error"])
def test_a_projection_that_fails_is_detached_and_blocks_no_append(
    tmp_path: Path, failing: type[Projection], action: Any
) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal", projections=[failing]) as store:
        a = store.create("a")
        a.append("user", "fine")
        with warnings.catch_warnings(record=True):
            warnings.simplefilter(action)
            assert a.append("user", "fail") == 2
        assert a.append("user", "goes on") == 3
        assert isinstance(store.detached()["failing"], errors.ProjectionError)
        assert len(rows(store, "SELECT * FROM failing")) == 2
        assert len(a.messages()) == 3
        assert store.verify() == []
        with pytest.raises(errors.EventStoreError), store.read("failing"):
            pass
        with pytest.raises(errors.EventStoreError, match="failing"):
            store.rebuild(["failing"])
    # Nor does it keep the store from opening, and once it is mended it is whole again.
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        with SessionStore.open(path, durability="normal", projections=[failing]) as store:
            assert store.session("a").append("user", "still") == 4
            assert "failing" in store.detached()
    Failing.failure = "none"
    with SessionStore.open(path, durability="normal", projections=[Failing]) as store:
        assert store.detached() == {}
        assert len(rows(store, "SELECT * FROM failing")) == store.head.position
        clean(store)


def test_a_work_that_wrote_by_itself_and_failed_is_undone(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        store.create("a").append("user", "x")

        def work(transaction: Any) -> None:
            transaction.connection.execute("DELETE FROM messages")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.log.transact(work, exclusive=True)
        assert len(store.session("a").messages()) == 1
        assert store.session("a").append("user", "y") == 2
        clean(store)


def test_two_projections_of_one_name_or_table_are_refused(tmp_path: Path) -> None:
    class Same(Words):
        name = "messages"

    class Table(Words):
        name = "other"
        tables = ("messages",)

    for projections in ([Words, Words], [Same], [Table]):
        with pytest.raises(errors.ProjectionError):
            SessionStore.open(tmp_path / "s.db", projections=projections)


def test_another_version_of_a_projection_is_derived_anew(tmp_path: Path) -> None:
    class Newer(Words):
        version = 2
        schema = "CREATE TABLE {words} (role TEXT PRIMARY KEY, count INTEGER NOT NULL, x TEXT)"

        def sql(self, template: str) -> str:
            return super().sql(template.replace("VALUES (?1, ?2)", "VALUES (?1, ?2, 'new')"))

    path = tmp_path / "s.db"
    with SessionStore.open(path, projections=[Words]) as store:
        store.create("a").append("user", "one two")
        assert words(store) == {"user": 2}
    with SessionStore.open(path, projections=[Newer]) as store:
        assert words(store) == {"user": 2}
        assert rows(store, "SELECT x FROM words") == [("new",)]
        clean(store)


def test_a_checkpoint_of_another_history_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, projections=[Words]) as store:
        store.create("a").append("user", "one two")
        assert words(store) == {"user": 2}
        execute(store, ("UPDATE projections SET leaf = zeroblob(32) WHERE name = 'words'", ()),
                ("UPDATE sessions SET version = version - 1", ()),
                ("DELETE FROM words", ()), ("DELETE FROM messages", ()))  # fmt: skip
        with pytest.raises(errors.ProjectionBehindError):
            store.session("a").messages()
        assert words(store) == {"user": 2}
    with SessionStore.open(path, projections=[Words]) as store:
        assert len(store.session("a").messages()) == 1
        clean(store)


# -- other readers ---------------------------------------------------------------------------------

READER = """
import json, sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
log = connection.execute("SELECT * FROM log").fetchall()
names = [column[0] for column in connection.execute("SELECT * FROM log LIMIT 0").description]
texts = connection.execute(
    "SELECT json_extract(content, '$.text') FROM log WHERE type = 'message.appended'").fetchall()
active = connection.execute(
    "SELECT s.session_id, m.seq, m.state FROM messages AS m JOIN streams AS s ON s.id = m.stream "
    "ORDER BY m.stream, m.seq").fetchall()
tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")]
for table in tables:
    if not table.startswith(("sqlite_", "streams_", "events_", "contents_", "lineage_")):
        connection.execute(f"SELECT * FROM {table}").fetchall()
check = connection.execute("PRAGMA integrity_check").fetchall()
connection.close()
print(json.dumps([len(log), names, texts, active, check]))
"""


def test_the_standard_librarys_sqlite_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with populated(path) as store:
        count = store.head.position
        history = [[m.seq, m.state] for m in store.session("root").history()]
    run = subprocess.run(
        [sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=True
    )
    length, names, texts, active, check = json.loads(run.stdout)
    assert length == count
    assert names == ["position", "session", "version", "type", "recorded_at", "actor", "facts",
                     "content"]  # fmt: skip
    assert ["hello 🙂"] in texts
    assert [[seq, state] for name, seq, state in active if name == "root"] == history
    assert check == [["ok"]]


def test_erased_text_is_nowhere_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    secret = "xyzzy-plugh-secret"
    with SessionStore.open(path, clock=ticking(), durability="normal") as store:
        a = store.create(f"id-{secret}", title=secret, metadata={"m": secret})
        a.append_many([Message(role="user", content=f"{n} {secret}") for n in range(300)])
        a.append("tool", secret + BIG)
        a.suspend_tool_calls({"p": secret})
        assert a.erase(by="operator", reason="asked").complete
        clean(store)
    for left in tmp_path.iterdir():
        assert secret.encode() not in left.read_bytes(), left.name


def test_a_store_with_the_older_table_of_checkpoints_goes_on(tmp_path: Path) -> None:
    """It held a position in every row, and was made by a version without claims and consumers."""
    path = tmp_path / "s.db"
    with SessionStore.open(path, projections=[Words]) as store:
        store.create("a").append("user", "one two")
        assert words(store) == {"user": 2}
        head = store.head
    connection = apsw.Connection(str(path))
    for sql in (
        "DROP TABLE claims", "DROP TABLE consumers", "DROP TABLE projections",
        "CREATE TABLE projections (name TEXT PRIMARY KEY, version INTEGER NOT NULL, "
        "position INTEGER NOT NULL, leaf BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ):  # fmt: skip
        connection.execute(sql)
    connection.execute("INSERT INTO projections VALUES ('builtin', 1, ?, ?)", head)
    connection.close()
    with SessionStore.open(path, projections=[Words]) as store:
        assert store.session("a").append("user", "three") == 2
        assert words(store) == {"user": 3}
        clean(store)
