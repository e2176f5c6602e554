"""What a model was sent is given back exactly, in each provider's form, with what notes cover."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asof_support import Operation, apply, operations, store_of
from engine_support import budget, populated
from hypothesis import HealthCheck, given, settings
from import_samples import data_folder, import_one

from eventstore import At, Message, Session, SessionStore, ToolCall
from eventstore.conversation import ERASED, UNANSWERED
from eventstore.conversation.anthropic import BEGINNING
from eventstore.errors import InvalidValueError
from eventstore.events import catalogue as ev

quick = settings(
    max_examples=budget(60), deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def session() -> Iterator[Session]:
    with SessionStore.open(":memory:") as store:
        yield store.create("s")


def anthropic(session: Session, **options: Any) -> list[dict[str, Any]]:
    return session.context(format="anthropic", **options).sent["messages"]  # type: ignore[no-any-return]


def call(call_id: str | None, arguments: object = None) -> ToolCall:
    return ToolCall(id=call_id, name="bash", arguments=arguments)


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


# -- around compactions --------------------------------------------------------------------------


def test_before_and_after_a_compaction_it_is_what_chat_gave_then(session: Session) -> None:
    session.change_prompt("Be brief.")
    seen = []
    for number in range(1, 4):
        session.append("user", f"question {number}")
        session.append("assistant", f"answer {number}")
        before = session.chat(), session.messages()
        active = before[1]
        session.compact(active[0].seq, active[-2].seq, f"note {number}")
        seen.append((number, before, (session.chat(), session.messages())))
    session.append("user", "later")
    for number, before, after in seen:
        for point, (chat, messages) in (
            (At.before_compaction(number), before), (At.after_compaction(number), after)
        ):  # fmt: skip
            made = session.context(point)
            assert made.sent == chat
            assert list(made.messages) == messages
            assert made.version == session.version_at(point)


def test_a_note_covers_what_the_notes_that_it_folded_covered(session: Session) -> None:
    for number in range(1, 7):
        session.append("user", str(number))
    first = session.compact(1, 3, "1 to 3")
    second = session.compact(first, 4, "1 to 4")
    session.append("user", "tail")
    third = session.compact(second, 5, "1 to 5")
    [one] = session.context().coverage
    assert (one.seq, one.messages, one.notes, one.count) == (third, ((1, 5),), (second, first), 5)
    assert one.runs == ((second, 1), (5, 1))
    assert session.context(At.before_compaction(1)).coverage == ()
    [then] = session.context(At.after_compaction(1)).coverage
    assert (then.messages, then.notes) == (((1, 3),), ())
    fork = session.fork("f")
    fork.append("user", "more")
    last = fork.compact(third, third, "again")
    [inherited] = fork.context().coverage
    assert (inherited.seq, inherited.messages) == (last, ((1, 5),))
    assert inherited.notes == (third, second, first)


def test_what_the_origin_compacts_after_the_fork_is_not_in_the_fork(session: Session) -> None:
    session.append("user", "one")
    fork = session.fork("f")
    assert session.compact(1, 1, "note") == fork.append("user", "two") == 2
    assert fork.context().coverage == ()
    fork.compact(1, 2, "all")
    assert [one.messages for one in fork.context().coverage] == [((1, 2),)]


@quick
@given(history=operations)
def test_coverage_is_every_message_below_a_note_once(history: list[Operation]) -> None:
    def below(seq: int, folded: dict[int, list[int]]) -> list[int]:
        if seq not in folded:
            return [seq]
        return [found for one in folded[seq] for found in below(one, folded)]

    def folds(session: Session, upto: int | None) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for recorded in session.events(upto=upto):
            match recorded.event:
                case ev.SessionForked() as e:
                    found.update(folds(session.store.session_of(e.origin), e.origin_version))  # type: ignore[attr-defined]
                case ev.ContextCompacted() as e:
                    found[e.seq] = [first + n for first, size in e.runs for n in range(size)]
        return found

    with store_of(()) as store:
        sessions: list[Session] = []
        apply(store, sessions, ("append", 0, 0, 0))
        for operation in history:
            apply(store, sessions, operation)
        for session in sessions:
            folded = folds(session, None)
            for point in (None, session.version // 2):
                made = session.context(point)
                notes = [message.seq for message in made.messages if message.seq in folded]
                assert [one.seq for one in made.coverage] == notes
                for one in made.coverage:
                    expanded = [first + n for first, size in one.messages for n in range(size)]
                    assert expanded == below(one.seq, folded)
                    assert one.count == len(expanded)


# -- Anthropic's form ----------------------------------------------------------------------------


@quick
@given(history=operations)
def test_anthropic_messages_alternate_and_every_call_is_answered_next(
    history: list[Operation],
) -> None:
    with store_of(()) as store:
        sessions: list[Session] = []
        apply(store, sessions, ("append", 0, 0, 0))
        for operation in history:
            apply(store, sessions, operation)
        for session in sessions:
            messages = anthropic(session)
            roles = [message["role"] for message in messages]
            assert roles == [("user", "assistant")[n % 2] for n in range(len(roles))]
            for message, after in zip(messages, [*messages, None][1:], strict=True):
                blocks = message["content"]
                assert blocks
                asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
                answers = [] if after is None else after["content"][: len(asked)]
                assert [block.get("tool_use_id") for block in answers] == asked
                results = [block for block in blocks if block["type"] == "tool_result"]
                assert results == blocks[: len(results)], "results come first"
            chat = session.chat(prompt=False)
            assert sum(m["role"] == "tool" for m in chat) == sum(
                block["type"] == "tool_result" for m in messages for block in m["content"]
            )


def test_results_and_the_words_that_follow_are_one_message(session: Session) -> None:
    session.change_prompt("Be brief.")
    session.append("user", "go")
    session.append("assistant", "I look.", tool_calls=[call("a", '{"n": 1}'), call("b")])
    session.append("tool", "second", call_id="b", failed=True)
    session.append("tool", [{"type": "text", "text": "first"}], call_id="a")
    session.append("user", "thanks")
    made = session.context(format="anthropic").sent
    assert made["system"] == "Be brief."
    assert made["messages"] == [
        {"role": "user", "content": [text("go")]},
        {"role": "assistant", "content": [
            text("I look."),
            {"type": "tool_use", "id": "a", "name": "bash", "input": {"n": 1}},
            {"type": "tool_use", "id": "b", "name": "bash", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": [text("first")]},
            {"type": "tool_result", "tool_use_id": "b", "content": "second", "is_error": True},
            text("thanks"),
        ]},
    ]  # fmt: skip


def test_an_assistant_who_speaks_first_is_preceded_by_the_user(session: Session) -> None:
    session.append("assistant", "welcome")
    assert anthropic(session) == [
        {"role": "user", "content": [text(BEGINNING)]},
        {"role": "assistant", "content": [text("welcome")]},
    ]


@pytest.mark.parametrize(
    ("rule", "answers"), [("placeholder", [UNANSWERED]), ("keep", []), ("drop", [])]
)
def test_unanswered_calls_and_orphans_follow_the_rule_of_chat(
    session: Session, rule: Any, answers: list[str]
) -> None:
    session.append("user", "go")
    session.append("tool", "whose?", call_id="nobody")
    session.append("assistant", "hm", tool_calls=[call("a")])
    blocks = [one for m in anthropic(session, unanswered=rule) for one in m["content"]]
    assert [b["content"] for b in blocks if b["type"] == "tool_result"] == answers
    assert [b["id"] for b in blocks if b["type"] == "tool_use"] == (["a"] * (rule != "drop"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"n": 1}, {"n": 1}), (None, {}), ('{"n": 1}', {"n": 1}),
        ('{"half":', {"arguments": '{"half":'}), ("[1]", {"arguments": "[1]"}),
        ([1], {"arguments": [1]}), ("\ud83d", {"arguments": "\ud83d"}),
    ],
)  # fmt: skip
def test_the_input_of_a_call_is_an_object(
    session: Session, arguments: object, expected: dict[str, Any]
) -> None:
    session.append("user", "go")
    session.append("assistant", tool_calls=[call(None, arguments)])
    [asked] = anthropic(session)[1]["content"]
    [answer] = anthropic(session)[2]["content"]
    assert asked["input"] == expected
    assert asked["id"] == answer["tool_use_id"] != ""


def test_thinking_is_given_back_where_its_signature_is(session: Session) -> None:
    whole = {"type": "thinking", "thinking": "all of it", "signature": "s2"}
    redacted = {"type": "redacted_thinking", "data": "…"}
    signed = {"type": "thinking", "signature": "s1"}
    session.append("user", "go")
    session.append("assistant", "a", reasoning="why", reasoning_items=[signed, redacted])
    session.append("assistant", "b", reasoning="all of it", reasoning_items=[whole])
    session.append("assistant", "c", reasoning="unsigned")
    session.append("assistant", "d", reasoning="x\n\ny", reasoning_items=[signed, signed])
    assert anthropic(session)[1]["content"] == [
        {"type": "thinking", "thinking": "why", "signature": "s1"}, redacted, text("a"),
        whole, text("b"), text("c"), text("d"),
    ]  # fmt: skip


def test_parts_have_anthropics_form(session: Session) -> None:
    session.append(
        "user",
        [
            "plain",
            {"type": "input_text", "text": "in"},
            {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "image", "source": {"type": "url", "url": "u"}},
            {"type": "blob", "n": 1},
        ],
    )
    assert anthropic(session)[0]["content"] == [
        text("plain"),
        text("in"),
        {"type": "image",
         "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "url", "url": "u"}},
        text('{"type":"blob","n":1}'),
    ]  # fmt: skip


def test_a_note_is_said_by_the_user_where_it_stands(session: Session) -> None:
    for words in ("one", "two"):
        session.append("user", words)
    session.compact(1, 1, "note")
    assert anthropic(session) == [{"role": "user", "content": [text("note"), text("two")]}]


# -- text, and what is erased --------------------------------------------------------------------


def test_the_text_has_every_word_in_order(session: Session) -> None:
    session.change_prompt("Be brief.")
    session.append("user", [{"type": "text", "text": "go"}, {"type": "blob", "n": 1}])
    session.append("assistant", "I look.", reasoning="why", tool_calls=[call("a", {"n": 1})])
    session.append("tool", "found", call_id="a", failed=True)
    session.append("assistant", tool_calls=[call("b", "raw")])
    assert session.context(format="text", reasoning=True).sent == (
        '## system\n\nBe brief.\n\n## user #1\n\ngo\n\n{"type":"blob","n":1}\n\n'
        '## assistant #2\n\n[thinking] why\n\nI look.\n\n[calls bash as a] {"n":1}\n\n'
        "## tool #3\n\n[answers a, failed] found\n\n## assistant #4\n\n[calls bash as b] raw\n\n"
        f"## tool\n\n[answers b] {UNANSWERED}\n"
    )


@pytest.mark.parametrize("form", ["openai", "anthropic", "text"])
def test_erased_text_reads_erased_in_every_form(form: Any) -> None:
    with populated(":memory:") as store:
        for session in (store.session("root"), store.session("fork"), store.session("other")):
            session.erase()
            for version in range(session.version + 1):
                made = session.context(version, format=form)
                shown = [m for m in made.messages if m.role != "tool"]
                assert str(made.sent).count(ERASED) == len(shown)
                assert "hello" not in str(made.sent)


def test_a_format_that_is_not_there_is_refused(session: Session) -> None:
    with pytest.raises(InvalidValueError, match="openai, anthropic or text"):
        session.context(format="gemini")  # type: ignore[arg-type]


def test_limit_and_prompt_are_those_of_chat(session: Session) -> None:
    session.change_prompt("Be brief.")
    session.append_many([Message(role="user", content=str(n)) for n in range(9)])
    assert session.context(limit=3, prompt=False).sent == session.chat(limit=3, prompt=False)
    assert anthropic(session, limit=2) == [{"role": "user", "content": [text("7"), text("8")]}]


def test_real_sessions_alternate_and_answer_every_call(tmp_path: Path) -> None:
    folder = data_folder("entire-claude-code")
    path = next(iter(sorted(folder.glob("a6_*.jsonl"))))
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        import_one(store, path)
        for info in store.sessions():
            session = store.session(info.name)
            for compaction in session.compactions():
                before = session.context(At.before_compaction(compaction.number))
                assert before.sent == session.chat(compaction.version - 1)
            messages = anthropic(session)
            roles = [message["role"] for message in messages]
            assert roles == [("user", "assistant")[n % 2] for n in range(len(roles))]
