"""What nanobot's session manager promises its callers, promise by promise."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from engine_support import clean
from hypothesis import given
from hypothesis import strategies as st
from nanobot_support import JSON, MESSAGES, exactly, few, many, ours

from eventstore.adapters import nanobot as adapter
from eventstore.adapters.nanobot import Session, SessionManager
from eventstore.adapters.nanobot.comparing import Kept, same
from eventstore.adapters.nanobot.keys import file_name, key_of, key_of_file, session_id_of
from eventstore.adapters.nanobot.messages import message_of, plain
from eventstore.errors import EventStoreError, InvalidValueError
from eventstore.importers import nanobot as importer
from eventstore.store import reads


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[SessionManager]:
    manager = ours(tmp_path)
    yield manager
    clean(manager.store)
    manager.close()


def talk(session: Session, *texts: str) -> None:
    for number, text in enumerate(texts):
        session.add_message("user" if number % 2 == 0 else "assistant", text)


def events(manager: SessionManager, key: str = "a:b", after: int = 0) -> list[str]:
    found = manager.store.session(key).events(after=after)
    return [type(recorded.event).__name__ for recorded in found]


def loaded(manager: SessionManager, key: str = "a:b") -> Session:
    manager.invalidate(key)
    return manager.get_or_create(key)


# -- Session -------------------------------------------------------------------------------------


def test_a_session_is_a_dataclass_with_these_fields() -> None:
    names = [field.name for field in dataclasses.fields(Session)]
    assert names == [
        "key", "messages", "created_at", "updated_at", "metadata", "last_consolidated",
    ]  # fmt: skip
    one, other = Session("k"), Session("k")
    assert (one.messages, one.metadata, one.last_consolidated) == ([], {}, 0)
    assert one.messages is not other.messages
    assert timedelta(0) <= datetime.now() - one.created_at < timedelta(minutes=1)


def test_sessions_are_compared_by_their_fields() -> None:
    now = datetime(2026, 1, 1)
    assert Session("k", [], now, now, {}, 0) == Session("k", [], now, now)
    assert Session("k", [], now, now) != Session("k", [{"role": "user"}], now, now)


def test_the_times_of_a_session_are_those_of_its_making() -> None:
    before = datetime.now()
    session = Session("k")
    for time in (session.created_at, session.updated_at):
        assert before <= time <= datetime.now()


def test_the_time_of_a_message_is_the_local_present_as_iso_text() -> None:
    session = Session("k")
    before = datetime.now()
    session.add_message("user", "hello")
    told = session.messages[0]["timestamp"]
    assert datetime.fromisoformat(told).isoformat() == told
    assert before <= datetime.fromisoformat(told) <= session.updated_at <= datetime.now()


def test_add_message_keeps_extra_fields_which_win_over_the_time() -> None:
    session = Session("k", updated_at=datetime(2020, 1, 1))
    assert session.add_message("user", "hello", media=["x"]) is None
    [message] = session.messages
    assert list(message) == ["role", "content", "timestamp", "media"]
    datetime.fromisoformat(message["timestamp"])
    assert session.updated_at > datetime(2020, 1, 2)
    session.add_message("user", "again", timestamp="then")
    assert session.messages[1]["timestamp"] == "then"


def history(*roles: str, **options: Any) -> list[str]:
    session = Session("k", [{"role": role, "content": str(n)} for n, role in enumerate(roles)])
    session.last_consolidated = options.pop("last_consolidated", 0)
    return [message["content"] for message in session.get_history(**options)]


def test_the_history_begins_with_a_users_message() -> None:
    assert history("assistant", "tool", "user", "assistant") == ["2", "3"]
    assert history("user", "assistant", "user", "assistant", max_messages=3) == ["2", "3"]


def test_a_history_without_a_users_message_is_not_aligned() -> None:
    assert history("user", "assistant", "tool", "assistant", max_messages=2) == ["2", "3"]


def test_the_history_leaves_out_what_is_consolidated() -> None:
    assert history("user", "assistant", "user", last_consolidated=1) == ["2"]
    assert history("user", "user", last_consolidated=7) == []
    assert history("user", "user", "user", last_consolidated=-2) == ["1", "2"]


def test_a_history_of_0_messages_is_all_of_them() -> None:
    assert history("user", "user", max_messages=0) == ["0", "1"]
    assert history(*["user"] * 501) == [str(number) for number in range(1, 501)]


def test_the_history_holds_five_fields_and_changes_nothing() -> None:
    message = {"role": "tool", "name": "f", "tool_call_id": "c", "timestamp": "t", "x": 1}
    asking = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    session = Session("k", [message, asking])
    before = json.dumps(session.messages)
    assert session.get_history() == [
        {"role": "tool", "content": "", "name": "f", "tool_call_id": "c"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
    ]
    assert json.dumps(session.messages) == before


def test_the_history_says_a_field_that_is_none() -> None:
    fields = {"content": "", "tool_calls": None, "tool_call_id": None, "name": None}
    assert Session("k", [{"role": "tool", **fields}]).get_history() == [{"role": "tool", **fields}]


def test_the_history_is_its_callers_to_change() -> None:
    session = Session("k", [{"role": "user", "content": "1"}], updated_at=datetime(2020, 1, 1))
    session.get_history()[0]["content"] = "2"
    assert session.messages == [{"role": "user", "content": "1"}]
    assert session.updated_at == datetime(2020, 1, 1)


def test_clear_leaves_the_list_that_others_hold() -> None:
    session = Session("k", [{"role": "user"}])
    held = session.messages
    session.clear()
    assert held == [{"role": "user"}]
    assert session.messages is not held


def test_clear_keeps_the_metadata() -> None:
    session = Session("k", [{"role": "user"}], metadata={"a": 1}, last_consolidated=1)
    session.updated_at = datetime(2020, 1, 1)
    session.clear()
    assert (session.messages, session.last_consolidated, session.metadata) == ([], 0, {"a": 1})
    assert session.updated_at > datetime(2020, 1, 2)


# -- SessionManager ------------------------------------------------------------------------------


def test_a_manager_makes_its_folder(tmp_path: Path) -> None:
    manager = ours(tmp_path / "new" / "workspace")
    assert manager.workspace == tmp_path / "new" / "workspace"
    assert manager.sessions_dir == manager.workspace / "sessions"
    assert manager.sessions_dir.is_dir()
    assert manager._cache == {}
    manager.close()


def test_the_path_of_a_key_is_nanobots(manager: SessionManager) -> None:
    assert manager._get_session_path("a:b/c") == manager.sessions_dir / "a_b_c.jsonl"
    assert manager._get_session_path('a<>"|?*\\') == manager.sessions_dir / "a_______.jsonl"


def test_keys_with_one_path_are_sessions_of_their_own(manager: SessionManager) -> None:
    assert manager._get_session_path("x:a_b") == manager._get_session_path("x:a:b")
    for key in ("x:a_b", "x:a:b"):
        session = manager.get_or_create(key)
        session.add_message("user", key)
        manager.save(session)
    assert loaded(manager, "x:a_b").messages[0]["content"] == "x:a_b"


def test_a_session_is_the_same_object_until_it_is_invalidated(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    assert manager.get_or_create("a:b") is session
    assert manager._cache == {"a:b": session}
    manager.invalidate("a:b")
    manager.invalidate("nobody")
    assert manager.get_or_create("a:b") is not session


def test_get_or_create_stores_nothing(manager: SessionManager) -> None:
    manager.get_or_create("a:b").add_message("user", "hello")
    assert manager.store.head.position == 0
    assert manager.list_sessions() == []


def test_a_saved_session_is_what_is_loaded(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    session.add_message("user", "héllo 你好 🐈", media=[{"n": 1, "x": None}], score=0.5)
    session.metadata = {"title": "T", "nested": {"a": [1, 2]}}
    session.created_at = datetime(2020, 1, 2, 3, 4, 5, 6)
    session.last_consolidated = 1
    manager.save(session)
    with closing(ours(manager.workspace)) as another:
        found = another.get_or_create("a:b")
    assert (found.key, found.messages) == (session.key, session.messages)
    assert (found.created_at, found.metadata) == (session.created_at, session.metadata)
    assert found.last_consolidated == 1


def test_save_puts_the_object_into_the_cache(manager: SessionManager) -> None:
    session = Session("a:b")
    manager.save(session)
    assert manager.get_or_create("a:b") is session


def test_save_puts_another_object_in_the_place_of_the_one_in_the_cache(
    manager: SessionManager,
) -> None:
    manager.get_or_create("a:b")
    session = Session("a:b")
    manager.save(session)
    assert manager.get_or_create("a:b") is session


def test_a_save_that_fails_leaves_the_cache(manager: SessionManager) -> None:
    kept = manager.get_or_create("a:b")
    with pytest.raises(TypeError):
        manager.save(Session("a:b", [{"role": "user", "content": object()}]))
    assert manager.get_or_create("a:b") is kept


def test_load_reads_what_is_stored_not_what_is_in_the_cache(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1")
    manager.save(session)
    session.add_message("user", "2")
    found = manager._load("a:b")
    assert found is not None
    assert [message["content"] for message in found.messages] == ["1"]
    assert manager.get_or_create("a:b") is session


def test_what_is_loaded_is_what_json_holds_also_where_it_was_saved(
    manager: SessionManager,
) -> None:
    session = manager.get_or_create("a:b")
    session.add_message("user", "1", pair=(1, {2: (3,)}))
    manager.save(session)
    assert repr(loaded(manager).messages[0]["pair"]) == "[1, {'2': [3]}]"
    assert events(manager) == ["SessionCreated", "MessageAppended", "ConfigurationChanged"]
    manager.save(session)  # as it was
    assert len(events(manager)) == 3


def test_what_is_loaded_is_a_copy(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    session.add_message("user", "hello", nested={"a": [1]})
    manager.save(session)
    one = loaded(manager)
    one.messages[0]["nested"]["a"].append(2)
    one.metadata["x"] = 1
    assert loaded(manager).messages == session.messages
    assert loaded(manager).metadata == {}


def test_updated_at_is_the_present_after_a_load(manager: SessionManager) -> None:
    session = Session("a:b", updated_at=datetime(2020, 1, 1))
    manager.save(session)
    assert loaded(manager).updated_at > datetime(2020, 1, 2)


def test_load_of_an_unknown_key_is_none(manager: SessionManager) -> None:
    assert manager._load("nobody") is None


def test_the_list_has_the_last_updated_first(manager: SessionManager) -> None:
    for key, day in (("a:1", 2), ("a:2", 3), ("a:3", 1)):
        manager.save(
            Session(key, created_at=datetime(2020, 1, 1), updated_at=datetime(2020, 1, day))
        )
    listed = manager.list_sessions()
    assert [one["key"] for one in listed] == ["a:2", "a:1", "a:3"]
    assert listed[0] == {
        "key": "a:2",
        "created_at": "2020-01-01T00:00:00",
        "updated_at": "2020-01-03T00:00:00",
        "path": str(manager.sessions_dir / "a_2.jsonl"),
    }


def test_the_list_sees_every_change(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    for day in (1, 3, 2):
        session.updated_at = datetime(2020, 1, day)
        manager.save(session)
        assert manager.list_sessions()[0]["updated_at"] == session.updated_at.isoformat()
    session.add_message("user", "hello")
    manager.save(session)
    assert manager.list_sessions()[0]["updated_at"] == session.updated_at.isoformat()


def test_a_list_reads_no_messages(manager: SessionManager, monkeypatch: pytest.MonkeyPatch) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1")
    manager.save(session)

    def never(*_: object) -> None:
        raise AssertionError("a list read a session")

    monkeypatch.setattr(reads, "state_and_each", never)
    monkeypatch.setattr(reads, "history", never)
    with closing(ours(manager.workspace)) as another:
        assert [one["key"] for one in another.list_sessions()] == ["a:b"]
        with pytest.raises(AssertionError):
            another.get_or_create("a:b")


# -- the two defects of the original -------------------------------------------------------------


def test_a_message_that_json_cannot_hold_loses_nothing(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2", "3")
    manager.save(session)
    before = manager.store.head
    session.messages[1]["content"] = object()
    with pytest.raises(TypeError, match="not JSON serializable"):
        manager.save(session)
    assert manager.store.head == before
    assert [message["content"] for message in loaded(manager).messages] == ["1", "2", "3"]


def test_a_first_save_that_fails_leaves_no_session(manager: SessionManager) -> None:
    with pytest.raises(TypeError):
        manager.save(Session("a:b", [{"role": "user", "content": object()}]))
    assert manager.list_sessions() == []
    assert manager._load("a:b") is None


def test_one_damaged_line_costs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "sessions").mkdir()
    lines = ['{"_type":"metadata","key":"a:b"}', '{"role":"user","content":"1"}', '{"role":',
             '{"role":"user","content":"2"}']  # fmt: skip
    (tmp_path / "sessions" / "a_b.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    manager = ours(tmp_path)
    assert [one["content"] for one in manager.get_or_create("a:b").messages] == ["1", "2"]
    assert "line 3" in caplog.text
    manager.close()


def test_a_damaged_store_is_an_error_and_no_empty_session(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2")
    manager.save(session)
    with closing(ours(manager.workspace / "copy")) as copy:
        path = copy.store.path
        copy.save(session)
    connection = apsw.Connection(path)
    triggers = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
    ).fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE contents SET body = '{' WHERE position = 2")
    connection.close()
    with closing(ours(manager.workspace / "copy")) as copy, pytest.raises(EventStoreError):
        copy.get_or_create("a:b")


# -- what is appended ----------------------------------------------------------------------------


def test_appending_a_message_appends_one_event(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2")
    manager.save(session)
    version = manager.store.session("a:b").version
    session.add_message("user", "3")
    manager.save(session)
    assert events(manager, after=version) == ["MessageAppended"]


def test_saving_again_appends_nothing(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2")
    session.metadata = {"x": (1, 2)}
    session.messages[0]["pair"] = (1, {2: 3})
    manager.save(session)
    head = manager.store.head
    manager.save(session)
    assert manager.store.head == head
    again = loaded(manager)
    again.updated_at = session.updated_at
    manager.save(again)
    assert manager.store.head == head


def test_a_changed_message_retracts_what_follows_and_nothing_is_lost(
    manager: SessionManager,
) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2", "3")
    manager.save(session)
    version = manager.store.session("a:b").version
    session.messages[1]["content"] = "two"
    manager.save(session)
    assert events(manager, after=version) == [
        "MessagesRetracted", "MessageAppended", "MessageAppended",
    ]  # fmt: skip
    assert [message["content"] for message in loaded(manager).messages] == ["1", "two", "3"]
    stored = manager.store.session("a:b")
    assert [view.text for view in stored.messages()] == ["1", "two", "3"]
    assert [view.text for view in stored.history()] == ["1", "2", "3", "two", "3"]


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (0, False), (1, 1.0), (0.0, -0.0), ([1], [True])]
)
def test_a_change_that_python_calls_none_is_found(
    manager: SessionManager, before: Any, after: Any
) -> None:
    session = manager.get_or_create("a:b")
    session.add_message("user", "1", value=before)
    talk(session, "2")
    manager.save(session)
    session.messages[0]["value"] = after
    manager.save(session)
    with closing(ours(manager.workspace)) as another:
        assert repr(another.get_or_create("a:b").messages[0]["value"]) == repr(after)


class Bag(list[Any]):
    """A kind of list."""


@pytest.mark.parametrize("value", [OrderedDict(n=[1]), Bag([[1]])], ids=["dict", "list"])
def test_a_change_within_a_kind_of_dict_or_list_is_found(
    manager: SessionManager, value: Any
) -> None:
    session = manager.get_or_create("a:b")
    session.add_message("user", "1", extra=value)
    manager.save(session)
    (value["n"] if isinstance(value, dict) else value[0]).append(2)
    manager.save(session)
    with closing(ours(manager.workspace)) as another:
        extra = another.get_or_create("a:b").messages[0]["extra"]
        assert extra == json.loads(json.dumps(value))


def test_consolidation_takes_messages_out_of_the_context(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2", "3")
    manager.save(session)
    version = manager.store.session("a:b").version
    session.last_consolidated = 2
    session.updated_at = datetime.now()
    manager.save(session)
    assert events(manager, after=version) == ["MessagesConsolidated", "ConfigurationChanged"]
    stored = manager.store.session("a:b")
    assert [message["content"] for message in stored.chat()] == ["3"]
    assert len(loaded(manager).messages) == 3


@pytest.mark.parametrize("value", [-2, -9, 0, 1, 3, 4, 99])
def test_the_engine_sends_what_nanobot_sends(manager: SessionManager, value: int) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2", "3")
    session.last_consolidated = 2
    manager.save(session)
    session.last_consolidated = value
    for text in ("4", "5"):
        session.add_message("user", text)
        manager.save(session)
        expected = [message["content"] for message in session.messages[value:]]
        stored = manager.store.session("a:b")
        assert [view.text for view in stored.messages()] == expected
        assert loaded(manager).last_consolidated == value
        manager._cache["a:b"] = session


def test_clear_is_stored_as_cleared(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2")
    session.last_consolidated = 1
    manager.save(session)
    version = manager.store.session("a:b").version
    session.clear()
    session.add_message("user", "3")
    manager.save(session)
    assert events(manager, after=version) == [
        "MessagesCleared", "MessageAppended", "ConfigurationChanged",
    ]  # fmt: skip
    found = loaded(manager)
    assert [message["content"] for message in found.messages] == ["3"]
    assert found.last_consolidated == 0


def test_times_of_messages_are_the_engines_too(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    session.add_message("user", "1", timestamp="2026-01-05T10:00:00.000001+00:00")
    manager.save(session)
    [view] = manager.store.session("a:b").messages()
    assert view.at == 1_767_607_200_000_001


def test_the_engine_understands_tool_calls(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    session.add_message("assistant", None, tool_calls=[call])
    session.add_message("tool", "done", tool_call_id="c", name="f")
    manager.save(session)
    [found] = manager.store.session("a:b").tool_calls()
    assert (found.call_id, found.name, found.arguments, found.result) == (
        "c", "f", '{"x": 1}', "done",
    )  # fmt: skip
    assert manager.store.search("done").hits[0].session_id == "a:b"


def test_what_others_append_is_seen(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1")
    manager.save(session)
    manager.store.session("a:b").append("assistant", "from elsewhere")
    found = loaded(manager)
    assert [message["content"] for message in found.messages] == ["1", "from elsewhere"]
    assert found.get_history()[1] == {"role": "assistant", "content": "from elsewhere"}
    datetime.fromisoformat(found.messages[1]["timestamp"])
    manager.list_sessions()


def test_a_fork_is_a_session_like_any_other(manager: SessionManager) -> None:
    session = manager.get_or_create("a:b")
    talk(session, "1", "2", "3")
    session.last_consolidated = 1
    session.metadata = {"x": 1}
    manager.save(session)
    manager.store.session("a:b").fork("a:c")
    fork = manager.get_or_create("a:c")
    assert [message["content"] for message in fork.messages] == ["2", "3"]
    assert (fork.metadata, fork.created_at) == ({"x": 1}, session.created_at)
    fork.messages[1]["content"] = "three"
    fork.add_message("user", "4")
    manager.save(fork)
    assert loaded(manager, "a:c").messages == fork.messages
    assert loaded(manager, "a:b").messages == session.messages
    assert sorted(one["key"] for one in manager.list_sessions()) == ["a:b", "a:c"]


def test_a_session_that_was_cleared_often_is_read_from_where_it_begins(
    manager: SessionManager,
) -> None:
    session = manager.get_or_create("a:b")
    for number in range(3):
        session.clear()
        talk(session, f"{number}", f"{number}!", f"{number}?")
        session.last_consolidated = number
        manager.save(session)
        with closing(ours(manager.workspace)) as another:
            found = another.get_or_create("a:b")
            assert (found.messages, found.last_consolidated) == (session.messages, number)
    assert manager.store.session("a:b").configuration()["first_seq"] == 7  # type: ignore[index]


def test_sessions_of_others_are_not_listed(manager: SessionManager) -> None:
    manager.save(Session("a:b"))
    manager.store.create("other", source="other", configuration={"temperature": 0})
    manager.store.create("spoken").append("user", "hello", metadata={"nanobot": 1, "fields": 2})
    assert [one["key"] for one in manager.list_sessions()] == ["a:b"]
    assert [one["content"] for one in manager.get_or_create("spoken").messages] == ["hello"]


def test_the_adapter_has_no_sql() -> None:
    sources = [*Path(adapter.__path__[0]).glob("*.py"), *Path(importer.__path__[0]).glob("*.py")]
    assert len(sources) > 8
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("SELECT ", "INSERT ", "apsw", "sqlite3")), path


def test_more_sessions_than_are_remembered(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.adapters.nanobot.storage.REMEMBERED_MAX", 2)
    sessions = [manager.get_or_create(f"a:{number}") for number in range(5)]
    for text in ("1", "2"):
        for session in sessions:
            session.add_message("user", text)
            manager.save(session)
    for session in sessions:
        assert loaded(manager, session.key).messages == session.messages
    assert manager.store.session("a:0").version == 4


# -- rules ---------------------------------------------------------------------------------------


@few
@given(st.lists(MESSAGES, max_size=4), JSON)
def test_any_message_and_metadata_come_back_equal(
    tmp_path_factory: pytest.TempPathFactory, messages: list[dict[str, Any]], metadata: Any
) -> None:
    manager = ours(tmp_path_factory.mktemp("w"))
    manager.save(Session("a:b", messages, metadata=metadata))
    manager.close()
    with closing(ours(manager.workspace)) as another:
        found = another.get_or_create("a:b")
    assert exactly([found.messages, found.metadata]) == exactly([messages, metadata])


@many
@given(st.lists(MESSAGES, max_size=6), st.lists(MESSAGES, max_size=6), st.integers(0, 6))
def test_the_first_difference_is_found(
    one: list[dict[str, Any]], other: list[dict[str, Any]], keep: int
) -> None:
    other = json.loads(json.dumps(one[:keep])) + other
    size = 0
    while size < min(len(one), len(other)) and exactly(one[size]) == exactly(other[size]):
        size += 1
    assert Kept([*one]).common(other) == size
    assert all(same(a, b) == (exactly(a) == exactly(b)) for a, b in zip(one, other, strict=False))
    assert Kept([*one]).copies() == one
    assert Kept([*one]).common(tuple(one)) == len(one)  # type: ignore[arg-type]


@many
@given(st.text())
def test_a_key_comes_back_from_its_session_id(key: str) -> None:
    try:
        session_id = session_id_of(key)
    except InvalidValueError:
        assert len(key) > 300
        return
    assert key_of(session_id) == key


def test_a_key_is_its_own_session_id_where_it_can_be() -> None:
    assert session_id_of("telegram:123") == "telegram:123"
    for key in ("a~1", "erased:x", "a\nb", "", "nanobot-key:x"):
        assert session_id_of(key) != key
        assert key_of(session_id_of(key)) == key
    with pytest.raises(InvalidValueError, match="1 to 512 characters"):
        session_id_of("x" * 600)


def test_a_key_is_found_in_a_files_name() -> None:
    assert file_name("telegram:1/2") == "telegram_1_2.jsonl"
    assert key_of_file("telegram_1_2") == "telegram:1_2"
    assert key_of_file("dGVsZWdyYW06MQ") == "telegram:1"
    assert key_of_file("plain") == "plain"


def test_what_is_made_of_a_message_shares_its_objects() -> None:
    entry = {"role": "user", "content": "text", "media": [{"path": "x"}]}
    message = message_of(entry, None, None)
    assert message.content is entry["content"]
    assert message.metadata is not None
    assert message.metadata["nanobot"]["fields"]["media"] is entry["media"]
    assert plain({"a": (1, 2), 3: None}) == {"a": [1, 2], "3": None}
    text = "a text that is long"
    assert plain({"a": [1, {"b": text}]})["a"][1]["b"] is text
    circle: list[Any] = []
    circle.append(circle)
    for value in (circle, {"a": float("nan")}, [float("inf")]):
        with pytest.raises(ValueError, match=r"Circular|Out of range"):
            plain(value)
    with pytest.raises(TypeError):
        plain({"a": [object()]})
