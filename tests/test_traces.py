"""What was erased is in no byte of the store's files; where that takes longer, it is told."""

from __future__ import annotations

import hashlib
import itertools
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from engine_support import budget, clean, ticking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import Message, SessionStore, ToolCall, claims, traces
from eventstore.backup import backup
from eventstore.log.entry import commitment_of
from eventstore.log.pages import Image
from eventstore.traces import due, finishing, needles, unused
from eventstore.vacuum import UNMAPPED

#: Prints which of the given texts are in which file of the store, as bytes; a process of its own,
#: because opening the file in one that has it open would cancel its locks.
GREP = """
import sys
from pathlib import Path
path, texts = Path(sys.argv[1]), sys.argv[2:]
for file in sorted(path.parent.glob(path.name + "*")):
    data = file.read_bytes()
    for text in texts:
        if text.encode() in data:
            print(file.name, text)
"""

#: Keeps a read transaction open until a line comes in.
READER = """
import apsw, sys
connection = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READONLY)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM events").fetchall()
print("reading", flush=True)
sys.stdin.readline()
"""

BLOB = 70_000


def grep(path: Path, *texts: str) -> list[str]:
    """``file text`` for every one of the texts that is in a file of the store."""
    done = subprocess.run(
        [sys.executable, "-c", GREP, str(path), *texts], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@contextmanager
def reader_of(path: Path) -> Iterator[Any]:
    """Another process that reads the store's present state until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"reading\n"
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def dues(store: SessionStore) -> list[due.Due]:
    with store.log.snapshot() as connection:
        return due.read(connection)


@pytest.mark.parametrize("whole", [False, True], ids=["event", "session"])
@pytest.mark.parametrize("searched", [False, True], ids=["unsearched", "searched"])
@pytest.mark.parametrize("spilled", [False, True], ids=["inline", "blob"])
@pytest.mark.parametrize("durability", ["normal", "full"])
def test_no_file_of_the_store_has_a_byte_of_it(
    tmp_path: Path, durability: str, spilled: bool, searched: bool, whole: bool
) -> None:
    path = tmp_path / "s.db"
    words = [f"Xyzzÿ{n}plugh" for n in range(6)]
    folded = [f"xyzzy{n}plugh" for n in range(6)]
    short, long = words[0], " ".join(words) * (BLOB // 60 if spilled else 3)
    with SessionStore.open(path, durability=durability, clock=ticking()) as store:
        other = store.create("other")
        session = store.create(f"id-{folded[5]}" if whole else "a")
        for number in range(40):
            other.append("user", f"before {number} " * 30)
            session.append("user", f"around {number} " * 30)
        seqs = session.append_many(
            [
                Message(role="user", content=short),
                Message(role="assistant", content=long, metadata={"k": words[1]}),
                Message(role="user", content=[{"type": "text", "text": words[2]}], name=words[3]),
            ]
        )
        if searched:
            assert len(store.search(folded[0]).hits) == 2
        if whole:
            done = session.erase(by="desk")
        else:
            positions = [m.position for m in session.history() if m.seq in seqs]
            done = session.erase_events(positions, by="desk")
        assert done.complete
        assert dues(store) == []
        assert grep(path, *words, *folded) == []
        other.append("user", "later")
        assert not searched or store.search(folded[0]).hits == ()
        assert grep(path, *words, *folded) == []
        clean(store)
    assert grep(path, *words, *folded, "around 3") == ([] if whole else [f"{path.name} around 3"])


def test_a_reader_makes_it_incomplete_and_the_next_process_finishes(tmp_path: Path) -> None:
    path, secret = tmp_path / "s.db", "xyzzy-plugh"
    with SessionStore.open(path) as store:
        session = store.create("a")
        session.append("user", secret)
        store.search("xyzzy")
        with reader_of(path):
            done = session.erase_events([session.history()[0].position])
            assert not done.complete
            assert "held the write-ahead log" in str(done.cause)
            [left] = dues(store)
            assert (left.position, left.searched, left.cause) == (done.events[0], True, done.cause)
            assert not store.finish_erasures()
        clean(store)
    with SessionStore.open(path) as store:
        assert dues(store) == []
        clean(store)
    assert grep(path, secret, "plugh") == []


def test_the_next_erasure_finishes_one_that_a_reader_held_up(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        session = store.create("a")
        session.append_many([Message(role="user", content=f"secret-{n}") for n in (1, 2)])
        first, second = (m.position for m in session.history())
        with reader_of(path):
            assert not session.erase_events([first]).complete
        assert session.erase_events([second]).complete
        assert dues(store) == []
        assert grep(path, "secret-1", "secret-2") == []


def test_finishing_works_while_another_process_has_the_store_open(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    script = (
        "import sys\nfrom eventstore import SessionStore\n"
        "with SessionStore.open(sys.argv[1]) as store: print(store.finish_erasures())"
    )
    with SessionStore.open(path) as store:
        session = store.create("a")
        session.append("user", "secret-1")
        with store.log.snapshot() as connection:
            connection.execute("SELECT count(*) FROM events").fetchall()
            assert not session.erase().complete
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
        )
        assert done.stdout == "True\n"
        assert store.finish_erasures()
        assert grep(path, "secret-1") == []


def planted(path: Path, text: str) -> None:
    """Leave a text in free pages and in the unused bytes of one, as another program can."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA secure_delete = OFF").fetchall()
    connection.execute("CREATE TABLE scratch (a)")
    connection.executemany("INSERT INTO scratch VALUES (?)", [(text * 300,)] * 20)
    connection.execute("DROP TABLE scratch")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


@pytest.mark.parametrize("blank", [False, True])
def test_a_process_that_ended_before_it_looked_leaves_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank: bool
) -> None:
    path = tmp_path / "s.db"
    if not blank:
        SessionStore.open(path).close()
        planted(path, "whatever another program leaves")
    with SessionStore.open(path) as store, reader_of(path):
        session = store.create("a")
        session.append("user", "secret-1")
        monkeypatch.setattr(traces, "finish", ended)
        with pytest.raises(KeyboardInterrupt):
            session.erase()
        monkeypatch.undo()
        [left] = dues(store)
        assert not left.searched
    with SessionStore.open(path) as store:
        # What to look for is not known any more, so a file that is not blank must be written anew;
        # opening does not take the time for that.
        if not blank:
            [left] = dues(store)
            assert "written anew" in str(left.cause)
            assert store.finish_erasures()
        assert dues(store) == []
        clean(store)
    assert grep(path, "secret-1") == []


def ended(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize("searched", [False, True])
def test_a_trace_in_unused_bytes_is_found_and_removed(tmp_path: Path, searched: bool) -> None:
    path, secret = tmp_path / "s.db", "A secret that somebody left in a page."
    with SessionStore.open(path) as store:
        session = store.create("a")
        session.append_many(
            [Message(role="user", content=secret), Message(role="user", content="x")]
        )
        if searched:
            store.search("secret")
    planted(path, secret)
    with SessionStore.open(path) as store:
        session = store.session("a")
        done = session.erase_events([session.history()[0].position])
        assert (done.complete, done.rewritten) == (True, True)
        assert grep(path, secret, "somebody") == []
        assert session.message(2).text == "x"
        clean(store)


def test_a_text_that_another_event_has_is_no_trace(tmp_path: Path) -> None:
    path, text = tmp_path / "s.db", "the very same words of greeting"
    with SessionStore.open(path) as store:
        one, two = store.create("one"), store.create("two")
        for session in (one, two):
            session.append("user", text)
        store.search("greeting")
        done = one.erase()
        assert (done.complete, done.rewritten) == (True, False)
        assert two.message(1).text == text
        assert [hit.name for hit in store.search("greeting").hits] == ["two"]
        assert grep(path, text) == [f"{path.name} {text}"]


def test_a_four_digit_pin_cannot_be_found_again(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        session = store.create("a")
        session.append_many([Message(role="user", content=f"words {n}") for n in range(30)])
        session.append("user", "4711")
        position = session.history()[-1].position
        with store.log.reader() as connection:
            [(commitment, salt, body)] = connection.execute(
                "SELECT commitment, salt, body FROM events JOIN contents USING (position) "
                "WHERE position = ?", (position,)
            ).fetchall()  # fmt: skip
        store.log.truncate_wal()
    before = path.read_bytes()
    places = [at for at in range(len(before)) if before.startswith(salt, at)]
    bodies = [body.replace("4711", f"{pin:04}").encode() for pin in range(10_000)]

    def guessed(salts: set[bytes]) -> list[bytes]:
        return [one for one in bodies for guess in salts if commitment_of(guess, one) == commitment]

    assert guessed({salt}) == [body.encode()]
    with SessionStore.open(path, durability="normal") as store:
        assert store.session("a").erase_events([position]).complete
        clean(store)
    after = path.read_bytes()
    assert [file for file in tmp_path.iterdir() if salt in file.read_bytes()] == []
    near = {after[max(at + by, 0) :][:32] for at in places for by in range(-8, 9)}
    assert guessed(near) == []
    assert not any(hashlib.sha256(one).digest() in after for one in bodies)


def test_an_erasure_in_memory_is_complete() -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        session.append("user", "secret")
        assert session.erase().complete
        assert dues(store) == []


def test_a_store_without_a_pointer_map_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()
    with SessionStore.open(path) as store:
        store.create("a").append("user", "a secret of some length")
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with SessionStore.open(path) as store:
        assert store.vacuum().cause == UNMAPPED
        done = store.session("a").erase()
        assert (done.complete, done.rewritten) == (True, True)
        assert store.vacuum().cause is None
        clean(store)
    assert grep(path, "some length") == []


def test_threads_that_erase_at_once_all_finish(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path, durability="normal") as store:
        for number in range(8):
            store.create(f"s{number}").append("user", f"secret-number-{number}")
        done = []

        def erase(number: int) -> None:
            done.append(store.session(f"s{number}").erase())

        threads = [threading.Thread(target=erase, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 8
        assert store.finish_erasures()
        assert grep(path, *(f"secret-number-{number}" for number in range(8))) == []
        clean(store)


def test_a_backup_of_an_unfinished_erasure_can_be_opened(tmp_path: Path) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    with SessionStore.open(path) as store:
        session = store.create("a")
        session.append("user", "secret-1")
        with reader_of(path):
            session.erase()
            backup(path, copy)
    with SessionStore.open(copy) as store:
        assert dues(store) == []
    assert grep(copy, "secret-1") == []


def test_the_cause_of_what_only_a_rewrite_can_finish_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, secret = tmp_path / "s.db", "A secret that somebody left in a page."
    with SessionStore.open(path) as store:
        store.create("a").append("user", secret)
    planted(path, secret)
    with SessionStore.open(path) as store:

        def full(_: Any) -> None:
            raise finishing.EventStoreError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(finishing, "write_anew", full)
            done = store.session("a").erase()
        assert (done.complete, done.cause) == (False, "the disk is full")
        assert not dues(store)[0].searched
        assert store.finish_erasures()
    assert grep(path, secret) == []


# -- what is looked for ------------------------------------------------------------------------


def test_all_that_could_tell_the_text_is_looked_for() -> None:
    large = "a large text, told once " * 4000
    with SessionStore.open(":memory:") as store:
        session = store.create("a")
        call = ToolCall(id="c", name="dial", arguments={"number": 491701234567})
        session.append("assistant", 'the "Größe"', tool_calls=[call])
        session.append("tool", large, call_id="c")
        session.set_title("A title", unique=True)
        positions = [recorded.position for recorded in store.events()]
        with store.log.reader() as connection:
            found = traces.gather(connection, positions, ["a-name"])
            salts = [row[0] for row in connection.execute("SELECT salt FROM contents")]
    assert set(salts) < found.texts
    for text in ('the \\"Größe\\"', "491701234567", "A title", "a-name", "dial"):
        assert text.encode() in found.texts
    assert hashlib.sha256(large.encode()).digest() in found.texts
    assert any(one.startswith(b"a large text, told once") for one in found.texts)
    assert claims.digest_of("A title") in found.texts
    assert {"große", "title", "491701234567", "once"} < found.words
    assert "the" not in found.words


# -- what is unused ----------------------------------------------------------------------------

TABLES = {
    "by_number": "CREATE TABLE by_number (id INTEGER PRIMARY KEY, text TEXT)",
    "by_text": "CREATE TABLE by_text (id INTEGER, text TEXT, PRIMARY KEY (text, id)) WITHOUT ROWID",
}
#: What is done to them: mostly small rows come and go.
STEPS = ["insert"] * 6 + ["delete"] * 3 + ["shorten"] * 2 + ["reclaim"]


@settings(max_examples=budget(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1 << 32))
def test_what_no_row_has_and_the_file_has_is_in_unused_bytes(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Without secure_delete, so that there is a lot of it."""
    chance = random.Random(seed)
    path = tmp_path_factory.mktemp("unused") / "f.db"
    connection = apsw.Connection(str(path))
    for pragma in (
        "page_size = 512",
        "auto_vacuum = 2",
        "journal_mode = WAL",
        "secure_delete = 0",
        "synchronous = 0",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    marks = (f"<mark{number:06}>" for number in itertools.count())
    for table in TABLES.values():
        connection.execute(table)
    made = []
    for _ in range(300):
        table, number = chance.choice(list(TABLES)), chance.randrange(40)
        times = chance.choice([1, 1, 1, 2, 4, 30, 150])
        match chance.choice(STEPS):
            case "insert":
                made.append(mark := next(marks))
                sql = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
                connection.execute(sql, (number, mark * times))
            case "delete":
                connection.execute(f"DELETE FROM {table} WHERE id = ?", (number,))
            case "shorten":
                connection.execute(
                    f"UPDATE OR REPLACE {table} SET text = 'x' WHERE id = ?", (number,)
                )
            case _:
                connection.execute("PRAGMA incremental_vacuum(3)").fetchall()
    rows = "".join(
        row[0] for table in TABLES for row in connection.execute(f"SELECT text FROM {table}")
    )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    image = Image(str(path))
    stretches = list(unused.stretches(image))
    image.close()
    connection.close()
    data = path.read_bytes()
    for mark in (one.encode() for one in made if one not in rows):
        assert data.count(mark) == sum(one.count(mark) for one in stretches), mark
    assert all(stretches)


@given(
    st.lists(st.binary(min_size=1, max_size=200), max_size=4),
    st.binary(min_size=4, max_size=120),
    st.integers(0, 100),
    st.integers(23, 120),
)
def test_a_part_of_a_needle_that_is_long_enough_is_found(
    around: list[bytes], needle: bytes, start: int, size: int
) -> None:
    part = needle[start : start + size]
    if len(part) == len(needle) or len(part) >= needles.WINDOW + needles.STEP - 1:
        assert needles.found_in([*around, b"?" + part + b"!"], [needle, b"elsewhere"]) == {needle}
    assert needles.found_in([], [needle]) == set()
