"""Importing again: nothing twice, what is new appended, what differs forked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from import_samples import SAMPLES, assistant, everything, import_one, record, records, user, write

from eventstore import SessionStore
from eventstore.errors import ImportFailedError
from eventstore.importers import import_paths, intake, stored_records

MAIN = SAMPLES / "5e551011-0000-4000-8000-000000000001.jsonl"
LINES = [user(f"u{n}", f"line {n} of the conversation") for n in range(8)]


@pytest.fixture
def store() -> Any:
    with SessionStore.open(":memory:") as store:
        yield store


def test_importing_again_adds_nothing(store: SessionStore) -> None:
    first = list(import_paths(store, [SAMPLES]))
    head = store.head
    again = list(import_paths(store, [SAMPLES]))
    assert store.head == head
    assert sum(report.appended for report in first) == sum(report.records for report in first)
    assert [report.appended for report in again] == [0] * len(first)
    assert [(r.records, r.messages) for r in again] == [(r.records, r.messages) for r in first]


MIXED = [*MAIN.read_bytes().splitlines(), *(SAMPLES / "sidechain.jsonl").read_bytes().splitlines()]

#: The first lines have no time of their own: they are given that of the first record that has one.
DATED = next(n for n, line in enumerate(MIXED, 1) if "timestamp" in json.loads(line))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(cuts=st.sets(st.integers(DATED, len(MIXED) - 1), max_size=4), page=st.integers(1, 6))
def test_a_file_that_grows_gives_what_importing_at_once_gives(
    tmp_path: Path, cuts: set[int], page: int
) -> None:
    path = tmp_path / "5e551011-0000-4000-8000-000000000001.jsonl"
    with SessionStore.open(":memory:") as grown, SessionStore.open(":memory:") as whole:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stored_records, "PAGE", page)
            patch.setattr(intake, "COMMANDS_MAX", page)
            for cut in [*sorted(cuts), len(MIXED)]:
                assert import_one(grown, write(path, *MIXED[:cut])).forked == []
        import_one(whole, path)
        assert everything(grown) == everything(whole)


def test_a_shorter_copy_adds_nothing(store: SessionStore, tmp_path: Path) -> None:
    import_one(store, write(tmp_path / "a.jsonl", *LINES))
    report = import_one(store, write(tmp_path / "b.jsonl", *LINES[:3]))
    assert (report.appended, report.forked, report.records) == (0, [], 3)


def test_a_copy_that_broke_off_in_a_line_is_completed_by_the_next(
    store: SessionStore, tmp_path: Path
) -> None:
    torn = LINES[2][:20]
    for _ in range(2):
        report = import_one(store, write(tmp_path / "a.jsonl", *LINES[:2], torn, end=b""))
        assert [problem.line for problem in report.problems] == [3]
    for _ in range(2):
        assert import_one(store, write(tmp_path / "a.jsonl", *LINES)).forked == []
    assert records(store, "s") == [*LINES[:2], torn, *LINES[2:]]
    older = import_one(store, write(tmp_path / "b.jsonl", *LINES[:4], LINES[4][:9], end=b""))
    assert (older.appended, older.forked) == (0, [])


def test_a_torn_line_that_belonged_to_another_session_makes_no_fork(
    store: SessionStore, tmp_path: Path
) -> None:
    other = user("o", "in another session", sessionId="other")
    import_one(store, write(tmp_path / "a.jsonl", LINES[0], other[:30], end=b""))
    report = import_one(store, write(tmp_path / "a.jsonl", LINES[0], other, LINES[1]))
    assert (report.forked, report.appended) == ([], 2)
    assert records(store, "other") == [other]


def test_a_rewritten_file_becomes_a_fork(store: SessionStore, tmp_path: Path) -> None:
    import_one(store, write(tmp_path / "a.jsonl", *LINES[:5]))
    rewritten = [*LINES[:3], user("x", "another turn"), LINES[4]]
    report = import_one(store, write(tmp_path / "a.jsonl", *rewritten))
    assert (report.forked, report.appended) == (["s/fork-1"], 2)
    assert records(store, "s") == LINES[:5]
    assert records(store, "s/fork-1") == rewritten
    fork = store.session("s/fork-1")
    texts = [message.text for message in fork.messages()]
    assert texts == [json.loads(line)["message"]["content"] for line in rewritten]


def test_the_branch_with_the_longest_common_beginning_takes_the_rest(
    store: SessionStore, tmp_path: Path
) -> None:
    x, y, z = (user(name, f"turn {name}") for name in "xyz")
    path = tmp_path / "a.jsonl"
    import_one(store, write(path, *LINES[:5]))
    import_one(store, write(path, *LINES[:3], x, LINES[4]))
    head = store.head
    assert import_one(store, write(path, *LINES[:5])).appended == 0
    assert import_one(store, write(path, *LINES[:3], x)).appended == 0
    assert store.head == head
    assert import_one(store, write(path, *LINES[:3], x, LINES[4], y)).forked == []
    assert import_one(store, write(path, *LINES[:6])).forked == []
    assert import_one(store, write(path, *LINES[:3], x, z)).forked == ["s/fork-2"]
    assert import_one(store, write(path, LINES[0], z)).forked == ["s/fork-3"]
    assert records(store, "s") == LINES[:6]
    assert records(store, "s/fork-1") == [*LINES[:3], x, LINES[4], y]
    assert records(store, "s/fork-2") == [*LINES[:3], x, z]
    assert records(store, "s/fork-3") == [LINES[0], z]


def test_a_file_with_nothing_in_common_becomes_a_session_beside(
    store: SessionStore, tmp_path: Path
) -> None:
    import_one(store, write(tmp_path / "a.jsonl", *LINES[:2]))
    for expected in (["s/fork-1"], []):
        report = import_one(store, write(tmp_path / "b.jsonl", *LINES[5:7]))
        assert report.forked == expected
    assert records(store, "s/fork-1") == LINES[5:7]


def test_an_erased_record_is_not_imported_again(store: SessionStore, tmp_path: Path) -> None:
    results = [{"type": "tool_result", "tool_use_id": f"t{n}", "content": "x"} for n in range(3)]
    answers = record("user", "r", {"role": "user", "content": results})
    lines = [LINES[0], assistant("a", {"type": "text", "text": "hm"}), answers, LINES[1], b"{"]
    path = write(tmp_path / "a.jsonl", *lines)
    import_one(store, path)
    session = store.session("s")
    positions = [one.position for one in session.events() if one.version > 1]
    for erased in (positions[1:2], positions[3:5], positions):
        session.erase_events(erased)
        report = import_one(store, path)
        assert (report.appended, report.forked) == (0, [])
    report = import_one(store, write(path, *lines, LINES[2]))
    assert (report.appended, report.forked) == (1, [])


def test_an_interrupted_import_is_completed_by_the_next(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.jsonl", *MAIN.read_bytes().splitlines())
    monkeypatch.setattr(intake, "COMMANDS_MAX", 3)
    execute, left = store.execute, iter([True, True, False])

    def failing(*arguments: Any) -> Any:
        if not next(left):
            raise KeyboardInterrupt
        return execute(*arguments)

    monkeypatch.setattr(store, "execute", failing)
    with pytest.raises(KeyboardInterrupt):
        import_one(store, path)
    monkeypatch.setattr(store, "execute", execute)
    report = import_one(store, path)
    assert 0 < report.appended < report.records
    with SessionStore.open(":memory:") as whole:
        import_one(whole, path)
        assert everything(store) == everything(whole)


def test_two_imports_of_a_file_at_once_store_each_record_once(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the other import comes between, one of the two gives up and nothing is doubled."""
    path = write(tmp_path / "a.jsonl", *LINES)
    monkeypatch.setattr(intake, "COMMANDS_MAX", 2)
    execute, others = store.execute, iter([1, 2, 3])

    def overtaken(*arguments: Any) -> Any:
        if next(others) == 2:
            monkeypatch.setattr(store, "execute", execute)
            import_one(store, path)
        return execute(*arguments)

    monkeypatch.setattr(store, "execute", overtaken)
    with pytest.raises(ImportFailedError, match="import the file again"):
        import_one(store, path)
    assert records(store, "s") == LINES
    assert import_one(store, path).appended == 0


def test_a_session_that_another_import_began_meanwhile_is_not_begun_twice(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.jsonl", *LINES)
    create = store.create

    def overtaken(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(store, "create", create)
        import_one(store, path)
        return create(*arguments, **options)

    monkeypatch.setattr(store, "create", overtaken)
    with pytest.raises(ImportFailedError, match="import the file again"):
        import_one(store, path)
    assert records(store, "s") == LINES


def test_what_others_wrote_into_the_session_is_no_record(
    store: SessionStore, tmp_path: Path
) -> None:
    import_one(store, write(tmp_path / "a.jsonl", *LINES[:2]))
    store.session("s").append("user", "written by hand")
    report = import_one(store, write(tmp_path / "a.jsonl", *LINES[:4]))
    assert (report.appended, report.forked) == (2, [])
    assert records(store, "s") == LINES[:4]


def test_a_closed_session_takes_nothing_and_the_report_says_so(
    store: SessionStore, tmp_path: Path
) -> None:
    import_one(store, write(tmp_path / "a.jsonl", *LINES[:2]))
    store.session("s").close()
    assert import_one(store, write(tmp_path / "a.jsonl", *LINES[:2])).problems == []
    report = import_one(store, write(tmp_path / "a.jsonl", *LINES[:4]))
    assert report.appended == 0
    assert [problem.line for problem in report.problems] == [3]
    assert "closed" in report.problems[0].reason
