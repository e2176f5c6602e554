"""Any active messages can be folded or taken out, wherever they stand; the rest keeps its order."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from engine_support import budget
from hypothesis import given, settings

from eventstore import Message, SessionStore, errors
from eventstore.session import runs
from eventstore.session.commands import CompactSet, ConsolidateSet

SEQS = st.sets(st.integers(1, 12))


@settings(max_examples=budget(30), deadline=None)
@given(st.lists(st.tuples(st.booleans(), SEQS), max_size=5))
def test_a_note_takes_the_place_of_the_first_and_the_rest_stays(
    steps: list[tuple[bool, set[int]]],
) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        session.append_many([Message(role="user", content=str(n)) for n in range(1, 9)])
        active, seq, notes = list(range(1, 9)), 9, 0
        for with_note, wanted in steps:
            taken = [one for one in active if one in wanted]
            chosen = runs.from_numbers(sorted(taken))
            if with_note:
                note = Message(role="system", content="note")
                store.execute([(session, CompactSet(runs=chosen, note=note))])
                at = active.index(taken[0]) if taken else len(active)
                active.insert(at, seq)
                seq, notes = seq + 1, notes + 1
                view = session.message(seq - 1)
                assert view is not None
                assert list(runs.numbers_of(view.stands_for)) == taken
            else:
                store.execute([(session, ConsolidateSet(runs=chosen))])
            active = [one for one in active if one not in taken]
            assert [one.seq for one in session.messages()] == active
        assert len(session.compactions()) == notes
        rows = {one.seq: one.state for one in session.history()}
        assert sorted(rows) == list(range(1, seq))
        assert {one for one, state in rows.items() if state == "active"} == set(active)
        assert store.check() == []


def test_a_retraction_takes_only_what_the_retracted_notes_stand_for() -> None:
    """A message between others, folded into a note before them, stays as long as that note does."""
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        session.append_many([Message(role="user", content=str(n)) for n in range(1, 5)])
        note = Message(role="system", content="note")
        store.execute([(session, CompactSet(runs=((1, 1), (3, 1)), note=note))])
        session.retract(2)
        states = {one.seq: one.state for one in session.history()}
        assert states == {
            1: "compacted", 2: "retracted", 3: "compacted", 4: "retracted", 5: "active"
        }  # fmt: skip
        session.append_many([Message(role="user", content=str(n)) for n in (6, 7)])
        inner = session.compact(6, 7, "inner")
        outer = session.compact(5, inner, "outer")
        session.retract(outer)
        states = {one.seq: one.state for one in session.history()}
        assert set(states.values()) == {"retracted"}
        assert store.check() == []


def test_what_is_not_active_cannot_be_folded() -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        session.append("user", "one")
        for command in (
            CompactSet(runs=((1, 2),), note=Message(role="system")),
            ConsolidateSet(runs=((2, 1),)),
        ):
            with pytest.raises(errors.UnknownMessageError, match="message 2 does not exist"):
                store.execute([(session, command)])
        with pytest.raises(errors.InvalidRangeError, match="twice"):
            store.execute([(session, ConsolidateSet(runs=((1, 1), (1, 1))))])
        assert session.version == 2


@given(st.lists(st.integers(0, 9), unique=True), st.sets(st.integers(0, 9)))
def test_chosen_and_without_part_a_sequence(numbers: list[int], wanted: set[int]) -> None:
    made, part = runs.from_numbers(numbers), runs.from_numbers(sorted(wanted))
    assert runs.chosen(made, part) == runs.from_numbers([n for n in numbers if n in wanted])
    assert runs.without(made, part) == runs.from_numbers([n for n in numbers if n not in wanted])
