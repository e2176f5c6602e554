"""Real transcripts: what the importer says agrees with a plain count, and every line comes back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from import_samples import data_folder, everything, import_one

from eventstore import SessionStore
from eventstore.importers import import_paths, records_of
from eventstore.importers.registry import files_in

FOLDERS = [
    "entire-claude-code",
    "claude-code-log/real_projects",
    "claude-code-log/fixtures",
    "episodic-memory",
    "derived-corruption",
    "agent-sessions-fixtures/claude",
]


def plain_count(path: Path) -> tuple[list[bytes], int, int, int]:
    """Records, messages, tool calls and problems of a file, with nothing but the json module."""
    found: list[bytes] = []
    messages = calls = problems = 0
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for raw in data.split(b"\n"):
        line = raw.removesuffix(b"\r")
        if not line.strip():
            continue
        try:
            values = [json.loads(line.decode("utf-8"))]
            pieces = [line]
        except ValueError:
            values, pieces = glued(line)
            problems += 1
        found += pieces
        for value in values:
            if not isinstance(value, dict):
                problems += 1
                continue
            more = count_messages(value)
            messages += more[0]
            calls += more[1]
    return found, messages, calls, problems


def glued(line: bytes) -> tuple[list[Any], list[bytes]]:
    try:
        text = line.decode("utf-8")
        first, end = json.JSONDecoder().raw_decode(text)
        second = json.loads(text[end:])
    except ValueError:
        return [], [line]
    return [first, second], [text[:end].encode(), text[end:].encode()]


def count_messages(value: dict[str, Any]) -> tuple[int, int]:
    message = value.get("message")
    if value.get("type") not in ("user", "assistant") or not isinstance(message, dict):
        return 0, 0
    content = message.get("content")
    if isinstance(content, str):
        return 1, 0
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        return 0, 0
    kinds = Counter(block.get("type") for block in content)
    if value["type"] == "assistant":
        return 1, kinds["tool_use"]
    results = kinds["tool_result"]
    return results + (1 if len(content) > results or not results else 0), 0


@pytest.mark.parametrize("folder", FOLDERS)
def test_counts_agree_and_every_line_comes_back(folder: str) -> None:
    paths = files_in(data_folder(folder))
    assert paths
    for path in paths:
        with SessionStore.open(":memory:") as store:
            report = import_one(store, path)
            lines, messages, calls, problems = plain_count(path)
            given_back = [
                one.data for name in report.sessions for one in records_of(store.session(name))
            ]
        counted = (report.records, report.messages, report.tool_calls, len(report.problems))
        assert counted == (len(lines), messages, calls, problems), path
        assert Counter(given_back) == Counter(lines), path
        assert report.forked == []


@pytest.mark.parametrize("folder", FOLDERS[:4])
def test_a_second_import_of_a_folder_adds_nothing(folder: str) -> None:
    path = data_folder(folder)
    with SessionStore.open(":memory:") as store:
        first = list(import_paths(store, [path]))
        head = store.head
        again = list(import_paths(store, [path]))
        assert store.head == head
        assert sum(report.appended for report in again) == 0
        assert [report.records for report in again] == [report.records for report in first]


def test_a_growing_session_grows(tmp_path: Path) -> None:
    source = data_folder("entire-claude-code") / "a6_e4c2a0fbd1_0.jsonl"
    lines = source.read_bytes().splitlines(keepends=True)
    copy = tmp_path / source.name
    with SessionStore.open(":memory:") as grown, SessionStore.open(":memory:") as whole:
        for upto in range(5, len(lines) + 5, 5):
            copy.write_bytes(b"".join(lines[:upto]))
            assert import_one(grown, copy).forked == []
        import_one(whole, source)
        assert everything(grown) == everything(whole)


def test_the_store_is_about_as_large_as_the_transcripts(tmp_path: Path) -> None:
    path = data_folder("claude-code-log/real_projects")
    with SessionStore.open(tmp_path / "imported.db") as store:
        list(import_paths(store, [path]))
    transcripts = sum(file.stat().st_size for file in files_in(path))
    assert (tmp_path / "imported.db").stat().st_size <= 1.15 * transcripts
