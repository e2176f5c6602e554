"""Importing nanobot's session files, old and new."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from engine_support import clean
from hypothesis import given
from hypothesis import strategies as st
from import_samples import SAMPLES, data_folder, import_one, user, write
from nanobot_support import JSON, MESSAGES, exactly, few, needs_old, original, ours

from eventstore import SessionStore
from eventstore.adapters.nanobot.storage import Storage
from eventstore.errors import UnknownFormatError
from eventstore.importers import import_paths, records_of
from eventstore.importers.registry import recognise


@pytest.fixture
def store() -> Iterator[SessionStore]:
    with SessionStore.open(":memory:") as store:
        yield store
        clean(store)


def line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def header(updated: str = "2026-01-05T10:00:00", **more: Any) -> bytes:
    return line(
        {"_type": "metadata", "key": "cli:direct", "created_at": "2026-01-04T08:00:00",
         "updated_at": updated, "metadata": {}, "last_consolidated": 0, **more}
    )  # fmt: skip


def said(text: str, **more: Any) -> bytes:
    return line({"role": "user", "content": text, "timestamp": "2026-01-05T09:00:00", **more})


def texts(store: SessionStore, key: str = "cli:direct") -> list[Any]:
    found = Storage(store).load(key)
    return [] if found is None else [entry.get("content") for entry in found.kept.copies()]


def lines_of(store: SessionStore, key: str = "cli:direct") -> list[bytes | None]:
    return [record.data for record in records_of(store.session(key))]


# -- recognising ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        header(),
        b"\xef\xbb\xbf" + header() + b"\r",
        b'{"torn":\n' + header(),
        said("first") + b"\n" + header(),
        header(last_archived=3) + b'\n{"_type":"provider_state","state":{}}',
    ],
    ids=["plain", "framed", "after a torn line", "later", "new"],
)
def test_a_file_is_recognised_by_its_metadata(tmp_path: Path, head: bytes) -> None:
    found = recognise(write(tmp_path / "any.txt", head))
    assert found is not None
    assert found.name == "nanobot"


def test_other_files_are_not_taken_for_nanobots(tmp_path: Path) -> None:
    for path in SAMPLES.rglob("*.jsonl"):
        found = recognise(path)
        assert found is None or found.name == "claude-code"
    mixed = write(tmp_path / "mixed.jsonl", user("u", "hello"), header())
    found = recognise(mixed)
    assert found is not None
    assert found.name == "claude-code"
    with pytest.raises(UnknownFormatError):
        recognise(write(tmp_path / "none.jsonl", said("hello")))


# -- what comes of a file ------------------------------------------------------------------------


def test_an_old_file_becomes_a_session(tmp_path: Path, store: SessionStore) -> None:
    path = write(tmp_path / "cli_direct.jsonl", header(last_consolidated=1), said("1"), said("2"))
    before = path.read_bytes()
    report = import_one(store, path)
    assert (report.format, report.sessions, report.records) == ("nanobot", ["cli:direct"], 3)
    assert (report.messages, report.appended, report.problems) == (2, 3, [])
    assert texts(store) == ["1", "2"]
    assert [message["content"] for message in store.session("cli:direct").chat()] == ["2"]
    assert path.read_bytes() == before


def test_times_and_keys_are_the_files(
    tmp_path: Path, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_one(store, write(tmp_path / "renamed.jsonl", header(), said("1")))
    info = store.session("cli:direct").info()
    assert info.created_at == int(datetime(2026, 1, 4, 8).timestamp() * 1_000_000)
    assert info.updated_at == int(datetime(2026, 1, 5, 10).timestamp() * 1_000_000)
    [view] = store.session("cli:direct").messages()
    assert view.at == int(datetime(2026, 1, 5, 9).timestamp() * 1_000_000)
    [listed] = Storage(store).listed()
    assert listed == ("cli:direct", "cli:direct", "2026-01-04T08:00:00", "2026-01-05T10:00:00")


def test_a_file_of_today_keeps_its_watermark_and_its_providers_state(
    tmp_path: Path, store: SessionStore
) -> None:
    state = {"_type": "provider_state", "state": {"kind": "k", "payload": {"x": 1}}}
    first = header(last_archived=2, last_consolidated=0)
    path = write(tmp_path / "Y2xpOmRpcmVjdA.jsonl", first, line(state), said("1"), said("2"))
    assert import_one(store, path).messages == 2
    found = Storage(store).load("cli:direct")
    assert found is not None
    assert found.last_consolidated == 2
    assert found.header["provider_state"] == state["state"]
    assert sorted(map(str, lines_of(store))) == sorted(
        str(one) for one in path.read_bytes().splitlines()
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [("cli_direct", "cli:direct"), ("Y2xpOmRpcmVjdA", "cli:direct"), ("plain", "plain")],
)
def test_a_file_that_says_no_key_has_that_of_its_name(
    tmp_path: Path, store: SessionStore, name: str, key: str
) -> None:
    path = write(tmp_path / f"{name}.jsonl", line({"_type": "metadata", "created_at": None}))
    assert import_one(store, path).sessions == [key]


def test_a_later_metadata_line_wins(tmp_path: Path, store: SessionStore) -> None:
    path = write(
        tmp_path / "a.jsonl", header(metadata={"a": 1}), said("1"), header(metadata={"b": 2})
    )
    import_one(store, path)
    found = Storage(store).load("cli:direct")
    assert found is not None
    assert found.header["metadata"] == {"b": 2}


# -- importing again -----------------------------------------------------------------------------


def test_importing_again_adds_nothing(tmp_path: Path, store: SessionStore) -> None:
    path = write(tmp_path / "a.jsonl", header(), said("1"), b"{", b"[1]", said("2"))
    first = import_one(store, path)
    head = store.head
    again = import_one(store, path)
    assert again.appended == 0
    assert again.problems == first.problems
    assert store.head == head


def test_a_grown_file_adds_only_what_is_new(tmp_path: Path, store: SessionStore) -> None:
    path = write(tmp_path / "a.jsonl", header(), said("1"), b"{")
    import_one(store, path)
    write(path, header("2026-01-06T10:00:00"), said("1"), b"{", said("2"), b"}")
    report = import_one(store, path)
    assert report.appended == 3  # the message, the damaged line, the metadata
    assert texts(store) == ["1", "2"]
    assert [view.state for view in store.session("cli:direct").history()] == ["active"] * 2


def test_a_rewritten_file_retracts_what_it_no_longer_says(
    tmp_path: Path, store: SessionStore
) -> None:
    path = write(tmp_path / "a.jsonl", header(), said("1"), said("2"), said("3"))
    import_one(store, path)
    write(path, header("2026-01-06T10:00:00"), said("1"), said("two"))
    report = import_one(store, path)
    assert (report.appended, report.forked) == (2, [])
    assert texts(store) == ["1", "two"]
    history = store.session("cli:direct").history()
    assert [view.text for view in history] == ["1", "2", "3", "two"]
    assert [view.state for view in history] == ["active", "retracted", "retracted", "active"]


def test_an_older_file_changes_nothing(tmp_path: Path, store: SessionStore) -> None:
    path = write(tmp_path / "a.jsonl", header("2026-01-06T10:00:00"), said("1"), said("2"))
    import_one(store, path)
    head = store.head
    assert import_one(store, write(path, header(), said("1"))).problems == []
    other = import_one(store, write(path, header(), said("other")))
    [problem] = other.problems
    assert problem.line is None
    assert "nothing was taken from the file" in problem.reason
    assert store.head == head
    assert other.appended == 0


def test_a_session_that_was_closed_takes_nothing(tmp_path: Path, store: SessionStore) -> None:
    path = write(tmp_path / "a.jsonl", header(), said("1"))
    import_one(store, path)
    store.session("cli:direct").close()
    head = store.head
    report = import_one(store, write(path, header("2026-01-06T10:00:00"), said("1"), said("2")))
    assert [problem.reason for problem in report.problems] == [
        "session 'cli:direct' is closed; nothing was taken from the file"
    ]
    assert (report.appended, store.head) == (0, head)


def test_of_two_files_with_one_key_the_newer_counts_in_any_order(
    tmp_path: Path, store: SessionStore
) -> None:
    older = write(tmp_path / "older.jsonl", header(), said("1"))
    newer = write(tmp_path / "newer.jsonl", header("2026-01-06T10:00:00"), said("2"))
    for path in (older, newer, older, newer):
        import_one(store, path)
    assert texts(store) == ["2"]
    assert [view.text for view in store.session("cli:direct").history()] == ["1", "2"]


def test_damaged_lines_are_reported_and_the_rest_is_imported(
    tmp_path: Path, store: SessionStore
) -> None:
    broken = [b'{"role":', b"[1]", b"\xff\xfe", b'{"a":1}{"b":2}', b'{"role": "user", "cont']
    path = write(tmp_path / "a.jsonl", header(), broken[0], said("1"), *broken[1:4], end=b"")
    path.write_bytes(path.read_bytes() + b"\n" + broken[4])
    report = import_one(store, path)
    assert [problem.line for problem in report.problems] == [2, 4, 5, 7]
    assert [problem.reason for problem in report.problems][1] == "a JSON list, not an object"
    assert texts(store) == ["1", None, None]
    kept = lines_of(store)
    assert all(one in kept for one in (broken[0], broken[1], broken[2], broken[4]))


# -- all lines, all stores -----------------------------------------------------------------------


@few
@given(st.lists(MESSAGES, max_size=4), JSON, st.booleans())
def test_every_line_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory,
    messages: list[dict[str, Any]],
    metadata: Any,
    ascii_only: bool,
) -> None:
    def spelled(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=ascii_only).encode()

    messages = [one for one in messages if one.get("_type") != "provider_state"]
    lines = [header(metadata=metadata), *map(spelled, messages)]
    path = write(tmp_path_factory.mktemp("f") / "a.jsonl", *lines)
    with SessionStore.open(":memory:") as store:
        import_one(store, path)
        kept = lines_of(store)
        assert sorted(map(str, kept)) == sorted(map(str, lines))
        assert kept == lines
        found = Storage(store).load("cli:direct")
        assert found is not None
        assert exactly(found.kept.copies()) == exactly(messages)
        head = store.head
        import_one(store, path)
        assert store.head == head


def test_a_real_file_comes_back(store: SessionStore) -> None:
    for path in data_folder("nanobot").glob("*.jsonl"):
        assert import_one(store, path).problems == []
        lines = path.read_bytes().splitlines()
        key = json.loads(lines[0])["key"]
        assert lines_of(store, key) == lines
        assert import_one(store, path).appended == 0


# -- by way of the adapter -----------------------------------------------------------------------


def left_behind(folder: Path) -> None:
    """Files as nanobot 0.1.4 leaves them."""
    (folder / "sessions").mkdir(parents=True)
    for key in ("a:b", "c:d"):
        head = header(key=key, metadata={"of": key}, last_consolidated=1)
        name = key.replace(":", "_")
        write(folder / "sessions" / f"{name}.jsonl", head, said("1"), said("2"))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), os.stat(path).st_mtime_ns)
        for path in (folder / "sessions").glob("*.jsonl")
    }


def test_files_left_in_a_workspace_are_imported_when_asked_for(tmp_path: Path) -> None:
    left_behind(tmp_path)
    before = snapshot(tmp_path)
    with closing(ours(tmp_path)) as manager:
        session = manager.get_or_create("a:b")
        assert [message["content"] for message in session.messages] == ["1", "2"]
        assert (session.metadata, session.last_consolidated) == ({"of": "a:b"}, 1)
        assert session.created_at == datetime(2026, 1, 4, 8)
        assert manager.store.get("c:d") is None
        assert sorted(one["key"] for one in manager.list_sessions()) == ["a:b", "c:d"]
        session.add_message("user", "3")
        manager.save(session)
        manager.list_sessions()
    with closing(ours(tmp_path)) as manager:
        manager.list_sessions()
        assert len(manager.get_or_create("a:b").messages) == 3
    assert snapshot(tmp_path) == before


def test_a_new_session_saved_unread_does_not_hide_the_file_that_was_left(tmp_path: Path) -> None:
    left_behind(tmp_path)
    with closing(ours(tmp_path)) as manager:
        session = type(manager.get_or_create("x"))("a:b")
        manager.save(session)
        assert [view.text for view in manager.store.session("a:b").history()] == ["1", "2"]
        assert manager._load("a:b").messages == []  # type: ignore[union-attr]


def test_a_file_of_another_key_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    write(tmp_path / "sessions" / "x_a_b.jsonl", header(key="x:a_b"), said("1"))
    with closing(ours(tmp_path)) as manager:
        assert manager.get_or_create("x:a:b").messages == []
        assert len(manager.get_or_create("x:a_b").messages) == 1


@needs_old
@few
@given(
    st.lists(
        st.tuples(st.lists(MESSAGES, max_size=4), st.dictionaries(st.text("ab"), JSON, max_size=2),
                  st.integers(-2, 5)),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_what_the_original_wrote_reads_the_same_through_the_adapter(
    tmp_path_factory: pytest.TempPathFactory, made: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("w")
    theirs = original(folder)
    for number, (messages, metadata, consolidated) in enumerate(made):
        session = theirs.get_or_create(f"cli:{number}")
        session.messages, session.metadata = messages, metadata
        session.last_consolidated = consolidated
        session.updated_at = datetime(2026, 1, 1 + number)
        theirs.save(session)
    theirs = original(folder)
    with SessionStore.open(folder / "sessions" / "sessions.db", durability="normal") as store:
        assert all(not report.problems for report in import_paths(store, [folder / "sessions"]))
    with closing(ours(folder)) as manager:
        assert manager.list_sessions() == theirs.list_sessions()
        for number in range(len(made)):
            one, other = (any_.get_or_create(f"cli:{number}") for any_ in (theirs, manager))
            assert exactly(other.messages) == exactly(one.messages)
            assert exactly(other.metadata) == exactly(one.metadata)
            assert other.created_at == one.created_at
            assert other.last_consolidated == one.last_consolidated
            if all("role" in message for message in one.messages):
                assert exactly(other.get_history()) == exactly(one.get_history())
