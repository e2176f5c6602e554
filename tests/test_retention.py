"""Retention: what policies choose, that a dry run tells the truth, and that proofs stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_support import budget, clean
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import Kind, Message, Session, SessionStore
from eventstore.errors import InvalidValueError
from eventstore.events import catalogue as ev
from eventstore.retention import Action, Policy, read_policies, retain
from eventstore.retention.policies import age_of, size_of
from eventstore.retention.running import STEPS

DAY = 86_400_000_000
NOW = 400 * DAY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


def aged(store: SessionStore, name: str, days: int, **options: object) -> None:
    at = NOW - days * DAY
    session = store.create(name, occurred_at=at, **options)  # type: ignore[arg-type]
    say(session, f"{name} says something", at)


def say(session: Session, text: str, at: int) -> None:
    session.append_many([Message(role="user", content=text, occurred_at=at)])


def opened(path: Path) -> SessionStore:
    return SessionStore.open(path, clock=lambda: NOW)


def left(store: SessionStore) -> set[str]:
    return {one.name for one in store.sessions(statuses=None)}


def test_age_is_that_of_the_last_activity_and_the_edge_stays(path: Path) -> None:
    with opened(path) as store:
        aged(store, "edge", 30)
        aged(store, "old", 31)
        aged(store, "revived", 90)
        say(store.session("revived"), "again", NOW - DAY)
        outcome = retain(store, [Policy(name="p", do=Action.ERASE, older_than=30 * DAY)])
        assert [one.session for one in outcome.steps] == ["old"]
        assert left(store) - {"edge", "revived"} == {f"erased:{_uid(store, 2)}"}
        retain(store, [Policy(name="p", do=Action.ERASE, older_than=30 * DAY)], now=NOW + 1)
        assert "edge" not in left(store)
        clean(store)


def _uid(store: SessionStore, stream: int) -> str:
    head = store.log.stream_by_id(stream)
    assert head is not None
    return head.uid.hex()


def test_source_kind_and_status_narrow_a_policy(path: Path) -> None:
    with opened(path) as store:
        aged(store, "root", 50, source="a")
        aged(store, "other", 50, source="b")
        aged(store, "child", 50, source="a", parent=store.session("root"), kind=Kind.SUBAGENT)
        store.session("other").end()
        for policy, wanted in (
            (Policy(name="p", do=Action.CLOSE, older_than=DAY, sources=("a",)), {"root", "child"}),
            (Policy(name="p", do=Action.CLOSE, older_than=DAY, kind=Kind.SUBAGENT), {"child"}),
            (Policy(name="p", do=Action.CLOSE, older_than=0, statuses=("ended",)), {"other"}),
        ):
            outcome = retain(store, [policy], dry_run=True, now=NOW + 2 * DAY)
            assert {one.session for one in outcome.steps} == wanted


def test_closing_leaves_content_and_erasing_content_leaves_the_session(path: Path) -> None:
    with opened(path) as store:
        aged(store, "s", 40)
        session = store.session("s")
        say(session, "young", NOW)
        session.set_title("kept")
        session.add_event(ev.FileTouched(
            occurred_at=NOW - 40 * DAY, content=ev.ActivityContent(subject="old file"),
        ))  # fmt: skip
        policies = [Policy(name="text", do=Action.ERASE_CONTENT, older_than=30 * DAY)]
        outcome = retain(store, policies, by="cron")
        [step] = outcome.steps
        assert (step.events, step.do) == (2, "erase-content")
        assert [one.text for one in session.messages()] == [None, "young"]
        assert session.title() == "kept"
        [told] = [one.event for one in session.events() if one.event.type == "content.erased"]
        assert (told.by, told.reason) == ("cron", "retention policy 'text'")
        retain(store, [Policy(name="c", do=Action.CLOSE, older_than=0)], now=NOW + 1)
        assert session.info().status == "closed"
        assert session.messages()[1].text == "young"
        assert retain(store, policies).steps == ()
        clean(store)


def test_types_choose_what_loses_its_content(path: Path) -> None:
    with opened(path) as store:
        aged(store, "s", 40, title="t")
        policy = Policy(name="p", do=Action.ERASE_CONTENT, older_than=DAY, types=("title.set",))
        retain(store, [policy])
        assert store.session("s").title() is None
        assert store.session("s").messages()[0].text == "s says something"


def test_size_takes_the_oldest_until_it_is_small_enough(path: Path) -> None:
    with opened(path) as store:
        for number in range(20):
            aged(store, f"s{number:02}", 100 - number)
            say(
                store.session(f"s{number:02}"),
                f"{number} " + "x" * 100_000,
                NOW - (100 - number) * DAY,
            )
        store.session("s01").place_hold("case")
        above = retain(store, [Policy(name="p", do=Action.ERASE, above=1)], dry_run=True)
        assert len(above.steps) == 19
        limit = above.bytes_before - 450_000
        policy = Policy(name="size", do=Action.ERASE, above=limit)
        outcome = retain(store, [policy])
        assert [one.session for one in outcome.steps] == ["s00", "s02", "s03", "s04", "s05"]
        assert [one.session for one in outcome.held] == ["s01"]
        assert outcome.bytes_after <= limit < outcome.bytes_before
        assert retain(store, [policy]).steps == ()
        clean(store)


SESSIONS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["a", "b", None]), st.booleans(), st.booleans()),
    min_size=1, max_size=8,
)  # fmt: skip
POLICIES = st.lists(
    st.builds(
        Policy,
        name=st.sampled_from(["one", "two", "three"]),
        do=st.sampled_from(Action),
        older_than=st.integers(0, 60).map(lambda days: days * DAY),
        sources=st.none() | st.just(("a",)),
        statuses=st.none() | st.just(("active", "ended")),
    ),
    min_size=1, max_size=3, unique_by=lambda policy: policy.name,
)  # fmt: skip


@settings(max_examples=budget(25), deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(sessions=SESSIONS, policies=POLICIES)
def test_a_dry_run_lists_what_the_run_does_and_a_second_run_ends(
    tmp_path_factory: pytest.TempPathFactory,
    sessions: list[tuple[int, str | None, bool, bool]],
    policies: list[Policy],
) -> None:
    with opened(tmp_path_factory.mktemp("dry") / "s.db") as store:
        for number, (days, source, closed, held) in enumerate(sessions):
            aged(store, f"s{number}", days, source=source)
            if closed:
                store.session(f"s{number}").close()
            if held:
                store.session(f"s{number}").place_hold("case")
        head = store.head
        planned = retain(store, policies, dry_run=True)
        assert store.head == head
        done = retain(store, policies)
        assert (done.steps, done.held) == (planned.steps, planned.held)
        for number, (_, _, closed, held) in enumerate(sessions):
            if held:
                session = store.session(f"s{number}")
                assert session.history()[0].text == f"s{number} says something"
                assert (session.info().status == "closed") == closed
        for _ in range(len(policies)):
            retain(store, policies)
        head = store.head
        assert retain(store, policies).steps == ()
        assert store.head == head
        clean(store)


def test_an_interrupted_run_is_completed_by_the_next(path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(done: int, steps: int) -> None:
        raise StoppedError

    policies = [Policy(name="p", do=Action.ERASE, older_than=0)]
    with opened(path) as store:
        for number in range(STEPS + 5):
            aged(store, f"s{number}", 3)
        with pytest.raises(StoppedError):
            retain(store, policies, progress=stop)
        assert len([one for one in left(store) if not one.startswith("erased:")]) == 5
        told: list[tuple[int, int]] = []
        outcome = retain(store, policies, progress=lambda *at: told.append(at))
        assert len(outcome.steps) == 5
        assert told == [(5, 5)]
        clean(store)


def test_erased_text_is_gone_from_the_files(path: Path) -> None:
    with opened(path) as store:
        aged(store, "wombat", 9)
        store.search("wombat")
        outcome = retain(store, [Policy(name="p", do=Action.ERASE, older_than=DAY)])
        assert outcome.complete
    assert b"wombat" not in path.read_bytes()


def test_a_file_of_policies_is_read(tmp_path: Path) -> None:
    file = tmp_path / "retention.toml"
    file.write_text(
        """
        [[policy]]
        name = "sub-agents"
        do = "erase"
        older_than = "30d"
        kind = "subagent"
        source = "claude-code"

        [[policy]]
        name = "old text"
        do = "erase-content"
        older_than = "2y"
        types = ["message.appended", "x.shop.order"]

        [[policy]]
        name = "disk"
        do = "erase"
        above = "1.5GB"
        status = ["closed", "ended"]
        """
    )
    one, two, three = read_policies(file)
    assert (one.older_than, one.kind, one.sources) == (30 * DAY, "subagent", ("claude-code",))
    assert (two.do, two.older_than, two.types) == (
        "erase-content", 730 * DAY, ("message.appended", "x.shop.order"),
    )  # fmt: skip
    assert (three.above, three.statuses) == (1_500_000_000, ("closed", "ended"))


@pytest.mark.parametrize(
    "text",
    [
        "", "policy = 3", "[[policy]]\nname = 'a'\ndo = 'erase'",
        "[[policy]]\nname = 'a'\ndo = 'burn'\nolder_than = '1d'",
        "[[policy]]\nname = 'a'\ndo = 'erase'\nolder_than = '1 fortnight'",
        "[[policy]]\nname = 'a'\ndo = 'erase'\nolder_then = '1d'",
        "[[policy]]\nname = 'a'\ndo = 'close'\nabove = '1GB'",
        "[[policy]]\nname = 'a'\ndo = 'erase'\nabove = '1 gigabyte'",
        "[[policy]]\nname = ''\ndo = 'close'\nolder_than = '1d'",
        "[[policy]]\nname = 'a'\ndo = 'close'\nolder_than = '1d'\ntypes = ['title.set']",
        "[[policy]]\nname = 'a'\ndo = 'erase-content'\nolder_than = '1d'\ntypes = ['no.such']",
        "[[policy]]\nname = 'a'\ndo = 'erase-content'\nolder_than = '1d'\n"
        "types = ['round.advanced']",
        "[[policy]]\nname = 'a'\ndo = 'close'\nolder_than = '1d'\n" * 2,
        "not toml",
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "retention.toml"
    file.write_text(text)
    with pytest.raises(InvalidValueError):
        read_policies(file)


def test_no_policy_is_an_error(path: Path) -> None:
    with opened(path) as store, pytest.raises(InvalidValueError):
        retain(store, [])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90min", 5_400_000_000), ("12h", DAY // 2), ("6w", 42 * DAY), ("1y", 365 * DAY)],
)
def test_ages(text: str, wanted: int) -> None:
    assert age_of(text) == wanted


@pytest.mark.parametrize(("text", "wanted"), [("0B", 0), ("1 kB", 1000), ("2MiB", 2**21)])
def test_sizes(text: str, wanted: int) -> None:
    assert size_of(text) == wanted
