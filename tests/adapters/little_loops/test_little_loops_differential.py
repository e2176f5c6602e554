"""The same calls on the original and on the adapter give the same, call by call.

What is different on purpose is in `test_little_loops_differences.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from little_loops_support import (
    KINDS,
    LOOP_EVENTS,
    call,
    issue,
    loop_state,
    original,
    outcome,
    transcript,
)

from eventstore import SessionStore
from eventstore.adapters import little_loops as adapter
from eventstore.adapters.little_loops.opening import close_unused

WORDS = ("alpha", "beta", "café", "Fix", "loop", "start", "BUG", "x1", "a_b", "route", "ok", "Z")

words = st.sampled_from(WORDS)
names = st.one_of(words, st.lists(words, max_size=3).map(" ".join), st.just("a-b/c.d"))
times = st.sampled_from(["2026-05-22T10:00:00Z", "2026-05-22", "t", "2026-05-22T10:00:00.5+02:00"])
sessions = st.one_of(st.none(), st.just("s1"), st.just("s/2 x"), st.just(""), st.just(7))
limits = st.integers(-2, 6)
values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.just(2**62), names, st.just(""))
terms = st.one_of(words, words.map(lambda word: word[:2] + "*"), words.map('"{}"'.format))
joined = st.tuples(terms, st.sampled_from([" ", " AND ", " OR ", " NOT ", " + "]), terms).map(
    "".join
)
junk = st.text(st.sampled_from("ab1*\"()-+^:., {}'\\"), max_size=8)
queries = st.one_of(
    terms, joined, junk, terms.map("content : {}".format), st.just("NEAR(alpha ok)")
)
statements = st.sampled_from(
    [
        *(f"SELECT * FROM {table} ORDER BY id" for table in (
            "tool_events", "file_events", "issue_events", "loop_events", "user_corrections")),
        "SELECT content, kind, ref, anchor, ts FROM search_index",
        "SELECT loop_name, count(*) AS many FROM loop_events GROUP BY loop_name ORDER BY 1",
        "SELECT l.id FROM loop_events AS l JOIN search_index AS s ON s.ref = l.loop_name "
        "WHERE l.retries > 0 ORDER BY l.id",
        "SELECT transition FROM issue_events WHERE issue_id LIKE 'BUG%' ORDER BY id DESC LIMIT 2",
        "SELECT nothing FROM loop_events", "SELECT * FROM nothing", "SELEC", "SELECT ?",
        "SELECT 1 LIMIT 'x'", "",
    ]
)  # fmt: skip


class Beside(RuleBasedStateMachine):
    """Both modules on files of their own, in one folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="eventstore-")
        root = Path(self.folder.name)
        self.sides: list[tuple[Any, Path]] = [
            (original(), root / "original.db"),
            (adapter, root / "adapter.db"),
        ]
        self.transports = [module.SQLiteTransport(path) for module, path in self.sides]
        self.step = 0

    def teardown(self) -> None:
        for transport in self.transports:
            transport.close()
        with SessionStore.open(self.sides[1][1]) as store:
            assert store.verify() == []
            assert store.check() == []
        close_unused()
        self.folder.cleanup()

    def both(self, act: Callable[[Any, Path], Any]) -> None:
        theirs, ours = (outcome(lambda s=side: act(*s)) for side in self.sides)
        assert ours == theirs

    @rule(event=st.sampled_from([*LOOP_EVENTS, "other", ""]), name=values, state=values,
          result=values, retries=values, ts=times, given=st.sets(st.sampled_from(
              ["loop_name", "state", "outcome", "retries"])))  # fmt: skip
    def send(self, event: str, name: Any, state: Any, result: Any, retries: Any, ts: str,
             given: set[str]) -> None:  # fmt: skip
        whole = {"loop_name": name, "state": state, "outcome": result, "retries": retries}
        sent = {"event": event, "ts": ts} | {key: whole[key] for key in given}
        theirs, ours = (outcome(lambda t=one: t.send(sent)) for one in self.transports)
        assert ours == theirs

    @rule()
    def reopen(self) -> None:
        for transport in self.transports:
            transport.close()
        close_unused()
        self.transports = [module.SQLiteTransport(path) for module, path in self.sides]

    @rule(kind=st.sampled_from([*KINDS, "loops", ""]), limit=limits)
    def recent(self, kind: str, limit: int) -> None:
        self.both(lambda module, path: module.recent(path, kind=kind, limit=limit))

    @rule(query=queries, limit=limits.filter(bool))
    def search(self, query: str, limit: int) -> None:
        def found(module: Any, path: Path) -> list[dict[str, Any]]:
            hits: list[dict[str, Any]] = module.search(path, query=query, limit=limit)
            return [hit | {"score": round(hit["score"], 9)} for hit in hits]

        self.both(found)

    @rule(sql=statements)
    def select(self, sql: str) -> None:
        def rows(module: Any, path: Path) -> list[dict[str, Any]]:
            connection = module.connect(path)
            try:
                return [dict(row) for row in connection.execute(sql)]
            finally:
                connection.close()

        self.both(rows)

    @rule(
        fields=st.lists(
            st.dictionaries(
                st.sampled_from(
                    [
                        "status",
                        "discovered_by",
                        "captured_at",
                        "completed_at",
                        "discovered_date",
                        "type",
                        "priority",
                        "tags",
                        "# id",
                    ]
                ),
                st.one_of(
                    names,
                    times,
                    st.sampled_from(
                        [
                            "",
                            "null",
                            "~",
                            "[a, b]",
                            "[]",
                            "done",
                            "wip",
                            "Completed",
                            "|",
                            "a: b",
                            "\n- x\n- y",
                            "\n- x\nid: other",
                        ]
                    ),
                ),
            ),
            max_size=3,
        ),
        named=st.sampled_from(["P1-BUG-7-x", "ENH-1", "note", "P9-FEAT-2"]),
    )
    def backfill_issues(self, fields: list[dict[str, str]], named: str) -> None:
        folder = self._folder()
        for number, one in enumerate(fields):
            mark = f"{self.step}{number}"  # a row that is stored already would be left out
            told = {key: text.replace("id: other", f"id: other{mark}") for key, text in one.items()}
            issue(folder, f"{named}-{number}.md", id=f"BUG-{mark}", **told)
        self._backfill(issues_dir=folder)

    @rule(
        states=st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "loop_name": values,
                    "current_state": values,
                    "state": values,
                    "updated_at": times,
                    "started_at": times,
                },
            ),
            max_size=3,
        ),
        part=st.sampled_from([".running", ".history", "x"]),
    )
    def backfill_loops(self, states: list[dict[str, Any]], part: str) -> None:
        folder = self._folder()
        for number, state in enumerate(states):
            mark = f"{self.step}.{number}"  # a row that is stored already would be left out
            told = {key: f"{state[key]} {mark}" for key in ("updated_at", "started_at")
                    if key in state} or {"updated_at": mark}  # fmt: skip
            loop_state(folder, part, f"loop{mark}", **{**state, **told})
        self._backfill(loops_dir=folder)

    @rule(
        calls=st.lists(st.tuples(values, values, sessions, times), max_size=4),
        more=st.sampled_from(["", "{", "{}", '{"type": "user"}']),
    )
    def backfill_tools(self, calls: list[tuple[Any, ...]], more: str) -> None:
        records: list[Any] = [
            call(name, {"step": self.step, "n": number, "v": value}, session, ts)
            for number, (name, value, session, ts) in enumerate(calls)
        ]
        path = transcript(self._folder() / "t.jsonl", [*records, more])
        self._backfill(jsonl_files=[path])

    def _folder(self) -> Path:
        self.step += 1
        return Path(self.folder.name) / f"step{self.step}"

    def _backfill(self, **given: Any) -> None:
        nowhere = Path(self.folder.name) / "nowhere"
        options = {"issues_dir": nowhere, "loops_dir": nowhere, **given}
        theirs, ours = (outcome(lambda s=side: s[0].backfill(s[1], **options))
                        for side in self.sides)  # fmt: skip
        if theirs.value is not None:
            assert theirs.value.pop("messages") == 0
        assert ours == theirs


def run(examples: int, steps: int) -> None:
    original()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Beside,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_random_calls_give_the_same_as_the_original() -> None:
    run(budget(12), 25)


@pytest.mark.slow
def test_many_random_calls_give_the_same_as_the_original() -> None:
    run(budget(250), 40)
