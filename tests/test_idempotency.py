"""Idempotency keys: a retry gives the first answer, anything else under the key is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_support import clean

from eventstore import CustomEvent, Message, SessionStore, UsageRecorded, errors, exactly
from eventstore.log.port import unchanged_since
from eventstore.session import commands as do
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with SessionStore.open(tmp_path / "s.db", durability="normal") as opened:
        opened.create("a")
        yield opened
        session = opened.session("a")
        assert session.state() == fold_all(SessionState(), session.events())  # nothing twice
        clean(opened)


def batch(*keys: str | None, text: str = "t") -> list[Message]:
    return [
        Message(role="user", content=f"{text}{index}", key=key) for index, key in enumerate(keys)
    ]


def test_none_stored_appends_and_all_stored_gives_the_originals(store: SessionStore) -> None:
    a = store.session("a")
    assert a.append_many(batch("k0", "k1")) == [1, 2]
    head = store.head
    for _ in range(3):
        assert a.append_many(batch("k0", "k1")) == [1, 2]
        assert a.append("user", "t0", key="k0") == 1
    assert store.head == head


def test_a_retry_with_other_messages_in_between_gives_the_originals(store: SessionStore) -> None:
    a = store.session("a")
    a.append_many(batch("k0", "k1"))
    a.append("user", "later")
    a.retract(2)
    assert a.append_many(batch("k0", "k1")) == [1, 2]


def test_some_stored_is_an_error_that_names_both(store: SessionStore) -> None:
    a = store.session("a")
    a.append_many(batch("k0"))
    head = store.head
    with pytest.raises(errors.PartialRetryError) as caught:
        a.append_many(batch("k0", "k1"))
    assert (caught.value.present, caught.value.absent) == (("k0",), ("k1",))
    assert "k0" in str(caught.value)
    assert "k1" in str(caught.value)
    assert store.head == head


@pytest.mark.parametrize(
    "other",
    [
        Message(role="user", content="other", key="k0"),
        Message(role="assistant", content="t0", key="k0"),
        Message(role="user", content="t0", tokens=5, key="k0"),
        Message(role="user", content="t0", metadata={"a": 1}, key="k0"),
        Message(role="user", content=None, key="k0"),
    ],
)
def test_the_same_key_with_another_event_is_an_error(store: SessionStore, other: Message) -> None:
    a = store.session("a")
    a.append_many(batch("k0"))
    head = store.head
    with pytest.raises(errors.KeyReusedError, match="k0"):
        a.append_many([other])
    with pytest.raises(errors.KeyReusedError, match="k0"):
        a.add_event(CustomEvent(name="x.a.b"), key="k0")
    assert store.head == head


def test_facts_alone_tell_a_reuse_from_a_retry(store: SessionStore) -> None:
    a = store.session("a")

    def use(count: int) -> Any:
        usage = UsageRecorded(key="r", input=count)
        return store.execute([(a, do.RecordUsage(usage=usage, key="k"))])

    first = use(1)
    assert use(1)[0][0].position == first[0][0].position
    with pytest.raises(errors.KeyReusedError):
        use(2)


def test_a_key_twice_in_one_batch_is_an_error(store: SessionStore) -> None:
    head = store.head
    with pytest.raises(errors.KeyReusedError, match="twice"):
        store.session("a").append_many(batch("k0", "k0"))
    assert store.head == head


@pytest.mark.parametrize(
    "keys", [("k0", None, None), (None, "k1", None), (None, None, "k2"), ("k0", None, "k2")]
)
def test_a_batch_of_which_some_have_keys_is_retried_whole(
    store: SessionStore, keys: tuple[str | None, ...]
) -> None:
    a = store.session("a")
    a.append("user", "before")
    assert a.append_many(batch(*keys)) == [2, 3, 4]
    a.append("user", "after")
    head = store.head
    assert a.append_many(batch(*keys)) == [2, 3, 4]
    with pytest.raises(errors.KeyReusedError):
        a.append_many(batch(*keys, text="other"))
    assert store.head == head
    a.close()
    assert a.append_many(batch(*keys)) == [2, 3, 4]


def test_the_key_of_a_command_covers_all_its_messages(store: SessionStore) -> None:
    a = store.session("a")
    command = do.Append(messages=tuple(batch(None, None)), key="command")
    first = store.execute([(a, command)])
    head = store.head
    again = store.execute([(a, command)])
    assert [r.position for r in again[0]] == [r.position for r in first[0]]
    assert len(again[0]) == 2
    assert store.head == head


def test_keys_hold_within_one_session_only(store: SessionStore) -> None:
    store.create("b")
    for name in ("a", "b"):
        assert store.session(name).append("user", "x", key="k") == 1
    assert store.session("b").fork("f").append("user", "y", key="k") == 2


def test_keys_hold_over_reopening_and_closing(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    with SessionStore.open(path) as store:
        store.create("a", key="c", title="t").append_many(batch("k0", "k1"))
    with SessionStore.open(path) as store:
        a = store.create("a", key="c", title="t")
        assert a.append_many(batch("k0", "k1")) == [1, 2]
        with pytest.raises(errors.KeyReusedError):
            a.append("user", "other", key="k1")
        a.close()
    with SessionStore.open(path) as store:
        a = store.session("a")
        assert a.append_many(batch("k0", "k1")) == [1, 2]
        with pytest.raises(errors.KeyReusedError):
            a.append("user", "other", key="k1")
        with pytest.raises(errors.SessionClosedError):
            a.append("user", "new", key="k2")
        clean(store)


def test_after_erasure_the_key_still_answers(store: SessionStore) -> None:
    a = store.session("a")
    a.append_many(batch("k0"))
    position = store.head.position
    a.erase_events([position])
    assert a.append("user", "t0", key="k0") == 1
    assert a.append("user", "whatever it was", key="k0") == 1  # nobody can compare any more
    with pytest.raises(errors.KeyReusedError):
        a.append("assistant", "t0", key="k0")  # but the facts are still there


@pytest.mark.parametrize("act", ["compact", "retract", "consolidate", "clear", "end", "title"])
def test_every_command_can_be_retried_under_its_key(store: SessionStore, act: str) -> None:
    a = store.session("a")
    a.append_many(batch(None, None, None))
    note = Message(role="system", content="note")
    command: Any = {
        "compact": do.Compact(from_seq=1, to_seq=2, note=note, key="k"),
        "retract": do.Retract(from_seq=2, key="k"),
        "consolidate": do.Consolidate(to_seq=2, key="k"),
        "clear": do.Clear(key="k"),
        "end": do.End(reason="r", key="k"),
        "title": do.SetTitle(title="t", key="k"),
    }[act]
    first = store.execute([(a, command)])[0]
    again = store.execute([(a, command)])[0]
    assert [r.position for r in again] == [r.position for r in first]
    assert store.head.position == first[0].position


def test_a_compaction_under_a_used_key_with_another_note_is_an_error(store: SessionStore) -> None:
    a = store.session("a")
    a.append_many(batch(None, None, None))
    assert a.compact(1, 2, "note", key="k") == 4
    assert a.compact(1, 2, "note", key="k") == 4
    with pytest.raises(errors.KeyReusedError):
        a.compact(1, 2, "another", key="k")


def test_a_retried_creation_gives_the_same_session(store: SessionStore) -> None:
    first = store.create("b", title="t", prompt="p", key="c")
    assert store.create("b", title="t", prompt="p", key="c").stream == first.stream
    assert first.version == 3
    with pytest.raises(errors.SessionExistsError):
        store.create("b", key="other")
    with pytest.raises(errors.SessionExistsError):
        store.create("b", key="c", metadata={"another": 1})


def test_unchanged_since_is_broken_by_events_that_commute_too() -> None:
    with SessionStore.open(":memory:") as store:
        a, b = store.create("a"), store.create("b")
        version = a.version
        a.set_title("Title")
        batch = [
            (b, do.SetTitle(title="B")),
            (a, do.Append(messages=(Message(role="user", content="x"),))),
        ]
        with pytest.raises(errors.VersionConflictError):
            store.execute(batch, {a: unchanged_since(version)})
        assert b.title() is None
        store.execute(batch, {a: exactly(version), b: unchanged_since(b.version)})
        assert (b.title(), a.messages()[0].text) == ("B", "x")


def test_an_expectation_holds_before_the_first_event_even_after_commands_without_any() -> None:
    with SessionStore.open(":memory:") as store:
        a = store.create("a")
        idle = do.Reopen()
        say = do.Append(messages=(Message(role="user", content="x"),))
        with pytest.raises(errors.VersionConflictError):
            store.execute([(a, idle), (a, say)], unchanged_since(99))
        assert a.messages() == []
