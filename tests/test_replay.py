"""Replaying step by step: every state there was, one fold an event; and conditions."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from cli_support import ROOT, db, run
from engine_support import budget, populated
from hypothesis import given, settings

from eventstore import AsyncSessionStore, At, SessionStore, errors
from eventstore.events.stored import name_of
from eventstore.replaying import steps as stepping
from eventstore.replaying.conditions import Condition, Term, parse
from eventstore.session import runs
from eventstore.session.fold import fold

__all__ = ["db"]

EVERYTHING = populated(":memory:")
SESSIONS = ["root", "fork", "child", "other", "gone~1", "gone"]


# -- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SESSIONS)
def test_a_step_holds_the_states_that_there_were(name: str) -> None:
    session = EVERYTHING.session(name)
    steps = list(session.replay())
    assert [step.event for step in steps] == list(session.events())
    for step in steps:
        version = step.event.version
        assert step.before == session.state(version - 1)
        assert step.after == session.state(version)
        before = [message.seq for message in session.messages(version - 1)]
        after = [message.seq for message in session.messages(version)]
        assert list(runs.numbers_of(step.added)) == [seq for seq in after if seq not in before]
        assert list(runs.numbers_of(step.removed)) == [seq for seq in before if seq not in after]
        assert not step.stopped


@settings(max_examples=budget(40), deadline=None, database=None)
@given(st.sampled_from(SESSIONS), st.integers(0, 30), st.integers(0, 30), st.data())
def test_a_part_is_the_same_part_of_the_whole(name: str, after: int, upto: int, data: Any) -> None:
    session = EVERYTHING.session(name)
    after, upto = min(after, session.version), min(upto, session.version)
    types = data.draw(
        st.none() | st.lists(st.sampled_from(["message.appended", "x.acme.moved", "title.set"]))
    )
    whole = list(session.replay())
    part = session.replay(after=after, upto=At.version(upto), types=types)
    assert list(part) == [
        step for step in whole[after:upto] if types is None or name_of(step.event.event) in types
    ]


numbers = st.lists(st.integers(1, 40), unique=True).map(runs.from_numbers)


@given(numbers, numbers)
def test_what_is_without_is_what_a_list_says(one: runs.Runs, other: runs.Runs) -> None:
    left = [n for n in runs.numbers_of(one) if n not in set(runs.numbers_of(other))]
    assert runs.without(one, other) == runs.from_numbers(left)


def test_steps_are_made_as_they_are_asked_for_with_one_fold_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = []

    def counted(state: Any, recorded: Any) -> Any:
        folded.append(recorded.version)
        return fold(state, recorded)

    monkeypatch.setattr(stepping, "fold", counted)
    with SessionStore.open(tmp_path / "s.db", durability="normal") as store:
        session = store.create("a")
        for number in range(1200):
            session.append("user", str(number))
        steps = session.replay(after=1000)
        assert folded == []
        assert [step.event.version for step in islice(steps, 3)] == [1001, 1002, 1003]
        assert folded == [1001, 1002, 1003]
        session.append("user", "later")  # what comes after the replay began is not in it
        assert [step.event.version for step in steps][-1] == 1201


def test_a_replay_stops_where_it_is_told_whatever_the_type() -> None:
    session = EVERYTHING.session("root")
    steps = list(session.replay(types="title.set", until="type=context.compacted"))
    assert [name_of(step.event.event) for step in steps] == ["title.set", "context.compacted"]
    assert [step.stopped for step in steps] == [False, True]
    by_function = list(session.replay(until=lambda step: step.after.compactions == 1))
    assert by_function[-1] == steps[-1]
    assert len(list(session.replay(until="seq=999"))) == session.version


def test_what_cannot_be_replayed_is_refused_at_once() -> None:
    session = EVERYTHING.session("root")
    for wrong in (
        {"types": "no.such"}, {"until": "nothing"}, {"until": "seq=1", "content": False},
    ):  # fmt: skip
        with pytest.raises(errors.InvalidValueError):
            session.replay(**wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidRangeError):
        session.replay(after=999)


def test_tasks_replay_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncSessionStore.open(tmp_path / "s.db") as store:
            session = await store.create("a")
            await session.append("user", "x")
            steps = [step async for step in session.replay(until="seq=1")]
            assert [step.after.messages for step in steps] == [0, 1]

    asyncio.run(main())


# -- conditions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seqs"),
    [
        ("type=message.appended and role=user", [1, 5, 7]),
        ("role~SIS", [2, 4]),
        ("tool=search", [2, 3]),
        ("tool~arc and role=tool", [3]),
        ("call=call_1", [2, 3]),
        ("seq=4", [4]),
        ("text~HELLO", [1]),
        ("text~needle", [2]),
        ('text~"a note"', [6]),
        ('  role = "user"  and text ~ retract ', [7]),
        ("round=3", []),
        ("seq=1 and seq=2", []),
    ],
)
def test_a_condition_is_about_what_it_names(text: str, seqs: list[int]) -> None:
    condition = parse(text)
    events = EVERYTHING.session("root").events()
    found = [getattr(one.event, "seq", None) for one in events if condition.matches(one)]
    assert [seq for seq in found if seq is not None] == seqs


def test_versions_rounds_and_types_are_found() -> None:
    events = list(EVERYTHING.session("root").events())
    for text, expected in (
        ("version=3", [3]),
        ("type~usage", [one.version for one in events if name_of(one.event) == "usage.recorded"]),
        ("round=3", [one.version for one in events if name_of(one.event) == "round.advanced"]),
        ("type=x.acme.moved and text~because", [events[-1].version]),
    ):
        condition = parse(text)
        assert [one.version for one in events if condition.matches(one)] == expected, text


words = st.sampled_from(
    ["tool", "text", "seq", "and", "=", "~", " ", "  ", '"', "\\", "1", "x", ""]
)


@given(st.lists(words).map("".join) | st.text(max_size=30))
def test_a_text_is_a_condition_or_the_error_says_what_is_allowed(text: str) -> None:
    try:
        condition = parse(text)
    except errors.InvalidValueError:
        with pytest.raises(errors.InvalidValueError, match="seq with ="):
            parse(text)
        return
    assert condition.terms
    for one in EVERYTHING.session("root").events():
        assert condition.matches(one) in (True, False)


@given(st.lists(st.tuples(st.sampled_from(["text", "role"]), st.text(min_size=1)), min_size=1))
def test_any_value_can_be_quoted(pairs: list[tuple[str, str]]) -> None:
    quoted = [
        f'{name}~"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for name, value in pairs
    ]
    terms = tuple(Term(name, "~", value) for name, value in pairs)
    assert parse(" and ".join(quoted)) == Condition(terms)


@pytest.mark.parametrize(
    "text",
    ["", "tool", "tool=", "tool==x", "seq=x", "seq=-1", "seq~1", "text=x", "colour=red",
     "a=b or c=d", "tool=x tool=y", "tool=x and",
     'text~"open', "tool=x andseq=1", "seq=9999999999999999999"],
)  # fmt: skip
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidValueError, match="is no condition"):
        parse(text)


# -- the command line ----------------------------------------------------------------------------


def versions(text: str) -> list[int]:
    return [json.loads(line)["event"]["version"] for line in text.splitlines()]


def test_the_command_replays_a_part(db: Path) -> None:
    words = ["replay", "chat-1", "--jsonl", "--db", db]
    assert versions(run(*words).stdout) == list(range(1, 12))
    assert versions(run(*words, "--from", "seq:2", "--to", "before:1").stdout) == [6, 7, 8]
    assert versions(run(*words, "--from", "0", "--to", "1").stdout) == [1]
    assert versions(run(*words, "--type", "title.set", "--type", "usage.recorded").stdout) == [
        2,
        11,
    ]
    assert versions(run(*words, "--until", "tool=read").stdout) == [1, 2, 3, 4, 5, 6]


def test_the_exit_code_says_whether_it_stopped(db: Path) -> None:
    words = ["replay", "chat-1", "--db", db]
    assert run(*words, "--until", "seq=2").exit_code == 0
    never = run(*words, "--until", "seq=99")
    assert (never.exit_code, never.stderr) == (1, "eventstore: no event matches 'seq=99'\n")
    assert run(*words, "--type", "round.advanced", "--json").exit_code == 1
    wrong = run(*words, "--until", "sequence=9")
    assert wrong.exit_code == 1
    assert "there is no field 'sequence'" in wrong.stderr
    assert run(*words, "--step").exit_code == 2
    assert run(*words, "--step", "--json").exit_code == 2


def at_terminal(path: Path, keys: bytes) -> tuple[int, str]:
    pty = pytest.importorskip("pty", reason="there are no pseudo terminals here")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "eventstore.cli", "replay", "chat-1", "--step", "--db", str(path)],
        stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(slave)
    os.write(master, keys)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(master)
    return process.wait(60), shown.decode().replace("\r\n", "\n")


def test_a_person_goes_on_with_enter_and_leaves_with_q(db: Path) -> None:
    code, shown = at_terminal(db, b"\n\nq\n")
    assert code == 0
    assert "v3 " in shown
    assert "v4 " not in shown
    assert shown.count("q to leave") == 3
    code, shown = at_terminal(db, b"\n" * 12)
    assert (code, "v11 " in shown, "that was the last step" in shown) == (0, True, True)
    code, shown = at_terminal(db, b"\x04")  # the end of the input
    assert (code, "v2 " in shown) == (0, False)
