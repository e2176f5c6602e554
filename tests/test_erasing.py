"""An erasure reaches what it should: what was chosen, and all that was derived from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_support import BIG, budget, clean, ticking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import Kind, Message, Session, SessionStore, ToolCall, errors
from eventstore.backup import backup, erasures, restore
from eventstore.erasing import Plan, Reach, Rule, Selection, erase, plan, selection
from eventstore.events.catalogue import (
    ActivityContent,
    ContentErased,
    ExportContent,
    ExportCreated,
    ToolCalled,
)
from eventstore.importers.registry import import_paths
from eventstore.session import runs


@pytest.fixture
def store() -> Any:
    with SessionStore.open(":memory:", clock=ticking()) as opened:
        yield opened
        clean(opened)


def reached(made: Plan) -> dict[str, list[tuple[str, int | None]]]:
    """Types and seqs of the events by the rule that brought them in."""
    found: dict[str, list[tuple[str, int | None]]] = {}
    for item in made.items:
        found.setdefault(item.rule, []).append((item.type, item.seq))
    return found


def chat(store: SessionStore, name: str = "chat") -> Session:
    """A turn with a tool call, its result, its activity, a title and a note over it."""
    session = store.create(name, title="At first")
    session.append("user", "My name is Ada, find my file.")
    call = ToolCall(id="c1", name="find", arguments={"who": "Ada"})
    session.append("assistant", "Looking.", tool_calls=[call])
    session.suspend_tool_calls({"who": "Ada"}, ["c1"])
    session.append("tool", "ada.txt", call_id="c1", tool_name="find")
    session.add_event(ToolCalled(call_id="c1", content=ActivityContent(subject="find Ada")))
    session.set_title("Ada's file")
    session.compact(1, 3, "Ada looks for a file.")
    session.append("user", "Thanks.")
    session.compact(4, 5, "Ada got it.")
    return session


NOTES = [("context.compacted", 4), ("context.compacted", 6)]
TITLE = [("title.set", None)]


def test_notes_over_an_erased_message_go_with_it_and_notes_over_those(store: SessionStore) -> None:
    chat(store)
    made = plan(store, Selection(sessions=("chat",), seqs=((1, 1),)))
    assert reached(made) == {"selected": [("message.appended", 1)], "note": NOTES, "title": TITLE}
    assert [item.because for item in made.items] == [None, 3, 3, 9]


@pytest.mark.parametrize("seq", [2, 3])
def test_a_call_its_result_its_activity_and_what_was_kept_for_it_go_together(
    store: SessionStore, seq: int
) -> None:
    chat(store)
    found = reached(plan(store, Selection(sessions=("chat",), seqs=((seq, seq),))))
    assert found.pop("selected") == [("message.appended", seq)]
    rule, other = ("result", 3) if seq == 2 else ("call", 2)
    assert found == {
        "note": NOTES, "title": TITLE, "activity": [("tool.called", None)],
        "pending": [("tool_calls.suspended", None)], rule: [("message.appended", other)],
    }  # fmt: skip


def test_the_call_of_an_erased_result_does_not_take_its_other_results_along(
    store: SessionStore,
) -> None:
    session = store.create("a")
    calls = [ToolCall(id=f"c{n}", name="find", arguments={"n": n}) for n in (1, 2)]
    session.append("assistant", "two", tool_calls=calls)
    session.append("tool", "one", call_id="c1")
    session.append("tool", "two", call_id="c2")
    made = plan(store, Selection(sessions=("a",), seqs=((2, 2),)))
    assert reached(made) == {
        "selected": [("message.appended", 2)], "call": [("message.appended", 1)]
    }  # fmt: skip
    made = plan(store, Selection(sessions=("a",), seqs=((1, 1),)))
    assert reached(made)["result"] == [("message.appended", 2), ("message.appended", 3)]


def test_a_call_id_that_is_used_again_means_the_last_call_before(store: SessionStore) -> None:
    session = store.create("a")
    for turn in (1, 2):
        session.append("assistant", "go", tool_calls=[ToolCall(id="c", name="f", arguments={})])
        session.append("tool", f"result {turn}", call_id="c")
    made = plan(store, Selection(sessions=("a",), seqs=((2, 2),)))
    assert sorted(item.seq or 0 for item in made.items) == [1, 2]
    made = plan(store, Selection(sessions=("a",), seqs=((3, 3),)))
    assert sorted(item.seq or 0 for item in made.items) == [3, 4]


def test_titles_from_before_stay(store: SessionStore) -> None:
    session = store.create("a", title="Before")
    session.append("user", "hello")
    assert reached(plan(store, Selection(sessions=("a",), seqs=((1, 1),)))) == {
        "selected": [("message.appended", 1)]
    }


def test_a_forks_own_notes_titles_and_results_go_and_the_fork_is_named(store: SessionStore) -> None:
    session = store.create("a")
    session.append("user", "I am Ada.")
    session.append("assistant", "Call", tool_calls=[ToolCall(id="c", name="f", arguments={})])
    fork = session.fork("a/fork-1")
    fork.append("tool", "for Ada", call_id="c")
    fork.set_title("Ada")
    again = fork.fork("a/fork-1/fork-1")
    again.compact(1, 3, "Ada asked.")
    before = session.fork("empty", at=1)
    before.set_title("Not about her")
    made = plan(store, Selection(sessions=("a",), seqs=((1, 2),)))
    assert [(i.session, i.type, i.rule) for i in made.items if i.rule != "selected"] == [
        ("a/fork-1", "message.appended", "result"),
        ("a/fork-1", "title.set", "title"),
        ("a/fork-1/fork-1", "context.compacted", "note"),
    ]
    assert made.forks == ("a/fork-1", "a/fork-1/fork-1")
    done = erase(store, Selection(sessions=("a",), seqs=((1, 2),)), by="desk", basis="law")
    assert [store.session_of(e.stream).id for e in _events(store, done)] == [
        "a", "a/fork-1", "a/fork-1/fork-1",
    ]  # fmt: skip
    assert [m.erased for m in again.history()] == [True] * 4
    assert before.state().title_position is not None


def _events(store: SessionStore, receipt: Any) -> list[Any]:
    return [one for one in store.events() if one.position in receipt.erased.events]


def test_a_message_that_a_fork_took_over_is_erased_where_it_is(store: SessionStore) -> None:
    session = store.create("a")
    session.append("user", "I am Ada.")
    session.fork("f")
    receipt = erase(store, Selection(sessions=("f",), seqs=((1, 1),)))
    assert [item.session for item in receipt.plan.items] == ["a"]
    assert session.message(1).erased


def family(store: SessionStore) -> Session:
    session = store.create("a")
    call = ToolCall(id="c", name="task", arguments={"prompt": "find Ada"})
    session.append("assistant", "Ask", tool_calls=[call])
    child = session.spawn("a/helper", spawn_call_id="c", kind=Kind.SUBAGENT)
    child.append("user", "find Ada")
    session.append("tool", "Ada is here", call_id="c")
    session.append("user", "thanks")
    return session


def test_sub_agents_of_an_erased_call_are_named_or_go_as_a_whole(store: SessionStore) -> None:
    family(store)
    chosen = Selection(sessions=("a",), seqs=((1, 1),))
    made = plan(store, chosen)
    assert (made.sub_agents, made.sessions) == (("a/helper",), ())
    made = plan(store, chosen, Reach(sub_agents=True))
    assert (made.sub_agents, made.sessions) == ((), ("a/helper",))
    assert reached(made)["sub-agent"] == [("session.created", None), ("message.appended", 1)]
    assert plan(store, Selection(sessions=("a",), seqs=((3, 3),))).sub_agents == ()
    receipt = erase(store, Selection(sessions=("a",)), Reach(sub_agents=True))
    assert store.get("a") is store.get("a/helper") is None
    assert receipt.plan.named == ()


def test_what_a_sub_agent_answered_goes_with_it(store: SessionStore) -> None:
    family(store)
    made = plan(store, Selection(sessions=("a/helper",)))
    assert reached(made)["answer"] == [("message.appended", 2)]
    assert reached(made)["call"] == [("message.appended", 1)]


def test_a_whole_session_names_its_forks_sub_agents_and_ids_that_continue_its_own(
    store: SessionStore,
) -> None:
    family(store).fork("elsewhere")
    store.create("a/fork-9")
    store.create("ab")
    made = plan(store, Selection(sessions=("a",)))
    assert (made.sessions, made.forks, made.sub_agents) == (("a",), ("elsewhere",), ("a/helper",))
    assert made.named == ("a/helper", "a/fork-9")
    made = plan(store, Selection(sessions=("a",)), Reach(forks=True))
    assert (made.sessions, made.forks) == (("a", "elsewhere"), ())


def test_the_message_that_keeps_the_record_of_several_goes_with_each_of_them(
    tmp_path: Path,
) -> None:
    """A line of Claude Code with two results leaves two messages, of which the first keeps it."""
    source = tmp_path / "one.jsonl"
    results = [
        {"type": "tool_result", "tool_use_id": f"t{n}", "content": f"secret {n}"} for n in (1, 2)
    ]
    source.write_text(
        '{"type":"user","sessionId":"one","uuid":"u1","timestamp":"2026-01-05T10:00:00Z",'
        '"message":{"role":"user","content":' + json.dumps(results) + "}}\n"
    )
    with SessionStore.open(tmp_path / "s.db") as store:
        list(import_paths(store, [source]))
        session = store.session("one")
        two = [m.seq for m in session.history() if m.text == "secret 2"]
        made = plan(store, Selection(sessions=("one",), seqs=((two[0], two[0]),)))
        assert [(item.rule, item.seq) for item in made.items] == [
            ("record", two[0] - 1), ("selected", two[0])
        ]  # fmt: skip
        made = plan(store, Selection(sessions=("one",), seqs=((two[0] - 1, two[0] - 1),)))
        assert [item.rule for item in made.items] == ["selected"]
        live = session.append("tool", "later, and from no record")
        made = plan(store, Selection(sessions=("one",), seqs=((live, live),)))
        assert [item.rule for item in made.items] == ["selected"]


# -- how far it goes ---------------------------------------------------------------------------


def test_only_what_was_chosen_goes_when_that_is_asked_for_and_the_rest_is_named(
    store: SessionStore,
) -> None:
    session = chat(store)
    receipt = erase(store, Selection(sessions=("chat",), seqs=((1, 1),)), Reach(only=True))
    assert receipt.erased.positions == (3,)
    assert {(item.rule, item.seq) for item in receipt.plan.left} == {
        ("note", 4), ("note", 6), ("title", None)
    }  # fmt: skip
    assert session.message(4).text == "Ada looks for a file."


def test_a_rule_can_be_left_out(store: SessionStore) -> None:
    session = chat(store)
    chosen = Selection(sessions=("chat",), seqs=((1, 1),))
    receipt = erase(store, chosen, Reach(keep=(Rule.TITLE,)))
    assert [item.rule for item in receipt.plan.left] == ["title"]
    assert session.info().title == "Ada's file"
    assert session.message(4).erased
    with pytest.raises(errors.InvalidValueError, match="one can keep"):
        Reach(keep=(Rule.SELECTED,))


# -- choosing ----------------------------------------------------------------------------------


@pytest.fixture
def users(store: SessionStore) -> SessionStore:
    for number, user in enumerate(["u-1", "u-2", "u-1"]):
        session = store.create(f"tg:{user}:{number}", metadata={"user": user, "n": number})
        session.append_many([Message(role="user", content=f"words of {user}", name=user)])
    store.session("tg:u-1:0").close()
    group = store.create("group", metadata={"room": 7})
    for user in ("u-1", "u-2"):
        group.append_many(
            [Message(role="user", content="hi", name=user, metadata={"from": {"id": user}})]
        )
    group.append("assistant", None, reasoning="U-1 is Ada Lovelace")
    return store


@pytest.mark.parametrize(
    ("chosen", "sessions", "single"),
    [
        (Selection(prefix="tg:u-1:"), ["tg:u-1:0", "tg:u-1:2"], []),
        (Selection(metadata=(("user", "u-1"),)), ["tg:u-1:0", "tg:u-1:2"], []),
        (Selection(metadata=(("user", "u-1"), ("n", "2"))), ["tg:u-1:2"], []),
        (Selection(metadata=(("room", "7"),)), ["group"], []),
        (Selection(metadata=(("user", "u"),)), [], []),
        (Selection(author="u-2"), [], [("tg:u-2:1", 1), ("group", 2)]),
        (Selection(sessions=("group",), author="u-2"), [], [("group", 2)]),
        (Selection(prefix="tg:", query="words"), [],
         [("tg:u-1:0", 1), ("tg:u-2:1", 1), ("tg:u-1:2", 1)]),
        (Selection(message_metadata=(("from", '{"id":"u-1"}'),)), [], [("group", 1)]),
        (Selection(text="lovelace"), [], [("group", 3)]),
        (Selection(text="nowhere"), [], []),
        (Selection(sessions=("group",), seqs=((2, None),)), [], [("group", 2), ("group", 3)]),
        (Selection(positions=((2, 2),)), [], [("tg:u-1:0", 1)]),
    ],
)  # fmt: skip
def test_a_selection_names_what_it_says(
    users: SessionStore,
    chosen: Selection,
    sessions: list[str],
    single: list[tuple[str, int]],
) -> None:
    made = plan(users, chosen)
    assert list(made.sessions) == sessions
    if not sessions:
        assert [(item.session, item.seq) for item in made.items] == single


def test_a_search_means_every_hit_hidden_ones_too(store: SessionStore) -> None:
    session = store.create("a")
    for _ in range(3):
        session.append("user", "needle")
    session.retract(2)
    closed = store.create("closed")
    closed.append("user", "a needle")
    closed.close()
    session.add_event(ToolCalled(content=ActivityContent(subject="needle")))
    made = plan(store, Selection(query="needle"))
    assert [(item.session, item.type) for item in made.items] == [
        ("a", "message.appended"), ("a", "message.appended"), ("a", "message.appended"),
        ("closed", "message.appended"), ("a", "tool.called"),
    ]  # fmt: skip
    receipt = erase(store, Selection(query="needle"))
    assert len(receipt.erased.positions) == 5
    assert plan(store, Selection(query="needle")).items == ()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Selection(), "nothing was chosen"),
        (lambda: Selection(prefix=""), "would choose everything"),
        (lambda: Selection(text=" "), "would choose everything"),
        (lambda: Selection(seqs=((1, 1),)), "name the session"),
        (lambda: Selection(positions=((0, 2),)), "no range"),
        (lambda: Selection(sessions=("a",), seqs=((3, 2),)), "no range"),
    ],
)
def test_a_selection_without_sense_is_refused(make: Callable[[], Selection], match: str) -> None:
    with pytest.raises(errors.EventStoreError, match=match):
        make()


def test_what_is_not_there_cannot_be_chosen(users: SessionStore) -> None:
    for chosen, error in (
        (Selection(sessions=("none",)), errors.UnknownSessionError),
        (Selection(sessions=("group",), seqs=((9, 9),)), errors.UnknownMessageError),
        (Selection(positions=((1, 999),)), errors.InvalidRangeError),
        (Selection(query="?!"), errors.InvalidValueError),
    ):
        with pytest.raises(error):
            plan(users, chosen)


@pytest.mark.parametrize(
    "chosen",
    [
        Selection(text="Ada"),
        Selection(author="ada"),
        Selection(query="ada"),
        Selection(message_metadata=(("from", "ada"),)),
        Selection(metadata=(("user", "ada"),)),
        Selection(prefix="ada"),
    ],
)
def test_what_is_appended_while_it_is_looked_for_is_erased_too(
    store: SessionStore, chosen: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(name: str) -> None:
        session = store.create(name, metadata={"user": "ada"})
        message = Message(role="user", content="Ada", name="ada", metadata={"from": "ada"})
        session.append_many([message])

    prepare, transact = selection.prepared, store.log.transact

    def looked(*arguments: Any) -> None:
        """Have somebody speak between the look at the file and the transaction."""
        prepare(*arguments)
        monkeypatch.setattr(store.log, "transact", late)

    def late(*arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        say("ada-2")
        return transact(*arguments, **options)

    say("ada-1")
    monkeypatch.setattr(selection, "prepared", looked)
    receipt = erase(store, chosen)
    assert {item.session for item in receipt.plan.items} == {"ada-1", "ada-2"}


# -- what is on the record ---------------------------------------------------------------------


def test_each_session_has_one_event_that_says_who_why_and_what_was_derived(
    store: SessionStore,
) -> None:
    chat(store)
    store.create("b").append("user", "Ada again")
    chosen = Selection(sessions=("chat", "b"), seqs=((1, 1),))
    receipt = erase(store, chosen, by="desk", reason="request 12", basis="GDPR 17(1)(b)")
    found = [one.event for one in _events(store, receipt)]
    assert all(isinstance(one, ContentErased) for one in found)
    assert [(one.by, one.reason, one.basis, one.scope) for one in found] == [
        ("desk", "request 12", "GDPR 17(1)(b)", "event")
    ] * 2
    assert [list(runs.numbers_of(one.positions)) for one in found] == [[3, 8, 9, 11], [13]]
    assert [list(runs.numbers_of(one.derived)) for one in found] == [[8, 9, 11], []]


def test_it_is_one_transaction(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = chat(store, "one"), chat(store, "two")
    head = store.head

    def fails(*_: Any) -> None:
        raise errors.StoreError("no")

    monkeypatch.setattr(store.derived, "erase", fails)
    with pytest.raises(errors.StoreError):
        erase(store, Selection(sessions=("one", "two")))
    assert store.head == head
    assert not one.message(1).erased
    assert not two.message(1).erased


def test_the_index_is_brought_in_order_once_for_all_sessions(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        store.create(f"s{number}").append("user", "same words")
    store.search("same")
    told = []
    before = store.derived.erase
    monkeypatch.setattr(store.derived, "erase", lambda c, p: (told.append(list(p)), before(c, p)))
    erase(store, Selection(prefix="s"))
    assert [len(one) for one in told] == [10]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"reason": "she wrote: My name is Ada, find my file."}, "reason repeats .* position 3"),
        ({"reason": "ada.TXT went"}, "reason repeats .* position 4"),
        ({"by": "c0ffee42"}, "by repeats .* position 12"),
        ({"basis": "x" * 201}, "at most 200"),
    ],
)
def test_what_stays_for_good_must_not_repeat_what_is_erased(
    store: SessionStore, words: dict[str, str], match: str
) -> None:
    chat(store)
    store.session("chat").append("user", "token C0FFEE42 please")
    with pytest.raises(errors.InvalidValueError, match=match):
        erase(store, Selection(sessions=("chat",)), **words)
    assert not store.session("chat").message(1).erased


def test_what_stays_for_good_must_not_repeat_what_was_looked_for(users: SessionStore) -> None:
    for chosen in (Selection(text="Ada"), Selection(query="ada"), Selection(author="u-1")):
        with pytest.raises(errors.InvalidValueError, match="looked for"):
            erase(users, chosen, reason="about Ada, U-1")


def test_a_plan_that_no_longer_holds_is_refused(store: SessionStore) -> None:
    session = chat(store)
    chosen = Selection(sessions=("chat",))
    made = plan(store, chosen)
    session.append("user", "one more")
    with pytest.raises(errors.PlanChangedError, match="1 more event"):
        erase(store, chosen, confirmed=made)
    assert erase(store, chosen, confirmed=plan(store, chosen)).erased.complete


def test_earlier_exports_and_their_recipients_are_named(store: SessionStore) -> None:
    session = store.create("a")
    for number in range(3):
        session.append("user", f"message {number}")
    for version, whom in ((2, "early"), (4, "court")):
        content = ExportContent(recipient=whom)
        session.add_event(ExportCreated(format="jsonl", to_version=version, content=content))
    other = store.create("b")
    other.add_event(ExportCreated(format="html", to_version=9))
    made = plan(store, Selection(sessions=("a",), seqs=((3, 3),)))
    assert [(one.recipient, one.format, one.session) for one in made.exports] == [
        ("court", "jsonl", "a")
    ]
    made = plan(store, Selection(sessions=("a",), seqs=((1, 1),)))
    assert [one.recipient for one in made.exports] == ["early", "court"]


def test_large_texts_that_others_share_are_named(store: SessionStore) -> None:
    one, two = store.create("a"), store.create("b")
    one.append("user", BIG)
    two.append("user", BIG)
    receipt = erase(store, Selection(sessions=("a",)))
    assert receipt.erased.shared_blobs == (two.history()[0].position,)
    assert two.message(1).text == BIG


def test_a_restored_backup_has_the_derived_erased_too(tmp_path: Path) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    with SessionStore.open(path) as store:
        chat(store)
        backup(path, copy)
        receipt = erase(
            store, Selection(sessions=("chat",), seqs=((1, 1),)), by="desk", basis="law"
        )
    [listed] = erasures(path)
    assert (listed.basis, len(listed.events), len(listed.derived)) == ("law", 4, 3)
    done = restore(copy, path)
    assert done.erased == receipt.erased.positions
    [again] = erasures(path)
    assert (again.basis, again.events, again.derived) == (
        listed.basis, listed.events, listed.derived
    )  # fmt: skip
    with SessionStore.open(path) as store:
        assert store.session("chat").message(4).erased
        clean(store)


# -- as a rule ---------------------------------------------------------------------------------

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "call", "result", "compact", "title", "fork", "activity"]),
        st.integers(0, 3),
        st.integers(0, 9),
    ),
    min_size=4,
    max_size=30,
)


def played(store: SessionStore, operations: list[tuple[str, int, int]]) -> list[Session]:
    sessions = [store.create("s0")]
    for operation, who, number in operations:
        session = sessions[who % len(sessions)]
        active = [message.seq for message in session.messages()]
        match operation:
            case "say":
                session.append("user", f"text {number}")
            case "call":
                call = ToolCall(id=f"c{number % 3}", name="f", arguments={"n": number})
                session.append("assistant", "x", tool_calls=[call])
            case "result":
                session.append("tool", "y", call_id=f"c{number % 3}")
            case "compact" if active:
                start = number % len(active)
                session.compact(active[start], active[min(start + 2, len(active) - 1)], "note")
            case "title":
                session.set_title(f"title {number}")
            case "fork" if len(sessions) < 4:
                sessions.append(session.fork(f"s{len(sessions)}"))
            case "activity":
                session.add_event(
                    ToolCalled(call_id=f"c{number % 3}", content=ActivityContent(subject="z"))
                )
    return sessions


@settings(max_examples=budget(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OPERATIONS, st.data())
def test_what_is_reached_is_closed_grows_with_the_selection_and_is_gone_afterwards(
    operations: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    with SessionStore.open(":memory:") as store:
        sessions = played(store, operations)
        own = [(s, m) for s in sessions for m in s.history()]
        if not own:
            return
        _, message = data.draw(st.sampled_from(own))
        _, other = data.draw(st.sampled_from(own))
        small = Selection(positions=((message.position, message.position),))
        large = Selection(positions=(*small.positions, (other.position, other.position)))
        found = plan(store, small)
        assert set(found.positions) <= set(plan(store, large).positions)
        for carrier in sessions:
            gone = {m.seq for m in carrier.history() if m.position in found.positions}
            for compaction in carrier.compactions():
                if gone & set(runs.numbers_of(compaction.runs)):
                    assert compaction.seq in gone
        receipt = erase(store, small)
        assert receipt.erased.positions == found.positions
        assert plan(store, small).items == ()
        assert all(m.erased == (m.position in found.positions) for _, m in _all(sessions))
        clean(store)


def _all(sessions: list[Session]) -> list[tuple[Session, Any]]:
    return [(session, message) for session in sessions for message in session.history()]
