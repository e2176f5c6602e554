"""Defects that sweeps found, each by the name of what did not hold."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from engine_support import populated

from eventstore import SessionStore
from eventstore.errors import EventStoreError
from eventstore.log.pages import Image
from eventstore.testing.faults import Fault, FaultyDisk, Kind


@pytest.mark.parametrize("at", range(1, 13))
def test_a_lock_that_fails_while_check_closes_its_scratch_is_this_projects_error(
    at: int, tmp_path: Path
) -> None:
    with populated(tmp_path / "s.db"):
        pass
    fault = Fault(at=at, kind=Kind.LOCK)
    with FaultyDisk([fault]), suppress(EventStoreError), SessionStore.open(tmp_path / "s.db") as s:
        s.check()


def test_an_erasure_is_not_complete_while_a_page_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("a")
        session.append("user", "the secret is needle")
        # What reads many pages at once gives nothing where a page cannot be read.
        monkeypatch.setattr(Image, "each", lambda self: iter([(number, b"") for number in (1, 2)]))
        erased = session.erase_events([session.message(1).position])
        assert not erased.complete
        assert "cannot be read" in str(erased.cause)
        monkeypatch.undo()
        assert store.finish_erasures()


def test_a_store_whose_closing_fails_says_so_and_is_closed(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("a")
    with FaultyDisk() as disk:
        store = SessionStore.open(tmp_path / "s.db")
        store.session("a").append("user", "hello")
        disk.plan.faults = (Fault(at=1, kind=Kind.LOCK, calls=1_000),)
        with pytest.raises(EventStoreError):
            store.close()
        store.close()
    with SessionStore.open(tmp_path / "s.db") as store:
        assert store.session("a").message(1).text == "hello"
