"""Which hits a search shows: visible ones, each once, with what matched marked."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from engine_support import budget, ticking
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_search import TEXT, contains, plain_match, plain_tokens, store_of

from eventstore import Message, Session, SessionStore
from eventstore.log.transaction import SqliteTransaction
from projections.search.query import Query, parse
from projections.search.text import clean


@pytest.fixture
def sources() -> Any:
    """A needle in sessions of three sources and of none, said by three roles."""
    with SessionStore.open(":memory:", clock=ticking()) as store:
        for name in ("one", "two", "three", None):
            session = store.create(name or "none", source=name)
            for role in ("user", "assistant", "tool"):
                session.append(role, "needle")
        yield store


def test_several_sources_and_roles_can_be_asked_for_and_sources_left_out(
    sources: SessionStore,
) -> None:
    def names(**filters: Any) -> set[str]:
        return {hit.name for hit in sources.search("needle", **filters).hits}

    def roles(**filters: Any) -> set[str]:
        return {hit.role for hit in sources.search("needle", **filters).hits}

    assert names(source=["one", "three"]) == {"one", "three"}
    assert names(source=[]) == set()
    assert names(exclude_source=["one", "three"]) == {"two", "none"}
    assert names(exclude_source="two") == {"one", "three", "none"}
    assert names(exclude_source=[]) == {"one", "two", "three", "none"}
    assert names(source=["one", "two"], exclude_source=["two"]) == {"one"}
    assert roles(role=["user", "tool"]) == {"user", "tool"}
    assert roles(role="tool") == {"tool"}


def positions(store: SessionStore, **options: Any) -> list[int]:
    """What three pages after each other, and a look further, show."""
    found: list[int] = []
    while True:
        page = store.search("needle", offset=len(found), limit=3, **options).hits
        if not page:
            return found
        found += [hit.position for hit in page]


def hide(session: Session, how: str) -> None:
    """Hide the last message, or all."""
    match how:
        case "retract":
            session.retract(session.history()[-1].seq)
        case "clear":
            session.clear()
        case "close":
            session.close()


@settings(
    max_examples=budget(80),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "retract", "clear", "close"]), st.integers(1, 6)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([3, 7, 10_000]),
)
def test_pages_walk_through_what_is_visible_once(
    monkeypatch: pytest.MonkeyPatch, made: list[tuple[str, int]], ranked: int
) -> None:
    monkeypatch.setattr("projections.queries.search.RANKED_MAX", ranked)
    visible: dict[int, int] = {}
    with SessionStore.open(":memory:", clock=ticking()) as store:
        for number, (how, count) in enumerate(made):
            session = store.create(str(number))
            texts = ["needle " * (1 + index % 3) + "hay " * index for index in range(count)]
            session.append_many([Message(role="user", content=text) for text in texts])
            history = session.history()
            hide(session, how)
            if how not in ("clear", "close"):
                kept = history[:-1] if how == "retract" else history
                visible |= {one.position: one.seq for one in kept}
        newest = positions(store, newest=True)
        assert newest == sorted(visible, reverse=True)
        best = positions(store)
        assert len(set(best)) == len(best)
        assert set(best) <= set(visible)
        assert len(best) >= min(ranked, len(visible))
        filtered = positions(store, kind="root")
        assert set(filtered) == set(newest[:ranked])
        if ranked >= 30:
            assert best == filtered
            assert set(best) == set(visible)


def test_what_is_visible_is_found_behind_any_number_of_hidden_hits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("projections.queries.search.RANKED_MAX", 5)
    with store_of(*["needle"] * 20) as store:
        store.session("s").retract(4)
        assert positions(store) == positions(store, newest=True)
        assert [hit.seq for hit in store.search("needle").hits] == [3, 2, 1]


def test_hits_that_are_asked_for_newest_first_have_no_score() -> None:
    with store_of("needle", "needle needle") as store:
        assert [hit.score for hit in store.search("needle", newest=True).hits] == [None, None]
        assert all(hit.score is not None for hit in store.search("needle").hits)


# -- snippets --------------------------------------------------------------------------------------


def matches(stretch: str, query: Query) -> bool:
    """Whether a stretch has one of the terms in it."""
    terms = [(plain_tokens(term.text), term.prefix) for term in query.wanted]
    return any(words and contains(plain_tokens(stretch), words, prefix) for words, prefix in terms)


@settings(max_examples=budget(300), deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=8), TEXT)
@example(["xa a ab aab a1", "İa a", "a a a"], "a")
@example(["a a a b"], '"a a"*')
@example(["한 하 한국어", "たワだ"], "하 OR た")
def test_every_highlight_is_a_match_and_no_hit_is_without_one(texts: list[str], typed: str) -> None:
    query = parse(typed)
    with store_of(*texts) as store:
        for hit in store.search(typed, limit=100).hits:
            assert plain_match(texts[hit.seq - 1], typed)
            assert hit.highlights
            for start, size in hit.highlights:
                before, after = hit.snippet[start - 1 : start], hit.snippet[start + size :][:1]
                stretch = hit.snippet[start : start + size]
                assert matches(stretch, query), (hit.snippet, stretch)
                whole = plain_tokens(before + stretch + after)
                assert contains(whole, plain_tokens(stretch), prefix=False)
            ends = [0, *(start + size for start, size in hit.highlights)]
            assert all(end <= start for end, (start, _) in zip(ends, hit.highlights, strict=False))


@settings(max_examples=budget(500), deadline=None)
@given(
    st.text(
        st.sampled_from("aeyAN\u0301\u0302\u0316\u0345\u1abf\u1dfaཀꙮ가각が\u3099か豈é\ud800\x00")
    )
)
def test_indexed_text_is_in_the_normal_form_of_one_version_of_unicode(text: str) -> None:
    fit = text.replace("\x00", " ").replace("\ud800", " ")
    assert clean(text) == unicodedata.ucd_3_2_0.normalize("NFC", fit)


def test_each_character_alone_is_in_that_normal_form_too() -> None:
    characters = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    assert [
        one for one in characters if clean(one) != unicodedata.ucd_3_2_0.normalize("NFC", one)
    ] == []


# -- erasure ---------------------------------------------------------------------------------------


def test_erasing_many_messages_makes_the_index_anew_once() -> None:
    with store_of(*[f"needle {number}" for number in range(30)]) as store:
        assert len(store.search("needle", limit=100).hits) == 30
        statements: list[str] = []

        def watch(transaction: SqliteTransaction) -> None:
            transaction.connection.exec_trace = lambda _, sql, __: statements.append(sql) or True

        store.log.transact(watch, exclusive=True)
        session = store.session("s")
        session.erase_events([one.position for one in session.history()[:20]])
        assert sum("'delete'" in sql for sql in statements) == 20
        assert sum("'optimize'" in sql for sql in statements) == 1
        assert len(store.search("needle", limit=100).hits) == 10
