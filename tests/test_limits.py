"""The limits of what is read from elsewhere: each is as docs/operating.md says, and holds."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from eventstore import SessionStore, codec
from eventstore.backup.erasures import FORMAT, read_from
from eventstore.bundles import checking, files
from eventstore.bundles.checking import check_bundle
from eventstore.checkpoints import checkpoint, git_anchor, note
from eventstore.errors import ImportFailedError, InvalidValueError, NoteError
from eventstore.exports.jsonl import lines as jsonl
from eventstore.exports.runner import export
from eventstore.importers import import_paths, lines
from eventstore.retention import policies, read_policies
from projections.search import query

PAGE = Path(__file__).parent.parent / "docs" / "operating.md"
ROOT = "A" * 43 + "="


def row(name: str) -> str:
    """What the page says of a limit."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines()
            if line.startswith(f"| {name} |")]  # fmt: skip
    assert len(rows) == 1, name
    return rows[0].split("|")[2]


def test_json_of_a_transcript(tmp_path: Path) -> None:
    assert f"nested {lines.DEPTH_MAX} deep" in row("transcript: JSON of a record")
    assert f"nested {codec.DEPTH_MAX} deep" in row("JSON")
    for depth, taken in ((lines.DEPTH_MAX, True), (lines.DEPTH_MAX + 1, False), (90_000, False)):
        data = b'{"a":' * depth + b"1" + b"}" * depth
        assert (lines.parse(1, data).value is not None) is taken


def test_a_line_of_a_transcript(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"{lines.LINE_MAX >> 20} MiB" in row("transcript: a line")
    monkeypatch.setattr(lines, "LINE_MAX", 100)
    assert len(list(lines.read_lines(io.BytesIO(b'{"a":1}\n'), "f"))) == 1
    with pytest.raises(ImportFailedError, match="longer than 100 bytes"):
        list(lines.read_lines(io.BytesIO(b'{"a":"' + b"x" * 200 + b'"}\n'), "f"))


def test_a_line_of_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"{jsonl.LINE_MAX >> 30} GiB" in row("`events-jsonl`: a line")
    file = tmp_path / "log.jsonl"
    with SessionStore.open(":memory:") as store:
        store.create("a").append("user", "x" * 5_000)
        export(store, "events-jsonl", file, record=False)
    monkeypatch.setattr(jsonl, "LINE_MAX", 4_000)
    with SessionStore.open(":memory:") as store:
        with pytest.raises(ImportFailedError, match="at most 3999 bytes"):
            list(import_paths(store, [file], format="events-jsonl"))
        assert store.head.position == 0


def test_a_checkpoint_note() -> None:
    said = row("checkpoint note")
    assert f"{note.NOTE_BYTES_MAX:,} bytes, {note.SIGNATURES_MAX} signatures" in said
    for text in (
        f"o\n1\n{ROOT}\n{'x' * note.NOTE_BYTES_MAX}\n",
        "x" * note.NOTE_BYTES_MAX + "\n\n",
    ):
        with pytest.raises(NoteError, match="at most 1000000 bytes"):
            checkpoint.read(text)
    line = "\u2014 a AAAAAAAA\n"
    assert len(note.parse("t\n\n" + line * note.SIGNATURES_MAX).signatures) == note.SIGNATURES_MAX
    with pytest.raises(NoteError, match="at most 100 signatures"):
        note.parse("t\n\n" + line * (note.SIGNATURES_MAX + 1))


def test_the_size_in_a_checkpoint() -> None:
    assert row("size in a checkpoint").strip() == "2^63 - 1 events; in a bundle 10^18 - 1"
    assert checkpoint.read(f"o\n{2**63 - 1}\n{ROOT}\n")[0].size == 2**63 - 1
    with pytest.raises(NoteError, match="is no size"):
        checkpoint.read(f"o\n{2**63}\n{ROOT}\n")


def test_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = row("bundle")
    assert f"{files.FILES_MAX:,} files; {files.READ_MAX >> 30} GiB" in said
    assert f"less than {files.END_MAX >> 10} KiB" in said
    assert f"{checking.FINDINGS_MAX} findings" in said
    monkeypatch.setattr(files, "FILES_MAX", 3)
    path = tmp_path / "b.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(1, 5):
            tar.addfile(tarfile.TarInfo(f"long/{number}"))
    assert any("one too many" in finding for finding in check_bundle(path).findings)


def test_a_policy(tmp_path: Path) -> None:
    assert f"a name of {policies.NAME_MAX} printable characters" in row("policies")
    file = tmp_path / "p.toml"
    for name, age in (("n" * 101, "1d"), ("n", "1234567d"), ("n", "1"), ("", "1d"), ("\x1b", "1d")):
        file.write_text(
            f'[[policy]]\nname = {json.dumps(name)}\ndo = "erase"\nolder_than = "{age}"'
        )
        with pytest.raises(InvalidValueError):
            read_policies(file)


@pytest.mark.parametrize(("field", "value"), [
    ("uid", "0" * 31), ("uid", "0" * 32 + "\n"), ("uid", "A" * 32), ("events", [[0, "0" * 64]]),
    ("events", [[2**53 + 1, "0" * 64]]), ("events", [[1, "0" * 63]]), ("derived", [-1]),
])  # fmt: skip
def test_a_list_of_erasures(field: str, value: object, tmp_path: Path) -> None:
    assert "2^53; uids and leaves of 32 and 64" in row("list of erasures")
    file = tmp_path / "l.json"
    right = {"uid": "0" * 32, "scope": "event", "by": None, "reason": None,
             "events": [[1, "0" * 64]]}  # fmt: skip
    file.write_text(json.dumps({"format": FORMAT, "erasures": [right]}))
    assert len(read_from(file)) == 1
    file.write_text(json.dumps({"format": FORMAT, "erasures": [{**right, field: value}]}))
    with pytest.raises(InvalidValueError, match="no exported erasures"):
        read_from(file)


def test_a_search_in_words() -> None:
    assert f"{query.CHARACTERS_MAX:,} characters" in row("search in words")
    assert query.parse("a" * 5_000) == query.parse("a" * query.CHARACTERS_MAX)


def test_a_command_of_git() -> None:
    assert row("a command of git for an anchor").strip() == f"{git_anchor.SECONDS:g} s"
