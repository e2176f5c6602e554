"""A search in FTS5's own syntax is FTS5's, and fails in one way only."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import apsw
import pytest
from cli_support import db, run
from engine_support import budget, ticking
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eventstore import Message, SessionStore
from eventstore.aio.store import AsyncSessionStore
from eventstore.errors import InvalidQueryError, InvalidValueError
from projections.search.query import Term
from projections.search.raw import terms_of
from projections.search.text import _SYMBOLS

__all__ = ["db"]

TEXTS = ["a b c", "b c d dock", "c a docker", "the a, b: d", "docks docks a", "a b a b", "é d"]
PIECES = [
    "a", "b", "c", "d", "dock", "é", "AND", "OR", "NOT", "NEAR(a b)", "NEAR(a d, 2)", "(", ")", "*",
    '"', '"a b"', "^", "+", ":", "text", "text:", "- text :", "{text}:", "{", "}", ",", "'", "-",
    "rowid", "search_index", "rank", "\x00", ";", "?",
]  # fmt: skip
QUERY = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
)


def store_of(*texts: str) -> SessionStore:
    store = SessionStore.open(":memory:", clock=ticking())
    store.create("s").append_many([Message(role="user", content=text) for text in texts])
    store.catch_up("search")
    return store


@pytest.fixture(scope="module")
def some() -> Any:
    with store_of(*TEXTS) as store:
        yield store


@pytest.fixture(scope="module")
def plain() -> apsw.Connection:
    """The same texts in a table that has nothing to do with this project."""
    connection = apsw.Connection(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5 "
        "(text, tokenize = 'unicode61 remove_diacritics 2')"
    )
    rows = enumerate(TEXTS, 1)
    connection.executemany("INSERT INTO search_index (rowid, text) VALUES (?, ?)", rows)
    return connection


def found(store: SessionStore, typed: str) -> list[int] | str:
    """The hits, or what is wrong with the query."""
    try:
        return [hit.seq for hit in store.search(typed, syntax="fts5").hits]
    except InvalidQueryError as error:
        return error.reason if (error.query, error.reason in str(error)) == (typed, True) else "?"


@settings(max_examples=budget(600), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(QUERY)
@example("half \ud83d")
@example("(" * 3000)
@example("a OR " * 3000 + "a")
@example("a NOT (" * 300 + "a" + ")" * 300)
@example("NEAR(" + "a " * 3000 + ")")
@example("*reads")
@example(" *id")
@example("")
def test_no_query_raises_anything_else(some: SessionStore, typed: str) -> None:
    assert found(some, typed) != "?"


def is_comparable(typed: str) -> bool:
    """Not a command, and without symbols, which separate words here and are letters to FTS5."""
    return typed.isprintable() and not typed.startswith("*") and not _SYMBOLS.search(typed)


@settings(max_examples=budget(600), deadline=None)
@given(QUERY.filter(is_comparable))
def test_the_query_means_what_it_means_to_fts5(
    some: SessionStore, plain: apsw.Connection, typed: str
) -> None:
    query = (
        "SELECT rowid FROM search_index WHERE search_index MATCH ? "
        "ORDER BY bm25(search_index), rowid DESC"
    )
    try:
        expected: list[int] | None = [row[0] for row in plain.execute(query, (typed,))]
    except apsw.SQLError:
        expected = None
    got = found(some, typed)
    assert (None if isinstance(got, str) else got) == expected


def test_a_query_is_never_a_command_to_fts5(some: SessionStore) -> None:
    assert "syntax error" in found(some, "*reads")
    assert "NUL" in found(some, "a\x00 b")


def test_chinese_is_found_and_what_matched_is_marked() -> None:
    with store_of("我们讨论大别山项目计划", "东京タワー and docker", "c") as store:
        for typed, seq, shown in (
            ("大别山", 1, "大别山"),
            ('"别山" AND 计划', 1, "别山"),
            ("NOTHING OR 京タ*", 2, "京タ"),
            ("text : dock*", 2, "docker"),
        ):
            [hit] = store.search(typed, syntax="fts5").hits
            start, size = hit.highlights[0]
            assert (hit.seq, hit.snippet[start : start + size]) == (seq, shown)


def test_the_terms_of_a_query_are_its_words_and_phrases() -> None:
    assert terms_of('text : a AND "b ""c""" * NOT NEAR(d e, 10) + 10 ^f') == (
        Term("a", False),
        Term('b "c"', True),
        Term("d", False),
        Term("e", False),
        Term("10", False),
        Term("f", False),
    )


def test_another_syntax_is_refused(some: SessionStore) -> None:
    with pytest.raises(InvalidValueError, match="words, fts5"):
        some.search("a", syntax="regex")


def test_tasks_and_the_command_line_search_the_same_way(db: Path) -> None:
    async def ask(typed: str) -> list[tuple[str, int]]:
        async with await AsyncSessionStore.open(db) as store:
            result = await store.search(typed, syntax="fts5", exclude_source="elsewhere")
            return [(hit.session_id, hit.seq) for hit in result.hits]

    options = ("--syntax", "fts5", "--exclude-source", "elsewhere", "--json", "--db", db)
    done = run("search", "hours AND utc", *options)
    hits = [(hit["session_id"], hit["seq"]) for hit in json.loads(done.stdout)]
    assert asyncio.run(ask("hours AND utc")) == hits == [("chat-1", 3)]
    done = run("search", "hours AND", *options)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "FTS5's syntax" in done.stderr
    with pytest.raises(InvalidQueryError):
        asyncio.run(ask("hours AND"))
