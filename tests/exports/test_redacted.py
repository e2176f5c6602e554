"""What was redacted, once or over and over, leaves a log that exports, verifies and comes back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from engine_support import clean

from eventstore import SessionStore
from eventstore.exports import registry
from eventstore.exports.runner import export
from eventstore.importers.registry import import_paths
from eventstore.redaction import Redactor, redact
from eventstore.redaction.detectors import named

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
TEXT = f"the key is {SECRET[:40]}, write to ada@example.com, in Rome"


def twice(store: SessionStore) -> Any:
    """A session of which one message is redacted twice, by other detectors each time."""
    session = store.create("trip", title="Rome")
    session.append("user", TEXT)
    session.append("assistant", "I will")
    redact(store, [session], Redactor(named(["api-key"])), by="desk")
    redact(store, [session], Redactor(named(["email"])), by="desk")
    text = session.message(1).text
    assert text == "the key is [redacted: api-key], write to [redacted: email], in Rome"
    return session


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with SessionStore.open(tmp_path / "s.db") as store:
        yield store


def test_every_format_shows_the_marks_and_nothing_else(store: SessionStore, tmp_path: Path) -> None:
    twice(store)
    for name in registry.formats():
        try:
            exporter = registry.exporter(name)
            export(store, name, tmp_path / name, record=False)
        except Exception as error:
            if "pip install" not in str(error) and "checkpoint" not in str(error):
                raise
            continue
        place = tmp_path / name
        files = [one for one in place.rglob("*") if one.is_file()] if place.is_dir() else [place]
        data = b"".join(one.read_bytes() for one in files)
        assert SECRET.encode()[:40] not in data, exporter.name
        assert b"ada@example.com" not in data, exporter.name


def test_events_come_back_as_they_are(store: SessionStore, tmp_path: Path) -> None:
    twice(store)
    out = io.BytesIO()
    export(store, "events-jsonl", out, record=False)
    (tmp_path / "log.jsonl").write_bytes(out.getvalue())
    with SessionStore.open(tmp_path / "copy.db") as copy:
        list(import_paths(copy, [tmp_path / "log.jsonl"]))
        clean(copy)
        assert copy.session("trip").message(1) == store.session("trip").message(1)
        again = io.BytesIO()
        export(copy, "events-jsonl", again, record=False)
    assert again.getvalue() == out.getvalue()


def test_a_bundle_of_it_is_verified_with_what_it_lost(tmp_path: Path) -> None:
    bundles = pytest.importorskip("bundle_support")
    sample = bundles.Sample(tmp_path, twice)
    older = [sample.older(3)]
    for name, options in (("log", {}), ("one", {"sessions": [sample.store.session("trip")]})):
        answer = bundles.verify(sample.bundle(name, **options), older=older)
        assert answer.verdict == "VERIFIED with 2 erased and 0 withheld", (name, answer.findings)
    sample.store.close()
