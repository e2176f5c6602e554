"""The same calls on the original and on the adapter have the same results.

Hypothesis makes up calls on both, direct changes of the sessions' fields among them, and every
result is compared. Where the two differ on purpose stands in `DIFFERENCES`, each with its reason
and a scene that shows it; a scene in which they no longer differ fails.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from nanobot_support import (
    JSON,
    MESSAGES,
    ROLES,
    TEXT,
    exactly,
    needs_old,
    original,
    ours,
)

pytestmark = needs_old

KEYS = ("cli:direct", "tg:1", "x:a/b", "plain")
INDEXES = st.integers(0, 30)


def shown(session: Any) -> Any:
    """What of a session its owner sees, but for `updated_at`, which is the present after a load."""
    return exactly(
        [session.key, session.messages, str(session.created_at), session.metadata,
         session.last_consolidated]
    )  # fmt: skip


class Both(RuleBasedStateMachine):
    """Two managers that are told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="eventstore-nanobot-"))
        self.theirs, self.ours = original(self.folder / "theirs"), ours(self.folder / "ours")
        self.pairs: dict[str, tuple[Any, Any]] = {}
        self.times = itertools.count()

    def teardown(self) -> None:
        assert self.ours.store.verify() == []
        assert self.ours.store.check() == []
        self.ours.close()
        shutil.rmtree(self.folder)

    def now(self) -> datetime:
        return datetime(2026, 3, 1) + timedelta(microseconds=1_000_001 * next(self.times))

    def both(self, key: str, act: Callable[[Any], Any]) -> None:
        """Do something to both objects of a key; outcomes and what is seen must be the same."""
        outcomes = []
        for session in self.pairs[key]:
            try:
                outcomes.append(exactly(act(session)))
            except Exception as error:
                outcomes.append(type(error).__name__)
        assert outcomes[0] == outcomes[1]
        assert shown(self.pairs[key][0]) == shown(self.pairs[key][1])

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: str) -> None:
        pair = self.theirs.get_or_create(key), self.ours.get_or_create(key)
        before = self.pairs.get(key)
        if before is not None:
            assert (pair[0] is before[0]) == (pair[1] is before[1])
        if before is None or pair[0] is not before[0]:
            fresh, now = self.theirs._load(key) is None, self.now()
            for session in pair:
                session.updated_at = now
                if fresh:
                    session.created_at = now
        assert shown(pair[0]) == shown(pair[1])
        self.pairs[key] = pair

    def with_one(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.pairs)))

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), role=ROLES, content=st.one_of(TEXT, JSON), fields=st.dictionaries(
        st.sampled_from(["name", "extra", "tool_call_id"]), JSON, max_size=2))  # fmt: skip
    def add(self, data: st.DataObject, role: str, content: Any, fields: dict[str, Any]) -> None:
        key, now = self.with_one(data), self.now()
        fields = {**fields, "timestamp": now.isoformat()}
        self.both(key, lambda session: session.add_message(role, content, **fields))
        for session in self.pairs[key]:
            session.updated_at = now

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), message=MESSAGES, index=INDEXES)
    def insert(self, data: st.DataObject, message: dict[str, Any], index: int) -> None:
        text = json.dumps(message)
        self.both(
            self.with_one(data), lambda session: session.messages.insert(index, json.loads(text))
        )

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), index=INDEXES, name=st.sampled_from(["content", "extra"]), value=JSON)
    def edit(self, data: st.DataObject, index: int, name: str, value: Any) -> None:
        self.both(
            self.with_one(data), lambda session: session.messages[index].update({name: value})
        )

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), first=INDEXES, last=INDEXES)
    def cut(self, data: st.DataObject, first: int, last: int) -> None:
        self.both(
            self.with_one(data), lambda session: session.messages.__delitem__(slice(first, last))
        )

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), value=st.integers(-4, 12))
    def consolidate(self, data: st.DataObject, value: int) -> None:
        self.both(self.with_one(data), lambda session: setattr(session, "last_consolidated", value))

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), name=TEXT, value=JSON)
    def annotate(self, data: st.DataObject, name: str, value: Any) -> None:
        self.both(self.with_one(data), lambda session: session.metadata.update({name: value}))

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), back=st.integers(-3, 3))
    def touch(self, data: st.DataObject, back: int) -> None:
        now = self.now() + timedelta(hours=back)
        for session in self.pairs[self.with_one(data)]:
            session.updated_at = now

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        key, now = self.with_one(data), self.now()
        self.both(key, lambda session: session.clear())
        for session in self.pairs[key]:
            session.updated_at = now

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), size=st.integers(-2, 8))
    def history(self, data: st.DataObject, size: int) -> None:
        self.both(self.with_one(data), lambda session: session.get_history(size))

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        key = self.with_one(data)
        theirs, mine = self.pairs[key]
        self.theirs.save(theirs)
        self.ours.save(mine)
        assert self.ours.get_or_create(key) is mine
        assert self.theirs.get_or_create(key) is theirs
        assert shown(self.theirs._load(key)) == shown(self.ours._load(key))

    @rule(key=st.sampled_from(KEYS))
    def invalidate(self, key: str) -> None:
        self.theirs.invalidate(key)
        self.ours.invalidate(key)
        assert (key in self.theirs._cache) == (key in self.ours._cache)

    @rule(key=st.sampled_from(KEYS))
    def load(self, key: str) -> None:
        theirs, mine = self.theirs._load(key), self.ours._load(key)
        assert (theirs is None) == (mine is None)
        if theirs is not None:
            assert shown(theirs) == shown(mine)
            assert abs(mine.updated_at - theirs.updated_at) < timedelta(minutes=10)

    @rule()
    def list(self) -> None:
        found = []
        for manager in (self.theirs, self.ours):
            listed = manager.list_sessions()
            assert [one["updated_at"] for one in listed] == sorted(
                (one["updated_at"] for one in listed), reverse=True
            )
            for one in listed:
                one["path"] = str(Path(one["path"]).relative_to(manager.workspace))
            found.append(sorted(listed, key=lambda one: one["key"]))
        assert found[0] == found[1]

    @rule()
    def begin_anew(self) -> None:
        """Other processes come; what was not saved is gone."""
        self.ours.close()
        self.theirs, self.ours = original(self.folder / "theirs"), ours(self.folder / "ours")
        self.pairs.clear()


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Both,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_the_same_calls_have_the_same_results() -> None:
    run(15, 30)


@pytest.mark.slow
def test_the_same_calls_have_the_same_results_at_length() -> None:
    run(budget(150), 60)


# -- where they differ on purpose ----------------------------------------------------------------

Make = Callable[[Path], Any]


def outcome(act: Callable[[], Any]) -> Any:
    """What a call returns, or the name of its error."""
    try:
        return act()
    except Exception as error:
        return type(error).__name__


def saved(manager: Any, key: str, *messages: dict[str, Any]) -> Any:
    session = manager.get_or_create(key)
    session.messages.extend(messages)
    manager.save(session)
    return session


def texts(manager: Any, key: str) -> list[Any]:
    manager.invalidate(key)
    return [message.get("content") for message in manager.get_or_create(key).messages]


def a_damaged_line(make: Make, folder: Path) -> Any:
    saved(original(folder), "a:b", {"role": "user", "content": "1"})
    with (folder / "sessions" / "a_b.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"role": "user", "content"\n{"role": "user", "content": "2"}\n')
    return texts(make(folder), "a:b")


def a_message_that_json_cannot_hold(make: Make, folder: Path) -> Any:
    manager = make(folder)
    session = saved(manager, "a:b", {"role": "user", "content": "1"})
    session.messages.insert(0, {"role": "user", "content": object()})
    return [outcome(lambda: manager.save(session)), texts(manager, "a:b")]


def half_a_surrogate_pair(make: Make, folder: Path) -> Any:
    manager = make(folder)
    return [
        outcome(lambda: saved(manager, "a:b", {"role": "user", "content": "\ud83d"}) and "saved"),
        texts(manager, "a:b"),
    ]


def two_keys_with_one_file_name(make: Make, folder: Path) -> Any:
    manager = make(folder)
    saved(manager, "x:a_b", {"role": "user", "content": "1"})
    saved(manager, "x:a:b", {"role": "user", "content": "2"})
    return [texts(manager, "x:a_b"), texts(manager, "x:a:b"), len(manager.list_sessions())]


def a_message_that_looks_like_metadata(make: Make, folder: Path) -> Any:
    manager = make(folder)
    saved(manager, "a:b", {"role": "user", "content": "1", "_type": "metadata"})
    return texts(manager, "a:b")


def not_a_number(make: Make, folder: Path) -> Any:
    manager = make(folder)
    message = {"role": "user", "content": "1", "score": float("nan")}
    return outcome(lambda: saved(manager, "a:b", message) and "saved")


def a_file_without_a_time_is_listed(make: Make, folder: Path) -> Any:
    saved(original(folder), "a:b")
    line = {"_type": "metadata", "key": "c:d", "updated_at": None}
    (folder / "sessions" / "c_d.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return outcome(lambda: [one["key"] for one in make(folder).list_sessions()])


def a_file_without_metadata_is_listed(make: Make, folder: Path) -> Any:
    manager = make(folder)
    (folder / "sessions" / "c_d.jsonl").write_text('{"role": "user"}\n', encoding="utf-8")
    return [one["key"] for one in manager.list_sessions()]


def what_a_save_leaves_in_the_folder(make: Make, folder: Path) -> Any:
    manager = make(folder)
    saved(manager, "a:b")
    return sorted(path.suffix for path in (folder / "sessions").iterdir())


def what_another_one_saved_under_the_same_key(make: Make, folder: Path) -> Any:
    first, second = make(folder), make(folder)
    session = first.get_or_create("a:b")
    saved(second, "a:b", {"role": "user", "content": "theirs"})
    session.messages.append({"role": "user", "content": "mine"})
    first.save(session)
    everything = b"".join(path.read_bytes() for path in (folder / "sessions").iterdir())
    return [texts(second, "a:b"), b"theirs" in everything]


def a_name_that_no_file_can_have(make: Make, folder: Path) -> Any:
    manager = make(folder)
    return outcome(lambda: saved(manager, "a:\0", {"role": "user", "content": "1"}) and "saved")


#: Scene → why the adapter does something else, what the original does, what the adapter does.
DIFFERENCES: dict[Callable[[Make, Path], Any], tuple[str, Any, Any]] = {
    a_damaged_line: ("one damaged line must not cost the conversation", [], ["1", "2"]),
    a_message_that_json_cannot_hold: (
        "a save is all or nothing", ["TypeError", []], ["TypeError", ["1"]],
    ),
    half_a_surrogate_pair: (
        "JSON can hold it", ["UnicodeEncodeError", []], ["saved", ["\ud83d"]],
    ),
    two_keys_with_one_file_name: (
        "each key has a session of its own", [["1", "2"], ["1", "2"], 1], [["1"], ["2"], 2],
    ),
    a_message_that_looks_like_metadata: ("a message is a message", [], ["1"]),
    not_a_number: ("JSON has no NaN and no infinity", "saved", "ValueError"),
    a_file_without_a_time_is_listed: (
        "one odd session must not cost the list", "TypeError", ["a:b", "c:d"],
    ),
    a_file_without_metadata_is_listed: ("what can be loaded is listed", [], ["c:d"]),
    what_a_save_leaves_in_the_folder: (
        "one store for all sessions", [".jsonl"], [".db", ".db-shm", ".db-wal"],
    ),
    what_another_one_saved_under_the_same_key: (
        "the last save wins, and nothing is destroyed", [["mine"], False], [["mine"], True],
    ),
    a_name_that_no_file_can_have: ("a key is no file name", "ValueError", "saved"),
}  # fmt: skip


@pytest.mark.parametrize("scene", DIFFERENCES, ids=lambda scene: scene.__name__)
def test_a_difference_on_purpose_is_still_one(
    scene: Callable[[Make, Path], Any], tmp_path: Path
) -> None:
    reason, theirs, mine = DIFFERENCES[scene]
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    assert scene(original, tmp_path / "theirs") == theirs
    with closing_ours() as make:
        assert scene(make, tmp_path / "ours") == mine, reason
    assert theirs != mine, "they do not differ any more; remove the entry"


@contextlib.contextmanager
def closing_ours() -> Iterator[Make]:
    made: list[Any] = []

    def make(folder: Path) -> Any:
        made.append(ours(folder))
        return made[-1]

    try:
        yield make
    finally:
        for manager in made:
            manager.close()
