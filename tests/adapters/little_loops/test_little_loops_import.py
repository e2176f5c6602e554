"""Databases of the original are imported whole, once, and without being written."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, clean
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from little_loops_support import KINDS, call, issue, loop_state, original, transcript

from eventstore import SessionStore
from eventstore.adapters import little_loops as adapter
from eventstore.adapters.little_loops.opening import close_unused
from eventstore.errors import ImportFailedError, UnknownFormatError
from eventstore.events.catalogue import RecordImported, SessionCreated
from eventstore.importers import FileReport, import_paths, records_of
from eventstore.redaction import redact
from eventstore.store.activities import ACTIVITY_KINDS

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_unused()


def imported(path: Path, into: Path, **options: Any) -> FileReport:
    with SessionStore.open(into) as store:
        [report] = import_paths(store, [path], **options)
        clean(store)
    return report


def written(folder: Path, count: int = 3) -> Path:
    """A database that the original wrote, with rows of every kind that it writes."""
    path = folder / "original.db"
    old = original()
    transport = old.SQLiteTransport(path)
    for number in range(count):
        transport.send({"event": "loop_start", "loop_name": f"loop {number}", "ts": "t",
                        "retries": number, "state": "café"})  # fmt: skip
        transport.send({"event": "route"})
    transport.close()
    issue(folder / "issues", "P1-BUG-1-x.md", id="BUG-1", completed_at="2026-05-22T10:00:00Z")
    issue(folder / "issues", "x.md", id="X-1", status="odd status", discovered_by="someone")
    loop_state(folder / "loops", ".running", "now", state="go", updated_at="2026-05-22")
    lines = transcript(
        folder / "t.jsonl",
        [
            call("Bash", {"n": 1}, "s1", "2026-05-22T10:00:00Z"),
            call("Read", {"n": 2}, None, "2026-05-22T10:00:01Z"),
            {"type": "user", "sessionId": "s1", "timestamp": "2026-05-22T09:59:00Z",
             "message": {"content": "please fix it"}},
            {"type": "user", "timestamp": "t", "message": {"content": "of no session"}},
        ],
    )  # fmt: skip
    old.backfill(path, issues_dir=folder / "issues", loops_dir=folder / "loops",
                 jsonl_files=[lines])  # fmt: skip
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO file_events (ts, session_id, path, op, issue_id, git_sha) "
        "VALUES ('2026-05-22T10:00:00Z', 's1', 'src/a.py', 'edit', 'BUG-1', 'abc')"
    )
    connection.execute(
        "INSERT INTO user_corrections (ts, session_id, content, source) "
        "VALUES ('2026-05-22T10:00:00Z', 's2', 'no, the other one', 'chat')"
    )
    connection.execute(
        "INSERT INTO search_index VALUES ('no, the other one', 'correction', 's2', 'chat', "
        "'2026-05-22T10:00:00Z')"
    )
    connection.commit()
    connection.close()
    return path


def assert_reads_the_same(theirs: Path, ours: Path) -> None:
    old = original()
    for kind in KINDS:
        for limit in (0, 2, -1):
            expected = old.recent(theirs, kind=kind, limit=limit)
            assert adapter.recent(ours, kind=kind, limit=limit) == expected, kind
    for query in ("loop*", "BUG", "route OR café", "Bash", "src", "other NOT one", '"X-1"'):
        expected = [
            {key: value for key, value in hit.items() if key != "score"}
            for hit in old.search(theirs, query=query, limit=-1)
            if hit["kind"] != "message"
        ]
        found = [
            {key: value for key, value in hit.items() if key != "score"}
            for hit in adapter.search(ours, query=query, limit=-1)
        ]
        assert found == expected, query


def test_an_imported_database_reads_as_the_original_reads_it(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    report = imported(theirs, ours)
    assert (report.format, report.problems, report.forked) == ("little-loops", [], [])
    assert report.records == report.appended == 6 + 2 + 1 + 2 + 2 + 1 + 1
    assert (report.messages, report.tool_calls) == (1, 2)
    assert sorted(report.sessions) == ["little-loops", "s1", "s2"]
    assert_reads_the_same(theirs, ours)


def test_times_sessions_and_ids_are_those_of_the_source(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    connection = sqlite3.connect(theirs)
    connection.execute("DELETE FROM loop_events WHERE id = 2")
    connection.commit()
    connection.close()
    imported(theirs, ours)
    with SessionStore.open(ours) as store:
        [tool] = [one for one in store.activities("tool") if one.session == "s1"]
        assert tool.at == tool.event.occurred_at == 1_779_444_000_000_000
        loops = [one.data["id"] for one in store.activities("loop", limit=-1) if one.data]
        assert loops == [7, 6, 5, 4, 3, 1]
        session = store.session("s1")
        [message] = session.messages()
        assert (message.role, message.text) == ("user", "please fix it")
        first = next(iter(session.events()))
        assert isinstance(first.event, SessionCreated)
        assert first.event.source == "little-loops"
        [row] = [record.data for record in records_of(session)]
        assert row is not None
        assert b'"table":"message_events"' in row


def test_importing_again_adds_nothing_and_a_grown_file_what_is_new(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    imported(theirs, ours)
    again = imported(theirs, ours)
    assert (again.appended, again.records) == (0, 15)
    transport = original().SQLiteTransport(theirs)
    transport.send({"event": "loop_start", "loop_name": "loop 0", "ts": "t", "retries": 0,
                    "state": "café"})  # fmt: skip
    transport.close()
    lines = transcript(tmp_path / "more.jsonl", [
        {"type": "user", "sessionId": "s1", "timestamp": "2026-05-23T09:59:00Z",
         "message": {"content": "please fix it"}}])  # fmt: skip
    nowhere = tmp_path / "nowhere"
    original().backfill(theirs, issues_dir=nowhere, loops_dir=nowhere, jsonl_files=[lines])
    theirs = theirs.rename(tmp_path / "moved.db")
    assert imported(theirs, ours).appended == 2
    assert imported(theirs, ours).appended == 0
    assert_reads_the_same(theirs, ours)


def test_a_backfill_after_an_import_adds_nothing(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    imported(theirs, ours)
    counts = adapter.backfill(ours, issues_dir=tmp_path / "issues", loops_dir=tmp_path / "loops",
                              jsonl_files=[tmp_path / "t.jsonl"])  # fmt: skip
    assert counts == {"issues": 0, "loops": 0, "tools": 0}


def test_what_was_erased_does_not_come_back(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    imported(theirs, ours)
    with SessionStore.open(ours) as store:
        for one in store.activities(limit=-1):
            store.session_of(one.stream).erase_events([one.position], by="me")
        positions = [one.position for one in store.session("s1").events() if one.commitment]
        store.session("s1").erase_events(positions, by="me")
    assert imported(theirs, ours).appended == 0


def test_what_was_redacted_does_not_come_back(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    connection = sqlite3.connect(theirs)
    connection.execute(
        "INSERT INTO user_corrections (ts, session_id, content, source) "
        "VALUES ('2026-05-22T10:00:00Z', 's2', 'mail ada@example.org', 'chat')"
    )
    connection.commit()
    connection.close()
    imported(theirs, ours)
    with SessionStore.open(ours) as store:
        assert len(redact(store).places) == 1
    assert imported(theirs, ours).appended == 0


def test_the_source_is_only_read(tmp_path: Path) -> None:
    theirs = written(tmp_path)
    theirs.chmod(0o400)

    def state() -> list[tuple[str, int, str]]:
        return [
            (file.name, file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest())
            for file in sorted(tmp_path.glob("original.db*"))
        ]

    before = state()
    imported(theirs, tmp_path / "ours.db")
    assert state() == before


def test_rows_that_are_still_in_the_write_ahead_log_are_imported(tmp_path: Path) -> None:
    """Later releases switch the file to WAL, and their process may be running."""
    theirs = written(tmp_path)
    script = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('PRAGMA journal_mode = WAL')\n"
        "sql = \"INSERT INTO loop_events (ts, loop_name) VALUES ('t', 'in the log')\"\n"
        "connection.execute(sql)\n"
        "connection.commit()\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(theirs)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as writer:  # fmt: skip
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        imported(theirs, tmp_path / "ours.db")
        writer.communicate(b"\n", timeout=30)
    assert adapter.recent(tmp_path / "ours.db", kind="loop")[0]["loop_name"] == "in the log"


def test_damaged_rows_are_reported_and_the_rest_is_imported(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    connection = sqlite3.connect(theirs)
    connection.execute("UPDATE loop_events SET loop_name = CAST(x'ff41' AS TEXT) WHERE id = 1")
    connection.execute("UPDATE tool_events SET args_hash = x'00ff' WHERE id = 1")
    connection.execute("UPDATE loop_events SET retries = 9e999 WHERE id = 2")
    connection.execute("UPDATE message_events SET content = CAST(x'ff' AS TEXT) WHERE id = 1")
    connection.commit()
    connection.close()
    report = imported(theirs, ours)
    assert sorted(problem.reason.split(":")[0] for problem in report.problems) == [
        "loop_events 1", "loop_events 2", "message_events 1", "tool_events 1",
    ]  # fmt: skip
    assert report.records == report.appended == 15
    with SessionStore.open(ours) as store:
        events = [one.event for one in store.session("little-loops").events()]
        kept = [event.kind for event in events if isinstance(event, RecordImported)
                and event.damaged]  # fmt: skip
        assert sorted(filter(None, kept)) == [
            "loop_events", "loop_events", "message_events", "tool_events",
        ]  # fmt: skip
        assert len(store.activities("loop", limit=-1)) == 5
    assert imported(theirs, ours).appended == 0


def test_a_file_with_a_torn_page_gives_what_can_be_read(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path, count=400), tmp_path / "ours.db"
    connection = sqlite3.connect(theirs)
    [(root, size)] = connection.execute(
        "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema "
        "WHERE name = 'loop_events'"
    )
    connection.close()
    data = bytearray(theirs.read_bytes())
    data[(root - 1) * size : root * size] = b"\xaa" * size
    theirs.write_bytes(data)
    report = imported(theirs, ours)
    assert any("damaged" in problem.reason for problem in report.problems)
    assert [row["tool_name"] for row in adapter.recent(ours, kind="tool")] == ["Read", "Bash"]


def test_tables_of_later_schemas_are_kept_whole(tmp_path: Path) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    connection = sqlite3.connect(theirs)
    connection.executescript(
        """
        ALTER TABLE tool_events ADD COLUMN latency_ms INTEGER;
        UPDATE tool_events SET latency_ms = 12;
        CREATE TABLE assistant_messages (id INTEGER PRIMARY KEY, ts TEXT NOT NULL,
            session_id TEXT NOT NULL, content TEXT NOT NULL, tool_use_count INTEGER DEFAULT 0);
        INSERT INTO assistant_messages VALUES (1, '2026-05-22T09:59:30Z', 's1', 'I did', 1);
        CREATE TABLE commit_events (id INTEGER PRIMARY KEY, ts TEXT, commit_sha TEXT);
        INSERT INTO commit_events VALUES (5, '2026-05-22T11:00:00Z', 'abc');
        CREATE TABLE raw_events (id INTEGER PRIMARY KEY, raw_line BLOB, score REAL);
        INSERT INTO raw_events VALUES (1, x'00ff', -9e999);
        CREATE TABLE summary_spans (summary_id INTEGER, message_event_id INTEGER);
        INSERT INTO summary_spans VALUES (1, 2);
        """
    )
    connection.close()
    report = imported(theirs, ours)
    assert report.problems == []
    with SessionStore.open(ours) as store:
        said = [(one.role, one.text) for one in store.session("s1").messages()]
        assert said == [("user", "please fix it"), ("assistant", "I did")]
        assert {one.data["latency_ms"] for one in store.activities("tool") if one.data} == {12}
        kept = {
            one.event.kind: one.event.content.record["value"]["row"]
            for one in store.session("little-loops").events()
            if isinstance(one.event, RecordImported)
        }
        assert kept["commit_events"] == {"id": 5, "ts": "2026-05-22T11:00:00Z", "commit_sha": "abc"}
        packed = {"id": 1, "raw_line": {"base64": "AP8="}, "score": {"real": "-inf"}}
        assert kept["raw_events"] == packed
        assert kept["summary_spans"] == {"summary_id": 1, "message_event_id": 2}
    assert imported(theirs, ours).appended == 0


def test_messages_of_a_session_that_is_stored_from_elsewhere_do_not_join_it(
    tmp_path: Path,
) -> None:
    theirs, ours = written(tmp_path), tmp_path / "ours.db"
    with SessionStore.open(ours) as store:
        store.create("s1", source="claude-code").append("user", "please fix it, now")
    for added in (15, 0):
        assert imported(theirs, ours).appended == added
    with SessionStore.open(ours) as store:
        assert [one.text for one in store.session("s1").messages()] == ["please fix it, now"]


def test_it_is_found_in_a_folder_by_the_names_that_the_original_gives_it(tmp_path: Path) -> None:
    (tmp_path / ".ll").mkdir()
    written(tmp_path).rename(tmp_path / ".ll" / "session.db")
    with SessionStore.open(tmp_path / "ours.db") as store:
        reports = {Path(one.path).name: one for one in import_paths(store, [tmp_path / ".ll"])}
    assert reports["session.db"].appended == 15


def test_another_database_is_not_taken_for_one(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE loop_events (id INTEGER)")
    connection.commit()
    connection.close()
    with pytest.raises(UnknownFormatError):
        imported(other, tmp_path / "ours.db")
    with pytest.raises(ImportFailedError, match="search_index"):
        imported(other, tmp_path / "ours.db", format="little-loops")


plain = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
texts = st.one_of(st.none(), plain, st.sampled_from(["open", "s1", ""]))
whole = st.integers(-(2**63), 2**63 - 1)
cells = st.one_of(texts, whole, st.floats(allow_nan=False, allow_infinity=False))
stamps = st.sampled_from(["t", "2026-05-22"])


@settings(max_examples=budget(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    loops=st.lists(st.tuples(st.text(max_size=3), cells, cells, cells, cells), max_size=6),
    tools=st.lists(st.tuples(stamps, texts, cells, cells), max_size=6),
)
def test_whatever_values_rows_have_they_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    loops: Sequence[tuple[Any, ...]],
    tools: Sequence[tuple[Any, ...]],
) -> None:
    folder = tmp_path_factory.mktemp("values")
    theirs, ours = folder / "original.db", folder / "ours.db"
    original().ensure_db(theirs)
    connection = sqlite3.connect(theirs)
    connection.executemany(
        "INSERT INTO loop_events (ts, loop_name, state, transition, retries) VALUES (?,?,?,?,?)",
        [(ts.replace("\0", ""), *rest) for ts, *rest in loops],
    )
    connection.executemany(
        "INSERT INTO tool_events (ts, session_id, tool_name, bytes_in) VALUES (?,?,?,?)", tools
    )
    connection.commit()
    connection.close()
    report = imported(theirs, ours)
    assert report.problems == []
    assert report.appended == len(loops) + len(tools)
    for kind in ACTIVITY_KINDS:
        assert adapter.recent(ours, kind=kind, limit=-1) == original().recent(
            theirs, kind=kind, limit=-1
        )
    assert imported(theirs, ours).appended == 0
    close_unused()
