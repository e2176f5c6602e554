"""Finding files and importers."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest
from import_samples import SAMPLES, import_one, user, write

from eventstore import SessionStore
from eventstore.errors import ImportFailedError, NotJSONError, UnknownFormatError
from eventstore.importers import import_paths, lines
from eventstore.importers.registry import files_in, formats, importer, recognise


@pytest.fixture
def store() -> Iterator[SessionStore]:
    with SessionStore.open(":memory:") as store:
        yield store


def test_every_format_has_an_importer_of_its_name() -> None:
    assert [importer(name).name for name in formats()] == formats()
    with pytest.raises(UnknownFormatError, match="no importer 'nothing'"):
        importer("nothing")


@pytest.mark.parametrize(
    "head",
    [
        user("u", "hello"),
        b"\xef\xbb\xbf" + user("u", "hello") + b"\r\n",
        b'{"torn":\n' + user("u", "hello"),
        b'{"type":"summary","summary":"s","leafUuid":"u"}',
        b'{"type":"queue-operation","operation":"dequeue","sessionId":"s"}',
        b'{"parentUuid":null,' + user("u", "long " * 40_000)[1:],
    ],
    ids=["plain", "framed", "after a torn line", "summary", "no message", "longer than the head"],
)
def test_a_transcript_is_recognised_by_its_content(tmp_path: Path, head: bytes) -> None:
    found = recognise(write(tmp_path / "anything.txt", head))
    assert found is not None
    assert found.name == "claude-code"


@pytest.mark.parametrize(
    "head",
    [
        b"plain text",
        b'{"type":"session_meta","timestamp":"t","payload":{}}',
        b'{"sessionId":"x","projectHash":"h","startTime":"t"}',
        b"\0" * 100,
        b"[]",
    ],
    ids=["text", "codex", "gemini", "NULs", "a list"],
)
def test_another_file_is_refused_by_name(store: SessionStore, tmp_path: Path, head: bytes) -> None:
    path = write(tmp_path / "other.jsonl", head)
    with pytest.raises(UnknownFormatError, match=r"other\.jsonl"):
        import_one(store, path)
    assert store.head.position == 0


def test_a_missing_file_is_refused_by_name(store: SessionStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match=r"missing\.jsonl cannot be read"):
        import_one(store, tmp_path / "missing.jsonl")


def test_a_format_that_is_given_is_not_questioned(store: SessionStore, tmp_path: Path) -> None:
    path = write(tmp_path / "bare.jsonl", b'{"silly":"this"}')
    assert import_one(store, path, format="claude-code").records == 1


def test_an_empty_file_has_nothing(store: SessionStore, tmp_path: Path) -> None:
    report = import_one(store, write(tmp_path / "empty.jsonl"))
    assert (report.format, report.records, report.problems, report.sessions) == (None, 0, [], [])


def test_a_folder_goes_on_after_a_file_it_cannot_import(
    store: SessionStore, tmp_path: Path
) -> None:
    write(tmp_path / "a.jsonl", b"nothing known")
    write(tmp_path / "b.jsonl", user("u", "hello"))
    bad, good = import_paths(store, [tmp_path])
    assert Path(bad.path).name == "a.jsonl"
    assert bad.problems[0].reason.startswith("is in none of the known formats")
    assert good.records == 1


def test_main_sessions_come_before_sub_agents() -> None:
    names = [path.name for path in files_in(SAMPLES)]
    assert names[-1] == "agent-a17.jsonl"
    assert len(names) == 3


def test_standard_input_is_imported(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = SimpleNamespace(buffer=io.BytesIO(user("u", "hello") + b"\n"))
    monkeypatch.setattr(sys, "stdin", piped)
    [report] = import_paths(store, ["-"])
    assert (report.path, report.sessions, report.records) == ("-", ["s"], 1)


def test_progress_is_told_file_and_bytes(store: SessionStore) -> None:
    told: list[tuple[Path, int]] = []
    path = SAMPLES / "sidechain.jsonl"
    import_one(store, path, progress=lambda file, read: told.append((file, read)))
    assert told
    assert all(file == path and read > 0 for file, read in told)


def test_a_file_of_a_folder_that_cannot_be_imported_failed(
    store: SessionStore, tmp_path: Path
) -> None:
    write(tmp_path / "a.jsonl", b"nothing known")
    write(tmp_path / "b.jsonl", user("u", "hello"), b"{damaged")
    assert [report.failed for report in import_paths(store, [tmp_path])] == [True, False]


def test_other_databases_of_a_folder_are_passed_over(tmp_path: Path) -> None:
    """The store itself above all: opening its file a second time would cancel SQLite's locks."""
    foreign = apsw.Connection(str(tmp_path / "foreign.db"))
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    write(tmp_path / "a.jsonl", user("u", "hello"))
    with SessionStore.open(tmp_path / "own.db") as store:
        [report] = import_paths(store, [tmp_path])
        assert (Path(report.path).name, report.failed) == ("a.jsonl", False)
        for path in (tmp_path / "own.db", tmp_path / "." / "own.db"):
            with pytest.raises(ImportFailedError, match="is the store"):
                list(import_paths(store, [path]))
        with pytest.raises(UnknownFormatError):
            list(import_paths(store, [tmp_path / "foreign.db"]))
        assert store.verify() == []


def test_every_importer_names_its_files() -> None:
    assert all(importer(name).patterns for name in formats())


def test_a_row_is_a_record_in_a_known_style() -> None:
    row = {"id": 1, "text": "ein Gruß", "score": 0.5, "none": None, "parts": [{"a": "\ud800"}]}
    line = lines.record(7, row)
    assert (line.number, line.value, line.reason) == (7, row, None)
    assert line.style == "compact"
    assert json.loads(line.data) == row


def test_a_row_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(NotJSONError, match=r"record\.blob"):
        lines.record(1, {"blob": b"bytes"})
