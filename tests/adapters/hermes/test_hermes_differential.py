"""The adapter and the original, driven by the same random calls, agree call by call.

Compared are results, orders and types of errors, on the columns and calls of schema 6; times are
masked, row ids compared by the order in which they were given. Where the two differ on purpose
there is an entry in `DIFFERENCES` with the reason,
and a test that the entry is true: an entry whose
difference is gone fails.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
from engine_support import budget, clean
from hermes_original import open_original
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from eventstore.adapters.hermes import SessionDB

COLUMNS = (
    "id", "source", "user_id", "model", "model_config", "system_prompt", "parent_session_id",
    "started_at", "ended_at", "end_reason", "message_count", "tool_call_count", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "billing_provider", "billing_base_url", "billing_mode", "estimated_cost_usd",
    "actual_cost_usd", "cost_status", "cost_source", "pricing_version", "title",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "id", "session_id", "role", "content", "tool_call_id", "tool_calls", "tool_name", "timestamp",
    "token_count", "finish_reason", "reasoning", "reasoning_details", "codex_reasoning_items",
)  # fmt: skip
TIMES = {"started_at", "ended_at", "last_active", "timestamp", "session_started"}


# -- what is compared ----------------------------------------------------------------------------


class Raised(NamedTuple):
    """An error, by its type."""

    kind: str


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:
        return Raised(type(error).__name__)


def masked(row: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    """The columns of schema 6; times as whether they are there, costs to nine digits."""
    kept = {name: row[name] for name in columns}
    for name in TIMES & kept.keys():
        kept[name] = kept[name] is not None
    for name in ("estimated_cost_usd", "actual_cost_usd"):
        if kept.get(name) is not None:
            kept[name] = round(kept[name], 9)
    if kept.get("preview"):  # see `DIFFERENCES`
        kept["preview"] = kept["preview"].partition("\0")[0].strip()
    return kept


def test_the_adapter_has_exactly_the_columns_of_schema_6(tmp_path: Path) -> None:
    mine = SessionDB(tmp_path / "store.db", durability="normal")
    mine.create_session("s", "cli")
    mine.append_message("s", "user", "hello")
    assert tuple(mine.get_session("s") or ()) == COLUMNS
    assert set(mine.get_messages("s")[0]) == set(MESSAGE_COLUMNS)
    assert set(mine.list_sessions_rich()[0]) == {*COLUMNS, "preview", "last_active"}
    mine.close()


# -- the machine ---------------------------------------------------------------------------------

IDS = st.sampled_from(["abc", "abd", "ABC", "a_b", "a%b", "a\\b", "x", "x y", "会话", "nobody"])
PREFIXES = st.sampled_from(
    ["a", "ab", "AB", "abc", "a_", "a%", "a\\", "x", "会", "", "\\", "zzz", "X Y"]
)
SOURCES = st.sampled_from(["cli", "telegram", "cron"])
TITLES = st.sampled_from(
    ["t", "T", "t #2", "t #7", "t #x", "T #3", " t\n #2 ", "", "   ", None, "a%b", "a%b #2",
     "aXb #9", "t #2 #3", "a_b", "axb #2", "z\u200bz", "n" * 100, "n" * 101, "计划", "tab\there",
     "\x07", "a\u3000b", "a\\b #4"]
)  # fmt: skip
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(
        ["", "hello", "line one\nline two\r\nthree", "x" * 70, " y" * 31 + "   end",
        "nul\x00inside",
         "docker deploy", "python and docker", "emoji 🙂", "a b c d", "\t", "中文 text"]
    ),
    st.text(max_size=80).filter(lambda text: "\ud800" not in text),
)  # fmt: skip
CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}}
CALLS = st.sampled_from(
    [None, None, None, [], {}, [CALL], [CALL, {**CALL, "id": "c2"}], [CALL, CALL], [{}], [1, "a"],
     {"a": 1}, "text", 0, [{**CALL, "extra": {"deep": [1, None]}}], [{**CALL, "id": None}]]
)  # fmt: skip
OPAQUE = st.sampled_from(
    [None, None, [], {}, [{"type": "r", "data": "é"}], {"a": [1.5, True]}, "s"]
)
MAYBE_TEXT = st.sampled_from([None, None, "", "one", "two"])
COUNT = st.integers(0, 10_000)
MAYBE_COST = st.sampled_from([None, 0.0, 0.25, 1.5])


class Pair(RuleBasedStateMachine):
    """Both stores, and the row ids that each gave for the same append."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hermes-"))
        self.ids: dict[int, int] = {}

    @initialize()
    def begin(self) -> None:
        self.open()
        for session_id in ("abc", "abd", "x"):
            self.create(session_id, "cli", None, None, None, None, None)

    def open(self) -> None:
        self.theirs = open_original(self.folder / "original.db")
        self.mine = SessionDB(self.folder / "store.db", durability="normal")

    def teardown(self) -> None:
        if hasattr(self, "mine"):
            self.compare_everything()
            clean(self.mine.store)
            self.mine.close()
            self.theirs.close()
        shutil.rmtree(self.folder)

    # -- comparing -------------------------------------------------------------------------

    def both(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        theirs = outcome(lambda: getattr(self.theirs, name)(*args, **kwargs))
        mine = outcome(lambda: getattr(self.mine, name)(*args, **kwargs))
        return theirs, mine

    def same(self, name: str, *args: Any, **kwargs: Any) -> Any:
        theirs, mine = self.both(name, *args, **kwargs)
        assert mine == theirs, f"{name}{args}{kwargs}"
        return mine

    def compare_session(self, session_id: str) -> None:
        theirs, mine = self.both("get_session", session_id)
        assert (mine is None) == (theirs is None), session_id
        if mine is not None:
            assert masked(mine, COLUMNS) == masked(theirs, COLUMNS)
        self.same("message_count", session_id)
        self.same("get_session_title", session_id)
        theirs, mine = self.both("get_messages", session_id)
        assert [one["id"] for one in mine] == [self.ids[one["id"]] for one in theirs]
        for one, other in zip(mine, theirs, strict=True):
            assert masked({**one, "id": 0}, MESSAGE_COLUMNS) == masked(
                {**other, "id": 0}, MESSAGE_COLUMNS
            )
        theirs, mine = self.both("get_messages_as_conversation", session_id)
        assert [plain(one) for one in mine] == [plain(one) for one in theirs]
        theirs, mine = self.both("export_session", session_id)
        assert (mine is None) == (theirs is None)

    def compare_lists(self) -> None:
        theirs = self.theirs.list_sessions_rich(
            limit=-1, include_children=True, project_compression_tips=False
        )
        mine = self.mine.list_sessions_rich(limit=-1)
        rich = (*COLUMNS, "preview", "last_active")
        assert [masked(one, rich) for one in mine] == [masked(one, rich) for one in theirs]
        assert [one["id"] for one in self.mine.search_sessions(limit=100)] == [
            one["id"] for one in theirs
        ]
        self.same("session_count")
        self.same("message_count")

    def compare_everything(self) -> None:
        self.compare_lists()
        for session_id in [one["id"] for one in self.mine.search_sessions(limit=-1)]:
            self.compare_session(session_id)
        assert len(self.mine.export_all()) == len(self.theirs.export_all())

    # -- calls -----------------------------------------------------------------------------

    @rule(
        session_id=IDS, source=SOURCES, model=MAYBE_TEXT, prompt=MAYBE_TEXT, user=MAYBE_TEXT,
        config=OPAQUE, parent=st.one_of(st.none(), st.none(), IDS),
    )  # fmt: skip
    def create(
        self, session_id: str, source: str, model: Any, prompt: Any, user: Any, config: Any,
        parent: Any,
    ) -> None:  # fmt: skip
        if parent == session_id:
            return  # see "a session is not its own parent"
        self.same(
            "create_session", session_id, source, model=model, model_config=config,
            system_prompt=prompt, user_id=user, parent_session_id=parent,
        )  # fmt: skip
        self.compare_session(session_id)

    @rule(session_id=IDS, source=SOURCES, model=MAYBE_TEXT)
    def ensure(self, session_id: str, source: str, model: Any) -> None:
        self.both("ensure_session", session_id, source, model)
        self.compare_session(session_id)

    @rule(
        session_id=IDS, role=st.sampled_from(["user", "assistant", "tool", "system"]),
        content=TEXTS,
        tool_name=MAYBE_TEXT, calls=CALLS, call_id=st.sampled_from([None, None, "c1", "c9", ""]),
        tokens=st.one_of(st.none(), COUNT), finish=MAYBE_TEXT, reasoning=MAYBE_TEXT,
        details=OPAQUE, items=OPAQUE,
    )  # fmt: skip
    def append(
        self, session_id: str, role: str, content: Any, tool_name: Any, calls: Any, call_id: Any,
        tokens: Any, finish: Any, reasoning: Any, details: Any, items: Any,
    ) -> None:  # fmt: skip
        theirs, mine = self.both(
            "append_message", session_id, role, content, tool_name=tool_name, tool_calls=calls,
            tool_call_id=call_id, token_count=tokens, finish_reason=finish, reasoning=reasoning,
            reasoning_details=details, codex_reasoning_items=items,
        )  # fmt: skip
        assert isinstance(mine, Raised) == isinstance(theirs, Raised), (mine, theirs)
        if isinstance(mine, Raised):
            assert mine == theirs
        else:
            assert mine > max(self.ids.values(), default=0), "row ids grow over all sessions"
            self.ids[theirs] = mine
        self.compare_session(session_id)

    @rule(session_id=IDS, text=st.sampled_from(["half \ud800 pair", "\udfff"]))
    def append_what_is_no_text(self, session_id: str, text: str) -> None:
        self.same("append_message", session_id, "user", text)

    @rule(session_id=IDS, reason=st.sampled_from(["done", "compression", ""]))
    def end(self, session_id: str, reason: str) -> None:
        before = self.theirs.get_session(session_id)
        if before is not None and before["ended_at"] is not None:
            self.theirs.reopen_session(session_id)  # see "ending again"
        self.same("end_session", session_id, reason)
        self.compare_session(session_id)

    @rule(session_id=IDS)
    def reopen(self, session_id: str) -> None:
        self.same("reopen_session", session_id)
        self.compare_session(session_id)

    @rule(session_id=IDS, prompt=MAYBE_TEXT)
    def prompt(self, session_id: str, prompt: Any) -> None:
        self.same("update_system_prompt", session_id, prompt)
        self.compare_session(session_id)

    @rule(
        session_id=IDS, counts=st.tuples(*[COUNT] * 5), model=MAYBE_TEXT, estimated=MAYBE_COST,
        actual=MAYBE_COST, texts=st.tuples(*[MAYBE_TEXT] * 6),
    )  # fmt: skip
    def tokens(
        self, session_id: str, counts: Any, model: Any, estimated: Any, actual: Any, texts: Any
    ) -> None:
        names = (
            "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
            "reasoning_tokens",
        )  # fmt: skip
        others = (
            "cost_status", "cost_source", "pricing_version", "billing_provider",
            "billing_base_url", "billing_mode",
        )  # fmt: skip
        self.same(
            "update_token_counts", session_id, model=model, estimated_cost_usd=estimated,
            actual_cost_usd=actual, **dict(zip(names, counts, strict=True)),
            **dict(zip(others, texts, strict=True)),
        )  # fmt: skip
        self.compare_session(session_id)

    @rule(session_id=IDS, title=TITLES)
    def title(self, session_id: str, title: Any) -> None:
        self.same("set_session_title", session_id, title)
        self.compare_session(session_id)

    @rule(title=TITLES.filter(lambda title: title is not None))
    def titles(self, title: str) -> None:
        theirs, mine = self.both("get_session_by_title", title)
        assert (mine and mine["id"]) == (theirs and theirs["id"])
        self.same("resolve_session_by_title", title)
        self.same("get_next_title_in_lineage", title)
        self.same("sanitize_title", title)

    @rule(prefix=PREFIXES)
    def resolve(self, prefix: str) -> None:
        self.same("resolve_session_id", prefix)

    @rule(
        source=st.one_of(st.none(), SOURCES), exclude=st.lists(SOURCES, max_size=2),
        limit=st.integers(0, 5), offset=st.integers(0, 3),
    )  # fmt: skip
    def lists(self, source: Any, exclude: list[str], limit: int, offset: int) -> None:
        theirs = self.theirs.list_sessions_rich(
            source, exclude, limit, offset, include_children=True, project_compression_tips=False
        )
        mine = self.mine.list_sessions_rich(source, exclude, limit, offset)
        assert [one["id"] for one in mine] == [one["id"] for one in theirs]
        self.same("session_count", source)
        assert len(self.mine.search_sessions(source, limit, offset)) == len(
            self.theirs.search_sessions(source, limit, offset)
        )

    @rule(
        query=st.sampled_from(["docker", "hello", "docker deploy", "docker OR hello",
        '"docker deploy"',
                               "python NOT deploy", "dep*", "", "   ", "search", "line three"]),
        sources=st.sampled_from([None, None, [], ["cli"], ["cli", "cron"]]),
        excluded=st.sampled_from([None, [], ["cli"]]),
        roles=st.sampled_from([None, [], ["user"], ["user", "tool"]]),
    )  # fmt: skip
    def search(self, query: str, sources: Any, excluded: Any, roles: Any) -> None:
        theirs, mine = self.both(
            "search_messages", query, source_filter=sources, exclude_sources=excluded,
            role_filter=roles, limit=1000,
        )  # fmt: skip
        assert {one["id"] for one in mine} == {self.ids[one["id"]] for one in theirs}
        described = {self.ids[one["id"]]: one for one in theirs}
        names = ("session_id", "role", "tool_name", "source", "model")
        for one in mine:
            other = described[one["id"]]
            assert [one[name] for name in names] == [other[name] for name in names]
            assert set(one) == set(other)
            assert one["context"] == other["context"]

    @rule(session_id=IDS)
    def clear(self, session_id: str) -> None:
        self.same("clear_messages", session_id)
        self.compare_session(session_id)

    @rule(session_id=IDS)
    def delete(self, session_id: str) -> None:
        self.same("delete_session", session_id)
        self.compare_session(session_id)
        self.compare_lists()

    @rule(source=st.one_of(st.none(), SOURCES), days=st.sampled_from([90, 0, -1]))
    def prune(self, source: Any, days: int) -> None:
        self.same("prune_sessions", days, source)
        self.compare_lists()

    @rule()
    def open_again(self) -> None:
        self.mine.close()
        self.theirs.close()
        self.open()

    @rule(word=st.text('ab-"*+(){}^ ANDORNT\n', max_size=30))
    def sanitize_query(self, word: str) -> None:
        self.same("_sanitize_fts5_query", word)


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """A chat message without what only later schemas give; see "conversations say it as it was"."""
    kept = {name: value for name, value in message.items() if name != "finish_reason"}
    if isinstance(kept["content"], str) and kept["role"] in ("user", "assistant"):
        kept["content"] = kept["content"].strip()
    return kept


# -- what differs on purpose -----------------------------------------------------------------------


class Difference(NamedTuple):
    """Why the two differ, the call on a store with session ``s``, and what each answers."""

    reason: str
    call: Callable[[Any], Any]
    theirs: Any
    mine: Any


def ended_twice(db: Any) -> Any:
    db.end_session("s", "first")
    db.end_session("s", "second")
    return db.get_session("s")["end_reason"]


def with_child(db: Any) -> Any:
    db.create_session("child", "cli", parent_session_id="s")
    return [one["id"] for one in db.list_sessions_rich()]


def busy_again(db: Any) -> Any:
    db.create_session("later", "cli")
    db.append_message("s", "user", "hello")
    return [one["id"] for one in db.search_sessions()]


def said(content: Any, **fields: Any) -> Callable[[Any], Any]:
    def call(db: Any) -> Any:
        db.append_message("s", "assistant", content, **fields)
        return db.get_messages_as_conversation("s")[-1]

    return call


def found(query: str, *texts: str) -> Callable[[Any], Any]:
    def call(db: Any) -> Any:
        for text in texts:
            db.append_message("s", "user", text)
        return len(db.search_messages(query))

    return call


def snippet(db: Any) -> Any:
    db.append_message("s", "user", "before " * 60 + "needle" + " after" * 60)
    return "…" in db.search_messages("needle")[0]["snippet"]


def without_source(db: Any) -> Any:
    db.create_session("t", None)
    return db.get_session("t")


def own_parent(db: Any) -> Any:
    return db.create_session("t", "cli", parent_session_id="t")


def negative(db: Any) -> Any:
    db.update_token_counts("s", input_tokens=-5)
    return db.get_session("s")["input_tokens"]


PARTS = [{"type": "text", "text": "hello"}]


def previewed(db: Any) -> Any:
    db.append_message("s", "user", "nul\0inside")
    return db.list_sessions_rich()[0]["preview"]


def tiny_cost(db: Any) -> Any:
    db.update_token_counts("s", estimated_cost_usd=1e-10)
    return db.get_session("s")["estimated_cost_usd"]


def out_of_order(db: Any) -> Any:
    """Messages whose times go back: what the list shows of them."""
    for text, at in (("second", 2e9), ("first", 1.9e9)):
        if isinstance(db, SessionDB):
            db.append_message("s", "user", text, timestamp=at)
        else:
            added = db.append_message("s", "user", text)
            db._conn.execute("UPDATE messages SET timestamp = ? WHERE id = ?", (at, added))
    [row] = db.list_sessions_rich()
    return row["preview"], row["last_active"]


DIFFERENCES = {
    "costs below a billionth of a dollar": Difference(
        "costs are whole billionths of a dollar, which add up exactly", tiny_cost, 1e-10, 0.0
    ),
    "times that go back": Difference(
        "a list reads the first message and the last, not all of them",
        out_of_order, ("first", 2e9), ("second", 1.9e9),
    ),
    "a NUL in a preview": Difference(
        "SQLite's functions take a text to end at a NUL; the message itself goes on",
        previewed, "nul", "nul\0inside",
    ),
    "ending again": Difference(
        "schema 6 takes the last end; 0.13.0 keeps the first", ended_twice, "first", "second"
    ),
    "children in lists": Difference(
        "schema 6 lists every session; 0.13.0 hides children unless asked",
        with_child, ["s"], ["child", "s"],
    ),
    "order of search_sessions": Difference(
        "schema 6 orders by the start; 0.13.0 by the last activity",
        busy_again, ["s", "later"], ["later", "s"],
    ),
    "what ensure_session returns": Difference(
        "schema 6 returns nothing", lambda db: db.ensure_session("s"), "s", None
    ),
    "content that is a list": Difference(
        "schema 6 cannot bind it, and says so; 0.13.0 stores JSON after a NUL",
        said(PARTS), {"role": "assistant", "content": PARTS}, Raised("ProgrammingError"),
    ),
    "content that is a number": Difference(
        "a message is a text; 0.13.0 lets SQLite make one of it",
        said(5), {"role": "assistant", "content": "5"}, Raised("ProgrammingError"),
    ),
    "conversations say it as it was": Difference(
        "0.13.0 strips blanks and what looks like an injected note",
        said("  two blanks  "), {"role": "assistant", "content": "two blanks"},
        {"role": "assistant", "content": "  two blanks  "},
    ),
    "the finish reason in conversations": Difference(
        "schema 6 gives none",
        said("x", finish_reason="stop"),
        {"role": "assistant", "content": "x", "finish_reason": "stop"},
        {"role": "assistant", "content": "x"},
    ),
    "opaque items that are no JSON": Difference(
        "NaN is no JSON, and other readers stumble over it",
        said("x", reasoning_details=[float("inf")]),
        {"role": "assistant", "content": "x", "reasoning_details": [float("inf")]},
        Raised("ProgrammingError"),
    ),
    "a session without a source": Difference(
        "the original ignores the row silently, and later appends fail",
        without_source, None, Raised("IntegrityError"),
    ),
    "a session is not its own parent": Difference(
        "it is not there when its parent is looked up", own_parent, "t", Raised("IntegrityError")
    ),
    "roles": Difference(
        "a role is a lower-case word in the engine",
        lambda db: bool(db.append_message("s", "A Role", "x")), True, Raised("ValueError"),
    ),
    "session ids": Difference(
        "id~2 names the second session with an id in the engine",
        lambda db: db.create_session("s~2", "cli"), "s~2", Raised("ValueError"),
    ),
    "negative counts": Difference(
        "tokens are counted, not taken back", negative, -5, Raised("ValueError")
    ),
    "a question mark": Difference(
        "what people type is text, not syntax",
        found("what is docker?", "what is docker"), 0, 1,
    ),
    "a slash": Difference("the same", found("a/b", "in a/b"), 0, 1),
    "an address": Difference("the same", found("a@b.c", "to a@b.c"), 0, 1),
    "an apostrophe": Difference("the same", found("it's", "it's fine"), 0, 1),
    "a colon": Difference("the same", found("a:b", "map a:b"), 0, 1),
    "a dash": Difference("the same", found("docker -deploy", "docker deploy"), 0, 1),
    "words near each other": Difference(
        "the same: both words must be there", found("NEAR(docker deploy)", "docker deploy"), 0, 1
    ),
    "dotted words in the clean-up": Difference(
        "schema 6 makes phrases of hyphens only",
        lambda db: db._sanitize_fts5_query("my.app"), '"my.app"', "my.app",
    ),
    "where a snippet is cut": Difference("schema 6 shows …", snippet, False, True),
    "the connection": Difference(
        "the engine's file is no business of another SQLite library",
        lambda db: hasattr(db, "_conn"), True, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_differs_on_purpose_still_differs(name: str, tmp_path: Path) -> None:
    known = DIFFERENCES[name]
    theirs, mine = open_original(tmp_path / "original.db"), SessionDB(tmp_path / "store.db")
    for db in (theirs, mine):
        db.create_session("s", "cli")
    try:
        assert outcome(lambda: known.call(theirs)) == known.theirs, "the original differs"
        assert outcome(lambda: known.call(mine)) == known.mine
        assert known.theirs != known.mine, "they agree by now: take the entry away"
    finally:
        theirs.close()
        mine.close()


def test_deleted_text_is_gone_from_the_file_and_not_so_in_the_original(tmp_path: Path) -> None:
    left = {}
    theirs, mine = open_original(tmp_path / "original.db"), SessionDB(tmp_path / "store.db")
    for name, db in (("original.db", theirs), ("store.db", mine)):
        db.create_session("s", "cli")
        db.append_message("s", "user", "the SecretToken123 is here")
        db.search_messages("secrettoken123")
        db.delete_session("s")
        db.close()
        files = tmp_path.glob(f"{name}*")
        left[name] = any(b"secrettoken123" in file.read_bytes().lower() for file in files)
    assert left == {"original.db": True, "store.db": False}


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]


def run(examples: int, steps: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    open_original(Path(":memory:")).close()  # skips where there is no original
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Pair,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            suppress_health_check=CHECKS,
        ),
    )  # fmt: skip


def test_the_adapter_does_what_the_original_does() -> None:
    run(budget(12), 30)


@pytest.mark.slow
def test_the_adapter_does_what_the_original_does_in_thousands_of_steps() -> None:
    run(budget(150), 60)
