"""Today's nanobot on the store that it is given."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from engine_support import clean
from hypothesis import given
from hypothesis import strategies as st
from nanobot_support import JSON, MESSAGES, TEXT, exactly, few, needs_new

from eventstore.adapters.nanobot import NanobotStore

METHODS = (
    "load", "save", "delete", "read", "read_metadata", "update_metadata", "list_sessions",
)  # fmt: skip


class Saved:
    """What of nanobot's session a store looks at when it saves."""

    def __init__(self, key: str, *messages: dict[str, Any], **metadata: Any) -> None:
        self.key = key
        self.messages = list(messages)
        self.created_at = datetime(2026, 1, 1)
        self.updated_at = datetime(2026, 1, 2)
        self.metadata = metadata
        self.last_consolidated = 0
        self.provider_state: Any = None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NanobotStore]:
    store = NanobotStore(tmp_path / "sessions.db")
    yield store
    clean(store.store)
    store.close()


# -- without nanobot -----------------------------------------------------------------------------


def test_the_store_has_the_methods_of_the_protocol() -> None:
    for name in METHODS:
        assert callable(getattr(NanobotStore, name))
    fsync = inspect.signature(NanobotStore.save).parameters["fsync"]
    assert (fsync.kind, fsync.default) == (inspect.Parameter.KEYWORD_ONLY, False)


def test_what_is_not_there_is_none(store: NanobotStore) -> None:
    assert store.load("a:b") is None
    assert store.read("a:b") is None
    assert store.read_metadata("a:b") is None
    assert store.update_metadata("a:b", {"x": 1}) is False
    assert store.delete("a:b") is False
    assert store.list_sessions() == []


def test_a_saved_session_is_read_with_its_times(store: NanobotStore) -> None:
    store.save(Saved("a:b", {"role": "user", "content": "hello"}, title="T"))
    told = {
        "key": "a:b",
        "created_at": "2026-01-01T00:00:00",
        "updated_at": "2026-01-02T00:00:00",
        "metadata": {"title": "T"},
    }
    assert store.read_metadata("a:b") == told
    assert store.read("a:b") == {**told, "messages": [{"role": "user", "content": "hello"}]}
    assert store.list_sessions() == [
        {
            "key": "a:b",
            "created_at": "2026-01-01T00:00:00",
            "updated_at": "2026-01-02T00:00:00",
            "title": "T",
            "preview": "hello",
            "path": store.store.path,
        }
    ]


def test_metadata_is_updated_without_touching_the_rest(store: NanobotStore) -> None:
    session = Saved("a:b", {"role": "user", "content": "hello"}, a=1, b=2)
    session.last_consolidated = 1
    store.save(session)
    before = store.read("a:b")
    version = store.store.session("a:b").version
    assert store.update_metadata("a:b", {"b": 3, "c": {"d": 4}}, fsync=True) is True
    assert before is not None
    assert store.read("a:b") == {**before, "metadata": {"a": 1, "b": 3, "c": {"d": 4}}}
    assert store.store.session("a:b").version == version + 1


def test_metadata_is_updated_on_what_others_saved(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    with closing(NanobotStore(path)) as one, closing(NanobotStore(path)) as other:
        one.save(Saved("a:b", {"role": "user", "content": "1"}))
        other.save(Saved("a:b", {"role": "user", "content": "1"}, {"role": "user"}))
        one.update_metadata("a:b", {"x": 1})
        found = other.read("a:b")
        assert found is not None
        assert len(found["messages"]) == 2
        assert found["metadata"] == {"x": 1}


def test_a_deleted_session_is_gone_and_can_begin_anew(store: NanobotStore) -> None:
    store.save(Saved("a:b", {"role": "user", "content": "old"}))
    assert store.delete("a:b") is True
    assert store.delete("a:b") is False
    assert (store.load("a:b"), store.read("a:b"), store.list_sessions()) == (None, None, [])
    store.save(Saved("a:b", {"role": "user", "content": "new"}))
    assert store.read("a:b")["messages"] == [{"role": "user", "content": "new"}]  # type: ignore[index]
    assert [one["preview"] for one in store.list_sessions()] == ["new"]


def test_the_list_has_the_last_updated_first(store: NanobotStore) -> None:
    for key, day in (("a:1", 2), ("a:2", 3), ("a:3", 1)):
        session = Saved(key)
        session.updated_at = datetime(2026, 1, day)
        store.save(session)
    assert [one["key"] for one in store.list_sessions()] == ["a:2", "a:1", "a:3"]


# -- nanobot itself ------------------------------------------------------------------------------


#: Aliases that load all of nanobot when they are looked at, as Hypothesis looks at every module.
LAZY = ("webui_thread_disk", "webui_transcript", "webui_turn_helpers")


def nanobot(module: str) -> Any:
    for name in LAZY:
        sys.modules.setdefault(f"nanobot.utils.{name}", ModuleType(name))
    return import_module(f"nanobot.{module}")


def managed(folder: Path, store: Any = None) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.parent / f"{folder.name}-root"
    manager = nanobot("session.manager").SessionManager(folder, store=store, sessions_root=root)
    # It deletes sessions there as well; one's own stay out of the tests.
    manager._jsonl_store.legacy_sessions_dir = folder / "none"
    return manager


@needs_new
def test_the_protocol_is_still_the_one_that_is_implemented() -> None:
    protocol = nanobot("session.manager").SessionStore
    theirs = [name for name in vars(protocol) if not name.startswith("_")]
    assert sorted(theirs) == sorted(METHODS)
    for name in METHODS:
        wanted = inspect.signature(getattr(protocol, name)).parameters
        given_ = inspect.signature(getattr(NanobotStore, name)).parameters
        assert list(wanted) == list(given_)
        assert [one.kind for one in wanted.values()] == [one.kind for one in given_.values()]


@needs_new
def test_a_manager_does_the_same_on_both_stores(tmp_path: Path, store: NanobotStore) -> None:
    state = nanobot("providers.base").ProviderConversationState(
        "kind", "provider", "model", 1, {"secret": 1}, [{"role": "user", "content": "x"}]
    )
    outcomes = []
    for manager in (managed(tmp_path / "one"), managed(tmp_path / "two", store)):
        seen: list[Any] = []
        session = manager.get_or_create("telegram:1")
        for number in range(6):
            role = "assistant" if number % 2 else "user"
            session.add_message(role, f"m{number}", timestamp=f"2026-01-01T00:00:0{number}")
        session.created_at = session.updated_at = datetime(2026, 1, 1)
        session.provider_state = state
        session.metadata["title"] = "Title"
        manager.save(session, fsync=True)
        manager.invalidate("telegram:1")
        found = manager.get_or_create("telegram:1")
        assert found is not session
        seen.append((found.messages, found.created_at, found.updated_at, found.metadata))
        seen.append((found.provider_state, found.last_archived, found.get_history(max_messages=3)))
        found.commit_summary_checkpoint("What was said.", insert_at=4)
        for message in found.messages:
            message["timestamp"] = "t"
        manager.save(found)
        seen.append(manager.read_session_snapshot("telegram:1").get_history())
        seen.append(manager.read_session_file("telegram:1"))
        seen.append(manager.update_session_metadata("telegram:1", {"title": "New"}))
        seen.append(manager.read_session_metadata("telegram:1"))
        fork = manager.fork_session_before_user_index("telegram:1", "telegram:2", 1)
        seen.append((fork.messages, fork.last_archived))
        seen.append(manager.flush_all())
        seen.append(sorted((one["key"], one["title"]) for one in manager.list_sessions()))
        seen.append(manager.delete_session("telegram:2"))
        seen.append(manager.delete_session("telegram:2"))
        seen.append([one["key"] for one in manager.list_sessions()])
        outcomes.append(seen)
    for one, other in zip(*outcomes, strict=True):
        assert one == other


@needs_new
@few
@given(
    st.lists(MESSAGES.filter(lambda one: one.get("_type") != "provider_state"), max_size=4),
    st.dictionaries(TEXT, JSON, max_size=2),
    st.integers(0, 5),
)
def test_any_session_loads_as_from_the_original_store(
    tmp_path_factory: pytest.TempPathFactory,
    messages: list[dict[str, Any]],
    metadata: dict[str, Any],
    consolidated: int,
) -> None:
    folder = tmp_path_factory.mktemp("w")
    with closing(NanobotStore(folder / "sessions.db")) as store:
        loaded = []
        for manager in (managed(folder / "one"), managed(folder / "two", store)):
            kind = nanobot("session.manager").Session
            now = datetime(2026, 1, 1)
            manager.save(kind("a:b", [dict(one) for one in messages], now, now, metadata,
                              consolidated))  # fmt: skip
            manager.invalidate("a:b")
            found = manager.get_or_create("a:b")
            loaded.append(exactly([found.messages, found.metadata, found.last_consolidated,
                                   str(found.updated_at)]))  # fmt: skip
        assert loaded[0] == loaded[1]
