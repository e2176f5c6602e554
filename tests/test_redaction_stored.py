"""Redacting what is stored: no trace of the text, and every read shows what is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_support import budget, clean, tables_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redaction_support import NAMED, SECRETS, files_hold
from test_redaction_append import LONG, planted

from eventstore import At, Message, SessionStore, ToolCall, backup, errors
from eventstore.backup.erasures import apply, erasures
from eventstore.doctor import examine
from eventstore.erasing import Selection
from eventstore.erasing import erase as erase_selected
from eventstore.events import catalogue as ev
from eventstore.log import reading
from eventstore.redaction import Redactor, named, redact
from eventstore.salvage import salvage
from projections.base import Projection

KEY = SECRETS["api-key"][5]
MAIL = "ada.lovelace@example.org"
MARKED = "my [redacted: api-key] elephant"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


def filled(store: SessionStore) -> None:
    session = store.create("s", title=f"title {KEY}", prompt=f"prompt {KEY}",
                           configuration={"c": KEY}, metadata={"m": KEY})  # fmt: skip
    session.append("user", f"my {KEY} elephant")
    call = ToolCall(id="c1", name="look", arguments={"q": KEY})
    session.append("assistant", None, tool_calls=[call])
    session.append("tool", f"found {KEY} giraffe", call_id="c1")
    session.append("user", "harmless zebra")
    session.suspend_tool_calls([KEY])
    session.compact(1, 1, f"note {KEY} hippo")
    session.add_event(ev.FileTouched(content=ev.ActivityContent(subject=f"path {KEY} badger")))
    store.search("elephant")
    store.activities()


def test_every_read_shows_what_is_left(path: Path) -> None:
    with SessionStore.open(path) as store:
        filled(store)
        session = store.session("s")
        before, fork = session.version, session.fork("f")
        seen = session.state()
        outcome = redact(store, by="desk", reason="leak")
        assert outcome.complete
        assert len(outcome.places) == 10
        clean(store)
        assert session.state(before) == seen
        assert next(one.text for one in session.history()) == MARKED
        assert [one.redacted for one in session.history()] == [True, True, True, False, True]
        assert next(one.text for one in session.messages()) == "note [redacted: api-key] hippo"
        assert session.title() == "title [redacted: api-key]"
        assert session.prompt() == "prompt [redacted: api-key]"
        assert session.configuration() == {"c": "[redacted: api-key]"}
        assert session.pending_tool_calls() == ["[redacted: api-key]"]
        [call] = session.tool_calls()
        assert call.arguments == {"q": "[redacted: api-key]"}
        assert call.result == "found [redacted: api-key] giraffe"
        assert session.compactions()[0].note == "note [redacted: api-key] hippo"
        assert session.info().preview == MARKED
        assert session.chat()[0]["content"] == "prompt [redacted: api-key]"
        # as of then, in the fork, and in the events themselves
        assert session.messages(At.before_compaction(1))[0].text == MARKED
        assert fork.messages()[0].text == "note [redacted: api-key] hippo"
        assert fork.messages()[0].redacted
        assert fork.title() == "title [redacted: api-key]"
        assert next(iter(session.events(after=4))).event.content.text == MARKED
        [activity] = store.activities()
        assert (activity.subject, activity.redacted) == ("path [redacted: api-key] badger", True)
        for word in ("elephant", "giraffe", "hippo"):
            [hit] = store.search(word).hits
            assert "[redacted: api-key]" in hit.snippet
        assert store.search_activities("badger").hits[0].redacted
        assert not store.search(KEY[-20:]).hits
        assert KEY not in repr(list(store.events()))


@pytest.mark.parametrize("count", [80, pytest.param(budget(300), marks=pytest.mark.slow)])
@pytest.mark.parametrize("durability", ["full", "normal"])
@pytest.mark.parametrize("again", [False, True])
def test_no_byte_of_it_is_left_in_the_files(
    path: Path, durability: str, again: bool, count: int
) -> None:
    words = KEY.lower().split("-")
    with SessionStore.open(path, durability=durability) as store:
        filled(store)
        session = store.create("t")
        for command in planted(KEY):
            store.execute([(session, command)])
        for number in range(count):
            session = store.create(f"more-{number}")
            session.append("user", f"text {number} {KEY} {LONG[: number * 6000 // count]}")
        store.search("text")
        if again:
            store.rebuild()
        outcome = redact(store)
        assert outcome.complete
        assert len(outcome.places) > count
        assert files_hold(path, KEY, words[-1]) == []
        clean(store)
    assert files_hold(path, KEY, words[-1]) == []


def test_a_rebuild_gives_what_stood_there(path: Path) -> None:
    with SessionStore.open(path) as store:
        filled(store)
        store.session("s").fork("f")
        redact(store)
        before, hits = tables_of(store), store.search("elephant OR hippo").hits
        store.rebuild()
        assert tables_of(store) == before
        assert store.search("elephant OR hippo").hits == hits
        clean(store)


def test_redacting_twice_adds_nothing_and_a_dry_run_writes_nothing(path: Path) -> None:
    with SessionStore.open(path) as store:
        filled(store)
        head = store.head
        planned = redact(store, dry_run=True)
        assert store.head == head
        assert KEY in repr(list(store.events()))
        assert KEY[:12] not in repr(planned)
        done = redact(store)
        assert done.places == planned.places
        head = store.head
        assert redact(store).places == ()
        assert store.head == head


def test_what_is_found_later_is_redacted_in_what_is_left(path: Path) -> None:
    with SessionStore.open(path) as store:
        session = store.create("s")
        session.append("user", f"{MAIL} has {KEY} for +49 30 901820")
        for names in (["api-key"], ["email"], ["phone"]):
            assert len(redact(store, redactor=Redactor(named(names))).places) == 1
            clean(store)
        assert session.messages()[0].text == (
            "[redacted: email] has [redacted: api-key] for [redacted: phone]"
        )
        store.rebuild()
        clean(store)
    assert files_hold(path, KEY, MAIL, "901820") == []


def test_erasing_a_redacted_event_wipes_what_was_left(path: Path) -> None:
    for whole in (False, True):
        with SessionStore.open(path) as store:
            session = store.create(f"s{whole}")
            session.append("user", f"walrus {KEY}")
            session.append("user", "stays")
            store.search("walrus")
            redact(store)
            position = session.messages()[0].position
            outcome = session.erase() if whole else session.erase_events([position])
            assert position in outcome.positions
            assert outcome.complete
            first = session.messages()[0]
            assert (first.text, first.erased, first.redacted) == (None, True, False)
            assert not store.search("walrus").hits
            clean(store)
            store.rebuild()
            clean(store)
            assert redact(store).places == ()
        assert files_hold(path, "walrus", KEY) == []


def test_an_erasure_by_search_finds_what_was_left(path: Path) -> None:
    with SessionStore.open(path) as store:
        session = store.create("s")
        session.append("user", f"walrus {KEY}")
        redact(store)
        for chosen in (Selection(query="walrus"), Selection(text="walrus")):
            receipt = erase_selected(store, chosen)
            assert len(receipt.plan.items) == (1 if chosen.query else 0)
        assert session.messages()[0].erased
        clean(store)
    assert files_hold(path, "walrus") == []


def test_an_imported_backup_does_not_bring_it_back(path: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with SessionStore.open(path) as store:
        store.create("s").append("user", f"my {KEY}")
        store.session("s").place_hold("case")
        backup.backup(path, old)
        store.session("s").release_hold("case")
        redact(store, reason="leak")
    [one] = erasures(path)
    assert (one.reason, len(one.events)) == ("leak", 1)
    backup.restore(old, new, erasures_from=[path])
    with SessionStore.open(new) as store:
        assert store.session("s").messages()[0].erased
        clean(store)
    assert files_hold(new, KEY) == []
    backup.restore(path, tmp_path / "same.db", without_erasures=True)
    with SessionStore.open(tmp_path / "same.db") as store:
        assert store.session("s").messages()[0].text == "my [redacted: api-key]"
        assert apply(store, erasures(path)) == []
        clean(store)


def test_doctor_and_salvage_know_of_it(path: Path, tmp_path: Path) -> None:
    with SessionStore.open(path) as store:
        filled(store)
        redact(store)
    assert examine(path).findings == ()
    report = salvage(path, tmp_path / "new.db")
    assert (report.lost, report.lost_contents) == ((), ())
    with SessionStore.open(tmp_path / "new.db") as store:
        assert store.session("s").history()[0].text == MARKED
        clean(store)


def test_verify_finds_content_that_was_wiped_without_a_replacement(path: Path) -> None:
    with SessionStore.open(path, redact=Redactor()) as store:
        session = store.create("s")
        session.append("user", f"my {KEY}")  # an event says so, but none that wiped anything
        position = session.messages()[0].position

        def wipe(transaction: object) -> None:
            connection = transaction.connection  # type: ignore[attr-defined]
            connection.execute(
                "UPDATE contents SET salt = NULL, body = NULL WHERE position = ?", (position,)
            )

        store.log.transact(wipe, exclusive=True)
        assert [one.position for one in store.verify()] == [position]


def test_a_claim_of_a_title_ends_with_its_text(path: Path) -> None:
    with SessionStore.open(path) as store:
        store.create("s").set_title(f"mine {KEY}", unique=True)
        store.create("t").set_title("other", unique=True)
        redact(store)
        store.create("u").set_title("mine [redacted: api-key]", unique=True)
        with pytest.raises(errors.TitleTakenError):
            store.session("u").set_title("other", unique=True)
    assert examine(path).findings == ()


class Words(Projection):
    """A user's projection that keeps text."""

    name, tables = "words", ("words",)
    schema = "CREATE TABLE {words} (position INTEGER PRIMARY KEY, text TEXT)"
    reads_content = True

    def apply(self, connection, events) -> None:  # type: ignore[no-untyped-def]
        for one in events:
            if isinstance(one.event, ev.MessageAppended) and one.event.content is not None:
                connection.execute(
                    self.sql("INSERT INTO {words} VALUES (?, ?)"),
                    (one.position, one.event.content.text),
                )

    def erase(self, connection, events) -> None:  # type: ignore[no-untyped-def]
        for one in events:
            connection.execute(self.sql("DELETE FROM {words} WHERE position = ?"), (one.position,))


def test_a_projection_of_ones_own_that_keeps_text_is_made_anew(path: Path) -> None:
    with SessionStore.open(path, projections=[Words]) as store:
        store.create("s").append("user", f"my {KEY}")
        store.catch_up("words")
        redact(store)
        with store.read("words") as connection:
            assert connection.execute("SELECT text FROM words").fetchall() == [
                ("my [redacted: api-key]",)
            ]
        clean(store)
    assert files_hold(path, KEY) == []


def test_what_is_said_of_it_must_not_repeat_it(path: Path) -> None:
    with SessionStore.open(path) as store:
        store.create("s").append("user", f"my {MAIL}")
        with pytest.raises(errors.InvalidValueError, match="reason repeats"):
            redact(store, reason=f"remove {MAIL}")
        redact(store, reason="asked")
    assert files_hold(path, MAIL) == []


def test_only_the_sessions_that_are_named_are_redacted(path: Path) -> None:
    with SessionStore.open(path) as store:
        for name in ("a", "b"):
            store.create(name).append("user", f"my {KEY} {LONG} {MAIL}")
        outcome = redact(store, [store.session("a")])
        assert {one.session for one in outcome.places} == {"a"}
        assert KEY in str(store.session("b").messages()[0].text)
        clean(store)
        redact(store)
        clean(store)
    assert files_hold(path, KEY, MAIL) == []


TEXTS = st.lists(
    st.one_of(
        st.sampled_from([one for some in SECRETS.values() for one in some]),
        st.sampled_from(["".join(one) for one in NAMED]),
        st.text(max_size=15),
        st.sampled_from(["word ", "\n", " ", "elephant"]),
    ),
    max_size=5,
).map("".join)


@settings(max_examples=budget(25), deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(texts=st.lists(TEXTS, min_size=1, max_size=5), erased_too=st.booleans())
def test_redacted_afterwards_and_redacted_at_append_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], erased_too: bool
) -> None:
    folder = tmp_path_factory.mktemp("same")

    def fill(store: SessionStore) -> None:
        session = store.create("s")
        session.append_many(
            [Message(role="user", content=text, metadata={"m": text}) for text in texts]
        )
        store.search("elephant")

    with (
        SessionStore.open(folder / "a.db") as later,
        SessionStore.open(folder / "b.db", redact=Redactor()) as before,
    ):
        fill(later)
        fill(before)
        if erased_too:
            for store in (later, before):
                store.session("s").erase_events([store.session("s").messages()[0].position])
        redact(later)
        for store in (later, before):
            clean(store)
        one, other = (
            [(m.text, m.metadata, m.erased) for m in store.session("s").messages()]
            for store in (later, before)
        )
        assert one == other


def test_reading_events_without_content_does_not_look_through_the_whole_log(
    tmp_path: Path,
) -> None:
    """For each event without content, the log was scanned for a redaction of it."""
    with SessionStore.open(tmp_path / "s.db") as store:
        for sql, values in (
            (reading._EVENTS_WITH_CONTENT + reading._OF_LOG, (0, 9, 9)),
            (reading._EVENTS_WITH_CONTENT + reading._OF_STREAM, (1, 0, 9, 9)),
            (reading._LAST_EVENTS, (0, 0, 9)),
        ):
            with store.log.reader() as connection:
                steps = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            plan = [str(step[-1]) for step in steps]
            assert "SEARCH r USING INDEX events_by_redacted (<expr>=?)" in plan, plan
