"""What Hermes's callers rely on, line by line: sessions, titles, lists, messages, search, deletion.

A line on which the adapter differs on purpose is tested as what it does instead, and listed in
`test_hermes_differential.DIFFERENCES` or in `docs/adapters/hermes.md`.
"""

from __future__ import annotations

import importlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, clean
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import SessionStore, errors
from eventstore.adapters import hermes
from eventstore.adapters.hermes import SessionDB
from eventstore.adapters.hermes.errors import ForeignDatabaseError

CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}
START = 1_700_000_000_000_000
DAY = 86_400_000_000


class Clock:
    """A clock that goes on by a second with each look, and can be set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def db(tmp_path: Path, clock: Clock) -> Iterator[SessionDB]:
    opened = SessionDB(tmp_path / "state.db", durability="normal", clock=clock)
    yield opened
    if opened._open_store is not None:
        clean(opened.store)
        opened.close()


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


# -- module and connection -------------------------------------------------------------------------


def test_the_default_path_is_that_of_the_home_when_the_module_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HERMES_HOME", str(tmp_path / "home"))
    script = "from eventstore.adapters.hermes import DEFAULT_DB_PATH; print(DEFAULT_DB_PATH)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "home" / "state.db")
    monkeypatch.delenv("HERMES_HOME")
    assert hermes.get_hermes_home() == Path.home() / ".hermes"


def test_the_schema_is_told_by_a_constant_and_a_call(db: SessionDB) -> None:
    assert hermes.SCHEMA_VERSION == db.schema_version() == 6


def test_the_folder_is_made_and_the_path_may_be_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state.db"
    SessionDB(str(path)).close()
    assert path.is_file()


def test_closing_twice_is_harmless_and_later_use_is_an_attribute_error(db: SessionDB) -> None:
    db.close()
    db.close()
    with pytest.raises(AttributeError, match="closed"):
        db.get_session("s")


def test_a_commit_is_durable_unless_told_otherwise(tmp_path: Path) -> None:
    full, normal = SessionDB(tmp_path / "f.db"), SessionDB(tmp_path / "n.db", durability="normal")
    assert full.store.log.durability == "full"
    assert normal.store.log.durability == "normal"
    full.close()
    normal.close()


def test_threads_share_one_database(db: SessionDB) -> None:
    db.create_session("s", "cli")

    def work() -> None:
        for number in range(20):
            db.append_message("s", "user", str(number))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.message_count("s") == 80


def test_a_database_of_hermes_itself_is_refused_with_the_way_to_import_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    script = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('CREATE TABLE t (x)')"
    subprocess.run([sys.executable, "-c", script], check=True)
    before = path.read_bytes()
    for expected in (ForeignDatabaseError, sqlite3.DatabaseError, errors.NotAStoreError):
        with pytest.raises(expected, match="import --format hermes"):
            SessionDB(path)
    assert path.read_bytes() == before


# -- sessions ------------------------------------------------------------------------------------


def test_the_first_creation_of_a_session_wins_and_its_id_always_comes_back(db: SessionDB) -> None:
    assert db.create_session("s", "cli", model="m1", user_id="u") == "s"
    assert db.create_session("s", "telegram", model="m2") == "s"
    row = db.get_session("s") or {}
    assert (row["source"], row["model"], row["user_id"]) == ("cli", "m1", "u")


@pytest.mark.parametrize("config", [None, {}, []])
def test_a_configuration_that_is_empty_is_none(db: SessionDB, config: Any) -> None:
    db.create_session("s", "cli", model_config=config)
    assert (db.get_session("s") or {})["model_config"] is None


def test_a_configuration_comes_back_as_json_text(db: SessionDB) -> None:
    db.create_session("s", "cli", model_config={"b": 1, "a": [None, "é"]})
    assert (db.get_session("s") or {})["model_config"] == '{"b": 1, "a": [null, "\\u00e9"]}'


def test_a_parent_that_is_not_there_is_an_integrity_error(db: SessionDB) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.create_session("s", "cli", parent_session_id="nobody")
    assert db.get_session("s") is None


def test_ensuring_a_session_creates_it_once_and_returns_nothing(db: SessionDB) -> None:
    assert db.ensure_session("s") is None  # type: ignore[func-returns-value]
    db.ensure_session("s", "cli", "m")
    row = db.get_session("s") or {}
    assert (row["source"], row["model"]) == ("unknown", None)


def test_ending_again_replaces_the_end_and_reopening_takes_it_back(db: SessionDB) -> None:
    db.create_session("s", "cli")
    db.end_session("s", "one")
    first = db.get_session("s") or {}
    db.end_session("s", "two")
    second = db.get_session("s") or {}
    assert (first["end_reason"], second["end_reason"]) == ("one", "two")
    assert second["ended_at"] > first["ended_at"] > first["started_at"]
    db.reopen_session("s")
    row = db.get_session("s") or {}
    assert (row["ended_at"], row["end_reason"]) == (None, None)


def test_unknown_sessions_are_silent(db: SessionDB) -> None:
    db.end_session("nobody", "x")
    db.reopen_session("nobody")
    db.update_system_prompt("nobody", "p")
    db.clear_messages("nobody")
    assert db.get_session("nobody") is db.export_session("nobody") is None
    assert db.get_messages("nobody") == db.get_messages_as_conversation("nobody") == []
    assert db.delete_session("nobody") is False


def test_an_ended_session_still_takes_messages(db: SessionDB) -> None:
    db.create_session("s", "cli")
    db.end_session("s", "done")
    db.append_message("s", "user", "more")
    assert db.message_count("s") == 1
    assert (db.get_session("s") or {})["end_reason"] == "done"


def test_the_system_prompt_is_the_newest_and_the_same_again_stores_nothing(db: SessionDB) -> None:
    db.create_session("s", "cli", system_prompt="one")
    db.update_system_prompt("s", "two")
    head = db.store.head
    db.update_system_prompt("s", "two")
    assert (db.get_session("s") or {})["system_prompt"] == "two"
    assert db.store.head == head


def test_tokens_and_costs_add_up_and_the_rest_is_first_or_newest(db: SessionDB) -> None:
    db.create_session("s", "cli")
    assert (db.get_session("s") or {})["estimated_cost_usd"] is None
    db.update_token_counts("s", 1, 2, cache_read_tokens=3, cache_write_tokens=4, reasoning_tokens=5)
    row = db.get_session("s") or {}
    assert (row["estimated_cost_usd"], row["actual_cost_usd"], row["model"]) == (0.0, None, None)
    first = {"model": "m1", "billing_provider": "p1", "billing_base_url": "u1", "billing_mode": "b"}
    newest = {"cost_status": "s1", "cost_source": "c1", "pricing_version": "v1"}
    db.update_token_counts("s", 10, estimated_cost_usd=0.1, actual_cost_usd=0.5, **first, **newest)
    db.update_token_counts(
        "s", 10, estimated_cost_usd=0.2, model="m2", billing_provider="p2", cost_status="s2"
    )
    row = db.get_session("s") or {}
    counters = [row[f"{name}_tokens"] for name in ("input", "output", "cache_read", "cache_write")]
    assert counters == [21, 2, 3, 4]
    assert row["reasoning_tokens"] == 5
    assert row["estimated_cost_usd"] == pytest.approx(0.3)
    assert row["actual_cost_usd"] == 0.5
    assert {name: row[name] for name in first} == first
    assert {name: row[name] for name in newest} == {**newest, "cost_status": "s2"}


def test_tokens_of_two_threads_are_not_lost(db: SessionDB) -> None:
    db.create_session("s", "cli")

    def work(mode: str) -> None:
        for _ in range(10):
            db.update_token_counts("s", 1, actual_cost_usd=0.25, billing_mode=mode)

    threads = [threading.Thread(target=work, args=(mode,)) for mode in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = db.get_session("s") or {}
    assert (row["input_tokens"], row["actual_cost_usd"]) == (20, 5.0)


def test_a_prefix_finds_the_only_session_that_begins_so(db: SessionDB) -> None:
    for session_id in ("abcd", "abxy", "a_1", "a%2"):
        db.create_session(session_id, "cli")
    assert db.resolve_session_id("abcd") == "abcd"
    assert db.resolve_session_id("ABCD") == db.resolve_session_id("abc") == "abcd"
    assert db.resolve_session_id("ab") is None
    assert db.resolve_session_id("zz") is None
    assert (db.resolve_session_id("a_"), db.resolve_session_id("a%")) == ("a_1", "a%2")


# -- titles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_title", "title"),
    [
        (None, None), ("", None), ("  \n ", None), ("\x07", None), ("\u200b", None),
        (" a \t b\r\n c ", "a b c"), ("a\x00b\x7fc", "abc"), ("a\u200fb\u202ec\u2066d", "abcd"),
        ("\ufeffa\ufffcb\ufff9", "ab"), ("a\u3000b\xa0c\x85d", "a b c d"), ("a\u180eb", "a\u180eb"),
        ("n" * 100, "n" * 100), ("n" * 100 + "  \x07", "n" * 100),
    ],
)  # fmt: skip
def test_titles_are_cleaned(given_title: Any, title: Any) -> None:
    assert SessionDB.sanitize_title(given_title) == title


def test_a_title_is_too_long_after_it_is_cleaned() -> None:
    assert SessionDB.MAX_TITLE_LENGTH == 100
    with pytest.raises(ValueError, match=r"^Title too long \(101 chars, max 100\)$"):
        SessionDB.sanitize_title("n" * 101)


def test_a_title_belongs_to_one_session(db: SessionDB) -> None:
    for session_id in ("a", "b", "c"):
        db.create_session(session_id, "cli")
    assert db.set_session_title("a", "plan") is True
    assert db.set_session_title("a", "plan") is True
    with pytest.raises(ValueError, match="Title 'plan' is already in use by session a"):
        db.set_session_title("b", " plan ")
    assert db.get_session_title("b") is None
    assert db.set_session_title("b", "Plan") is True
    assert db.set_session_title("nobody", "free") is False
    assert db.set_session_title("a", "") is True
    assert (db.get_session_title("a"), db.get_session_title("c")) == (None, None)
    assert db.set_session_title("c", "plan") is True
    assert (db.get_session_by_title("plan") or {})["id"] == "c"
    assert db.get_session_by_title("PLAN") is None


def test_a_title_of_a_deleted_session_is_free(db: SessionDB) -> None:
    for session_id in ("a", "b"):
        db.create_session(session_id, "cli")
    db.set_session_title("a", "plan")
    db.delete_session("a")
    assert db.set_session_title("b", "plan") is True


def test_the_newest_continuation_of_a_title_wins_over_the_title(db: SessionDB) -> None:
    for session_id, title in (
        ("a", "y"),
        ("b", "y #abc"),
        ("c", "z #2"),
        ("d", "a%b"),
        ("e", "axb"),
    ):
        db.create_session(session_id, "cli")
        db.set_session_title(session_id, title)
    assert db.resolve_session_by_title("y") == "b"
    assert db.resolve_session_by_title("Z") == "c"
    assert db.resolve_session_by_title("a%b") == "d"
    assert db.resolve_session_by_title("nothing") is None


@pytest.mark.parametrize(
    ("taken", "base", "following"),
    [
        ([], "x", "x"), ([], "x #4", "x"), (["x"], "x", "x #2"),
        (["x", "x #2", "x #10"], "x #2", "x #11"), (["y #3"], "y", "y #4"), (["x #a"], "x", "x #2"),
    ],
)  # fmt: skip
def test_a_lineage_goes_on_after_its_highest_number(
    db: SessionDB, taken: list[str], base: str, following: str
) -> None:
    for number, title in enumerate(taken):
        db.create_session(f"s{number}", "cli")
        db.set_session_title(f"s{number}", title)
    assert db.get_next_title_in_lineage(base) == following


# -- lists -----------------------------------------------------------------------------------------


def test_a_rich_list_has_the_newest_first_with_preview_and_last_activity(db: SessionDB) -> None:
    db.create_session("old", "cli")
    db.create_session("new", "telegram")
    db.append_message("old", "assistant", "not a user")
    db.append_message("old", "user", None)
    db.append_message("old", "user", "one\ntwo\rthree " + "x" * 60)
    old, new = db.list_sessions_rich()[::-1]
    assert (old["id"], new["id"]) == ("old", "new")
    assert old["preview"] == "one two three " + "x" * 46 + "..."
    assert old["last_active"] == db.get_messages("old")[-1]["timestamp"] > old["started_at"]
    assert (new["preview"], new["last_active"]) == ("", new["started_at"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [("x" * 60, "x" * 60), ("x" * 61, "x" * 60 + "..."), (" " * 70 + "x", ""), ("", "")],
)
def test_a_preview_is_cut_after_sixty_characters(db: SessionDB, text: str, shown: str) -> None:
    db.create_session("s", "cli")
    db.append_message("s", "user", text)
    assert db.list_sessions_rich()[0]["preview"] == shown


def test_lists_filter_by_source_and_are_cut(db: SessionDB) -> None:
    for number in range(25):
        db.create_session(f"s{number:02}", ("cli", "cron", "telegram")[number % 3])
    assert len(db.list_sessions_rich()) == len(db.search_sessions()) == 20
    assert ids(db.list_sessions_rich(limit=2, offset=1)) == ["s23", "s22"]
    assert {row["source"] for row in db.list_sessions_rich("cli", limit=50)} == {"cli"}
    assert {row["source"] for row in db.list_sessions_rich(exclude_sources=["cli", "cron"])} == {
        "telegram"
    }
    assert ids(db.search_sessions("cron", limit=2)) == ["s22", "s19"]
    assert (db.session_count(), db.session_count("cli"), db.session_count("x")) == (25, 9, 0)


def test_messages_are_counted_in_a_session_or_everywhere(db: SessionDB) -> None:
    for session_id in ("a", "b"):
        db.create_session(session_id, "cli")
        db.append_message(session_id, "user", "hello")
    assert (db.message_count("a"), db.message_count(), db.message_count("")) == (1, 2, 2)
    assert db.message_count("nobody") == 0


# -- messages --------------------------------------------------------------------------------------


def test_row_ids_grow_over_all_sessions(db: SessionDB) -> None:
    for session_id in ("a", "b"):
        db.create_session(session_id, "cli")
    given_ids = [db.append_message("ab"[number % 2], "user", "x") for number in range(6)]
    assert given_ids == sorted(set(given_ids))
    assert [row["id"] for row in db.get_messages("b")] == given_ids[1::2]


@pytest.mark.parametrize(
    ("calls", "count", "stored"),
    [
        (None, 0, None), ([], 0, None), ({}, 1, None), ("", 1, None), ([CALL], 1, [CALL]),
        ([CALL, CALL], 2, [CALL, CALL]), ({"a": 1}, 1, {"a": 1}), ("text", 1, "text"),
        ([{**CALL, "more": {"x": [1]}}], 1, [{**CALL, "more": {"x": [1]}}]), ([{}], 1, [{}]),
        (({"t": 1},), 1, [{"t": 1}]),
    ],
)  # fmt: skip
def test_tool_calls_are_counted_and_come_back(
    db: SessionDB, calls: Any, count: int, stored: Any
) -> None:
    db.create_session("s", "cli")
    db.append_message("s", "assistant", None, tool_calls=calls)
    db.append_message("s", "tool", "result", tool_call_id="c1", tool_name="search")
    row = db.get_session("s") or {}
    assert (row["message_count"], row["tool_call_count"]) == (2, count)
    assert db.get_messages("s")[0]["tool_calls"] == stored


def test_an_append_without_session_is_an_integrity_error_and_leaves_nothing_locked(
    db: SessionDB, tmp_path: Path
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.append_message("nobody", "user", "x")
    other = SessionDB(tmp_path / "state.db", durability="normal")
    other.create_session("s", "cli")
    other.append_message("s", "user", "written at once")
    other.close()
    assert db.message_count("s") == 1


def test_values_that_cannot_be_bound_are_refused_and_leave_nothing_locked(
    db: SessionDB, tmp_path: Path
) -> None:
    db.create_session("s", "cli")
    with pytest.raises(sqlite3.ProgrammingError, match="type 'list' is not supported"):
        db.append_message("s", "user", [{"type": "text"}])  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        db.append_message("s", "user", "half \ud800")
    with pytest.raises(TypeError):
        db.append_message("s", "assistant", "x", tool_calls=[object()])
    assert db.message_count("s") == 0
    other = SessionDB(tmp_path / "state.db", durability="normal")
    other.append_message("s", "user", "free")
    other.close()


def test_a_nul_is_kept(db: SessionDB) -> None:
    db.create_session("s", "cli")
    db.append_message("s", "user", "a\x00b")
    assert db.get_messages("s")[0]["content"] == "a\x00b"


def test_messages_come_by_time_then_id(db: SessionDB) -> None:
    db.create_session("s", "cli")
    for text, at in (("third", 3.0), ("first", 1.0), ("second", 2.0), ("also second", 2.0)):
        db.append_message("s", "user", text, timestamp=at)
    said = [row["content"] for row in db.get_messages("s")]
    assert said == ["first", "second", "also second", "third"]
    assert [one["content"] for one in db.get_messages_as_conversation("s")] == said


def test_rows_decode_tool_calls_and_keep_reasoning_as_json(db: SessionDB) -> None:
    db.create_session("s", "cli")
    db.append_message(
        "s", "assistant", "x", tool_calls=[CALL], reasoning="because",
        reasoning_details=[{"a": "é"}], codex_reasoning_items=[{"b": 1}],
    )  # fmt: skip
    [row] = db.get_messages("s")
    assert row["tool_calls"] == [CALL]
    assert row["reasoning_details"] == '[{"a": "\\u00e9"}]'
    assert row["codex_reasoning_items"] == '[{"b": 1}]'


def test_a_conversation_has_what_is_there_and_reasoning_of_the_assistant_only(
    db: SessionDB,
) -> None:
    db.create_session("s", "cli")
    thought = {"reasoning": "r", "reasoning_details": [1], "codex_reasoning_items": [2]}
    db.append_message("s", "user", "hi", **thought)  # type: ignore[arg-type]
    db.append_message("s", "assistant", None, tool_calls=[CALL], finish_reason="stop", **thought)  # type: ignore[arg-type]
    db.append_message("s", "tool", "done", tool_call_id="c1", tool_name="search")
    db.append_message("s", "assistant", "bye", reasoning="", tool_call_id="", tool_calls=[])
    assert db.get_messages_as_conversation("s") == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [CALL], **thought},
        {"role": "tool", "content": "done", "tool_call_id": "c1", "tool_name": "search"},
        {"role": "assistant", "content": "bye"},
    ]


@pytest.mark.parametrize("erase", [True, False])
def test_clearing_takes_the_messages_and_zeroes_their_counters(tmp_path: Path, erase: bool) -> None:
    db = SessionDB(tmp_path / "state.db", durability="normal", erase_on_delete=erase)
    db.create_session("s", "cli")
    db.append_message("s", "assistant", "secret", tool_calls=[CALL, CALL])
    db.update_token_counts("s", 7)
    db.clear_messages("s")
    row = db.get_session("s") or {}
    assert (row["message_count"], row["tool_call_count"], row["input_tokens"]) == (0, 0, 7)
    assert db.get_messages("s") == []
    assert db.search_messages("secret") == []
    [message] = db.store.session("s").history()
    assert message.text == (None if erase else "secret")
    db.append_message("s", "assistant", "again", tool_calls=[CALL])
    row = db.get_session("s") or {}
    assert (row["message_count"], row["tool_call_count"]) == (1, 1)
    clean(db.store)
    db.close()


# -- search ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [
        ("docker deploy", "docker deploy"), ('"docker deploy" now', '"docker deploy" now'),
        ('half "quote', "half  quote"), ("a+b{c}(d)^e", "a b c  d  e"), ("***", ""),
        ("dep***", "dep*"),
        ("* word", "word"), ("AND a", "a"), ("a or", "a"), ("not a NOT", "a"),
        ("a AND b", "a AND b"),
        ("chat-send", '"chat-send"'), ('"chat-send" x-y-z', '"chat-send" "x-y-z"'),
        ("my.app", "my.app"),
        ("docker -deploy", "docker -deploy"), ("  ", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_clean_up_of_a_query(typed: str, cleaned: str) -> None:
    found = SessionDB._sanitize_fts5_query(typed)
    assert " ".join(found.split()) == " ".join(cleaned.split())


@given(st.text())
def test_the_clean_up_of_a_query_never_fails(typed: str) -> None:
    found = SessionDB._sanitize_fts5_query(typed)
    assert found == found.strip()


@pytest.fixture
def said(db: SessionDB) -> SessionDB:
    texts = (
        "what is docker", "my.app starts", "map k:v", "it's fine", "path a/b", "mail a@b.c",
        "docker deploy now", "we deployed python", "我们讨论大别山项目计划", "chat-send works",
    )  # fmt: skip
    for number, text in enumerate(texts):
        session_id, source = ("one", "cli") if number % 2 else ("two", "telegram")
        db.create_session(session_id, source, model="m")
        db.append_message(session_id, "user" if number % 3 else "assistant", text)
    return db


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("what is docker?", ["what is docker"]), ("my.app", ["my.app starts"]),
        ("k:v", ["map k:v"]),
        ("it's", ["it's fine"]), ("a@b.c", ["mail a@b.c"]),
        ("docker -deploy", ["docker deploy now"]),
        ("NEAR(docker deploy)", ["docker deploy now"]),
        ("NEAR(docker deploy, 3)", ["docker deploy now"]),
        ("content:python", ["we deployed python"]), ("content : chat-send", ["chat-send works"]),
        ("dep*", ["docker deploy now", "we deployed python"]), ('"is docker"', ["what is docker"]),
        ("python OR fine", ["it's fine", "we deployed python"]),
        ("docker NOT what", ["docker deploy now"]),
        ("大别山", ["我们讨论大别山项目计划"]),
        ("chat-send", ["chat-send works"]), ("hello AND", []),
        ("docker AND", ["docker deploy now", "what is docker"]),
        ("DOCKER what", ["what is docker"]),
    ],
)  # fmt: skip
def test_what_people_type_is_found(said: SessionDB, query: str, texts: list[str]) -> None:
    found = said.search_messages(query)
    contents = {
        row["id"]: row["content"] for one in ("one", "two") for row in said.get_messages(one)
    }
    assert sorted(contents[row["id"]] for row in found) == sorted(texts)


@pytest.mark.parametrize("query", ["", "   ", "\n", None])
def test_nothing_typed_is_nothing_found(said: SessionDB, query: Any) -> None:
    assert said.search_messages(query) == []


def test_a_hit_has_its_snippet_its_session_and_no_content(said: SessionDB) -> None:
    [hit] = said.search_messages("python")
    row = said.get_messages("one")[-2]
    assert hit == {
        "id": row["id"],
        "session_id": "one",
        "role": "user",
        "snippet": "we deployed >>>python<<<",
        "timestamp": row["timestamp"],
        "tool_name": None,
        "source": "cli",
        "model": "m",
        "session_started": (said.get_session("one") or {})["started_at"],
        "context": [
            {"role": "user", "content": "mail a@b.c"},
            {"role": "user", "content": "we deployed python"},
            {"role": "assistant", "content": "chat-send works"},
        ],
    }


def test_a_snippet_shows_what_was_cut_and_a_neighbour_two_hundred_characters(
    db: SessionDB,
) -> None:
    db.create_session("s", "cli")
    db.append_message("s", "user", "y" * 300)
    db.append_message("s", "user", "before " * 50 + "needle" + " after" * 50)
    [hit] = db.search_messages("needle")
    assert hit["snippet"].startswith("…")
    assert hit["snippet"].endswith("…")
    assert [len(one["content"]) for one in hit["context"]] == [200, 200]


def test_the_best_hit_comes_first(db: SessionDB) -> None:
    db.create_session("s", "cli")
    db.append_message("s", "user", "a long text " * 30 + "that has the needle once")
    best = db.append_message("s", "user", "needle, needle, needle")
    db.append_message("s", "user", "some needle in hay")
    assert db.search_messages("needle")[0]["id"] == best


@settings(max_examples=budget(60), deadline=None)
@given(st.text(max_size=40))
def test_no_text_that_is_typed_is_an_error(typed: str) -> None:
    db = SessionDB(":memory:")
    db.create_session("s", "cli")
    db.append_message("s", "user", "something")
    assert isinstance(db.search_messages(typed), list)
    db.close()


def test_filters_of_a_search(said: SessionDB) -> None:
    def sources(**filters: Any) -> list[str]:
        return sorted(row["source"] for row in said.search_messages("docker OR fine", **filters))

    assert sources() == ["cli", "telegram", "telegram"]
    assert sources(source_filter=["cli"]) == ["cli"]
    assert sources(source_filter=["cli", "telegram"]) == ["cli", "telegram", "telegram"]
    assert sources(source_filter=[]) == []
    assert sources(exclude_sources=["telegram"]) == ["cli"]
    assert sources(exclude_sources=[]) == sources(role_filter=[]) == sources()
    roles = {row["role"] for row in said.search_messages("docker", role_filter=["assistant"])}
    assert roles == {"assistant"}
    every = said.search_messages("docker OR fine")
    assert said.search_messages("docker OR fine", limit=1, offset=1) == every[1:2]
    assert (
        said.search_messages("docker OR fine", limit=2, role_filter=["user", "assistant"])
        == (every[:2])
    )


def test_tool_names_and_arguments_are_found_too(db: SessionDB) -> None:
    db.create_session("s", "cli")
    db.append_message("s", "assistant", None, tool_calls=[CALL])
    assert len(db.search_messages("search")) == 1


# -- export and deletion ---------------------------------------------------------------------------


def test_an_export_is_the_row_with_the_messages(said: SessionDB) -> None:
    assert said.export_session("one") == {
        **(said.get_session("one") or {}), "messages": said.get_messages("one"),
    }  # fmt: skip
    assert ids(said.export_all()) == ["one", "two"]
    assert ids(said.export_all("telegram")) == ["two"]


def test_deleting_a_parent_leaves_its_children_without_one(db: SessionDB) -> None:
    db.create_session("parent", "cli")
    db.create_session("child", "cli", parent_session_id="parent")
    assert (db.get_session("child") or {})["parent_session_id"] == "parent"
    assert db.delete_session("parent") is True
    assert db.delete_session("parent") is False
    assert (db.get_session("child") or {})["parent_session_id"] is None
    db.append_message("child", "user", "still here")


def test_a_deleted_session_can_be_created_again_and_begins_empty(db: SessionDB) -> None:
    db.create_session("s", "cli", model="m1")
    db.append_message("s", "user", "old")
    db.delete_session("s")
    with pytest.raises(sqlite3.IntegrityError):
        db.append_message("s", "user", "gone")
    db.create_session("s", "cli")
    db.append_message("s", "user", "new")
    assert [row["content"] for row in db.get_messages("s")] == ["new"]
    assert (db.get_session("s") or {})["model"] is None


@pytest.mark.parametrize("erase", [True, False])
def test_deleting_erases_unless_told_otherwise(tmp_path: Path, erase: bool) -> None:
    path = tmp_path / "state.db"
    db = SessionDB(path, erase_on_delete=erase)
    db.create_session("secret-id", "cli", system_prompt="secret prompt")
    db.set_session_title("secret-id", "secret title")
    db.append_message("secret-id", "user", "secret text")
    db.search_messages("secret")
    db.delete_session("secret-id")
    assert db.search_messages("secret") == []
    assert db.get_session("secret-id") is None
    db.close()
    left = any(b"secret" in file.read_bytes().lower() for file in tmp_path.glob("state.db*"))
    assert left is not erase
    with SessionStore.open(path) as store:
        assert [info.status for info in store.sessions(statuses=None)] == ["closed"]
        clean(store)


def test_pruning_deletes_what_has_ended_and_is_old(db: SessionDB, clock: Clock) -> None:
    for session_id, days in (("old", 100), ("open", 100), ("young", 10), ("cron", 100)):
        started = (START - days * DAY) / 1e6
        source = "cron" if session_id == "cron" else "cli"
        db.create_session(session_id, source, started_at=started)
    db.create_session("child", "cli", parent_session_id="old")
    for session_id in ("old", "young", "cron"):
        db.end_session(session_id, "done")
    assert db.prune_sessions(source="cron") == 1
    assert db.prune_sessions() == 1
    assert db.prune_sessions() == 0
    assert sorted(ids(db.search_sessions())) == ["child", "open", "young"]
    assert db.prune_sessions(older_than_days=5) == 1
    assert (db.get_session("child") or {})["parent_session_id"] is None


# -- two processes ---------------------------------------------------------------------------------

WRITER = """
import sys
from eventstore.adapters.hermes import SessionDB
path, name = sys.argv[1:]
db = SessionDB(path, durability="normal")
db.create_session("shared", "cli")
db.create_session(name, "cli")
for number in range(40):
    db.append_message("shared", "user", f"{name}:{number}")
    db.update_token_counts("shared", 1, actual_cost_usd=0.5)
    try:
        db.set_session_title(name, f"title {number % 4}")
    except ValueError:
        pass
db.close()
"""


def test_two_processes_lose_nothing(db: SessionDB, tmp_path: Path) -> None:
    names = ("left", "right")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "state.db"), name],
            cwd=Path(__file__).parents[3], stderr=subprocess.PIPE,
        )
        for name in names
    ]  # fmt: skip
    for process in running:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error.decode()
    said = [row["content"] for row in db.get_messages("shared")]
    for name in names:
        own = [text for text in said if text.startswith(name)]
        assert own == [f"{name}:{number}" for number in range(40)]
    row = db.get_session("shared") or {}
    assert (row["message_count"], row["input_tokens"], row["actual_cost_usd"]) == (80, 80, 40.0)
    titles = [db.get_session_title(name) for name in names]
    assert titles[0] != titles[1]


def test_the_adapter_is_loaded_by_itself_only() -> None:
    script = (
        "import sys, eventstore.adapters.hermes as h; "
        "assert not [m for m in sys.modules if m.startswith('eventstore.importers')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
    assert importlib.import_module("eventstore.adapters").__doc__
