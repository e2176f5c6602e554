"""What can be read of a damaged file comes back, exactly as it was; what cannot is named."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest
from cli_support import db, run
from engine_support import BIG, budget, clean, populated, ticking

from eventstore import Message, SessionStore, errors
from eventstore.doctor import examine
from eventstore.log.losses import LOST
from eventstore.salvage import Report, salvage

__all__ = ["db"]

PAGE = 4096
SECRET = "the erased words"
TABLES = ("streams", "events", "contents", "blobs")


class Original(NamedTuple):
    """A store that is whole: its rows, and the pages that each of them lies on."""

    path: Path
    rows: dict[str, dict[Any, tuple[Any, ...]]]
    pages: dict[str, dict[Any, set[int]]]

    @property
    def count(self) -> int:
        return self.path.stat().st_size // PAGE


def rows_of(path: Path) -> dict[str, dict[Any, tuple[Any, ...]]]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = {
        table: {row[0]: row for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")}
        for table in TABLES
    }
    connection.close()
    return found


def pages_of(path: Path) -> dict[str, dict[Any, set[int]]]:
    """The leaf and overflow pages of each row, as SQLite's own `dbstat` tells them."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found: dict[str, dict[Any, set[int]]] = {}
    for table in TABLES:
        keys = [row[0] for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]
        stat = connection.execute(
            "SELECT path, pageno, pagetype, ncell FROM dbstat WHERE name = ? ORDER BY path",
            (table,),
        ).fetchall()
        cells: dict[tuple[str, int], Any] = {}
        here = found[table] = {}
        rest = iter(keys)
        for place, page, kind, count in stat:
            if kind == "leaf":
                for number in range(count):
                    key = cells[place.rstrip("/"), number] = next(rest)
                    here[key] = {page}
        assert next(rest, None) is None
        for place, page, kind, _ in stat:
            if kind == "overflow":
                leaf, _, cell = place.partition("+")[0].rpartition("/")
                here[cells[leaf, int(cell, 16)]].add(page)
    connection.close()
    return found


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    path = tmp_path_factory.mktemp("salvage") / "s.db"
    chance = random.Random(1)
    with populated(path) as store:
        sessions = [store.create(f"session-{number}", title="t") for number in range(30)]
        for turn in range(12):
            for session in sessions:
                size = chance.choice((100, 700, 700, 9000))
                texts = [chance.randbytes(size // 2).hex() for _ in range(chance.randint(1, 6))]
                session.append_many([Message(role="user", content=text) for text in texts])
                if chance.random() < 0.05:
                    session.append("tool", f"{turn} {session.id} {BIG}", call_id="c")
        for session in sessions[:10]:
            first = session.messages()[0].seq
            session.compact(first, first + 4, "a note")
        sessions[3].fork("a-fork").append("user", "in the fork")
        secret = sessions[5].append("user", SECRET)
        store.session("session-5").erase_events(
            [store.session("session-5").message(secret).position]
        )
        sessions[6].erase(by="desk")
        store.search("note")
    return Original(path, rows_of(path), pages_of(path))


def damaged(original: Original, target: Path, pages: set[int], chance: random.Random) -> Path:
    """A copy in which these pages are overwritten with noise."""
    data = bytearray(original.path.read_bytes())
    for page in pages:
        data[(page - 1) * PAGE : page * PAGE] = chance.randbytes(PAGE)
    target.write_bytes(data)
    return target


def is_true(original: Original, new: Path, report: Report) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """Nothing in the new store is false, and it is in order; its rows."""
    found = rows_of(new)
    lost = {one for first, size in report.lost for one in range(first, first + size)}
    assert list(found["events"]) == list(range(1, len(found["events"]) + 1))
    for position, row in found["events"].items():
        if row[3] == LOST:
            assert position in lost
            assert row[7] == '{"data":{},"commuting":true}'
        elif found["streams"][row[1]][1] == report.session_id:
            assert row[3] in ("session.created", "x.eventstore.salvaged")
            assert position in lost or position > len(found["events"]) - 2
        else:
            assert position not in lost
            assert row == original.rows["events"][position]
    for position, content in found["contents"].items():
        if found["streams"][found["events"][position][1]][1] != report.session_id:
            assert content in (original.rows["contents"][position], (position, None, None))
    assert set(found["blobs"].items()) <= set(original.rows["blobs"].items())
    with SessionStore.open(new) as store:
        assert {finding.kind for finding in store.verify()} <= {"lost"}
        assert store.check() == []
        for info in store.sessions(statuses=None):
            session = store.session(info.name)
            session.chat()
            session.history()
        before = store.head.position
        store.create("after").append("user", "and it goes on")
        assert store.head.position == before + 2
        assert store.search("goes").hits
    assert SECRET.encode() not in new.read_bytes()
    return found


def slow(seeds: range) -> list[Any]:
    return [pytest.param(seed, marks=pytest.mark.slow) for seed in seeds]


@pytest.mark.parametrize("seed", [*range(4), *slow(range(4, 4 + budget(16)))])
def test_every_event_whose_pages_were_spared_comes_back(
    original: Original, tmp_path: Path, seed: int
) -> None:
    """A hundred pages of noise: page 1, inner pages and the map of pages can be among them."""
    chance = random.Random(seed)
    hit = set(chance.sample(range(1, original.count + 1), 100))
    broken = damaged(original, tmp_path / "broken.db", hit, chance)
    before = broken.read_bytes()
    report = salvage(broken, tmp_path / "new.db")
    found = is_true(original, tmp_path / "new.db", report)
    assert broken.read_bytes() == before
    again = salvage(tmp_path / "new.db", tmp_path / "again.db")
    assert (again.lost, again.unproven, again.lost_contents) == ((), (), ())
    assert rows_of(tmp_path / "again.db") == rows_of(tmp_path / "new.db")
    lost = {one for first, size in report.lost for one in range(first, first + size)}
    whole = {position for position, pages in original.pages["events"].items() if not pages & hit}
    assert whole.isdisjoint(lost)
    assert whole <= set(found["events"])
    assert report.events == len(whole)
    for position in whole & set(original.rows["contents"]):
        row = original.rows["contents"][position]
        blobs = [digest for digest in original.rows["blobs"] if digest.hex() in (row[2] or "")]
        pages = [original.pages["contents"][position]]
        pages += [original.pages["blobs"][digest] for digest in blobs]
        if not hit.intersection(*[set().union(*pages)]):
            assert found["contents"][position] == row


@pytest.mark.parametrize("seed", [19, 100, *slow(range(101, 101 + budget(8)))])
def test_nothing_false_comes_of_pages_that_are_damaged_in_parts(
    original: Original, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(original.path.read_bytes())
    for _ in range(60):
        at, size = chance.randrange(len(data) - 600), chance.choice((1, 3, 64, 512))
        data[at : at + size] = chance.randbytes(size)
    (tmp_path / "broken.db").write_bytes(data)
    report = salvage(tmp_path / "broken.db", tmp_path / "new.db")
    is_true(original, tmp_path / "new.db", report)


def test_a_file_that_is_whole_gives_the_same_store(original: Original, tmp_path: Path) -> None:
    report = salvage(original.path, tmp_path / "new.db")
    assert rows_of(tmp_path / "new.db") == original.rows
    assert (report.lost, report.unproven, report.lost_contents) == ((), (), ())
    assert (report.sessions, report.session_id) == ((), None)
    assert report.events == len(original.rows["events"])
    with SessionStore.open(tmp_path / "new.db") as store, SessionStore.open(original.path) as old:
        clean(store)
        assert store.head == old.head


def test_every_page_of_the_trees_but_the_leaves_can_be_gone(
    original: Original, tmp_path: Path
) -> None:
    connection = apsw.Connection(str(original.path), flags=apsw.SQLITE_OPEN_READONLY)
    hit = {
        row[0]
        for row in connection.execute("SELECT pageno FROM dbstat WHERE pagetype = 'internal'")
    }
    connection.close()
    hit |= {1, 2}
    broken = damaged(original, tmp_path / "broken.db", hit, random.Random(0))
    report = salvage(broken, tmp_path / "new.db")
    found = is_true(original, tmp_path / "new.db", report)
    assert {table: found[table] for table in ("blobs", "contents")} == {
        table: original.rows[table] for table in ("blobs", "contents")
    }
    assert report.lost == ()


def test_sessions_whose_row_is_lost_get_their_id_back(original: Original, tmp_path: Path) -> None:
    hit = set().union(*original.pages["streams"].values())
    broken = damaged(original, tmp_path / "broken.db", hit, random.Random(0))
    report = salvage(broken, tmp_path / "new.db")
    is_true(original, tmp_path / "new.db", report)
    assert report.lost == ()
    assert sum(size for _, size in report.unproven) == report.events
    with SessionStore.open(tmp_path / "new.db") as store:
        assert len(store.session("session-7").messages()) > 10


def test_an_event_of_a_page_with_one_wrong_bit_is_not_believed(
    original: Original, tmp_path: Path
) -> None:
    position = 50
    row = original.rows["events"][position]
    data = bytearray(original.path.read_bytes())
    at = data.index(row[10])  # its leaf lies beside its facts
    at = data.rindex(b'"role":"', 0, at) + 9
    data[at] ^= 2
    (tmp_path / "broken.db").write_bytes(data)
    report = salvage(tmp_path / "broken.db", tmp_path / "new.db")
    is_true(original, tmp_path / "new.db", report)
    assert sum(size for _, size in report.lost) == 1
    assert sum(size for _, size in report.unproven) == 1
    assert len(report.sessions) == 1


def test_what_was_lost_is_no_reason_not_to_mend_what_is_derived(
    original: Original, tmp_path: Path
) -> None:
    broken = damaged(original, tmp_path / "b.db", set(range(40, 60)), random.Random(0))
    salvage(broken, tmp_path / "new.db")
    connection = apsw.Connection(str(tmp_path / "new.db"))
    connection.execute("DELETE FROM messages")
    connection.close()
    report = examine(tmp_path / "new.db", fix=True)
    assert {one.code for one in report.fixed} == {"projection.rows"}
    assert "log.lost" in {one.code for one in report.findings}
    assert "log.leaf" not in {one.code for one in report.findings}


def test_content_that_is_lost_is_told_as_lost_for_ever(original: Original, tmp_path: Path) -> None:
    position = max(one for one, row in original.rows["contents"].items() if row[2]) - 40
    hit = original.pages["contents"][position]
    broken = damaged(original, tmp_path / "broken.db", hit, random.Random(0))
    report = salvage(broken, tmp_path / "new.db")
    lost = {one for first, size in report.lost_contents for one in range(first, first + size)}
    assert position in lost
    with SessionStore.open(tmp_path / "new.db") as store:
        assert {one.position for one in store.verify() if one.kind == "lost"} == lost
        assert report.session_id is not None
        record = list(store.session(report.session_id).events())[-1].event
        assert record.data["contents"] == [list(run) for run in report.lost_contents]
    again = salvage(tmp_path / "new.db", tmp_path / "third.db")  # a salvage of a salvaged store
    assert again.session_id is None
    with SessionStore.open(tmp_path / "third.db") as store:
        assert {one.position for one in store.verify() if one.kind == "lost"} == lost


# -- erased content stays erased -------------------------------------------------------------------


def secret_store(path: Path) -> int:
    """A store with the secret in it; its position."""
    with SessionStore.open(path, clock=ticking()) as store:
        session = store.create("a")
        session.append_many([Message(role="user", content=f"{n} {'x' * 500}") for n in range(40)])
        seq = session.append("user", SECRET)
        return session.message(seq).position


def test_free_pages_are_not_read(tmp_path: Path) -> None:
    """The page as it was before lies among the free ones, and nothing else says what was erased."""
    path = tmp_path / "s.db"
    position = secret_store(path)
    old = path.read_bytes()
    [page] = pages_of(path)["contents"][position]
    with SessionStore.open(path) as store:
        store.create("b").append_many([Message(role="user", content="y" * 400)] * 60)
        store.session("a").erase_events([position])
        erasing = store.head.position
        with store.log.reader() as connection:
            connection.execute("CREATE TABLE filler (x BLOB)")
            connection.execute("INSERT INTO filler VALUES (zeroblob(20000)), (zeroblob(20000))")
            connection.execute("DROP TABLE filler")
    now = pages_of(path)
    hit = now["contents"][position] | now["events"][erasing]
    assert hit.isdisjoint(now["events"][position])
    data = bytearray(path.read_bytes())
    free = int.from_bytes(data[32:36], "big")  # the first page of the list holds page numbers
    leaf = int.from_bytes(data[(free - 1) * PAGE + 8 : (free - 1) * PAGE + 12], "big")
    data[(leaf - 1) * PAGE : leaf * PAGE] = old[(page - 1) * PAGE : page * PAGE]
    for one in hit:
        data[(one - 1) * PAGE : one * PAGE] = random.Random(0).randbytes(PAGE)
    assert SECRET.encode() in data
    noise = random.Random(0).randbytes(PAGE)
    for name, damaged_pages in (("both", ()), ("map", (1,)), ("list", (2,))):
        copy = bytearray(data)  # by the map and the list of free pages, and by one of them alone
        for one in damaged_pages:
            copy[(one - 1) * PAGE : one * PAGE] = noise
        path.write_bytes(copy)
        report = salvage(path, tmp_path / f"{name}.db")
        assert position in {one for a, size in report.lost_contents for one in range(a, a + size)}
        assert SECRET.encode() not in (tmp_path / f"{name}.db").read_bytes()


def test_wiped_content_stays_wiped_when_the_event_of_its_erasure_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    position = secret_store(path)
    with SessionStore.open(path) as store:
        store.session("a").erase_events([position])
        for number in range(30):  # onto pages of their own
            store.create(f"later-{number}").append("user", "y" * 300)
    whole = Original(path, rows_of(path), pages_of(path))
    [erasing] = [one for one, row in whole.rows["events"].items() if row[3] == "content.erased"]
    broken = damaged(whole, tmp_path / "b.db", whole.pages["events"][erasing], random.Random(0))
    report = salvage(broken, tmp_path / "new.db")
    wiped = rows_of(tmp_path / "new.db")["contents"].get(position)
    assert wiped in (None, (position, None, None))
    assert any(first <= erasing < first + size for first, size in report.lost)


def test_the_write_ahead_log_is_read_and_its_old_frames_are_not(tmp_path: Path) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    store = SessionStore.open(path, clock=ticking())
    session = store.create("a")
    with store.log.reader() as connection:
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    session.append_many([Message(role="user", content="z" * 3000) for _ in range(30)])
    position = session.message(session.append("user", SECRET)).position
    with store.log.reader() as connection:
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        connection.execute(
            "UPDATE contents SET salt = NULL, body = NULL WHERE position = ?", (position,)
        )
    session.append("user", "only in the write-ahead log")
    end = store.head.position
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    store.close()
    assert SECRET.encode() in Path(f"{copy}-wal").read_bytes()
    report = salvage(copy, tmp_path / "new.db")
    assert report.events == end
    with SessionStore.open(tmp_path / "new.db") as found:
        assert found.session("a").messages()[-1].text == "only in the write-ahead log"
    assert SECRET.encode() not in (tmp_path / "new.db").read_bytes()
    # What is in the log only is gone without it, and a log with a wrong checksum is no log.
    data = bytearray(Path(f"{copy}-wal").read_bytes())
    data[60] ^= 1
    Path(f"{copy}-wal").write_bytes(data)
    assert salvage(copy, tmp_path / "less.db").events < end


# -- refusing, and the command ---------------------------------------------------------------------


def test_it_never_writes_over_anything_and_leaves_no_half_file(
    original: Original, tmp_path: Path
) -> None:
    new = tmp_path / "new.db"
    new.write_bytes(b"mine")
    with pytest.raises(errors.StoreError, match="exists already"):
        salvage(original.path, new)
    assert new.read_bytes() == b"mine"
    noise = tmp_path / "noise.db"
    noise.write_bytes(random.Random(3).randbytes(40 * PAGE))
    with pytest.raises(errors.NotAStoreError, match="no event"):
        salvage(noise, tmp_path / "other.db")
    with pytest.raises(errors.StoreMissingError):
        salvage(tmp_path / "none.db", tmp_path / "other.db")

    def stop(part: str, *_: int) -> None:
        if part == "contents":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        salvage(original.path, tmp_path / "other.db", progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.db", "noise.db"]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_the_new_store_is_private(original: Original, tmp_path: Path) -> None:
    salvage(original.path, tmp_path / "new.db")
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


def test_the_exit_code_says_whether_something_was_lost(db: Path, tmp_path: Path) -> None:
    assert run("salvage", db, tmp_path / "a.db").exit_code == 0
    data = bytearray(db.read_bytes())
    whole = Original(db, rows_of(db), pages_of(db))
    for page in whole.pages["contents"][5]:
        data[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)
    db.write_bytes(data)
    done = run("salvage", db, tmp_path / "b.db", "--json")
    assert done.exit_code == 3
    answer = json.loads(done.stdout)
    assert answer["lost_contents"]
    assert "chat-1" in answer["sessions"]
    assert run("salvage", tmp_path / "c.db", "--db", db).exit_code == 3
    assert run("salvage", db, tmp_path / "b.db").exit_code == 1
