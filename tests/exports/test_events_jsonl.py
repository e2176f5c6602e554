"""The log as JSON lines: nothing is lost, an import gives an equal log, no change goes unseen."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import BIG, budget, clean, populated, tables_of, ticking
from histories import histories, play, unknown
from hypothesis import HealthCheck, given, settings

from eventstore import SessionStore, claims, errors
from eventstore.exports.runner import export
from eventstore.importers.registry import import_paths
from eventstore.log import reading
from eventstore.salvage import salvage

FORMAT = "events-jsonl"
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "events-jsonl.schema.json"
#: SQLite's: bytes of a page of the file, and how a leaf of a table begins.
PAGE, LEAF_OF_A_TABLE = 4096, 13

TABLES = ("streams", "events", "contents", "blobs", "blob_references")


def exported(store: SessionStore, **options: Any) -> bytes:
    out = io.BytesIO()
    export(store, FORMAT, out, record=False, **options)
    return out.getvalue()


def imported(data: bytes, folder: Path, into: SessionStore | None = None) -> SessionStore:
    store = into or SessionStore.open(folder / "copy.db", durability="normal")
    path = folder / "log.jsonl"
    path.write_bytes(data)
    list(import_paths(store, [path]))
    return store


def log_of(store: SessionStore) -> dict[str, list[Any]]:
    with store.log.snapshot() as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in TABLES
        }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    """Every type of event, an erased event, an erased session and an unknown type."""
    with populated(tmp_path / "s.db") as store:
        store.session("child").erase_events([store.session("child").messages()[0].position])
        store.session("gone~1").erase(reason="asked")
        unknown(store, store.session("root"))
        yield store


@pytest.fixture
def lines(store: SessionStore) -> list[bytes]:
    return exported(store).splitlines(keepends=True)


def test_an_imported_log_is_equal_row_by_row(store: SessionStore, tmp_path: Path) -> None:
    data = exported(store)
    with imported(data, tmp_path) as copy:
        assert log_of(copy) == log_of(store)
        assert copy.head == store.head
        assert tables_of(copy) == tables_of(store)
        clean(copy)
        assert exported(copy) == data
        copy.session("root").append("user", "life goes on")
        clean(copy)


@settings(max_examples=budget(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_any_history_comes_back_byte_by_byte(
    tmp_path_factory: pytest.TempPathFactory, history: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    try:
        with SessionStore.open(folder / "s.db", durability="normal", clock=ticking()) as store:
            play(store, history)
            data = exported(store)
            with imported(data, folder) as copy:
                assert exported(copy) == data
                assert log_of(copy) == log_of(store)
                assert tables_of(copy) == tables_of(store)
                with copy.log.reader() as connection:
                    assert not claims.differs(connection)
                clean(copy)
    finally:
        shutil.rmtree(folder)


def test_every_line_is_what_the_schema_says(lines: list[bytes], store: SessionStore) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    some = exported(store, sessions=[store.session("root")]).splitlines()
    none = exported(store, content="none").splitlines()
    for line in (*lines, *some, *none):
        validator.validate(json.loads(line))
    event = json.loads(lines[1])
    for wrong in (
        {**event, "leaf": "00"}, {**event, "more": 1}, {**event, "salt": None},
        {key: value for key, value in event.items() if key != "facts"}, {"line": "else"},
    ):  # fmt: skip
        assert not validator.is_valid(wrong), wrong


def test_the_lines_can_be_checked_with_nothing_but_json_and_sha256(lines: list[bytes]) -> None:
    """A reader who parses and writes JSON anew still has the bytes that were hashed."""
    import hashlib

    checked = 0
    for line in lines:
        value = json.loads(json.dumps(json.loads(line), sort_keys=True, indent=1))
        if value.get("body") is not None:
            label = b"agent-eventstore/content/v1\0" + bytes.fromhex(value["salt"])
            digest = hashlib.sha256(label + value["body"].encode()).hexdigest()
            assert digest == value["commitment"]
            checked += 1
    assert checked > 20


def test_lines_that_another_program_wrote_anew_are_imported(
    lines: list[bytes], store: SessionStore, tmp_path: Path
) -> None:
    def again(line: bytes) -> bytes:
        fields = json.loads(line)
        rest = fields if fields["line"] == "header" else dict(sorted(fields.items()))
        return json.dumps(rest, separators=(",", ":")).encode() + b"\r\n"

    with imported(b"".join(map(again, lines)), tmp_path) as copy:
        assert log_of(copy) == log_of(store)


# -- tampering ------------------------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """Imports what must be refused into one empty store, which must stay so; what was said."""
    with SessionStore.open(tmp_path / "empty.db", durability="normal") as empty:

        def said(data: bytes) -> str:
            with pytest.raises(errors.ImportFailedError) as info:
                imported(data, tmp_path, empty)
            assert empty.head.position == 0
            assert log_of(empty) == {table: [] for table in TABLES}
            return str(info.value)

        yield said


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    swapped = {"0": "1", "a": "b", "1": "2"}
    for old, new in swapped.items():
        if old in value:
            return value.replace(old, new, 1)
    return value + "x"


def test_a_change_of_any_field_of_any_line_is_refused_at_that_line(
    lines: list[bytes], tmp_path: Path, refused: Callable[[bytes], str]
) -> None:
    tried = 0
    for number in range(2, len(lines) + 1):
        fields = json.loads(lines[number - 1])
        for name in fields:
            changed = {**fields, name: other(fields[name])}
            data = [*lines[: number - 1], json.dumps(changed).encode() + b"\n", *lines[number:]]
            message = refused(b"".join(data))
            where = int(message.removeprefix(str(tmp_path / "log.jsonl") + ":").split(":")[0])
            # A name that a whole session has is missed where it comes again, or not at all.
            assert where == number or name in ("session", "uid", "stream", "incarnation"), message
            tried += 1
    assert tried > 400


@pytest.mark.parametrize("what", ["salt", "body", "commitment", "key", "leaf", "erased"])
def test_a_field_that_is_gone_is_refused(
    what: str, lines: list[bytes], refused: Callable[[bytes], str]
) -> None:
    for number, line in enumerate(lines, 1):
        fields = json.loads(line)
        if what in fields:
            del fields[what]
            data = [*lines[: number - 1], json.dumps(fields).encode() + b"\n", *lines[number:]]
            assert f":{number}: " in refused(b"".join(data))


def test_content_that_is_said_to_be_erased_without_an_event_is_refused(
    lines: list[bytes], refused: Callable[[bytes], str]
) -> None:
    fields = json.loads(lines[2])
    del fields["salt"], fields["body"]
    data = [*lines[:2], json.dumps({**fields, "erased": True}).encode() + b"\n", *lines[3:]]
    message = refused(b"".join(data))
    assert ":3: the content is gone, but no event says it was erased" in message


def test_lines_that_are_missing_repeated_or_moved_are_refused(
    lines: list[bytes], refused: Callable[[bytes], str]
) -> None:
    for number in range(len(lines)):
        refused(b"".join(lines[:number] + lines[number + 1 :]))
        if b'"line":"blob"' not in lines[number][:20]:  # the same blob once more changes nothing
            refused(b"".join([*lines[: number + 1], lines[number], *lines[number + 1 :]]))
    refused(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    refused(b"".join(lines)[:-20])
    refused(lines[0])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "version 1 can be read"),
        ({"format": "other/format"}, "can be read"),
        ({"content": "none"}, "no texts"),
        ({"sessions": []}, "only some sessions"),
        ({"to_position": 3}, "the log ends at 3"),
        ({"head": "00" * 32}, "it is not complete"),
    ],
)
def test_another_header_is_refused(
    change: dict[str, Any], told: str, lines: list[bytes], tmp_path: Path
) -> None:
    header = {**json.loads(lines[0]), **change}
    with SessionStore.open(tmp_path / "e.db", durability="normal") as empty:
        path = tmp_path / "log.jsonl"
        path.write_bytes(json.dumps(header).encode() + b"\n" + b"".join(lines[1:]))
        with pytest.raises(errors.ImportFailedError, match=told):
            list(import_paths(empty, [path], format=FORMAT))
        assert empty.head.position == 0


@pytest.mark.parametrize(
    "line", [b"", b"null", b"[]", b'{"line":"event"}', b"\xff\xfe", b"{" * 9000]
)
def test_a_line_of_another_kind_is_refused(
    line: bytes, lines: list[bytes], refused: Callable[[bytes], str]
) -> None:
    data = b"".join([*lines[:3], line + b"\n", *lines[3:]])
    assert ":4: this is no line of" in refused(data)


# -- into a store that has events -----------------------------------------------------------------


def test_the_continuation_of_a_log_is_added_to_its_beginning(
    store: SessionStore, tmp_path: Path
) -> None:
    with imported(exported(store), tmp_path) as copy:
        copy.search("hello")
        store.session("root").append("user", "more")
        store.create("later").append("user", "of a session that is new")
        imported(exported(store), tmp_path, copy)
        assert log_of(copy) == log_of(store)
        clean(copy)
        assert copy.search("of a session that is new").hits
        head = copy.head
        imported(exported(store), tmp_path, copy)
        assert copy.head == head


def test_titles_that_are_claimed_are_claimed_in_the_copy(
    store: SessionStore, tmp_path: Path
) -> None:
    store.create("first").set_title("Only once", unique=True)
    with imported(exported(store), tmp_path) as copy, pytest.raises(errors.TitleTakenError):
        copy.create("second").set_title("Only once", unique=True)


def test_another_log_is_refused(store: SessionStore, tmp_path: Path) -> None:
    with imported(exported(store), tmp_path) as copy:
        copy.create("own").append("user", "went its own way")
        store.session("root").append("user", "more")
        before = log_of(copy)
        with pytest.raises(errors.ImportFailedError, match="does not continue its log"):
            imported(exported(store), tmp_path, copy)
        assert log_of(copy) == before


def test_what_was_erased_in_one_of_two_copies_does_not_come_back(
    store: SessionStore, tmp_path: Path
) -> None:
    full = exported(store)
    with imported(full, tmp_path) as copy:
        [message] = copy.session("gone").messages()
        copy.session("gone").erase_events([message.position])
        copy.session("root").erase_events([8, 10])  # which share a blob
        assert log_of(copy)["blobs"] == []
        before = log_of(copy)
        imported(full, tmp_path, copy)
        assert log_of(copy) == before
        assert copy.verify() == []
        assert BIG[:1000].encode() not in b"".join(
            path.read_bytes() for path in tmp_path.glob("copy.db*")
        )
        store.session("gone").erase_events([message.position])
        with (
            imported(full, tmp_path, SessionStore.open(tmp_path / "third.db")) as third,
            pytest.raises(errors.ImportFailedError, match="still has it; erase it there first"),
        ):
            imported(exported(store), tmp_path, third)


def test_a_log_that_was_salvaged_comes_back_with_what_is_known_of_its_losses(
    store: SessionStore, tmp_path: Path
) -> None:
    store.close()
    data = bytearray((tmp_path / "s.db").read_bytes())
    leaves = [
        at for at in range(PAGE, len(data), PAGE)
        if data[at] == LEAF_OF_A_TABLE and b"message.appended" in data[at : at + PAGE]
    ]  # fmt: skip
    data[leaves[0] : leaves[0] + PAGE] = bytes(PAGE)
    (tmp_path / "broken.db").write_bytes(data)
    report = salvage(tmp_path / "broken.db", tmp_path / "saved.db")
    assert report.lost
    with SessionStore.open(tmp_path / "saved.db") as saved:
        lines = exported(saved)
        with imported(lines, tmp_path) as copy:
            assert log_of(copy) == log_of(saved)
            assert copy.verify() == saved.verify() != []
            assert exported(copy) == lines


# -- parts of it ----------------------------------------------------------------------------------


def test_chosen_sessions_are_whole_and_chained(store: SessionStore) -> None:
    root, fork = store.session("root"), store.session("fork")
    header, *rest = map(json.loads, exported(store, sessions=[fork, root]).splitlines())
    assert [one["session"] for one in header["sessions"]] == ["fork", "root"]
    for wanted, end in zip((fork, root), header["sessions"], strict=True):
        own = [one for one in rest if one["line"] == "event" and one["stream"] == wanted.stream]
        assert [one["version"] for one in own] == list(range(1, wanted.version + 1))
        assert (own[-1]["leaf"], own[-1]["version"]) == (end["leaf"], end["version"])


def test_without_texts_no_text_goes_out(store: SessionStore) -> None:
    data = exported(store, content="none")
    for text in (b"hello", b"secret", b"Prompt", BIG[:70].encode()):
        assert text not in data
    marks = [one for one in map(json.loads, data.splitlines()) if one.get("withheld")]
    assert len(marks) > 20
    assert not any("salt" in one or "body" in one for one in marks)


def test_nothing_after_the_begin_is_exported(store: SessionStore) -> None:
    class Meanwhile(io.BytesIO):
        def write(self, data: Any, /) -> int:
            store.session("root").append("user", "meanwhile")
            return super().write(data)

    with store.log.reader() as connection:
        head = reading.head_of(connection)
    out = Meanwhile()
    export(store, FORMAT, out, record=False)
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert events[-1]["position"] == head.position
    assert store.head.position > head.position
