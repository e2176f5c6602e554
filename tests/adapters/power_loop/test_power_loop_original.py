"""The drop-in beside the original: the same calls, and the same results, errors and orderings."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventstore import SessionStore as Engine
from eventstore.adapters import power_loop as ours
from eventstore.errors import EventStoreError

theirs = pytest.importorskip("power_loop.runtime.session_store")
BUDGET = float(os.environ.get("EVENTSTORE_TEST_BUDGET", "1"))
IDS = ["a", "b", "c", "d", "ü x", "e"]
#: Whose child each is in a tree of sub-agents; the last is deeper than they nest.
PARENTS = {"b": "a", "c": "a", "d": "b", "ü x": "d", "e": "ü x"}


def shown(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return shown(asdict(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    return [shown(one) for one in value] if isinstance(value, list) else value


class Pair:
    """Both stores, driven by one clock of ms."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_700_000_000_000
        self.folder = folder
        self._kept = theirs._now_ms
        theirs._now_ms = lambda: self.now
        self.original = theirs.SessionStore.open(folder / "original.db")
        engine = Engine.open(folder / "ours.db", durability="normal", clock=lambda: self.now * 1000)
        self.adapter = ours.SessionStore(engine, engine.path)

    def close(self) -> None:
        theirs._now_ms = self._kept
        self.original.close()
        self.adapter.close()

    def usage(self, session_id: str) -> list[dict[str, Any]]:
        rows = self.original._conn.execute(
            "SELECT * FROM usage_rounds WHERE session_id = ? ORDER BY round_index", (session_id,)
        )
        return [dict(row) for row in rows]

    def outcomes(self, name: str, /, *args: Any, **options: Any) -> tuple[Any, Any]:
        self.now += 7
        found: list[Any] = []
        for store in (self.original, self.adapter):
            try:
                found.append(shown(getattr(store, name)(*args, **options)))
            except RecursionError:
                raise
            except Exception as error:
                found.append(error)
        return found[0], found[1]

    def same(self, name: str, /, *args: Any, **options: Any) -> Any:
        """Both answer the same, or raise the same."""
        first, second = self.outcomes(name, *args, **options)
        if isinstance(first, Exception):
            assert isinstance(second, type(first)), (name, args, options, first, second)
            assert isinstance(second, EventStoreError)
        else:
            assert second == first, (name, args, options)
        return first

    def agree(self, ids: list[str]) -> None:
        for one in ids:
            for name in (
                "get_session", "get_state", "load_active_messages", "load_all_messages",
                "list_compactions", "list_children",
            ):  # fmt: skip
                self.same(name, one)
            self.same("get_message", one, 2)
            assert shown(self.adapter.list_usage(one)) == self.usage(one)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ids = st.sampled_from(["a", "a", "a", *IDS])
counts = st.none() | st.integers(0, 9)
lifecycles = st.sampled_from(["EPHEMERAL", "LINKED", "DETACHED"])
trees = st.lists(lifecycles, min_size=len(PARENTS), max_size=len(PARENTS))
objects = st.dictionaries(words, st.integers(0, 3) | words, max_size=2) | st.just(
    {"power_loop": {"meta": 1}}
)
calls = st.fixed_dictionaries(
    {
        "id": words,
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": words, "arguments": words}),
    }
)


class Beside(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.pair = Pair(Path(self.folder.name))

    def teardown(self) -> None:
        self.pair.close()
        self.folder.cleanup()

    def above(self, session_id: str | None) -> list[str]:
        found: list[str] = []
        while session_id is not None and session_id not in found:
            found.append(session_id)
            row = self.pair.original.get_session(session_id)
            session_id = None if row is None else row.parent_session_id
        return found

    def odd(self, one: str, parent: str | None) -> bool:
        """Whether creating it makes a circle (see the differences) or is wrong in two ways."""
        rows = [self.pair.original.get_session(each) for each in (one, parent)]
        taken_and_too_deep = all(rows) and rows[1].spawn_depth == theirs.MAX_SPAWN_DEPTH
        return taken_and_too_deep or one in self.above(parent)

    @initialize(count=st.integers(0, 6), below=st.just([]) | trees)
    def begin(self, count: int, below: list[str]) -> None:
        self.pair.same("create_session", session_id="a")
        for number in range(count):
            self.pair.same("append_message", "a", role="user", content=str(number))
        self.grow(below)

    @rule(below=trees)
    def grow(self, below: list[str]) -> None:
        """Create what is missing of the tree; what is there stays where it is."""
        for (one, parent), lifecycle in zip(PARENTS.items(), below, strict=False):
            if not self.odd(one, parent):
                life = theirs.SubagentLifecycle[lifecycle]
                self.pair.same(
                    "create_session", session_id=one, parent_session_id=parent, lifecycle=life
                )

    @rule(below=trees, one=st.sampled_from(["a", "a", "b", "d"]))
    def fell(self, below: list[str], one: str) -> None:
        self.grow(below)
        self.pair.same("close_session", one)

    @rule(
        one=ids,
        parent=st.none() | ids,
        kind=st.sampled_from(["ROOT", "SUBAGENT"]),
        lifecycle=lifecycles,
        prompt=st.none() | words,
        model=st.none() | words,
        config=st.none() | objects,
        metadata=st.none() | objects,
    )
    def create(self, one: str, parent: str | None, kind: str, lifecycle: str, **more: Any) -> None:
        if self.odd(one, parent):
            return
        prompt = more.pop("prompt")
        self.pair.same(
            "create_session",
            session_id=one,
            parent_session_id=parent,
            kind=theirs.SessionKind[kind],
            lifecycle=theirs.SubagentLifecycle[lifecycle],
            system_prompt=prompt,
            spawn_tool_call_id=prompt,
            **more,
        )

    @rule(one=ids, cascade=st.booleans())
    def close(self, one: str, cascade: bool) -> None:
        self.pair.same("close_session", one, cascade=cascade)

    @rule(one=ids, prompt=st.none() | words)
    def prompt(self, one: str, prompt: str | None) -> None:
        row = self.pair.original.get_session(one)
        if row is not None and row.system_prompt is None and prompt is None:
            return  # see the differences
        self.pair.same("update_session_prompt", one, prompt)

    @rule(one=ids)
    def archive(self, one: str) -> None:
        row = self.pair.original.get_session(one)
        if row is None or row.status.value == "active":  # else see the differences
            self.pair.same("archive_session", one)

    @rule(
        one=ids,
        role=st.sampled_from(["user", "assistant", "tool", "system", "Odd role", ""]),
        content=st.none() | words | st.just(["a list"]),
        tool_calls=st.none() | st.lists(calls | objects, max_size=2),
        tool_call_id=st.none() | words,
        name=st.none() | words,
        round_index=st.none() | st.integers(-2, 5),
        meta=st.none() | objects | st.just({1: (2,)}),
    )
    def append(self, one: str, **more: Any) -> None:
        unknown = self.pair.original.get_session(one) is None
        if unknown and isinstance(more["content"], list):
            return  # two errors at once: either is right
        self.pair.same("append_message", one, **more)

    @rule(one=ids, texts=st.lists(words, min_size=1, max_size=4))
    def talk(self, one: str, texts: list[str]) -> None:
        for text in texts:
            self.pair.same("append_message", one, role="user", content=text)

    @rule(
        one=ids,
        from_seq=st.integers(-1, 6),
        to_seq=st.integers(1, 12),
        note_content=words,
        before_tokens=counts,
        after_tokens=counts,
        round_index=counts,
        note_meta=st.none() | objects | st.just({"from_seq": 99, "k": 1}),
    )
    def compact(self, one: str, **more: Any) -> None:
        self.pair.same("record_compaction", one, **more)

    @rule(one=ids, number=st.integers(0, 5))
    def round(self, one: str, number: int) -> None:
        self.pair.same("set_round_index", one, number)

    @rule(one=ids, pending=st.none() | objects | st.just({"tool_call_ids": ["x"]}))
    def pending(self, one: str, pending: Any) -> None:
        self.pair.same("set_pending", one, pending)

    @rule(
        one=ids, round_index=st.integers(0, 4), prompt_tokens=counts, completion_tokens=counts,
        total_tokens=counts, model=st.none() | words,
    )  # fmt: skip
    def usage(self, one: str, **more: Any) -> None:
        if self.pair.original.get_session(one) is not None:  # else see the differences
            self.pair.same("record_usage", one, **more)

    @invariant()
    def both_read_the_same(self) -> None:
        self.pair.agree(IDS)


def run(examples: int, steps: int) -> type[Any]:
    case = Beside.TestCase
    case.settings = settings(
        max_examples=max(1, round(examples * BUDGET)),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return case


def test_random_calls_do_the_same_on_both() -> None:
    run(15, 30)("runTest").runTest()


@pytest.mark.slow
def test_thousands_of_random_calls_do_the_same_on_both() -> None:
    run(150, 50)("runTest").runTest()


# -- what differs on purpose -----------------------------------------------------------------------


def usage_without_session(pair: Pair) -> tuple[Any, Any]:
    return pair.outcomes(
        "record_usage", "gone", round_index=0, prompt_tokens=1, completion_tokens=1, total_tokens=2
    )


def archived_again(pair: Pair) -> tuple[Any, Any]:
    pair.same("create_session", session_id="a")
    pair.same("archive_session", "a")
    pair.outcomes("archive_session", "a")
    return pair.outcomes("get_session", "a")


def no_prompt_again(pair: Pair) -> tuple[Any, Any]:
    pair.same("create_session", session_id="a")
    pair.outcomes("update_session_prompt", "a", None)
    return pair.outcomes("get_session", "a")


def told(name: str, /, *args: Any, **options: Any) -> Callable[[Pair], tuple[Any, Any]]:
    """A call that differs on a session `a` of one message."""

    def differing(pair: Pair) -> tuple[Any, Any]:
        pair.same("create_session", session_id="a")
        pair.same("append_message", "a", role="user", content="x")
        return pair.outcomes(name, *args, **options)

    return differing


def message(**more: Any) -> Callable[[Pair], tuple[Any, Any]]:
    return told("append_message", "a", **{"role": "user", "content": "x", **more})


def session(**more: Any) -> Callable[[Pair], tuple[Any, Any]]:
    return told("create_session", **{"session_id": "b", **more})


def usage(**more: Any) -> Callable[[Pair], tuple[Any, Any]]:
    given = {"round_index": 0, "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return told("record_usage", "a", **{**given, **more})


def compaction(**more: Any) -> Callable[[Pair], tuple[Any, Any]]:
    given = {
        "from_seq": 1, "to_seq": 1, "note_content": "n", "before_tokens": 1, "after_tokens": 1,
        "round_index": 1,
    }  # fmt: skip
    return told("record_compaction", "a", **{**given, **more})


def wait_for_a_lock(pair: Pair) -> tuple[Any, Any]:
    [waited] = pair.original._conn.execute("PRAGMA busy_timeout").fetchone()
    assert (waited, pair.adapter.engine.log._busy_seconds) == (5000, 30)
    return waited / 1000, pair.adapter.engine.log._busy_seconds


def modes_of_what_is_created(pair: Pair) -> tuple[Any, Any]:
    found = []
    before = os.umask(0o022)
    try:
        for module in (theirs, ours):
            path = pair.folder / module.__name__ / "s.db"
            module.SessionStore.open(path).close()
            found.append([one.stat().st_mode & 0o777 for one in (path.parent, path)])
    finally:
        os.umask(before)
    assert found == [[0o755, 0o644], [0o700, 0o600]]
    return found[0], found[1]


def lone_surrogate(pair: Pair) -> tuple[Any, Any]:
    pair.same("create_session", session_id="a")
    return pair.outcomes("append_message", "a", role="user", content="\ud83d")


def circle_of_parents(pair: Pair) -> tuple[Any, Any]:
    pair.same("create_session", session_id="a")
    pair.same("create_session", session_id="b", parent_session_id="a")
    pair.same("close_session", "a", cascade=False)
    pair.same("create_session", session_id="a", parent_session_id="b")
    with pytest.raises(RecursionError):
        pair.original.close_session("a")
    return "RecursionError", pair.adapter.close_session("a")


NAN, INFINITY, LARGE = float("nan"), float("inf"), 2**53 + 1
DIFFERENCES: dict[str, list[Callable[[Pair], tuple[Any, Any]]]] = {
    "no session to record it in: said, instead of a row nobody finds": [usage_without_session],
    "nothing changes, so nothing is recorded and updated_at stays": [
        archived_again, no_prompt_again,
    ],
    "rounds and tokens count from 0": [
        told("set_round_index", "a", -1), usage(prompt_tokens=-1), usage(completion_tokens=-1),
        usage(total_tokens=-1),
    ],
    "nothing counts in parts": [
        told("set_round_index", "a", 1.5), usage(total_tokens=1.5), usage(round_index=1.5),
        message(round_index=1.5), compaction(round_index=1.5), compaction(before_tokens=1.5),
        compaction(from_seq=1.0), compaction(to_seq="1"),
    ],
    "JSON readers hold numbers exactly up to 2**53 only": [
        told("set_round_index", "a", LARGE), message(round_index=LARGE), usage(round_index=LARGE),
        usage(prompt_tokens=LARGE), usage(total_tokens=2**60), compaction(round_index=LARGE),
        compaction(before_tokens=LARGE), compaction(after_tokens=LARGE),
    ],
    "ids are shown in terminals and name incarnations": [
        session(session_id=one)
        for one in ("a\nb", "\u2028", "\u00a0", "x" * 513, "a~1", "erased:1", 1)
    ],
    "SQLite would turn it into text; a text is asked for": [
        message(content=5), message(content=b"x"), message(name=5), message(role=5),
        message(tool_call_id=5), usage(model=5), session(system_prompt=5), session(model=5),
        told("update_session_prompt", "a", 5), compaction(note_content=5),
    ],
    "a dict is asked for": [
        told("set_pending", "a", [1]),
        *(message(meta=odd) for odd in ([1], "x", 5)),
        session(config=[1]), session(metadata=[1]),
    ],
    "NaN and Infinity are no JSON, and other readers of the file would fail on them": [
        message(meta={"x": NAN}), message(tool_calls=[{"x": INFINITY}]),
        session(config={"x": NAN}), session(metadata={"x": INFINITY}),
        told("set_pending", "a", {"x": NAN}), compaction(note_meta={"x": -INFINITY}),
    ],
    "texts of models that were cut inside a character are stored as they are": [lone_surrogate],
    "plain texts are the values of the enumerations": [
        session(kind="root"), session(lifecycle="linked"),
    ],
    "closing ends; the original recurses until it fails": [circle_of_parents],
    "waiting costs less than a lost message": [wait_for_a_lock],
    "what is created holds conversations": [modes_of_what_is_created],
}  # fmt: skip


@pytest.mark.parametrize("why", DIFFERENCES)
def test_a_documented_difference_is_still_one(why: str, tmp_path: Path) -> None:
    for number, differing in enumerate(DIFFERENCES[why]):
        folder = tmp_path / str(number)
        folder.mkdir()
        pair = Pair(folder)
        try:
            first, second = differing(pair)
        finally:
            pair.close()
        if isinstance(first, Exception) or isinstance(second, Exception):
            assert isinstance(first, Exception) is not isinstance(second, Exception), number
        else:
            assert first != second, number
        if isinstance(second, Exception):
            assert isinstance(second, ValueError | sqlite3.Error), number


STORED_AS_GIVEN = [
    usage(round_index=-1),
    message(round_index=-5),
    compaction(before_tokens=-1, round_index=-1),
    compaction(to_seq=LARGE),
    usage(prompt_tokens=2**53, completion_tokens=2**53, total_tokens=2**54),
    message(meta={"x": LARGE}, tool_calls=[{"x": LARGE}]),
    session(config={"x": LARGE}),
    told("set_pending", "a", {"x": LARGE}),
]


@pytest.mark.parametrize("alike", STORED_AS_GIVEN)
def test_odd_numbers_elsewhere_are_stored_as_the_original_stores_them(
    alike: Callable[[Pair], tuple[Any, Any]], tmp_path: Path
) -> None:
    pair = Pair(tmp_path)
    try:
        first, second = alike(pair)
        assert first == second
        pair.agree(["a", "b"])
    finally:
        pair.close()


def test_the_original_sink_runs_on_the_adapter(tmp_path: Path) -> None:
    """What `StatefulAgentLoop` writes through, with the store injected."""
    sink_module = pytest.importorskip("power_loop.agent.sink")
    pair = Pair(tmp_path)
    try:
        for store in (pair.original, pair.adapter):
            pair.now = 1_700_000_100_000
            store.create_session(session_id="a", system_prompt="Be brief.")
            store.append_message("a", role="user", content="hello")
            sink = sink_module.SQLiteSink(store, "a")
            sink.init_history_seqs([1])
            call = {"id": "c1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
            sink.on_round_started(1)
            sink.on_message_appended(
                {"role": "assistant", "content": None, "tool_calls": [call]}, round_index=1
            )
            sink.on_assistant_tool_calls(assistant_seq=2, tool_calls=[call], round_index=1)
            sink.on_message_appended(
                {"role": "tool", "tool_call_id": "c1", "name": "t", "content": "42"}, round_index=1
            )
            sink.on_compaction(
                fold_start_idx=0, fold_end_idx=1, summary_text="said", before_tokens=9,
                after_tokens=2, round_index=1,
            )  # fmt: skip
            sink.on_round_ended(1, usage={"prompt_tokens": 3, "completion_tokens": 4})
        pair.agree(["a"])
        assert [row.seq for row in pair.adapter.load_active_messages("a")] == [3, 4]
    finally:
        pair.close()
