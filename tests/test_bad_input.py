"""Bad input: one clear error of this project's, nothing half written, and the store works on."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest
from engine_support import clean, populated
from lock_support import locked

from eventstore import (
    ANY,
    EXISTS,
    NO_STREAM,
    CustomEvent,
    Message,
    Session,
    SessionStore,
    errors,
    exactly,
)
from eventstore.log import engine, schema
from eventstore.session import commands as do

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(2000)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as opened:
        session = opened.create("a")
        session.append_many([Message(role="user", content=str(n)) for n in range(1, 6)])
        yield opened


def works(store: SessionStore) -> None:
    """The store takes an append, verifies, and has no gap."""
    store.session("a").append("user", "after")
    clean(store)
    assert [r.position for r in store.events()] == list(range(1, store.head.position + 1))


# -- commands --------------------------------------------------------------------------------------

Act = Callable[[SessionStore, Session], Any]

REFUSED: dict[str, tuple[type[Exception], Act]] = {
    "unknown session": (errors.UnknownSessionError, lambda st, a: st.session("nobody")),
    "unknown stream": (errors.UnknownSessionError, lambda st, a: st.session_of(99)),
    "unknown prefix": (errors.UnknownSessionError, lambda st, a: st.find("zz")),
    "empty prefix": (errors.UnknownSessionError, lambda st, a: st.find("")),
    "used id": (errors.SessionExistsError, lambda st, a: st.create("a")),
    "fork to a used id": (errors.SessionExistsError, lambda st, a: a.fork("a")),
    "empty id": (errors.InvalidValueError, lambda st, a: st.create("")),
    "long id": (errors.InvalidValueError, lambda st, a: st.create("x" * 513)),
    "id of an incarnation": (errors.InvalidValueError, lambda st, a: st.create("b~2")),
    "id of an erased one": (errors.InvalidValueError, lambda st, a: st.create("erased:1")),
    "id with a newline": (errors.InvalidValueError, lambda st, a: st.create("a\nb")),
    "id with NUL": (errors.InvalidValueError, lambda st, a: st.create("a\0b")),
    "id with a surrogate": (errors.InvalidValueError, lambda st, a: st.create("\ud800")),
    "version too high": (
        errors.VersionConflictError, lambda st, a: a.append("user", "x", expected=exactly(99))),
    "version too low": (
        errors.VersionConflictError, lambda st, a: a.append("user", "x", expected=exactly(1))),
    "negative version": (
        errors.VersionConflictError, lambda st, a: a.append("user", "x", expected=exactly(-1))),
    "no session expected": (
        errors.VersionConflictError, lambda st, a: a.append("user", "x", expected=NO_STREAM)),
    "inverted range": (errors.InvalidRangeError, lambda st, a: a.compact(4, 2, "n")),
    "range from 0": (errors.UnknownMessageError, lambda st, a: a.compact(0, 2, "n")),
    "range to 99": (errors.UnknownMessageError, lambda st, a: a.compact(1, 99, "n")),
    "consolidate 99": (errors.UnknownMessageError, lambda st, a: a.consolidate(99)),
    "retract -1": (errors.UnknownMessageError, lambda st, a: a.retract(-1)),
    "fork at 0": (errors.InvalidRangeError, lambda st, a: a.fork("f", at=0)),
    "fork in the future": (errors.InvalidRangeError, lambda st, a: a.fork("f", at=99)),
    "as of the future": (errors.InvalidRangeError, lambda st, a: a.messages(at=99)),
    "as of -1": (errors.InvalidRangeError, lambda st, a: a.messages(at=-1)),
    "as of a huge version": (errors.InvalidRangeError, lambda st, a: a.messages(at=2**70)),
    "role": (errors.InvalidValueError, lambda st, a: a.append("User!", "x")),
    "role of another type": (errors.InvalidValueError, lambda st, a: a.append(None, "x")),
    "content of another type": (errors.NotJSONError, lambda st, a: a.append("user", 5)),
    "content of bytes": (errors.NotJSONError, lambda st, a: a.append("user", b"x")),
    "not JSON": (errors.NotJSONError, lambda st, a: a.append("user", [{1: 2}])),
    "title of another type": (errors.NotJSONError, lambda st, a: a.set_title(5)),
    "negative usage": (errors.InvalidValueError, lambda st, a: a.record_usage("k", input=-1)),
    "fractional usage": (errors.InvalidValueError, lambda st, a: a.record_usage("k", input=1.5)),
    "usage without key": (errors.InvalidValueError, lambda st, a: a.record_usage("")),
    "cost of NaN": (
        errors.InvalidValueError, lambda st, a: a.record_usage("k", cost=float("nan"))),
    "cost of infinity": (
        errors.InvalidValueError, lambda st, a: a.record_usage("k", cost=float("inf"))),
    "cost beyond measure": (
        errors.EventStoreError, lambda st, a: a.record_usage("k", cost=1e300)),
    "negative round": (errors.InvalidValueError, lambda st, a: a.advance_round(-1)),
    "empty key": (errors.InvalidValueError, lambda st, a: a.append("user", "x", key="")),
    "long key": (errors.InvalidValueError, lambda st, a: a.append("user", "x", key="k" * 257)),
    "key with NUL": (errors.InvalidValueError, lambda st, a: a.append("user", "x", key="\0")),
    "custom name": (
        errors.InvalidValueError, lambda st, a: a.add_event(CustomEvent(name="acme.moved"))),
    "long custom name": (
        errors.InvalidValueError,
        lambda st, a: a.add_event(CustomEvent(name="x.a." + "b" * 64))),
    "a message as a free event": (
        errors.InvalidValueError,
        lambda st, a: a.add_event(next(iter(a.events(after=1))).event)),
    "erase another's event": (
        errors.InvalidValueError, lambda st, a: a.erase_events([99])),
    "erase position 0": (errors.InvalidValueError, lambda st, a: a.erase_events([0])),
    "a reason with a newline": (
        errors.InvalidValueError, lambda st, a: a.erase(reason="x\ny")),
    "create by execute": (
        errors.InvalidValueError, lambda st, a: st.execute([(a, do.Create(session_id="z"))])),
    "too deep": (errors.SpawnDepthError, lambda st, a: spawn_deep(a)),
}  # fmt: skip


def spawn_deep(session: Session) -> None:
    for _ in range(9):
        session = session.spawn()


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_command_leaves_nothing_behind(store: SessionStore, name: str) -> None:
    kind, act = REFUSED[name]
    head = store.head
    with pytest.raises(kind) as caught:
        act(store, store.session("a"))
    assert isinstance(caught.value, errors.EventStoreError)
    assert str(caught.value)
    if name != "too deep":
        assert store.head == head
    works(store)


def test_a_closed_session_refuses_every_command_and_can_be_read(store: SessionStore) -> None:
    a = store.session("a")
    a.close()
    head = store.head
    acts: list[Callable[[], Any]] = [
        lambda: a.append("user", "x"), lambda: a.compact(1, 2, "n"), lambda: a.retract(1),
        lambda: a.consolidate(1), a.clear, a.end, a.reopen, a.archive, a.close,
        lambda: a.set_title("t"), lambda: a.change_prompt("p"), lambda: a.change_model("m"),
        lambda: a.record_usage("k", input=1), lambda: a.reparent(None), a.settle_tool_calls,
        lambda: a.suspend_tool_calls({}), lambda: a.advance_round(1),
        lambda: a.add_event(CustomEvent(name="x.a.b")),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(errors.SessionClosedError):
            act()
    assert store.head == head
    assert len(a.messages()) == 5
    clean(store)


LOOKUPS: dict[str, Act] = {
    "get a huge incarnation": lambda st, a: st.get("a~" + "9" * 40),
    "get with a surrogate": lambda st, a: st.get("\ud800"),
    "get with a NUL": lambda st, a: st.get("\0"),
    "find with a surrogate": lambda st, a: st.find("\ud800"),
    "find the last character": lambda st, a: st.find("\U0010ffff"),
    "events after a huge version": lambda st, a: list(a.events(after=2**70)),
    "events up to a huge version": lambda st, a: list(a.events(upto=2**70)),
    "events after a huge position": lambda st, a: list(st.events(after=2**70)),
    "history after a huge seq": lambda st, a: a.history(after=2**70),
    "message of a huge seq": lambda st, a: a.message(2**70),
    "erase a huge position": lambda st, a: a.erase_events([2**70]),
    "stream of a huge number": lambda st, a: st.session_of(2**70),
    "sessions with a huge limit": lambda st, a: st.sessions(limit=2**70),
    "usage by nonsense": lambda st, a: a.usage_by("nonsense"),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_an_odd_question_gets_an_answer_or_this_projects_error(
    store: SessionStore, name: str
) -> None:
    with suppress(errors.EventStoreError):
        LOOKUPS[name](store, store.session("a"))
    works(store)


def test_an_older_incarnation_that_was_touched_is_not_taken_for_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("a").close()
        store.create("a").append("user", "second")
    with SessionStore.open(path) as store:
        store.session("a~1").fork("touched")
        with pytest.raises(errors.SessionExistsError):
            store.create("a")
        store.session("a").close()
        store.session("a~1").fork("touched again")
        assert store.create("a").incarnation == 3
        clean(store)


def test_no_session_id_is_mistaken_for_the_logs_own_notes(tmp_path: Path) -> None:
    names = ["SELECT coalesce(max(id), 0) FROM streams", "last stream", "1", "stream", "key"]
    with SessionStore.open(tmp_path / "s.db") as store:
        for name in (*names, "z"):
            store.create(name).append("user", name)
        for name in names:
            with pytest.raises(errors.SessionExistsError):
                store.create(name)
            store.session(name).close()
            assert store.create(name).incarnation == 2
        clean(store)


def test_what_another_stores_session_knows_is_not_mixed_up(tmp_path: Path) -> None:
    with (
        SessionStore.open(tmp_path / "1.db") as one,
        SessionStore.open(tmp_path / "2.db") as two,
    ):
        one.create("a")
        foreign = two.create("b")
        for act in (
            lambda: one.create("c", parent=foreign),
            lambda: one.session("a").reparent(foreign),
            lambda: one.execute([(foreign, do.End())]),
        ):
            head = one.head
            with pytest.raises(errors.EventStoreError):
                act()
            assert one.head == head


@pytest.mark.parametrize(
    ("expected", "disturbed_by_title", "disturbed_by_message"),
    [(ANY, False, False), (EXISTS, False, False), (NO_STREAM, True, True),
     ("exactly", False, True)],
    ids=["any", "exists", "none yet", "exactly"],
)  # fmt: skip
def test_expected_versions(
    store: SessionStore, expected: Any, disturbed_by_title: bool, disturbed_by_message: bool
) -> None:
    a = store.session("a")
    wanted = exactly(a.version) if expected == "exactly" else expected

    def attempt(refused: bool) -> None:
        if refused:
            with pytest.raises(errors.VersionConflictError) as caught:
                a.append("user", "x", expected=wanted)
            assert caught.value.actual == a.version
            assert caught.value.session == "a"
        else:
            a.append("user", "x", expected=wanted)

    a.set_title("t")
    a.record_usage("k", input=1)
    a.add_event(CustomEvent(name="x.a.b", commuting=True))
    a.erase_events([2])
    attempt(disturbed_by_title)
    if expected != "exactly":
        a.append("user", "y")
    attempt(disturbed_by_message)
    works(store)


def test_exactly_holds_after_reopening_too(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        a = store.create("a")
        a.append("user", "x")
        wanted = exactly(a.version)
        a.set_title("t")
    with SessionStore.open(path) as store:
        store.session("a").append("user", "y", expected=wanted)
    with SessionStore.open(path) as store, pytest.raises(errors.VersionConflictError):
        store.session("a").append("user", "z", expected=wanted)


# -- files -----------------------------------------------------------------------------------------


def foreign(path: Path, *statements: str) -> bytes:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    "data", [b"just some text\n", b"x", PNG, b"\0" * 5000, b"SQLite format 3\0" + b"x" * 5000],
    ids=["text", "one byte", "png", "zeros", "header only"],
)  # fmt: skip
def test_another_file_is_refused_and_not_touched(
    tmp_path: Path, data: bytes, readonly: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises((errors.NotAStoreError, errors.CorruptStoreError)):
        SessionStore.open(path, readonly=readonly)
    assert path.read_bytes() == data
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("statements", "kind"),
    [
        (["CREATE TABLE t (a)"], errors.NotAStoreError),
        (["PRAGMA user_version = 3"], errors.NotAStoreError),
        (["PRAGMA application_id = 77"], errors.NotAStoreError),
        (["PRAGMA journal_mode = WAL", "CREATE TABLE t (a)"], errors.NotAStoreError),
    ],
)
def test_a_foreign_database_is_refused_and_not_touched(
    tmp_path: Path, statements: list[str], kind: type[Exception]
) -> None:
    path = tmp_path / "foreign.db"
    before = foreign(path, *statements)
    for readonly in (False, True):
        with pytest.raises(kind):
            SessionStore.open(path, readonly=readonly)
        assert path.read_bytes() == before


def test_a_newer_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    populated(path).close()
    before = foreign(path, f"PRAGMA user_version = {len(schema.migrations()) + 1}")
    for readonly in (False, True):
        with pytest.raises(errors.NewerStoreError, match="update"):
            SessionStore.open(path, readonly=readonly)
        assert path.read_bytes() == before


def test_paths_that_cannot_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(errors.NotAStoreError, match="directory"):
        SessionStore.open(tmp_path)
    with pytest.raises(errors.StoreError):
        SessionStore.open(tmp_path / "no" / "such" / "folder.db")
    for options in ({"create": False}, {"readonly": True}):
        with pytest.raises(errors.StoreMissingError):
            SessionStore.open(tmp_path / "none.db", **options)
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.StoreError):
        SessionStore.open(tmp_path / "file" / "s.db")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    (tmp_path / "empty").touch()
    SessionStore.open(tmp_path / "empty").close()


def test_odd_names_of_files_are_just_names(tmp_path: Path) -> None:
    for name in ("a?mode=ro.db", "file:x.db", "a b%20.db", "é#1.db", "'q'.db"):
        with SessionStore.open(tmp_path / name) as store:
            store.create("a").append("user", "x")
            clean(store)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_store_opened_for_reading_refuses_to_write(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    populated(path).close()
    with SessionStore.open(path, readonly=True) as store:
        session = store.session("root")
        for act in (
            lambda: session.append("user", "x"),
            lambda: store.create("new"),
            session.close,
            session.erase,
            store.rebuild,
        ):
            with pytest.raises(errors.ReadOnlyStoreError):
                act()
        assert session.messages()
        clean(store)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_without_permission_to_write(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    populated(path).close()
    path.chmod(0o400)
    with pytest.raises(errors.StoreError):
        SessionStore.open(path)


def test_a_directory_that_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(errors.StoreError, match="Permission denied"):
        SessionStore.open(tmp_path / "s.db")


@pytest.mark.parametrize("error", ["ReadOnlyError", "IOError", "FullError", "CorruptError"])
def test_an_error_below_is_named_once(error: str) -> None:
    translated = engine.translate(getattr(apsw, error)("cause"), "a/path")
    assert isinstance(translated, errors.StoreError)
    assert "a/path" in str(translated)


def test_a_full_disk_loses_nothing_that_was_answered(store: SessionStore) -> None:
    a = store.session("a")
    writer = store.log._writer
    pages = writer.execute("PRAGMA page_count").get
    writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    answered = [message.seq for message in a.messages()]

    def fill() -> None:
        for _ in range(1000):
            answered.append(a.append("user", os.urandom(2000).hex()))

    with pytest.raises((errors.DiskFullError, errors.AppendUnknownError)):
        fill()
    assert [message.seq for message in a.messages()] == answered
    head = store.head
    with pytest.raises((errors.DiskFullError, errors.AppendUnknownError)):
        a.append("user", os.urandom(40_000).hex())
    assert store.head == head
    clean(store)
    writer.execute("PRAGMA max_page_count = 1000000").fetchall()
    works(store)


def test_a_file_locked_by_another_process(store: SessionStore) -> None:
    store.log._busy_seconds = 0.2
    with locked(store.path):
        a = store.session("a")
        with pytest.raises(errors.StoreBusyError, match="write lock"):
            a.append("user", "x")
        assert len(a.messages()) == 5  # reading never waits
        second = SessionStore.open(store.path)
        second.log._busy_seconds = 0.2
        second.close()  # nor does closing
    works(store)


def test_a_store_used_after_close(tmp_path: Path) -> None:
    store = SessionStore.open(tmp_path / "s.db")
    a = store.create("a")
    events = a.events()
    store.close()
    store.close()
    for act in (
        lambda: a.append("user", "x"), a.messages, a.info, store.verify, store.check,
        lambda: list(events), lambda: store.create("b"), lambda: store.get("a"), store.rebuild,
    ):  # fmt: skip
        with pytest.raises(errors.StoreClosedError):
            act()


def test_two_stores_on_one_path_in_one_process(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as one, SessionStore.open(path) as two:
        a = one.create("a")
        b = two.session("a")
        seqs = []
        for number in range(20):
            seqs.append((a if number % 2 else b).append("user", str(number)))
            a.record_usage("k", input=number)
            assert b.usage().input == number
        assert seqs == list(range(1, 21))
        assert [m.text for m in a.messages()] == [m.text for m in b.messages()]
        two.close()
        a.append("user", "after the other was closed")
        assert a.fork().messages()
        clean(one)


def test_a_store_is_not_used_on_the_far_side_of_a_fork(tmp_path: Path) -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    script = f"""
import os, sys
from eventstore import SessionStore, errors
store = SessionStore.open({str(tmp_path / "s.db")!r})
a = store.create("a")
child = os.fork()
if child == 0:
    try:
        a.append("user", "from the child")
    except errors.EventStoreError:
        os._exit(0)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
a.append("user", "from the parent")
assert store.verify() == []
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("readonly", [False, True])
def test_a_pipe_or_device_is_refused_without_waiting_for_it(tmp_path: Path, readonly: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path(os.devnull)):
        with pytest.raises(errors.NotAStoreError, match="ordinary file"):
            SessionStore.open(path, readonly=readonly)
