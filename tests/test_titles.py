"""Titles: numbered by lineage, and unique among open sessions where their writer asks for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, clean
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import Lifecycle, SessionStore, claims, errors
from eventstore.errors import TitleTakenError
from eventstore.session import commands as do
from eventstore.session import titles
from eventstore.store import titles as queries

# -- lineage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "taken", "following"),
    [
        ("x", [], "x"), ("x #3", [], "x"), ("x", ["x"], "x #2"), ("x #2", ["x"], "x #2"),
        ("x", ["x", "x #2", "x #10"], "x #11"), ("y", ["y #3"], "y #4"), ("x", ["X #7"], "x #8"),
        ("x", ["X"], "x"), ("x", ["x #a"], "x #2"), ("a #1 #2", ["a #1"], "a #1 #2"),
        ("100%", ["100x #5"], "100%"), ("two\nlines #2", ["two\nlines"], "two\nlines #2"),
    ],
)  # fmt: skip
def test_the_next_title_of_a_lineage(title: str, taken: list[str], following: str) -> None:
    assert titles.next_title(title, taken) == following


@given(st.text("xX #12\n", max_size=8), st.lists(st.text("xX #12\n", max_size=8)))
def test_the_next_title_is_never_taken_and_stays_in_its_lineage(
    title: str, taken: list[str]
) -> None:
    found = titles.next_title(title, taken)
    assert found not in taken
    assert found == titles.base_of(title) or titles.base_of(found) == titles.base_of(title)


def test_sessions_are_found_by_title_those_that_began_last_first(tmp_path: Path) -> None:
    with SessionStore.open(tmp_path / "store.db") as store:
        first = store.create("a", title="plan")
        store.create("b", title="plan #2")
        store.create("c", title="other").close()
        store.create("d", title="plan")
        named = queries.newest(store.log, "plan")
        assert named is not None
        assert named.session_id == "d"
        continued = queries.newest_of_lineage(store.log, "PLAN")
        assert continued is not None
        assert continued.session_id == "b"
        assert queries.newest(store.log, "other") is None
        assert queries.next_title(store.log, "plan #2") == "plan #3"
        first.erase()
        assert {one.session_id for one in queries.titled(store.log)} == {"b", "d"}


# -- claims ----------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with SessionStore.open(tmp_path / "store.db") as opened:
        yield opened
        assert_rebuilt_equal(opened)
        clean(opened)


def rows(store: SessionStore) -> list[Any]:
    with store.log.snapshot() as connection:
        return connection.execute("SELECT * FROM claims ORDER BY digest").fetchall()


def assert_rebuilt_equal(store: SessionStore) -> None:
    before = rows(store)
    store.log.transact(lambda tx: tx.connection.execute("DELETE FROM claims"), exclusive=True)
    store.rebuild()
    assert rows(store) == before


def test_a_claimed_title_is_refused_to_another_session_with_both_names(store: SessionStore) -> None:
    one, two = store.create("one"), store.create("two")
    one.set_title("plan", unique=True)
    head = store.head
    with pytest.raises(TitleTakenError, match="'plan' is already in use by session 'one'") as seen:
        two.set_title("plan", unique=True)
    assert (seen.value.title, seen.value.session) == ("plan", "one")
    assert store.head == head
    one.set_title("plan", unique=True)
    two.set_title("Plan", unique=True)
    assert isinstance(seen.value, errors.RuleError)


def test_a_title_that_is_not_claimed_may_be_anybodys(store: SessionStore) -> None:
    one, two, three = (store.create(name) for name in ("one", "two", "three"))
    one.set_title("plan")
    two.set_title("plan", unique=True)
    three.set_title("plan")
    assert [session.title() for session in (one, two, three)] == ["plan"] * 3
    assert len(rows(store)) == 1


@pytest.mark.parametrize("release", ["another", "plain", "none", "close", "erase", "erase_event"])
def test_a_claim_ends_with_its_title(store: SessionStore, release: str) -> None:
    one, two = store.create("one"), store.create("two")
    one.set_title("plan", unique=True)
    match release:
        case "another":
            one.set_title("other", unique=True)
        case "plain":
            one.set_title("plan")
        case "none":
            one.set_title(None)
        case "close":
            one.close()
        case "erase":
            one.erase()
        case "erase_event":
            one.erase_events([one.state().title_position or 0])
    two.set_title("plan", unique=True)


def test_ending_archiving_and_reopening_keep_a_claim(store: SessionStore) -> None:
    one, two = store.create("one"), store.create("two")
    one.set_title("plan", unique=True)
    for act in (one.end, one.archive, one.reopen):
        act()
        with pytest.raises(TitleTakenError):
            two.set_title("plan", unique=True)


def test_an_id_that_is_created_again_has_no_claim_of_before(store: SessionStore) -> None:
    one = store.create("one")
    one.set_title("plan", unique=True)
    one.close()
    again = store.create("one")
    store.create("two").set_title("plan", unique=True)
    with pytest.raises(TitleTakenError):
        again.set_title("plan", unique=True)


def test_a_fork_shows_its_origins_title_and_does_not_claim_it(store: SessionStore) -> None:
    one = store.create("one")
    one.set_title("plan", unique=True)
    fork = one.fork("fork")
    assert fork.title() == "plan"
    with pytest.raises(TitleTakenError):
        fork.set_title("plan", unique=True)
    fork.close()
    with pytest.raises(TitleTakenError):
        store.create("two").set_title("plan", unique=True)


def test_closing_a_parent_releases_what_its_children_claimed(store: SessionStore) -> None:
    parent = store.create("parent")
    parent.spawn("child").set_title("plan", unique=True)
    parent.close()
    store.create("two").set_title("plan", unique=True)


def test_a_batch_that_fails_claims_nothing(store: SessionStore) -> None:
    one, two = store.create("one"), store.create("two")
    claim, other = do.SetTitle(title="plan", unique=True), do.SetTitle(title="x", unique=True)
    with pytest.raises(TitleTakenError):
        store.execute([(one, other), (one, claim), (two, claim)])
    assert rows(store) == []
    two.set_title("plan", unique=True)
    store.execute([(two, other), (one, claim), (one, other.__class__(title="y", unique=True))])
    assert [one.title(), two.title()] == ["y", "x"]
    assert len(rows(store)) == 2


def test_erasing_leaves_no_digest_of_the_title_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with SessionStore.open(path) as store:
        one = store.create("one")
        one.set_title("a title that can be guessed", unique=True)
        digest = claims.digest_of("a title that can be guessed")
    assert digest in path.read_bytes()
    with SessionStore.open(path) as store:
        assert store.session("one").erase().complete
        assert rows(store) == []
    assert digest not in path.read_bytes()


def test_a_store_without_the_table_gets_it_from_the_log(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with SessionStore.open(path) as store:
        store.create("one").set_title("plan", unique=True)
        before = rows(store)
        store.log.transact(lambda tx: tx.connection.execute("DROP TABLE claims"), exclusive=True)
    with SessionStore.open(path) as store:
        assert rows(store) == before


def test_of_many_threads_one_gets_the_title(store: SessionStore) -> None:
    sessions = [store.create(f"s{number}") for number in range(8)]
    won: list[str] = []
    start = threading.Barrier(len(sessions))

    def work(session: Any) -> None:
        start.wait()
        try:
            session.set_title("plan", unique=True)
        except TitleTakenError:
            return
        won.append(session.id)

    threads = [threading.Thread(target=work, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert [one.session_id for one in queries.titled(store.log)] == won


CLAIMER = """
import sys
from eventstore import SessionStore, errors
store = SessionStore.open(sys.argv[1], durability="normal")
mine = store.session(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range(60):
    try:
        mine.set_title(f"title {number}", unique=True)
    except errors.TitleTakenError:
        continue
    won.append(number)
    if number % 3 == 0:
        mine.set_title(None)
print(*won)
store.close()
"""


def test_two_processes_never_have_one_title_at_a_time(store: SessionStore, tmp_path: Path) -> None:
    names = ("left", "right")
    for name in names:
        store.create(name)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, store.path, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        )
        for name in names
    ]  # fmt: skip
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.communicate("go\n", timeout=120)
        assert process.returncode == 0
    held: dict[str, str] = {}
    now: dict[str, str | None] = {}
    for recorded in store.events():
        if getattr(recorded.event, "type", "") != "title.set":
            continue
        name = store.session_of(recorded.stream).id
        before = now.get(name)
        if before is not None:
            assert held.pop(before) == name
        title = None if recorded.event.content is None else recorded.event.content.title
        assert title not in held, "two sessions had this title at a time"
        now[name] = title
        if title is not None:
            held[title] = name


_CALLS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "claim", "claim", "title", "none", "close", "create", "erase",
        "event"]),
        st.sampled_from("abc"),
        st.sampled_from(["t", "u", "T"]),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=budget(60), deadline=None)
@given(_CALLS)
def test_claims_follow_a_dict_of_titles_and_from_the_log_alone(calls: list[Any]) -> None:
    held: dict[str, str] = {}
    with SessionStore.open(":memory:") as store:
        sessions = {name: store.create(name) for name in "abc"}
        for call, name, title in calls:
            session = sessions[name]
            open_ = session.state().status != "closed"
            mine = next((one for one, owner in held.items() if owner == name), None)
            if call == "create" and not open_:
                sessions[name] = store.create(name)
                continue
            if not open_:
                continue
            if call == "claim" and held.get(title, name) != name:
                with pytest.raises(TitleTakenError):
                    session.set_title(title, unique=True)
                continue
            if mine is not None and call != "create":
                del held[mine]
            match call:
                case "claim":
                    session.set_title(title, unique=True)
                    held[title] = name
                case "title":
                    session.set_title(title)
                case "none":
                    session.set_title(None)
                case "close":
                    session.close()
                case "erase":
                    session.erase()
                    session.close()
                case "event":
                    session.set_title(title)
                    session.erase_events([session.state().title_position or 0])
        expected = {claims.digest_of(one): sessions[owner].stream for one, owner in held.items()}
        assert {row[1]: row[2] for row in rows(store)} == expected
        assert_rebuilt_equal(store)


def test_closing_and_erasing_is_one_transaction_with_all_that_each_does(
    store: SessionStore,
) -> None:
    parent = store.create("parent")
    parent.set_title("plan", unique=True)
    parent.append("user", "secret")
    child, free = parent.spawn("child"), parent.spawn("free", lifecycle=Lifecycle.DETACHED)
    child.append("user", "the child's")
    events = store.head.position
    assert parent.close_and_erase(by="desk", reason="asked").complete
    types = [one.event.type for one in store.events(after=events)]
    assert types == [
        "session.closed", "session.closed", "session.reparented", "content.erased",
    ]  # fmt: skip
    assert [one.state().status for one in (parent, child, free)] == ["closed", "closed", "active"]
    assert free.state().parent is None
    assert [one.text for one in (*parent.history(), *child.history())] == [None, "the child's"]
    assert store.get("parent") is None
    store.create("parent").set_title("plan", unique=True)
    with pytest.raises(errors.SessionClosedError):
        parent.close_and_erase()
    with pytest.raises(errors.InvalidValueError):
        free.close_and_erase(reason="x" * 201)
