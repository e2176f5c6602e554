"""Imports into a store that redacts, or was redacted since: what is there is known again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import clean
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from import_samples import SAMPLES, assistant, import_one, record, records, user, write
from redaction_support import SECRETS, files_hold

from eventstore import SessionStore
from eventstore.importers import import_paths
from eventstore.redaction import Redactor, redact

KEY = SECRETS["api-key"][5]
MAIL = "ada.lovelace@example.org"
NUMBERED = "".join(f"{n:>6}\t{text}\n" for n, text in enumerate([f"key {KEY}", "plain", MAIL], 1))
LINES = [
    user("u1", f"my key is {KEY}, mail {MAIL}"),
    assistant("a1", {"type": "text", "text": f"noted {KEY} and more of the same text as before"}),
    assistant("a2", {"type": "tool_use", "id": "t1", "name": "run",
                     "input": {"password": "hunter2hunter2", "cmd": f"echo {KEY}"}}),
    record("user", "u2", {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": NUMBERED}]},
        toolUseResult={"stdout": NUMBERED, "file": "".join(
            f"{text}\n" for text in (f"key {KEY}", "plain", MAIL))}),
    record("summary", "s1", summary=f"about {MAIL}"),
    b'{"type": "odd",  "spacing": "' + MAIL.encode() + b'"}',
    b'not json, but \xff ' + KEY.encode(),
    user("u3", "harmless"),
]  # fmt: skip


@pytest.fixture(params=["at append", "afterwards"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SessionStore]]:
    """Opens the store; what was imported before is redacted either way."""
    path = tmp_path / "s.db"

    def open_store() -> SessionStore:
        if request.param == "at append":
            return SessionStore.open(path, redact=Redactor())
        store = SessionStore.open(path)
        redact(store)
        return store

    yield open_store
    if path.exists():
        with SessionStore.open(path) as store:
            clean(store)
        assert files_hold(path, KEY, MAIL, "hunter2hunter2") == []


def settled(store: SessionStore) -> int:
    """The head once everything that is stored is redacted."""
    redact(store)
    return store.head.position


def test_importing_again_adds_nothing(opened: Callable[[], SessionStore], tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *LINES)
    with opened() as store:
        first = import_one(store, path)
        head = settled(store)
    assert first.appended == len(LINES)
    for redactor in (None, Redactor()):
        with SessionStore.open(tmp_path / "s.db", redact=redactor) as store:
            report = import_one(store, path)
            assert (report.appended, report.forked) == (0, [])
            assert store.head.position == head


def test_a_grown_copy_adds_what_is_new(opened: Callable[[], SessionStore], tmp_path: Path) -> None:
    for end in range(1, len(LINES) + 1):
        with opened() as store:
            report = import_one(store, write(tmp_path / "a.jsonl", *LINES[:end]))
            assert (report.appended, report.forked) == (1, [])
            settled(store)


def test_a_copy_that_differs_beside_the_marks_forks(
    opened: Callable[[], SessionStore], tmp_path: Path
) -> None:
    with opened() as store:
        import_one(store, write(tmp_path / "a.jsonl", *LINES))
        settled(store)
        other = [user("u1", f"your key is {KEY}, mail {MAIL}"), *LINES[1:]]
        report = import_one(store, write(tmp_path / "b.jsonl", *other))
        assert len(report.forked) == 1
        settled(store)


def test_the_records_come_back_with_marks_and_nothing_else_changed(
    opened: Callable[[], SessionStore], tmp_path: Path
) -> None:
    with opened() as store:
        report = import_one(store, write(tmp_path / "a.jsonl", *LINES))
        settled(store)
        [name] = report.sessions
        found = records(store, name)
        assert len(found) == len(LINES)
        for line, kept in zip(LINES, found, strict=True):
            assert kept is not None
            assert KEY.encode() not in kept
            if KEY.encode() not in line and MAIL.encode() not in line and b"hunter2" not in line:
                assert kept == line
            elif line.startswith(b"{"):
                assert isinstance(json.loads(kept), dict)


@settings(max_examples=20, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    texts=st.lists(
        st.lists(
            st.sampled_from([KEY, MAIL, "word", " ", "\n", '"', "\\", "é", "日", "x" * 70, "\t1"]),
            min_size=1, max_size=6,
        ).map("".join),
        min_size=1, max_size=5,
    ),
    first=st.booleans(),
)  # fmt: skip
def test_whatever_the_texts_are_a_second_import_adds_nothing(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], first: bool
) -> None:
    folder = tmp_path_factory.mktemp("import")
    lines = [user(f"u{n}", text, copy=f"before {text}") for n, text in enumerate(texts)]
    path = write(folder / "a.jsonl", *lines)
    with SessionStore.open(":memory:", redact=Redactor() if first else None) as store:
        import_one(store, path)
        head = settled(store)
        assert import_one(store, path).appended == 0
        assert store.head.position == head


def test_the_sample_is_imported_once(opened: Callable[[], SessionStore]) -> None:
    with opened() as store:
        list(import_paths(store, [SAMPLES]))
        head = settled(store)
        assert [one.appended for one in import_paths(store, [SAMPLES])] == [0] * 3
        assert store.head.position == head


def test_a_nanobot_file_is_imported_once(
    opened: Callable[[], SessionStore], tmp_path: Path
) -> None:
    def line(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False).encode()

    at = "2026-01-05T09:00:00"
    path = write(
        tmp_path / "a.jsonl",
        line({"_type": "metadata", "key": "cli:direct", "created_at": at, "updated_at": at,
              "metadata": {"mail": MAIL}, "last_consolidated": 0}),
        line({"role": "user", "content": f"my {KEY}", "timestamp": at}),
        line({"role": "assistant", "content": "fine", "timestamp": at}),
    )  # fmt: skip
    with opened() as store:
        import_one(store, path)
        head = settled(store)
        assert import_one(store, path).appended == 0
        assert store.head.position == head
        assert [one.state for one in store.session("cli:direct").history()] == ["active"] * 2
