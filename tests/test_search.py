"""Search finds what a person expects, hides what is gone, and its index is what the log gives."""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, populated, ticking
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eventstore import Message, SessionStore, ToolCall
from eventstore.errors import InvalidValueError, RuleError
from projections import Projection, catchup
from projections.search import text as search_text
from projections.search.query import parse, to_fts5


def store_of(*texts: str) -> SessionStore:
    store = SessionStore.open(":memory:", clock=ticking())
    store.create("s").append_many([Message(role="user", content=text) for text in texts])
    return store


def seqs(store: SessionStore, query: str, **options: Any) -> list[int]:
    return sorted(hit.seq for hit in store.search(query, limit=1000, **options).hits)


# -- against a plain matcher -----------------------------------------------------------------------

#: Latin with diacritics, other scripts, CJK of each kind, emoji, code and punctuation. Few letters,
#: so that words meet.
ALPHABET = "abAé1 _-.@'+*\"()#\n\t是东京たカー한국🙂яβ"
WORDS = ["ab", "a.b", "it's", "C++", "東京タワー", "京", "한국어", "docker", "OR", "NOT", "🙂", "é"]
TEXT = st.lists(st.one_of(st.text(ALPHABET, max_size=8), st.sampled_from(WORDS)), max_size=8).map(
    " ".join
)


def plain_tokens(text: str) -> list[str]:
    """The tokens of a text, by the rules the documentation gives and nothing of the code's."""
    found: list[str] = []
    word = ""
    for one in unicodedata.normalize("NFC", text) + " ":
        name = unicodedata.name(one, "")
        if any(script in name for script in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")):
            found += [word, one]
            word = ""
        elif one.isalnum():
            word += unicodedata.normalize("NFD", one.lower())[0]
        else:
            found.append(word)
            word = ""
    return [token for token in found if token]


def contains(tokens: list[str], wanted: list[str], prefix: bool) -> bool:
    size = len(wanted)
    for start in range(len(tokens) - size + 1):
        *words, last = tokens[start : start + size]
        if words == wanted[:-1] and (last.startswith(wanted[-1]) if prefix else last == wanted[-1]):
            return True
    return size == 0


def plain_match(text: str, query: str) -> bool:
    """Whether a text matches what was typed, from the parsed query down without an index."""
    tokens = plain_tokens(text)
    for one in parse(query).alternatives:
        wanted = [(plain_tokens(term.text), term.prefix) for term in one.wanted]
        unwanted = [(plain_tokens(term.text), term.prefix) for term in one.unwanted]
        if (
            any(words for words, _ in wanted)
            and all(contains(tokens, *term) for term in wanted)
            and not any(words and contains(tokens, words, prefix) for words, prefix in unwanted)
        ):
            return True
    return False


@settings(max_examples=budget(150), deadline=None)
@given(st.lists(TEXT, max_size=12), st.lists(TEXT, min_size=1, max_size=12))
def test_search_finds_exactly_what_a_plain_matcher_finds(
    texts: list[str], queries: list[str]
) -> None:
    with store_of(*texts) as store:
        for query in queries:
            expected = [n for n, text in enumerate(texts, 1) if plain_match(text, query)]
            assert seqs(store, query) == expected, query
            assert seqs(store, query, newest=True) == expected, query


@settings(max_examples=budget(60), deadline=None)
@given(st.text("東京タワーに行く한국어문장、。 a", min_size=1, max_size=30), st.data())
def test_every_substring_of_cjk_text_is_found(text: str, data: st.DataObject) -> None:
    text = text.strip() or "東"
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : data.draw(st.integers(start + 1, len(text)))]
    if not plain_tokens(part) or "a" in part:
        return
    with store_of(text) as store:
        assert seqs(store, f'"{part}"') == [1]


@pytest.fixture(scope="module")
def some() -> Any:
    with store_of("what is docker, it's text", "東京 a@b.c C++") as store:
        store.search("docker")
        yield store


@settings(max_examples=budget(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
@example("NUL \x00 and half \ud83d")
@example('"' * 3001)
@example("a NOT " * 300)
@example("NOT b " * 300 + "a")
@example("a OR " * 600)
@example("東* OR " * 300)
@example("(" * 2000)
@example("search_index : a")
@example("text:docker ^what NEAR(a b) + - {a}")
def test_nothing_that_is_typed_is_an_error(some: SessionStore, typed: str) -> None:
    some.search(typed)
    some.search(typed, newest=True)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("what is docker?", "Say, what is Docker good for"),
        ("my.app", "open My.App now"),
        ("a@b.c", "mail a@b.c today"),
        ("it's", "so it's late"),
        ("C++", "C++ or Rust"),
        ("docker -deploy", "run docker -deploy"),
        ('"unclosed', "an unclosed quote"),
        ('"unclosed"', "an unclosed quote"),
        ('"two words"', "of two words here"),
        ("src/main.rs:12", "see src/main.rs:12"),
        ("dep*", "we deployed"),
        ('"we dep"*', "we deployed"),
        ("nothing OR deployed", "we deployed"),
        ("deployed NOT rolled", "we deployed"),
        ("cafe", "Café"),
        ("CAFÉ", "cafe\u0301"),
        ("京", "東京タワー"),
        ("京タ", "東京タワー"),
        ("국어", "한국어"),
        ("ガ", unicodedata.normalize("NFD", "ガード")),
        ("한", unicodedata.normalize("NFD", "한국어")),
        ("ﾀﾜ", "ﾄｳｷｮｳﾀﾜｰ"),
        ("𠮷", "𠮷野家"),
        ("nice", "nice🙂"),
    ],
)
def test_what_a_person_types_is_found(typed: str, text: str) -> None:
    with store_of("something else", text) as store:
        assert seqs(store, typed) == [2]
        [hit] = store.search(typed).hits
        assert hit.highlights


@pytest.mark.parametrize(
    "typed", ['"words two"', "deployed NOT we", "ployed", "absent OR missing", "京東", "?!", ""]
)
def test_what_does_not_match_is_not_found(typed: str) -> None:
    with store_of("of two words", "we deployed", "東京") as store:
        assert seqs(store, typed) == []


def test_operators_without_anything_to_join_are_words() -> None:
    assert to_fts5(parse("OR")) == '("OR")'
    assert to_fts5(parse("a OR")) == '("a" "OR")'
    assert to_fts5(parse("NOT a")) == '("NOT" "a")'
    assert to_fts5(parse("a NOT b c OR d")) == '(("a" "c") NOT ("b")) OR ("d")'
    assert to_fts5(parse("or not and")) == '("or" "not" "and")'


# -- what is indexed -------------------------------------------------------------------------------


def test_parts_tools_and_arguments_are_indexed_and_reasoning_is_not() -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        session.append(
            "user", [{"type": "text", "text": "alpha"}, {"type": "image", "data": "no1"}]
        )
        calls = [
            ToolCall(id="c", name="read_file", arguments={"path": "beta.py", "n": [7, True]}),
            ToolCall(id="d", name="run", arguments='{"command": "\\u6f6e gamma"}'),
        ]
        session.append("assistant", tool_calls=calls, reasoning="no2")
        session.append("tool", "delta", call_id="c", tool_name="read_file")
        assert seqs(store, "alpha") == [1]
        assert seqs(store, "read_file") == [2, 3]
        for word in ("beta.py", "path", "7", "潮", "gamma", "command"):
            assert seqs(store, word) == [2], word
        assert seqs(store, "delta") == [3]
        assert seqs(store, "no1 OR no2 OR true") == []


def test_a_tools_output_is_indexed_up_to_the_stated_length() -> None:
    size = search_text.TOOL_CHARACTERS_MAX
    output = "start " + "x" * (size - 10) + " beyond"
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        session.append("tool", output)
        session.append("user", output)
        assert seqs(store, "start") == [1, 2]
        assert seqs(store, "beyond") == [2]


# -- filters and forms -----------------------------------------------------------------------------


@pytest.fixture
def tree() -> Any:
    """A session, compacted, with a fork, a sub-agent, and another of another source."""
    with SessionStore.open(":memory:", clock=ticking(step=1_000_000)) as store:
        root = store.create("root", source="one")
        for number in range(6):
            root.append("user" if number % 2 else "assistant", f"needle {number}")
        root.fork("fork").append("user", "needle in the fork")
        root.spawn("child", kind="subagent", source="two").append("user", "needle below")
        store.create("other", source="two").append("user", "needle elsewhere")
        root.compact(1, 3, "a note on the needle")
        yield store


def shown(store: SessionStore, **options: Any) -> list[tuple[str, int]]:
    result = store.search("needle", newest=True, limit=100, **options)
    return sorted((hit.name, hit.seq) for hit in result.hits)


def test_filters_narrow_what_is_found(tree: SessionStore) -> None:
    root, fork = tree.session("root"), tree.session("fork")
    own = [("root", n) for n in range(1, 8)]
    assert shown(tree) == sorted([*own, ("fork", 7), ("child", 1), ("other", 1)])
    assert shown(tree, session=root) == own
    assert shown(tree, session=fork) == [("fork", n) for n in range(1, 8)]
    assert shown(tree, lineage=root) == sorted([*own, ("fork", 7), ("child", 1)])
    assert shown(tree, lineage=root, session=tree.session("other")) == []
    assert shown(tree, source="two") == [("child", 1), ("other", 1)]
    assert shown(tree, role="assistant", session=root) == [("root", n) for n in (1, 3, 5)]
    assert shown(tree, kind="subagent") == [("child", 1)]
    assert shown(tree, kind="note") == [("root", 7)]
    # What was compacted in the root is still active in the fork.
    assert shown(tree, active=True, session=root) == [("root", n) for n in (4, 5, 6, 7)]
    assert shown(tree, active=False) == [("root", n) for n in (1, 2, 3)]
    at = [message.at for message in root.history()]
    assert shown(tree, session=root, since=at[2], until=at[4]) == [("root", 3), ("root", 4)]


def test_a_message_that_forks_share_is_one_hit_that_names_them(tree: SessionStore) -> None:
    [hit] = tree.search('"needle 5"').hits
    assert (hit.name, hit.also_in) == ("root", ("fork",))
    tree.session("root").retract(6)
    [hit] = tree.search('"needle 5"').hits
    assert (hit.name, hit.also_in) == ("fork", ())


def test_compacted_messages_are_found_and_marked(tree: SessionStore) -> None:
    [hit] = tree.search('"needle 0"', session=tree.session("root")).hits
    assert (hit.seq, hit.state) == (1, "compacted")


def test_limit_and_offset_walk_through_all_hits_once(tree: SessionStore) -> None:
    for newest in (False, True):
        pages = [
            tree.search("needle", newest=newest, limit=4, offset=offset).hits
            for offset in (0, 4, 8, 12)
        ]
        positions = [hit.position for page in pages for hit in page]
        assert len(positions) == len(set(positions)) == 10
        if newest:
            assert positions == sorted(positions, reverse=True)


def test_neighbours_are_the_visible_messages_around_a_hit(tree: SessionStore) -> None:
    [hit] = tree.search('"needle 3"', session=tree.session("root"), neighbours=2).hits
    assert [one.seq for one in hit.neighbours] == [2, 3, 5, 6]
    tree.session("root").retract(6)
    [hit] = tree.search('"needle 3"', session=tree.session("root"), neighbours=2).hits
    assert [one.seq for one in hit.neighbours] == [2, 3, 5]


def test_better_matches_come_first_and_their_number_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with store_of("needle " + "hay " * 50, "needle needle", *["hay"] * 20) as store:
        result = store.search("needle")
        assert [hit.seq for hit in result.hits] == [2, 1]
        assert result.hits[0].score > result.hits[1].score
        assert not result.bounded
        monkeypatch.setattr("projections.queries.search.RANKED_MAX", 1)
        result = store.search("needle")
        assert ([hit.seq for hit in result.hits], result.bounded) == ([2], True)


def test_a_snippet_shows_the_match_far_inside_a_text() -> None:
    with store_of("lead " * 1000 + "the  needle\nand 東京タワー " + "tail " * 1000) as store:
        for typed, match in (("needle", "needle"), ("京タ", "京タ"), ("NEED*", "needle")):
            [hit] = store.search(typed).hits
            start, size = hit.highlights[0]
            assert hit.snippet[start : start + size] == match
            assert hit.snippet.startswith("…")
            assert hit.snippet.endswith("…")
            assert len(hit.snippet) <= 210
            assert "\n" not in hit.snippet


def test_wrong_filters_are_refused(some: SessionStore) -> None:
    for options in ({"kind": "nonsense"}, {"limit": -1}, {"offset": -1}, {"neighbours": -1}):
        with pytest.raises(InvalidValueError):
            some.search("docker", **options)  # type: ignore[arg-type]


# -- the index is what the log gives ---------------------------------------------------------------


def words_of(store: SessionStore) -> list[tuple[Any, ...]]:
    """Every word of the index with its places, and the rows beside it."""
    with store.log.reader() as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.words "
            "USING fts5vocab ('main', 'search_index', 'instance')"
        )
        found = connection.execute("SELECT * FROM temp.words").fetchall()
        connection.execute("DROP TABLE temp.words")
        return found + connection.execute("SELECT * FROM search_rows").fetchall()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_catching_up_in_any_pages_and_a_rebuild_give_the_same_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(catchup, "PAGE", size)
    with populated(tmp_path / "s.db") as store:
        if size == 2:
            store.search("hello")  # half of it before, half after
            store.session("root").append("user", "later")
        assert store.catch_up("search") == 0
        assert store.check(["search"]) == []
        caught_up = words_of(store)
        assert len(caught_up) > 20
        store.rebuild(["search"])
        assert words_of(store) == caught_up
        assert store.check(["search"]) == []


def test_check_sees_a_word_too_many_and_a_row_too_few(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        store.search("hello")

        def spoil(transaction: Any) -> None:
            run = transaction.connection.execute
            run("INSERT INTO search_index (rowid, text) VALUES (9999, 'phantom')")
            run("DELETE FROM search_rows WHERE seq = 1")

        store.log.transact(spoil, exclusive=True)
        kinds = {(one.table, one.kind) for one in store.check(["search"])}
        assert kinds == {("search_index", "extra"), ("search_rows", "missing")}
        store.rebuild(["search"])
        assert store.check() == []


def test_a_search_over_its_time_or_read_only_says_how_far_behind_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        session = store.create("s")
        session.append_many([Message(role="user", content="needle")] * 1500)
        result = store.search("needle", seconds=0, limit=5)
        assert (result.behind, len(result.hits)) == (501, 5)
    with SessionStore.open(path, readonly=True) as store:
        assert store.search("needle").behind == 501
    with SessionStore.open(path) as store:
        assert store.search("needle").behind == 0


def test_a_store_that_was_never_searched_can_be_asked_read_only(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        store.create("s").append("user", "needle")
    with SessionStore.open(path, readonly=True) as store:
        result = store.search("needle")
        assert (result.hits, result.behind) == ((), 2)
        assert store.check(["search"]) == []


def test_an_index_made_by_other_rules_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from projections.search import projection

    with store_of("needle secret", "needle") as store:
        store.search("needle")
        monkeypatch.setattr(projection, "INDEXER", 2)
        position = store.session("s").history()[0].position
        store.session("s").erase_events([position])
        assert seqs(store, "needle") == [2]
        assert store.check(["search"]) == []


# -- what is gone is not found ---------------------------------------------------------------------


def everywhere(store: SessionStore, typed: str) -> list[int]:
    """What any way of asking finds."""
    found: list[int] = []
    for newest, active, neighbours in itertools.product((0, 1), (None, True, False), (0, 3)):
        for session in (None, *store.sessions_with_prefix("")):
            result = store.search(
                typed, newest=bool(newest), active=active, session=session, neighbours=neighbours
            )
            found += [hit.seq for hit in result.hits]
            for hit in result.hits:
                found += [one.seq for one in hit.neighbours if typed in (one.text or "")]
    return found


@pytest.mark.parametrize("way", ["retract", "clear", "close", "erase", "erase_events"])
@pytest.mark.parametrize("indexed_before", [True, False])
def test_what_is_gone_is_found_by_no_way_of_asking(way: str, indexed_before: bool) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        session.append("user", "needle stays" if way == "retract" else "other")
        session.append("user", "secretword here")
        if indexed_before:
            assert everywhere(store, "secretword")
        match way:
            case "retract":
                session.retract(2)
            case "erase_events":
                session.erase_events([session.history()[1].position])
            case _:
                getattr(session, way)()
        for typed in ("secretword", "secretw*", "absent OR secretword NOT stays", "here"):
            assert everywhere(store, typed) == []
        store.rebuild()
        assert everywhere(store, "secretword") == []
        assert store.check() == []


_GREP = """
import sys
from contextlib import suppress
from pathlib import Path
path, *words = sys.argv[1:]
for name in (path, path + "-wal"):
    data = Path(name).read_bytes().lower() if Path(name).exists() else b""
    for word in words:
        if word.encode() in data:
            print(name, word)
"""


def in_the_files(path: Path, words: list[str]) -> str:
    """Which of the words stand in the bytes of the store, as another process sees them."""
    done = subprocess.run(
        [sys.executable, "-c", _GREP, str(path), *words], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("half_rebuilt", [False, True])
def test_erased_words_are_not_in_the_bytes_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_rebuilt: bool
) -> None:
    path = tmp_path / "s.db"
    secrets = [hashlib.sha256(b"%d" % number).hexdigest()[:20] for number in range(400)]
    # The index leaves out what a word shares with the one before it: look for the rest.
    ends = [word[6:] for word in secrets]
    with SessionStore.open(path, durability="normal") as store:
        session, other = store.create("s"), store.create("t")
        fork_at = 200
        for number, word in enumerate(secrets):
            session.append("user", f"the {word} and word{number} of it")
            other.append("user", f"kept{number:04d} and word{number} stays")
            if number == fork_at:
                session.fork("fork")
            if number % 150 == 0:
                store.search("word")
        store.search("word")
        assert in_the_files(path, ends).count("\n") >= 400
        if half_rebuilt:

            class EnoughError(Exception):
                pass

            def stop(*_: Any) -> None:
                raise EnoughError

            monkeypatch.setattr(catchup, "PAGE", 300)
            with pytest.raises(EnoughError):
                store.rebuild(["search"], progress=stop)
            assert in_the_files(path, ["search_rows_rebuild"])
        positions = [message.position for message in session.history()]
        for position in positions[:20]:
            session.erase_events([position])
        assert in_the_files(path, ends[:20]) == ""
        assert session.erase().complete
        assert in_the_files(path, ends) == ""
        assert len(store.search("stays", limit=1000).hits) == 400
        assert store.check() == []
        store.rebuild(["search"])
        assert store.check() == []
    assert in_the_files(path, ends) == ""


class Copies(Projection):
    """A user's projection that keeps text, and lets go of it."""

    name = "copies"
    tables = ("copies",)
    schema = "CREATE TABLE {copies} (position INTEGER PRIMARY KEY, text TEXT) STRICT"
    reads_content = True
    failing = False

    def apply(self, connection: Any, events: Any) -> None:
        for one in events:
            text = getattr(one.event.content, "text", None)
            if text is not None:
                sql = self.sql("INSERT INTO {copies} VALUES (?, ?)")
                connection.execute(sql, (one.position, text))

    def erase(self, connection: Any, events: Any) -> None:
        for one in events:
            if self.failing:
                raise RuntimeError("no")
            assert one.event.content is not None
            connection.execute(self.sql("DELETE FROM {copies} WHERE position = ?"), (one.position,))


@pytest.mark.parametrize("failing", [False, True])
def test_a_projection_of_ones_own_lets_go_of_erased_text_or_loses_its_tables(
    monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    monkeypatch.setattr(Copies, "failing", failing)
    with SessionStore.open(":memory:", projections=[Copies]) as store:
        session = store.create("s")
        session.append("user", "secret")
        session.append("user", "kept")
        with store.read("copies") as connection:
            assert connection.execute("SELECT count(*) FROM copies").get == 2
        position = session.history()[0].position
        if failing:
            with pytest.warns(RuntimeWarning, match="copies"):
                session.erase_events([position])
        else:
            session.erase_events([position])
        with store.read("copies") as connection:
            assert connection.execute("SELECT text FROM copies").fetchall() == [("kept",)]


def test_an_erasure_by_who_did_not_know_the_index_makes_it_anew() -> None:
    with store_of("needle secret", "needle") as store:
        store.search("needle")
        position = store.session("s").history()[0].position
        own, store.derived.on_read = store.derived.on_read, ()
        store.session("s").erase_events([position])
        store.derived.on_read = own
        assert seqs(store, "secret") == []
        assert store.check(["search"]) == []


def test_every_letter_of_these_scripts_is_set_apart_and_no_other() -> None:
    """Every letter of these scripts is set apart, and nothing of any other script is."""
    scripts = re.compile(r"(CJK UNIFIED|CJK COMPATIBILITY|HIRAGANA|(HALFWIDTH )?KATAKANA|HANGUL) ")
    for code in itertools.chain(range(0x3400), range(0xA000, 0xD7FF), range(0xF900, 0xFFFF)):
        one = chr(code)
        name = unicodedata.name(one, "")
        if unicodedata.category(one) in ("Lo", "Lm") and scripts.match(name) and code < 0xFFA0:
            assert search_text.set_apart(one).startswith(" "), name
        if unicodedata.category(one)[0] == "L" and name.startswith(("LATIN", "GREEK", "CYRILLIC")):
            assert search_text._RUN.match(one) is None, name


# -- any history -----------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "append", "append", "fork", "compact", "retract", "clear", "close", "erase",
             "erase session", "catch up", "rebuild"]
        ),
        st.integers(0, 5),
        st.integers(0, 20),
    ),
    max_size=40,
)  # fmt: skip


def step(store: SessionStore, sessions: list[Any], action: str, which: int, number: int) -> None:
    """One step of a history; what the rules of a session refuse is left out."""
    session = sessions[which % len(sessions)]
    history = session.history()
    active = [message.seq for message in session.messages()]
    match action:
        case "append":
            session.append("user", f"needle {number} 針{number}")
        case "fork":
            sessions.append(session.fork())
        case "compact" if len(active) > 1:
            session.compact(active[0], active[number % len(active)], f"needle note {number}")
        case "retract" if active:
            session.retract(active[number % len(active)])
        case "clear" if active:
            session.clear()
        case "close":
            session.close()
        case "erase" if own := [one.position for one in history if not one.inherited]:
            session.erase_events([own[number % len(own)]])
        case "erase session":
            session.erase()
        case "catch up":
            store.catch_up("search", seconds=0 if number % 2 else None)
        case "rebuild":
            store.rebuild(["search"])
        case _:
            pass


@settings(
    max_examples=budget(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS, st.sampled_from([1, 3, 1000]))
def test_after_any_history_every_session_finds_what_it_shows(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int, int]], page: int
) -> None:
    monkeypatch.setattr(catchup, "PAGE", page)
    with SessionStore.open(":memory:", clock=ticking()) as store:
        sessions: list[Any] = [store.create("a"), store.create("b")]
        for action, which, number in steps:
            with suppress(RuleError):
                step(store, sessions, action, which, number)
        shown: set[int] = set()
        for session in sessions:
            visible = [
                message
                for message in session.history()
                if message.state not in ("retracted", "cleared") and not message.erased
            ]
            if session.info().status == "closed":
                visible = []
            shown.update(message.position for message in visible)
            hits = store.search("needle", session=session, limit=1000).hits
            assert sorted(hit.seq for hit in hits) == [message.seq for message in visible]
            assert {hit.seq: hit.state for hit in hits} == {one.seq: one.state for one in visible}
        everything = store.search("needle", limit=1000).hits
        assert sorted(hit.position for hit in everything) == sorted(shown)
        assert store.check(["search"]) == []
        before = words_of(store)
        store.rebuild(["search"])
        assert words_of(store) == before
