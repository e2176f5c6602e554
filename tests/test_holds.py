"""Legal holds: what they stop, for how long, and that they are told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from engine_support import clean
from hypothesis import given
from hypothesis import strategies as st

from eventstore import AsyncSessionStore, SessionStore
from eventstore.erasing import Selection
from eventstore.erasing import erase as erase_selected
from eventstore.errors import HeldError, InvalidValueError
from eventstore.events.catalogue import HoldPlaced, HoldReleased
from eventstore.log.port import Actor, Recorded
from eventstore.redaction import redact
from eventstore.retention import Action, Policy, retain
from eventstore.session import holds
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState
from eventstore.store import holding

MAIL = "ada@example.org"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> SessionStore:
    with SessionStore.open(tmp_path / "s.db", clock=clock) as opened:
        session = opened.create("s", title="t")
        session.append("user", f"mail {MAIL}")
        session.append("user", "two")
        yield opened


ERASE_ALL = Policy(name="all", do=Action.ERASE, older_than=0)
ERASE_OLD = Policy(name="old", do=Action.ERASE_CONTENT, older_than=0)


def test_everything_that_takes_content_away_is_refused_and_names_the_hold(
    store: SessionStore, clock: Clock
) -> None:
    session = store.session("s")
    session.place_hold("case-17", by="legal", reason="dispute")
    clock.now += 10
    position, head = session.messages()[0].position, store.head
    for attempt in (
        session.erase,
        session.close_and_erase,
        lambda: session.erase_events([position]),
        lambda: redact(store, [session]),
        lambda: redact(store, [session], dry_run=True),
        lambda: erase_selected(store, Selection(sessions=("s",))),
        lambda: erase_selected(store, Selection(text=MAIL)),
    ):
        with pytest.raises(HeldError, match="'case-17' by legal: dispute"):
            attempt()
    assert redact(store).places == ()
    [(name, why)] = redact(store).held
    assert (name, "case-17" in why) == ("s", True)
    for policy in (ERASE_ALL, ERASE_OLD, Policy(name="c", do=Action.CLOSE, older_than=0)):
        outcome = retain(store, [policy])
        assert outcome.steps == ()
        assert [one.session for one in outcome.held] == ["s"]
    assert store.head == head
    assert session.messages()[0].text == f"mail {MAIL}"
    session.append("user", "goes on")
    clean(store)


def test_after_the_release_everything_goes_on(store: SessionStore) -> None:
    session = store.session("s")
    session.place_hold("a")
    session.place_hold("b")
    session.release_hold("a", by="legal", reason="settled")
    with pytest.raises(HeldError, match="'b'"):
        session.erase()
    session.release_hold("b")
    assert session.holds() == []
    session.erase()
    clean(store)
    types = [one.event for one in session.events() if isinstance(one.event, HoldReleased)]
    assert [(one.hold, one.by, one.reason) for one in types] == [
        ("a", "legal", "settled"), ("b", None, None),
    ]  # fmt: skip


def test_a_hold_ends_at_its_time(store: SessionStore, clock: Clock) -> None:
    session = store.session("s")
    session.place_hold("case", until=clock.now + 5)
    clock.now += 4
    with pytest.raises(HeldError):
        session.erase()
    assert session.holds()[0].in_force
    clock.now += 1
    assert not session.holds()[0].in_force
    session.place_hold("case", until=clock.now + 5)  # its time is over, so the name is free
    clock.now += 5
    session.erase()


def test_a_closed_session_can_be_held_and_released(store: SessionStore) -> None:
    session = store.session("s")
    session.close()
    session.place_hold("case")
    with pytest.raises(HeldError):
        session.erase()
    session.release_hold("case")
    session.erase()
    clean(store)


def test_a_hold_on_a_fork_holds_what_it_took_over(store: SessionStore) -> None:
    session = store.session("s")
    far = session.fork("f").fork("g")
    session.append("user", f"later {MAIL}")
    far.place_hold("case")
    first, last = session.history()[0].position, session.history()[-1].position
    for attempt in (session.erase, lambda: session.erase_events([first])):
        with pytest.raises(HeldError, match="'g'"):
            attempt()
    session.erase_events([last])  # the fork does not have it
    with pytest.raises(HeldError):
        redact(store, [session])
    far.release_hold("case")
    session.erase_events([first])
    clean(store)


def test_names_times_and_words_that_cannot_be_are_refused(store: SessionStore) -> None:
    session = store.session("s")
    session.place_hold("case")
    version = session.version
    for attempt in (
        lambda: session.place_hold("case"),
        lambda: session.place_hold(""),
        lambda: session.place_hold("x" * 201),
        lambda: session.place_hold("a\nb"),
        lambda: session.place_hold("b", by="x" * 201),
        lambda: session.place_hold("b", reason="\0"),
        lambda: session.place_hold("b", until=1),
        lambda: session.place_hold("b", until=2**53 + 1),
        lambda: session.release_hold("other"),
    ):
        with pytest.raises(InvalidValueError):
            attempt()
    assert session.version == version


def test_holds_are_listed_until_they_are_released(store: SessionStore, tmp_path: Path) -> None:
    store.session("s").place_hold("case", by="legal", reason="why")
    store.create("t").place_hold("audit", until=store.log.now() + 9)
    found = holding.listed(store.log)
    assert [(one.session, one.hold, one.by, one.reason) for one in found] == [
        ("s", "case", "legal", "why"), ("t", "audit", None, None),
    ]  # fmt: skip
    store.close()
    with SessionStore.open(tmp_path / "s.db", readonly=True) as again:
        assert [one.hold for one in holding.listed(again.log)] == ["case", "audit"]


def test_a_hold_leaves_the_list_of_sessions_and_activity_as_they_are(
    store: SessionStore, clock: Clock
) -> None:
    before = store.session("s").info()
    clock.now += 1_000
    store.session("s").place_hold("case")
    after = store.session("s").info()
    assert (after.updated_at, after.messages) == (before.updated_at, before.messages)
    clean(store)


def test_the_same_from_asyncio(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncSessionStore.open(tmp_path / "a.db") as store:
            session = await store.create("s")
            await session.append("user", "one")
            await session.place_hold("case", by="legal")
            with pytest.raises(HeldError):
                await session.erase()
            assert [one.hold for one in await session.holds()] == ["case"]
            await session.release_hold("case")
            await session.erase()

    asyncio.run(main())


EVENTS = st.lists(
    st.one_of(
        st.builds(HoldPlaced, hold=st.sampled_from("abc"), until=st.none() | st.integers(1, 20)),
        st.builds(HoldReleased, hold=st.sampled_from("abc")),
    ),
    max_size=12,
)


@given(EVENTS, st.integers(0, 25))
def test_the_holds_in_force_are_those_placed_last_and_not_released(
    events: list[HoldPlaced | HoldReleased], now: int
) -> None:
    recorded = [
        Recorded(at, 1, at, at, Actor.OPERATOR, event, None, None, b"")
        for at, event in enumerate(events, 1)
    ]
    model: dict[str, int | None] = {}
    for event in events:
        model.pop(event.hold, None)
        if isinstance(event, HoldPlaced):
            model[event.hold] = event.until
    wanted = [name for name, until in model.items() if until is None or now < until]
    state = fold_all(SessionState(), recorded)
    assert [one.name for one in holds.in_force(state, now)] == wanted
