"""What Hermes's callers rely on in corners that random calls seldom reach."""

from __future__ import annotations

import inspect
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import clean
from lock_support import locked
from test_hermes_contract import CALL, DAY, START, Clock

from eventstore.adapters.hermes import SessionDB


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SessionDB]:
    found = SessionDB(tmp_path / "state.db", durability="normal", clock=Clock())
    store = found.store
    yield found
    if found._open_store is not None:
        clean(store)
        found.close()


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


# -- calls -----------------------------------------------------------------------------------------

SIGNATURES = {
    "create_session":
        "session_id source model model_config system_prompt user_id parent_session_id",
    "ensure_session": "session_id source model",
    "update_token_counts":
        "session_id input_tokens output_tokens model cache_read_tokens cache_write_tokens "
        "reasoning_tokens estimated_cost_usd actual_cost_usd cost_status cost_source "
        "pricing_version billing_provider billing_base_url billing_mode",
    "append_message":
        "session_id role content tool_name tool_calls tool_call_id token_count finish_reason "
        "reasoning reasoning_details codex_reasoning_items",
    "list_sessions_rich": "source exclude_sources limit offset",
    "search_sessions": "source limit offset",
    "search_messages": "query source_filter exclude_sources role_filter limit offset",
    "prune_sessions": "older_than_days source",
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_may_be_given_by_place(name: str) -> None:
    parameters = list(inspect.signature(getattr(SessionDB, name)).parameters.values())[1:]
    by_place = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert by_place == SIGNATURES[name].split()


CALLS = [
    "create_session s cli", "ensure_session s", "end_session s r", "reopen_session s",
    "update_system_prompt s p", "update_token_counts s", "get_session s", "resolve_session_id s",
    "set_session_title s t", "get_session_title s", "get_session_by_title t",
    "resolve_session_by_title t", "get_next_title_in_lineage t", "list_sessions_rich",
    "search_sessions", "session_count", "message_count", "append_message s user x",
    "get_messages s", "get_messages_as_conversation s", "clear_messages s", "search_messages x",
    "export_session s", "export_all", "delete_session s", "prune_sessions",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_every_call_after_closing_is_an_attribute_error(db: SessionDB, call: str) -> None:
    db.create_session("s", "cli")
    db.append_message("s", "user", "x")
    db.close()
    name, *values = call.split()
    with pytest.raises(AttributeError, match="closed"):
        getattr(db, name)(*values)


def test_a_database_is_no_context_manager() -> None:
    assert not hasattr(SessionDB, "__enter__")


def test_without_a_path_the_default_one_is_opened(tmp_path: Path) -> None:
    script = "from eventstore.adapters.hermes import SessionDB; SessionDB().close()"
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3],
        env={**os.environ, "HERMES_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert (tmp_path / "home" / "state.db").is_file()


def test_a_write_waits_half_a_minute_and_then_says_locked(db: SessionDB) -> None:
    assert db.store.log._busy_seconds == 30.0
    db.create_session("s", "cli")
    db.store.log._busy_seconds = 0.2
    with locked(db.store.path):
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            db.append_message("s", "user", "x")
        assert db.message_count("s") == 0
    assert db.append_message("s", "user", "x")


# -- sessions --------------------------------------------------------------------------------------


def test_a_session_that_is_there_needs_no_parent(db: SessionDB) -> None:
    db.create_session("s", "cli")
    assert db.create_session("s", "cli", parent_session_id="nobody") == "s"


def test_a_session_without_an_id_is_an_integrity_error(db: SessionDB) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"sessions\.id"):
        db.create_session(None, "cli")  # type: ignore[arg-type]
    assert db.session_count() == 0


def test_what_is_no_text_resolves_to_nothing(db: SessionDB) -> None:
    db.create_session("s", "cli")
    assert db.resolve_session_id(None) is None
    with pytest.raises(UnicodeEncodeError):
        db.resolve_session_id("\ud800")
    with pytest.raises(sqlite3.ProgrammingError):
        db.resolve_session_id(5)  # type: ignore[arg-type]


def test_a_prefix_may_have_a_backslash_and_case_counts_outside_ascii(db: SessionDB) -> None:
    for session_id in ("a\\b1", "\\x", "Éa"):
        db.create_session(session_id, "cli")
    assert (db.resolve_session_id("a\\"), db.resolve_session_id("\\")) == ("a\\b1", "\\x")
    assert (db.resolve_session_id("É"), db.resolve_session_id("é")) == ("Éa", None)


def test_pruning_keeps_ninety_days_unless_told_otherwise(db: SessionDB) -> None:
    for session_id, days in (("older", 91), ("younger", 89)):
        db.create_session(session_id, "cli", started_at=(START - days * DAY) / 1e6)
        db.end_session(session_id, "done")
    assert db.prune_sessions() == 1
    assert ids(db.search_sessions()) == ["younger"]


def test_the_newest_price_and_the_first_billing_are_kept(db: SessionDB) -> None:
    for number in ("1", "2"):
        db.update_token_counts(
            "s", 1, cost_source=f"c{number}", pricing_version=f"v{number}",
            billing_base_url=f"u{number}", billing_mode=f"b{number}",
        )  # fmt: skip
    row = db.get_session("s") or {}
    assert (row["cost_source"], row["pricing_version"]) == ("c2", "v2")
    assert (row["billing_base_url"], row["billing_mode"]) == ("u1", "b1")


# -- titles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["it's", "a\\b"])
def test_a_title_that_is_taken_is_told_as_it_is(db: SessionDB, title: str) -> None:
    for session_id in ("a", "b"):
        db.create_session(session_id, "cli")
    db.set_session_title("a", title)
    told = f"Title '{title}' is already in use by session a"
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        db.set_session_title("b", title)


def test_of_several_continuations_the_one_that_began_last_wins_whatever_its_number(
    db: SessionDB,
) -> None:
    for session_id, title in (("a", "x #9"), ("b", "x"), ("c", "x #2")):
        db.create_session(session_id, "cli")
        db.set_session_title(session_id, title)
    db.create_session("early", "cli", started_at=1000.0)
    db.set_session_title("early", "x #77")
    assert db.resolve_session_by_title("x") == "c"


@pytest.mark.parametrize("title", ["a%b", "a_b", "a\\b"])
def test_wildcards_in_a_title_are_text(db: SessionDB, title: str) -> None:
    for session_id, given in (("own", title), ("other", "axb #2")):
        db.create_session(session_id, "cli")
        db.set_session_title(session_id, given)
    assert db.resolve_session_by_title(title) == "own"
    assert db.get_next_title_in_lineage(title) == f"{title} #2"


def test_a_title_loses_one_number_only(db: SessionDB) -> None:
    db.create_session("s", "cli")
    db.set_session_title("s", "q #2 #3")
    assert db.get_next_title_in_lineage("q #2 #3") == "q #2 #4"


INVISIBLE = {
    *range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, *range(0x200B, 0x2010),
    *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF, *range(0xFFF9, 0xFFFD),
}  # fmt: skip
BLANK = {9, 10, 13, 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000}


def test_every_character_of_a_title_is_dropped_a_blank_or_kept() -> None:
    for number in {*range(0x3001), *INVISIBLE}:
        kept = "ab" if number in INVISIBLE else "a b" if number in BLANK else f"a{chr(number)}b"
        assert SessionDB.sanitize_title(f"a{chr(number)}b") == kept, hex(number)
    assert all(SessionDB.sanitize_title(chr(number)) is None for number in INVISIBLE)


# -- lists and search ------------------------------------------------------------------------------


def test_lists_go_by_the_start_and_not_by_the_order_of_creation(db: SessionDB) -> None:
    for session_id, at in (("mid", 2000.0), ("new", 3000.0), ("old", 1000.0)):
        db.create_session(session_id, "cli", started_at=at)
    for found in (db.list_sessions_rich(), db.search_sessions(), db.export_all()):
        assert ids(found) == ["new", "mid", "old"]
    assert ids(db.list_sessions_rich(limit=1)) == ids(db.search_sessions(limit=1)) == ["new"]
    assert (db.get_session("old") or {})["started_at"] == 1000.0


def test_an_export_of_all_is_not_cut_like_a_list(db: SessionDB) -> None:
    for number in range(25):
        db.create_session(f"s{number:02}", "cli")
    assert len(db.export_all()) == len(db.export_all("cli")) == 25


def test_an_empty_source_means_all(db: SessionDB) -> None:
    db.create_session("s", "cli")
    assert db.session_count("") == len(db.search_sessions("")) == 1
    assert len(db.list_sessions_rich("")) == 1


def test_an_empty_first_message_is_the_preview(db: SessionDB) -> None:
    db.create_session("s", "cli")
    for text in ("", "later"):
        db.append_message("s", "user", text)
    assert db.list_sessions_rich()[0]["preview"] == ""


PROJECT = "我们讨论大别山项目计划"


@pytest.mark.parametrize("query", ["docker AND deploy", PROJECT, "browser", "walrus"])
def test_both_words_a_full_run_a_tools_name_and_an_argument_find_one(
    db: SessionDB, query: str
) -> None:
    db.create_session("s", "cli")
    for text in ("docker deploy", "docker", "deploy", PROJECT):
        db.append_message("s", "user", text)
    db.append_message("s", "tool", "zzz", tool_name="browser", tool_call_id="c1")
    call = {**CALL, "function": {"name": "f", "arguments": '{"q": "walrus"}'}}
    db.append_message("s", "assistant", None, tool_calls=[call])
    assert len(db.search_messages(query)) == 1


def test_an_offset_below_zero_is_none(db: SessionDB) -> None:
    db.create_session("s", "cli")
    db.append_message("s", "user", "docker")
    assert len(db.search_messages("docker", offset=-1)) == 1
    assert len(db.search_sessions(offset=-1)) == len(db.list_sessions_rich(offset=-1)) == 1
