"""Running a loop against a recording: the same loop passes, a changed one stops with a report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from cli_support import ROOT, db, run
from engine_support import budget
from hypothesis import given, settings

from eventstore import At, Message, Session, SessionStore, ToolCall, errors
from eventstore.replaying import comparing, scripts
from eventstore.replaying.exchanges import script_of
from eventstore.replaying.recording import Recording
from eventstore.testing.fixtures import load, walk

__all__ = ["db"]

Chat = dict[str, Any]

#: The loop that the tests record and replay, in a file of its own for tests that are written.
LOOP = '''
"""A small agent: calls tools, and folds the beginning of a context that grew."""


def loop(start, inputs, model, tool, summarise, *, limit=8, tell=lambda *_: None, system=None):
    context = list(start)
    if system is not None:
        context[0] = {"role": "system", "content": system}
    for given in inputs:
        context.append(given)
        tell("input", given)
        while True:
            answer = model(context)
            context.append(answer)
            tell("answer", answer)
            for call in answer.get("tool_calls", ()):
                function = call["function"]
                result = tool(function["name"], function["arguments"])
                made = {"role": "tool", "tool_call_id": call["id"], "content": result}
                context.append(made)
                tell("result", made)
            if not answer.get("tool_calls"):
                break
        if len(context) > limit:
            kept = next(i for i in range(len(context) - 3, 0, -1) if context[i]["role"] == "user")
            note = {"role": "system", "content": summarise(), "name": "compact_note"}
            tell("fold", kept)
            context[1:kept] = [note]


def run(recording, **changed):
    given = (recording.start, recording.inputs, recording.model, recording.tool, recording.note)
    return loop(*given, **changed)
'''

names: dict[str, Any] = {}
exec(LOOP, names)
loop: Callable[..., None] = names["loop"]
replayed: Callable[..., None] = names["run"]


class Scripted:
    """A model that calls a tool every other time, and a store that hears what is said."""

    def __init__(self, session: Session, texts: list[str]) -> None:
        self.session = session
        self.texts = texts
        self.calls = 0

    def model(self, context: list[Chat]) -> Chat:
        self.calls += 1
        if self.calls % 2:
            function = {"name": "look", "arguments": json.dumps({"n": self.calls})}
            call = {"id": f"c{self.calls}", "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        return {"role": "assistant", "content": f"answer {self.calls}"}

    def tool(self, name: str, arguments: str) -> str:
        return f"{name} found {arguments}"

    def summarise(self) -> str:
        return f"note {self.calls}"

    def tell(self, what: str, value: Any) -> None:
        session = self.session
        match what:
            case "input":
                session.append("user", value["content"])
            case "answer":
                calls = [
                    ToolCall(id=one["id"], name=one["function"]["name"],
                             arguments=json.loads(one["function"]["arguments"]))
                    for one in value.get("tool_calls", ())
                ]  # fmt: skip
                session.append("assistant", value["content"], tool_calls=calls)
            case "result":
                session.append("tool", value["content"], call_id=value["tool_call_id"])
            case "fold":
                active = [message.seq for message in session.messages()]
                session.compact(active[0], active[value - 2], f"note {self.calls}")

    def run(self) -> None:
        start = [{"role": "system", "content": "You look."}]
        inputs = [{"role": "user", "content": text} for text in self.texts]
        loop(start, inputs, self.model, self.tool, self.summarise, tell=self.tell)


def recorded(store: SessionStore, turns: int = 6) -> Session:
    session = store.create("s", prompt="You look.", title="T")
    Scripted(session, [f"question {number}" for number in range(turns)]).run()
    return session


@pytest.fixture
def session() -> Any:
    with SessionStore.open(":memory:") as store:
        yield recorded(store)


# -- a loop runs again ---------------------------------------------------------------------------


def test_the_loop_that_was_recorded_runs_again_across_compactions(session: Session) -> None:
    assert len(session.compactions()) >= 2
    with Recording(session) as recording:
        replayed(recording)
    assert recording.expected is None
    assert len(recording.script.exchanges) == 12


def test_a_request_is_the_context_that_the_session_had(session: Session) -> None:
    script = script_of(session)
    for exchange in script.exchanges:
        assert script.at(exchange.request) == session.chat(exchange.version)
        assert exchange.prompted


@settings(max_examples=budget(40), deadline=None, database=None)
@given(st.data())
def test_every_request_is_what_the_session_gave_then_whatever_happened(data: Any) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        folds = 0  # no provider goes on with a response after its context was changed
        for number in range(data.draw(st.integers(2, 30))):
            seqs = [message.seq for message in session.messages()]
            match data.draw(st.integers(0, 8)):
                case 0 | 1:
                    session.append("user", f"text {number}")
                case 2 | 3:
                    reply = data.draw(st.sampled_from([None, f"r-{folds}"]))
                    session.append("assistant", f"text {number}", response_id=reply)
                case 4:
                    call = ToolCall(id=f"c{number}", name="look", arguments={"n": number})
                    session.append("assistant", tool_calls=[call])
                case 5:
                    asked = session.state().open_calls
                    if asked:
                        session.append("tool", f"text {number}", call_id=asked[0])
                case 6:
                    session.change_prompt(data.draw(st.sampled_from([None, "Be brief."])))
                case 7 if seqs:
                    session.compact(seqs[0], data.draw(st.sampled_from(seqs)), "a note")
                    folds += 1
                case 8 if seqs:
                    session.retract(data.draw(st.sampled_from(seqs)))
                    folds += 1
        session.append("user", "the last word")
        session.append("assistant", "yes")
        script = script_of(session)
        for exchange in script.exchanges:
            assert script.at(exchange.request) == session.chat(exchange.version)
            answer = session.chat(exchange.version + 1)[-1]
            if answer["role"] == "assistant" and "tool_calls" not in answer:
                assert script.messages[exchange.response]["content"].startswith(answer["content"])
        with Recording.from_script(scripts.decode(scripts.encode(script), "f")) as recording:
            walk(recording)


@pytest.mark.parametrize(
    ("changed", "number"), [({"limit": 4}, 3), ({"limit": 100}, 5), ({"system": "You see."}, 1)]
)
def test_a_changed_loop_stops_at_the_first_difference(
    session: Session, changed: dict[str, Any], number: int
) -> None:
    with pytest.raises(errors.DivergenceError) as caught, Recording(session) as recording:
        replayed(recording, **changed)
    assert f"model call {number} of 12" in caught.value.what
    assert caught.value.expected != caught.value.made
    lines = caught.value.diff.split("\n")
    assert lines[:2] == ["--- expected", "+++ made"]
    assert any(line.startswith(("-", "+")) for line in lines[2:])
    assert caught.value.diff in str(caught.value)


def test_the_system_prompt_can_be_left_out(session: Session) -> None:
    with Recording(session, ignore=["system"]) as recording:
        replayed(recording, system="You see, today is Friday.")


def test_a_part_runs_from_the_context_that_it_began_with(session: Session) -> None:
    after = session.compactions()[0].version
    with Recording(session, after=after, upto=At.after_compaction(2)) as recording:
        assert recording.start == session.chat(after)
        replayed(recording)
    assert 0 < len(recording.script.exchanges) < 12


def test_a_fork_begins_with_what_it_took_over(session: Session) -> None:
    fork = session.fork("f", at=At.seq(4))
    before = fork.chat()
    Scripted(fork, ["another"]).tell("input", {"content": "another"})
    fork.append("assistant", "yes")
    with Recording(fork) as recording:
        assert recording.start == before
        replayed(recording)


# -- differences ---------------------------------------------------------------------------------


def test_tools_are_given_their_results_in_any_order_and_once(session: Session) -> None:
    calls = [
        ToolCall(id=f"p{i}", name="add", arguments={"a": n, "b": 1})
        for i, n in enumerate((1, 2, 2))
    ]
    before = session.version
    session.append("user", "add")
    session.append("assistant", tool_calls=calls)
    for call, result in zip(calls, ("two", "three", "three again"), strict=True):
        session.append("tool", result, call_id=call.id, failed=result == "three")
    recording = Recording(session, after=before)
    assert recording.expected is not None
    recording.model(recording.expected)
    assert [call.result and call.result.failed for call in recording.pending] == [
        False,
        True,
        False,
    ]
    assert recording.tool("add", '{"b": 1, "a": 2}') == "three"
    assert recording.tool("add", {"a": 1, "b": 1}) == "two"
    with pytest.raises(errors.DivergenceError) as caught:
        recording.tool("add", {"a": 1, "b": 1})
    assert caught.value.expected == {"name": "add", "arguments": {"a": 2, "b": 1}}
    assert recording.tool("add", {"a": 2, "b": 1}) == "three again"
    with pytest.raises(errors.DivergenceError) as caught:
        recording.tool("remove")
    assert (caught.value.expected, caught.value.made["name"]) == (None, "remove")
    recording.finish()


def test_more_or_fewer_calls_than_recorded_are_differences(session: Session) -> None:
    recording = Recording(session)
    with pytest.raises(errors.DivergenceError, match="ended after 0 of 12"):
        recording.finish()
    walk(recording)
    recording.finish()
    with pytest.raises(errors.DivergenceError, match="model call 13 is one more"):
        recording.model([])
    for _ in session.compactions():
        assert recording.note().startswith("note ")
    with pytest.raises(errors.DivergenceError, match="compaction"):
        recording.note()
    with pytest.raises(ZeroDivisionError), Recording(session):  # not hidden by "ended after 0"
        _ = 1 / 0


def test_what_cannot_be_replayed_is_told(session: Session) -> None:
    call = ToolCall(id="q", name="ask")
    before = session.version
    with pytest.raises(errors.ReplayError, match="no answer of a model"):
        Recording(session, after=before)
    session.append("assistant", tool_calls=[call])
    recording = Recording(session, after=before)
    recording.model(recording.expected or [])
    with pytest.raises(errors.ReplayError, match="no result of the tool call 'q'"):
        recording.tool("ask", {})
    first = session.history()[0]
    session.erase_events([first.position])
    with pytest.raises(errors.ReplayError, match="message 1 was erased"):
        Recording(session)
    Recording(session, after=before)
    with pytest.raises(errors.InvalidValueError):
        Recording(session, after=before, ignore=["time"])
    with pytest.raises(errors.InvalidValueError):
        Recording(session, after=before).model(["text"])  # type: ignore[list-item]


def test_one_response_in_several_messages_is_one_answer(session: Session) -> None:
    before = session.version
    session.append("user", "x")
    session.append_many(
        [
            Message(role="assistant", reasoning="hm", response_id="r"),
            Message(role="assistant", content="I look.", response_id="r"),
            Message(role="assistant", tool_calls=(ToolCall(id="k", name="a"),), response_id="r"),
            Message(role="assistant", content="Next.", response_id="r2"),
            Message(role="tool", content="late", call_id="k"),
        ]
    )
    script = script_of(session, before)
    assert [script.messages[one.response]["content"] for one in script.exchanges] == [
        "I look.", "Next.",
    ]  # fmt: skip
    assert [result.content for result in script.exchanges[0].results] == ["late"]


# -- comparing -----------------------------------------------------------------------------------


ARGUMENTS = '{"a":1}'
SAME = [
    ({"role": "assistant", "content": None}, {"role": "assistant", "content": "", "refusal": None}),
    ({"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": "x"}]}),  # noqa: E501
    ({"role": "system", "content": "x"}, {"role": "developer", "content": "x"}),
    ({"role": "tool", "tool_call_id": "1", "content": "x"},
     {"role": "tool", "tool_call_id": "1", "name": "read", "content": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_a_model_reads_alike_is_the_same(one: Chat, other: Chat) -> None:
    assert comparing.normalised([one]) == comparing.normalised([other])


@pytest.mark.parametrize(
    ("other", "ignore"),
    [
        ({"content": "a  b"}, "blanks"),
        (
            {"tool_calls": [{"id": "2", "function": {"name": "f", "arguments": '{ "a": 1 }'}}]},
            "ids",
        ),
        ({"content": "c"}, None),
        ({"role": "user"}, None),
        ({"tool_calls": []}, None),
        ({"tool_calls": [{"id": "1", "function": {"name": "g", "arguments": ARGUMENTS}}]}, None),
        ({"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}, None),
    ],
)
def test_a_difference_is_seen_unless_it_is_left_out(other: Chat, ignore: str | None) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": ARGUMENTS}}
    message = {"role": "assistant", "content": "a b", "tool_calls": [call]}
    changed = {**message, **other}
    assert comparing.normalised([message]) != comparing.normalised([changed])
    for name in comparing.IGNORABLE:
        left_out = [comparing.normalised([one], {name}) for one in (message, changed)]
        assert (left_out[0] == left_out[1]) is (name == ignore)


def test_a_note_at_the_beginning_is_no_prompt() -> None:
    note = {"role": "system", "content": "note"}
    rest = [note, {"role": "user", "content": "x"}]
    prompt = {"role": "system", "content": "P"}
    for expected, made in (
        (rest, rest), (rest, [prompt, *rest]), ([prompt, *rest], rest),
        ([prompt, *rest], [{"role": "system", "content": "Q"}, *rest]),
    ):  # fmt: skip
        one, other = comparing.without_prompt(expected, made, expected[0] is prompt)
        assert list(one) == list(other) == rest


# -- fixtures ------------------------------------------------------------------------------------


contents = st.none() | st.text() | st.lists(st.fixed_dictionaries({"type": st.just("text"),
                                                                  "text": st.text()}))  # fmt: skip


@settings(max_examples=budget(40), deadline=None, database=None)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), contents), min_size=1))
def test_a_file_gives_back_what_was_recorded(messages: list[tuple[str, Any]]) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        for role, content in [*messages, ("assistant", "end")]:
            session.append(role, content)
        script = script_of(session)
        assert scripts.decode(scripts.encode(script), "f") == script
        walk(Recording.from_script(script))


def test_a_file_that_is_no_fixture_is_refused(tmp_path: Path, session: Session) -> None:
    whole = scripts.encode(script_of(session))
    path = tmp_path / "f.json"
    for data, said in (
        (b"{", "no fixture"),
        (b"[]", "no fixture"),
        (whole.replace(b'"fixture": 1', b'"fixture": 2'), "of 2"),
        (whole.replace(b'"inputs": [', b'"inputs": [999,'), "messages that it does not hold"),
        (whole.replace(b'"inputs": [', b'"inputs": [-1,'), "messages that it does not hold"),
        (whole.replace(b'"notes"', b'"noted"'), "no fixture"),
    ):
        path.write_bytes(data)
        with pytest.raises(errors.ReplayError, match=said):
            load(path)


def pytest_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        # A module that is written anew in the same second, as long as before, is read anew.
        cwd=folder, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
                         "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_fixture_is_a_test_that_passes_and_fails_when_the_loop_changed(tmp_path: Path) -> None:
    """From end to end: recorded, written, run without a store; then with a changed loop."""
    store = tmp_path / "s.db"
    with SessionStore.open(store, durability="normal") as opened:
        recorded(opened)
    folder = tmp_path / "tests"
    done = run("fixture", "s", "-o", folder, "--db", store)
    assert (done.exit_code, done.stdout.split()) == (
        0, [str(folder / "replay_s.json"), str(folder / "test_replay_s.py")],
    )  # fmt: skip
    store.unlink()
    as_it_is = pytest_in(folder)
    assert (as_it_is.returncode, "1 passed" in as_it_is.stdout) == (0, True), as_it_is.stdout
    (folder / "my_agent.py").write_text(LOOP)
    test = folder / "test_replay_s.py"
    walking = "from eventstore.testing.fixtures import walk as agent"
    lines = test.read_text().split("\n")
    [place] = [index for index, line in enumerate(lines) if line.startswith(walking)]
    lines[place] = "from my_agent import run as agent"
    test.write_text("\n".join(lines))
    own = pytest_in(folder)
    assert own.returncode == 0, own.stdout
    (folder / "my_agent.py").write_text(LOOP.replace("limit=8", "limit=4"))
    changed = pytest_in(folder)
    assert changed.returncode == 1
    assert "DivergenceError: model call 3 of 12" in changed.stdout
    assert "+++ made" in changed.stdout


def test_the_command_writes_a_test_of_the_loop_it_is_told(db: Path) -> None:
    words = ["fixture", "chat-1", "-o", "out", "--db", db]
    done = run(*words, "--agent", "a.b:run", "--ignore", "system", "--ignore", "ids")
    assert done.exit_code == 0
    text = Path("out/test_replay_chat_1.py").read_text()
    assert "from a.b import run as agent\n" in text
    assert "load(FIXTURE, ignore=['system', 'ids'])" in text
    again = run(*words)
    assert again.exit_code == 1
    assert "--force" in again.stderr
    assert run(*words, "--force").exit_code == 0
    assert run(*words, "--agent", "a; import os").exit_code == 2
    assert run("fixture", "over", "--db", db).exit_code == 1
    part = run(*words, "--force", "--json", "--to", "6")
    assert json.loads(part.stdout)["exchanges"] == 1
