"""`eventstore search` and `stats`: exit codes, filters, and stores that cannot be indexed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_support import db, run

from eventstore import SessionStore
from eventstore.errors import InvalidValueError, ReadOnlyStoreError

__all__ = ["db"]


def found(db: Path, *words: str) -> list[tuple[str, int]]:
    done = run("search", *words, "--json", "--db", db)
    hits: list[Any] = json.loads(done.stdout_bytes)
    assert done.exit_code == (0 if hits else 1), done.stderr
    return [(hit["session_id"], hit["seq"]) for hit in hits]


def test_nothing_found_is_exit_code_1_as_with_grep(db: Path) -> None:
    done = run("search", "no such words", "--db", db)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nothing matches" in done.stderr
    done = run("search", "?!", "--json", "--db", db)
    assert (done.exit_code, done.stdout) == (1, "[]\n")
    assert run("search", "x", "--db", db.with_name("none.db")).exit_code == 1
    assert run("search", "--db", db).exit_code == 2


def test_every_option_narrows_the_search(db: Path) -> None:
    assert ("chat-1", 3) in found(db, "hours", "--newest")
    assert found(db, "hours", "--session", "chat-1", "--role", "tool") == [("chat-1", 3)]
    assert found(db, "hours", "--active") == []
    assert found(db, "offset", "--kind", "note", "--active") == [("chat-1", 5)]
    assert found(db, "harbour", "--lineage", "chat-1") == [("chat-1/helper", 1)]
    assert found(db, "harbour", "--kind", "root") == []
    assert found(db, "emoji", "--source", "elsewhere") == [("other", 2)]
    assert found(db, "emoji", "--since", "1h") == []
    assert found(db, "emoji", "--until", "1h") == [("other", 2)]
    assert found(db, "emoji", "--until", "2026-01-05T10:11:12") == []
    assert found(db, "hours", "--role", "tool", "--role", "system", "--newest") == [("chat-1", 3)]
    both = found(db, "emoji OR harbour", "--source", "elsewhere", "--source", "example", "--newest")
    assert both == [("other", 2), ("chat-1/helper", 1)]
    assert found(db, "emoji OR harbour", "--exclude-source", "example") == [("other", 2)]
    assert found(db, "(emoji OR look) NOT half", "--syntax", "fts5") == [("chat-1", 2)]
    assert found(db, "hours", "--newest", "-n", "1", "--offset", "1") == [("chat-1", 3)]
    done = run("search", "--json", "--db", db, "--", "harbour", "-zone")
    assert [hit["seq"] for hit in json.loads(done.stdout_bytes)] == [1]
    assert run("search", "hours", "--session", "nobody", "--db", db).exit_code == 1
    assert run("search", "hours", "--until", "someday", "--db", db).exit_code == 2


def test_each_hit_says_where_it_is_and_what_matched(db: Path) -> None:
    [hit] = json.loads(run("search", "hours", "--role", "tool", "--json", "--db", db).stdout_bytes)
    assert (hit["session_id"], hit["seq"], hit["role"]) == ("chat-1", 3, "tool")
    assert "hours" in hit["snippet"]
    assert hit["score"] > 0


def test_context_shows_the_messages_around_a_hit(db: Path) -> None:
    words = ["search", "look", "-C", "1", "--db", db]
    [hit] = json.loads(run(*words, "--json").stdout_bytes)
    assert [message["seq"] for message in hit["neighbours"]] == [1, 3]
    lines = run(*words).stdout.splitlines()
    assert [line for line in lines if line.startswith("chat-1")] == [
        "chat-1 #1 user",
        "chat-1 #2 assistant  2026-01-05 10:11, compacted",
        "chat-1 #3 tool",
    ]
    assert "    Why is high water an hour late?" in lines


def test_a_store_that_cannot_be_written_is_searched_as_far_as_it_is_indexed(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(db, "harbour") == [("chat-1/helper", 1)]
    with SessionStore.open(db) as store:
        store.session("chat-1").append("user", "the harbour again")

    def refuse(*_: Any, **__: Any) -> None:
        raise ReadOnlyStoreError("no")

    monkeypatch.setattr("eventstore.cli.options.Settings.open_for_writing", refuse)
    done = run("search", "harbour", "--json", "--db", db)
    assert [hit["session_id"] for hit in json.loads(done.stdout)] == ["chat-1/helper"]
    assert "lacks the last 1 event" in done.stderr


def test_stats_leave_out_what_is_older_and_say_when_there_is_nothing(db: Path) -> None:
    assert run("stats", "--db", db).exit_code == 0
    done = run("stats", "--since", "1h", "--db", db)
    assert (done.exit_code, done.stdout) == (1, "")
    with SessionStore.open(db) as store:
        later = store.session("other").history()[0].at
        assert [one.name for one in store.stats(since=later)] == ["other"]
        assert [one.name for one in store.stats("lineage")] == ["chat-1", "other", "over"]


def test_stats_add_up_to_the_same_whatever_they_are_by(db: Path) -> None:
    with SessionStore.open(db) as store:
        fork = store.session("chat-1").fork("fork")
        fork.append("user", "more")
        fork.record_usage("r-2", input=7, cache_read=3, output=2, cost=1.5, currency="EUR")
        sums = []
        for by in ("session", "day", "lineage", "model"):
            rows = store.stats(by)
            costs: dict[str, int] = {}
            for one in rows:
                for currency, cost in one.costs.items():
                    costs[currency] = costs.get(currency, 0) + cost
            sums.append(
                (sum(one.calls for one in rows), sum(one.input for one in rows), sorted(costs))
            )
            if by != "model":
                assert sum(one.messages for one in rows) == 10
        assert len({repr(one) for one in sums}) == 1
        assert {one.name for one in store.stats("lineage")} == {"chat-1", "other", "over"}
        with pytest.raises(InvalidValueError, match="nonsense"):
            store.stats("nonsense")
