"""The HTML page: what it shows, what it marks, and that no text can be anything but text."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tracemalloc
from pathlib import Path

import pytest
from engine_support import budget, populate, ticking
from hypothesis import given, settings
from hypothesis import strategies as st
from page_support import (
    HOSTILE,
    PIXEL,
    check_only_ours,
    page_of,
    parsed,
    tell_everything,
    written,
)

from eventstore import Message, SessionStore, ToolCall
from eventstore.events import catalogue as ev
from eventstore.exports import runner
from eventstore.exports.html import escaping, write_page
from eventstore.exports.html.history import History
from eventstore.redaction import redact
from eventstore.session import runs
from projections.queries import fates, messages


@pytest.fixture
def store() -> SessionStore:
    return SessionStore.open(":memory:", clock=ticking(step=1_000_000))


def as_shown(text: str) -> str:
    """What is to be read on the page for a text."""
    return "".join(
        escaping.name_of(one) if escaping.inline(one) not in (one, *ENTITIES) else one
        for one in text.replace("\r\n", "\n")
    )


ENTITIES = ("&amp;", "&lt;", "&gt;", "&quot;", "&#x27;")


# -- text is only text -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_adds_no_element_and_no_attribute_wherever_it_stands(
    store: SessionStore, text: str
) -> None:
    page = written(tell_everything(store, text))
    check_only_ours(parsed(page))
    assert parsed(page).by_id("m1").parent is not None


@settings(
    max_examples=budget(60), deadline=None,
)  # fmt: skip
@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=20), max_size=4).map("".join))
def test_no_text_adds_an_element_or_an_attribute(text: str) -> None:
    with SessionStore.open(":memory:", clock=ticking()) as store:
        page = page_of(tell_everything(store, text))
    check_only_ours(page)
    [script], [style] = page.all("script"), page.all("style")
    assert "owned" not in script.text + style.text


@settings(max_examples=budget(80), deadline=None)
@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=30), min_size=1).map("\n".join))
def test_a_text_can_be_read_off_the_page_in_full(text: str) -> None:
    with SessionStore.open(":memory:") as store:
        session = store.create("s")
        session.append("user", text)
        page = page_of(session)
    message = page.by_id("v2")
    assert "".join(one.text for one in message.all("div", "t")) == as_shown(text)


def test_a_long_text_is_cut_and_its_rest_folded_behind_it(store: SessionStore) -> None:
    session = store.create("s")
    lines = "".join(f"line {number}\n" for number in range(5000))
    session.append("user", lines)
    session.append("assistant", "word " * 50_000)
    page = page_of(session)
    first, rest = page.by_id("v2").all("div", "t")
    assert first.text + rest.text == lines
    assert first.text.count("\n") <= 150
    folded = page.by_id("v2").one("details", "rest")
    assert folded.one("summary").text == "Show all · 4,881 more lines"
    shown, hidden = page.by_id("v3").all("div", "t")
    assert shown.text + hidden.text == "word " * 50_000
    assert len(shown.text) <= 15_000


def test_what_cannot_be_seen_is_shown_by_name(store: SessionStore) -> None:
    session = store.create("s", title="a\u202eb")
    plain = "é 日本 \U0001f469\u200d\U0001f680"
    session.append("user", "a\u202eb\x1b[31m\x00\u200b\U000e0041\ud800 " + plain)
    page = page_of(session)
    shown = [one.text for one in page.by_id("v3").all("b", "hidden-char")]
    assert shown == ["U+202E", "ESC", "NUL", "U+200B", "U+E0041", "U+D800"]
    assert plain in page.by_id("v3").text
    assert page.one("title").text == "aU+202Eb"


def test_the_policy_allows_the_style_and_the_script_of_the_page_and_nothing_else(
    store: SessionStore,
) -> None:
    page = page_of(store.create("s"))
    [policy] = [
        one.attributes["content"]
        for one in page.all("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    hashes = []
    for tag in ("style", "script"):
        digest = hashlib.sha256(page.one(tag).text.encode()).digest()
        hashes.append(base64.b64encode(digest).decode())
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


# -- what is shown ---------------------------------------------------------------------------------


def test_every_event_is_on_the_page_in_order(store: SessionStore) -> None:
    populate(store)
    for info in store.sessions():
        session = store.session(info.name)
        names = [one.attributes.get("id") or "" for one in page_of(session).all()]
        found = [int(name[1:]) for name in names if re.fullmatch(r"v\d+", name)]
        assert found == list(range(1, session.version + 1))


def test_the_head_says_what_session_it_is_and_what_it_used(store: SessionStore) -> None:
    session = store.create("trip", title="Rome", model="m-large", provider="acme", source="test")
    session.append("user", "hello")
    session.record_usage("a", input=100, cache_read=20, output=7, reasoning=3, cost=0.25, model="m")
    session.record_usage("b", input=1, output=1, cost=0.5, currency="EUR", model="n")
    child = session.spawn("helper")
    fork = session.fork("other")
    page = page_of(session)
    head = page.one("header")
    facts = {one.one("dt").text: one.one("dd").text for one in head.one("dl").all("div")}
    assert facts["Session"] == "trip"
    assert facts["Model"] == "m-large of acme"
    assert facts["Messages"] == "1, of which the model sees 1"
    assert facts["Sub-agents"] == child.id
    assert facts["Forks"] == fork.id
    assert facts["Shown"] == f"versions 1 to {session.version}, the log up to {store.head.position}"
    assert facts["Last leaf"] == list(session.events())[-1].leaf.hex()
    assert head.one("p", "total").text == (
        "0.50 EUR · $0.25 · 2 model calls · 121 tokens in (20 from cache) · 8 out (3 reasoning)"
    )
    assert "Spawned by" in page_of(child).one("header").text
    assert "at version" in page_of(fork).one("header").text


def test_sums_of_the_turns_add_up_to_what_the_session_used(store: SessionStore) -> None:
    session = store.create("s")
    session.record_usage("early", input=5)
    for turn in range(1, 4):
        session.append("user", "question")
        session.append("user", "and another")
        session.record_usage(f"r{turn}", input=10 * turn)
        session.record_usage(f"r{turn}", input=11 * turn)
        session.append("assistant", "answer")
    session.record_usage("early", input=7)
    page = page_of(session)
    assert [one.text for one in page.all("h2")] == [
        "Before the first turn", "Turn 1", "Turn 2", "Turn 3",
    ]  # fmt: skip
    sums = [re.search(r": (\d+) model calls? · (\d+)", one.text) for one in page.all("p", "sum")]
    assert sum(int(one[1]) for one in sums if one) == session.usage().calls == 4
    assert sum(int(one[2]) for one in sums if one) == session.usage().input == 73


def test_tool_calls_and_results_are_folded_and_tied_together(store: SessionStore) -> None:
    session = store.create("s")
    call = ToolCall(id="c1", name="bash", arguments={"command": "ls\n-l", "n": 3})
    text = ToolCall(id="c2", name="edit", arguments='{"path": "a.txt"}')
    session.append("assistant", "let me look", tool_calls=(call, text), reasoning="hm")
    session.append("tool", "a\nb", call_id="c1", failed=True)
    child = session.spawn("helper", spawn_call_id="c2")
    page = page_of(session)
    first, second = page.by_id("v2").all("details", "call")
    assert first.one("summary").text == "bash ls -l"
    assert [one.text for one in first.all("dt")] == ["command", "n"]
    assert first.all("dd")[0].text == "ls\n-l"
    assert second.one("summary").text == f"edit a.txt began session {child.id}"
    assert page.by_id("v2").one("details", "think").one("summary").text == "Reasoning hm"
    result = page.by_id("v3").one("details", "result")
    assert result.one("summary").text == "bash a b 2 lines"
    assert result.one("p", "id").text == "answers #1, call c1"
    assert result.one("a").attributes["href"] == "#m1"
    assert "failed" in page.by_id("v3").one("p", "marks").text


def test_arguments_that_name_a_thing_twice_are_shown_as_they_came(store: SessionStore) -> None:
    session = store.create("s")
    raw = '{"command": "ls", "command": "rm -r /"}'
    session.append("assistant", tool_calls=[ToolCall(id="c", name="bash", arguments=raw)])
    assert page_of(session).by_id("v2").one("div", "t").text == raw


def test_images_in_the_log_are_shown_and_no_other_is_loaded(store: SessionStore) -> None:
    session = store.create("s")
    large = "A" * 6_000_000

    def given_as(kind: str, media: str, data: str) -> dict[str, object]:
        return {"type": kind, "source": {"type": "base64", "media_type": media, "data": data}}

    session.append(
        "user",
        [
            given_as("image", "image/png", PIXEL),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL}},
            {"type": "input_image", "image_url": "https://example.org/a.png"},
            given_as("image", "image/png", large),
            given_as("image", "image/svg+xml", PIXEL),
            given_as("document", "application/pdf", PIXEL),
        ],
    )
    message = page_of(session).by_id("v2")
    assert [one.attributes["src"] for one in message.all("img")] == [
        "data:image/png;base64," + PIXEL
    ] * 2
    assert [one.text for one in message.all("p", "left-out")] == [
        "Attachment (image): image/png, 4.5 MB, too large for this page",
        "Attachment (image): image/svg+xml, 70 bytes, not shown on this page",
        "Attachment (document): application/pdf, 70 bytes, not shown on this page",
    ]
    assert "elsewhere, not loaded" in message.text


# -- what became of it -----------------------------------------------------------------------------


def test_messages_that_left_the_context_are_grey_and_say_why(store: SessionStore) -> None:
    session = store.create("s")
    for number in range(1, 9):
        session.append("user" if number % 2 else "assistant", f"message {number}")
    note = session.compact(1, 2, "a note", tokens_before=900, tokens_after=90)
    session.consolidate(3)
    session.retract(7)
    page = page_of(session)
    marks = {seq: page.by_id(f"v{seq + 1}").all("p", "marks")[0].text for seq in (1, 2, 3, 7, 8)}
    assert marks[1] == marks[2] == f"replaced by note #{note}"
    assert marks[3] == "taken out of the context by event v11"
    assert marks[7] == marks[8] == "retracted by event v12"
    active = {message.seq for message in session.messages()}
    for article in page.all("article"):
        seq = int(article.all("a")[0].text[1:])
        assert ("now" in article.classes) == (seq in active)
        assert ("gone" in article.classes) == (seq not in active)
    stands = page.by_id("v10")
    assert "900 → 90 tokens" in stands.one("p", "stands").text
    listed = [one.text for one in stands.one("details", "taken").all("li")]
    assert listed == ["#1 user message 1", "#2 assistant message 2"]
    session.clear()
    assert "cleared by event v13" in page_of(session).by_id("v5").text


def test_a_page_of_an_earlier_version_knows_nothing_of_later(store: SessionStore) -> None:
    session = store.create("s", title="first")
    session.append("user", "one")
    session.append("assistant", "two")
    version = session.version
    before = written(session)
    session.set_title("second")
    session.append("user", "three")
    session.compact(1, 2, "note")
    session.record_usage("r", input=1)
    session.spawn("child")
    session.fork("fork")
    assert written(session, to_version=version) == before
    assert written(session) != before


def test_what_became_of_messages_and_usage_is_right_at_every_version(store: SessionStore) -> None:
    populate(store)
    for info in store.sessions():
        session = store.session(info.name)
        for version in range(1, session.version + 1):
            state = session.state(version)
            with store.log.snapshot() as connection:
                found = fates.fates(connection, session.stream, version, 1, state.next_seq)
                expected = messages.states_at(connection, session.stream, version)
            assert {seq: one.state for seq, one in found.items()} == expected
            assert not set(found) & set(runs.numbers_of(state.active))
            counted = [
                one.recorded.event.input
                for one in History(session, version).entries()
                if isinstance(one.recorded.event, ev.UsageRecorded) and not one.corrected
            ]
            assert (len(counted), sum(counted)) == (
                session.usage(version).calls, session.usage(version).input,
            )  # fmt: skip


def test_what_was_erased_is_gone_and_says_who_and_why(store: SessionStore) -> None:
    session = store.create("s", title="kept")
    session.append("user", "the secret word")
    session.append("assistant", "fine")
    fork = session.fork("f")
    [position] = [one.position for one in session.events() if getattr(one.event, "seq", 0) == 1]
    session.erase_events([position], by="dpo", reason="Article 17")
    for which, place in ((session, "v3"), (fork, None)):
        page = page_of(which)
        assert "secret" not in page.text
        [wiped] = page.all("p", "wiped")
        assert wiped.text.startswith("Erased by dpo, 2023-11-14 ")
        assert "Reason: Article 17." in wiped.text
        if place is not None:
            assert "erased" in page.by_id(place).classes
            assert wiped.one("a").attributes["href"] == f"#v{session.version}"
    early = page_of(session, to_version=4)
    assert "Article 17" in early.text
    assert not early.one("p", "wiped").all("a")


def test_what_was_redacted_is_marked_and_says_what_was_found(store: SessionStore) -> None:
    session = store.create("s")
    session.append("user", "write to jane@example.org")
    session.append("assistant", "fine")
    version = session.version
    redact(store, [session], by="desk", reason="asked")
    page = page_of(session)
    assert "jane@" not in page.text
    message = page.by_id("v2")
    assert "[redacted: email]" in message.text
    assert message.one("p", "marks").text == "redacted by event v4"
    assert not page.by_id("v3").all("p", "marks")
    event = page.by_id("v4").text
    assert "1 by email@" in event
    assert "by desk. Reason: asked" in event
    early = page_of(session, to_version=version).by_id("v2")
    assert early.one("p", "marks").text == "redacted"
    assert not early.one("p", "marks").all("a")


def test_what_was_left_out_of_a_page_is_not_called_erased(store: SessionStore) -> None:
    session = store.create("s")
    session.append("user", "kept")
    session.append("user", "gone")
    session.append("user", "kept")
    session.erase_events([session.messages()[1].position], by="dpo")
    page = page_of(session, texts=False)
    assert [page.by_id(f"v{version}").one("div", "b").text[:12] for version in (2, 3, 4)] == [
        "text left ou", "Erased by dp", "text left ou",
    ]  # fmt: skip


def test_relatives_are_those_of_the_time_that_is_shown(store: SessionStore) -> None:
    session = store.create("s")
    session.append("user", "one")
    session.spawn("first")
    position = store.head.position
    session.spawn("second")
    early = page_of(session, to_position=position).one("header").text
    assert "first" in early
    assert "second" not in early
    assert "first, second" in page_of(session).one("header").text


def test_an_erased_session_has_a_page_that_holds_none_of_it(store: SessionStore) -> None:
    session = tell_everything(store, "needle", "needle-id")
    before = written(session)
    assert before.count("needle") > 30
    session.erase(by="dpo", reason="asked")
    after = store.session(store.sessions()[0].name)
    # Facts stay: software made them, and they are never erased.
    page = page_of(after)
    assert "needle-id" not in page.text
    for article in page.all("article"):
        assert "needle" not in article.one("div", "b").text.replace("ended by needle", "") or (
            "note" in article.classes
        )
    assert len(page.all("p", "wiped")) > 10


def test_a_page_without_texts_holds_facts_only(store: SessionStore) -> None:
    session = store.create("s", title="needle", prompt="needle", model="m")
    session.append("user", "needle")
    session.append("assistant", "needle", tool_calls=[ToolCall(id="c", name="needle")])
    session.append("tool", "needle", call_id="c", tool_name="needle")
    session.compact(1, 2, "needle")
    session.add_event(
        ev.FileTouched(operation="read", content=ev.ActivityContent(subject="needle"))
    )
    session.end("needle")
    page = page_of(session, texts=False)
    assert "needle" not in page.text
    assert "text left out of this page" in page.by_id("v5").text
    assert "m" in page.one("header").text


def test_a_fork_shows_what_it_took_over(store: SessionStore) -> None:
    origin = store.create("origin")
    for number in range(1, 7):
        origin.append("user", f"message {number}")
    origin.compact(1, 4, "the note")
    fork = origin.fork("fork")
    fork.append("user", "on my own")
    page = page_of(fork)
    taken = page.all("article", "inherited")
    assert [one.all("a")[0].text for one in taken] == ["#7", "#5", "#6"]
    assert "the note" in taken[0].text
    assert "of the session it comes from" in taken[0].text
    assert "Fork of origin at its version 8, with 3 messages of it" in page.by_id("v1").text


# -- writing ---------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_session(tmp_path: Path) -> None:
    class Nowhere(io.RawIOBase):
        largest = 0

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.largest = max(self.largest, len(data))
            return len(data)

    peaks = []
    with SessionStore.open(tmp_path / "s.db") as store:
        session = store.create("s")
        for _ in range(2):
            session.append_many([Message(role="tool", content="word " * 40_000)] * 60)
            out = Nowhere()
            tracemalloc.start()
            write_page(session, out)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert out.largest < 400_000
    body = 200_000
    assert peaks[1] < peaks[0] + body
    assert peaks[1] < 30 * body


def test_progress_ends_at_the_end(store: SessionStore) -> None:
    session = store.create("s")
    session.append_many([Message(role="user", content="x")] * 450)
    told: list[tuple[int, int]] = []
    write_page(session, io.BytesIO(), progress=lambda at, end: told.append((at, end)))
    assert told == [(200, 451), (400, 451), (451, 451)]


def test_several_sessions_make_a_folder_with_an_index(store: SessionStore, tmp_path: Path) -> None:
    for name in ("index", "a/b <c>", "plain"):
        store.create(name, title=f"Title of {name}").append("user", "hello")
    runner.export(store, "html", tmp_path / "pages", record=False)
    index = parsed((tmp_path / "pages" / "index.html").read_text(encoding="utf-8"))
    links = {one.text: one.attributes["href"] or "" for one in index.one("tbody").all("a")}
    assert list(links) == [f"Title of {name}" for name in ("index", "a/b <c>", "plain")]
    assert links["Title of plain"] == "plain.html"
    for title, link in links.items():
        page = parsed((tmp_path / "pages" / link).read_text(encoding="utf-8"))
        assert page.one("h1").text == title
    assert len(list((tmp_path / "pages").iterdir())) == 4


def test_one_session_makes_a_file_up_to_the_head_at_its_begin(
    store: SessionStore, tmp_path: Path
) -> None:
    session = store.create("s")
    session.append("user", "hello")
    done = runner.export(
        store, "html", tmp_path / "s.html", sessions=[session], recipient="auditor"
    )
    page = parsed((tmp_path / "s.html").read_text(encoding="utf-8"))
    assert len(done.recorded) == 1
    assert "auditor" not in page.text
    assert "versions 1 to 2, the log up to 2" in page.one("header").text
    assert "Exported as html up to version 2 for auditor" in page_of(session).by_id("v3").text
