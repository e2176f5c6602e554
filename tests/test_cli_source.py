"""`eventstore show --source`: an imported session is given back as its transcript."""

from __future__ import annotations

from pathlib import Path

from cli_support import run

from eventstore import SessionStore

SAMPLE = Path(__file__).parent / "samples" / "claude-code"
SESSION = "5e551011-0000-4000-8000-000000000001"


def test_the_transcript_comes_back_byte_for_byte(tmp_path: Path) -> None:
    db, transcript = tmp_path / "s.db", SAMPLE / f"{SESSION}.jsonl"
    assert run("--db", db, "import", transcript).exit_code == 0
    shown = run("--db", db, "show", SESSION, "--source")
    assert shown.exit_code == 0
    assert shown.stdout_bytes == transcript.read_bytes()


def test_an_erased_record_is_counted_not_shown(tmp_path: Path) -> None:
    db, transcript = tmp_path / "s.db", SAMPLE / f"{SESSION}.jsonl"
    run("--db", db, "import", transcript)
    with SessionStore.open(db) as store:
        session = store.session(SESSION)
        session.erase_events([session.history()[0].position])
    shown = run("--db", db, "show", SESSION, "--source")
    assert shown.stdout_bytes.count(b"\n") == transcript.read_bytes().count(b"\n") - 1
    assert "not given back: 1 record" in shown.stderr


def test_a_session_that_was_not_imported_has_no_source(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("native").append("user", "hi")
    shown = run("--db", tmp_path / "s.db", "show", "native", "--source")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "no imported records" in shown.stderr


def test_source_goes_with_no_other_form(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("native")
    for other in (["--json"], ["--jsonl"], ["--at", "1"]):
        assert run("--db", tmp_path / "s.db", "show", "native", "--source", *other).exit_code == 2
