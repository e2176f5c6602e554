"""Redacting at append: what is found is never written."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, clean
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redaction_support import SECRETS, files_hold

from eventstore import AsyncSessionStore, Message, SessionStore, ToolCall, errors
from eventstore.events import catalogue as ev
from eventstore.events.catalogue import ContentRedacted
from eventstore.redaction import Redactor
from eventstore.session import commands as do

KEY = SECRETS["api-key"][5]
MAIL = "ada.lovelace@example.org"
LONG = "0123456789abcdef" * 5000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


def redactions(store: SessionStore) -> list[ContentRedacted]:
    return [one.event for one in store.events() if isinstance(one.event, ContentRedacted)]


def planted(secret: str) -> list[do.Command]:
    """Every command that carries content, with a secret in each place that content has."""
    message = Message(
        role="assistant", content=f"text {secret} end", name=f"name {secret}",
        tool_calls=(
            ToolCall(id="c1", name=f"tool {secret}", arguments={"deep": [{"er": f"is {secret}"}]}),
            ToolCall(id="c2", name="run", arguments=f'{{"q": "{secret}"}}'),
        ),
        tool_name=f"t {secret}", reasoning=f"because {secret}",
        reasoning_items=[{"summary": secret}], metadata={"k": [secret], secret: 1},
    )  # fmt: skip
    parts = Message(
        role="user",
        content=[{"type": "text", "text": f"see {secret}"}, {"type": "x", "n": {"y": [secret]}}],
        record={"style": "compact", "value": {"a": secret}},
    )  # fmt: skip
    raw = base64.b64encode(b"\xff\xfe " + secret.encode() + b" \xff").decode()
    kept = Message(role="tool", call_id="c1", content=f"{LONG} {secret} {LONG}",
                   record={"raw_base64": raw})  # fmt: skip
    note = Message(role="system", content=f"note {secret}")
    activity = ev.ActivityContent(subject=f"file {secret}", data={"a": secret, "b": {secret: 2}})
    return [
        do.Append(messages=(message, parts, kept)),
        do.Compact(from_seq=1, to_seq=2, note=note),
        do.CompactSet(runs=((3, 1),), note=note),
        do.SetTitle(title=f"title {secret}"),
        do.ChangePrompt(prompt=f"prompt {secret}"),
        do.ChangeConfiguration(configuration={"a": {"b": [secret]}}),
        do.SuspendToolCalls(payload=[f"pending {secret}"], call_ids=("c1",)),
        do.AddEvent(event=ev.ToolCalled(content=activity)),
        do.AddEvent(event=ev.UserCorrected(content=activity)),
        do.AddEvent(event=ev.CustomEvent(name="x.test.thing", content={"z": [secret]})),
        do.AddEvent(event=ev.CustomEvent(name="x.test.text", content=secret)),
        do.AddEvent(event=ev.RecordImported(format="f", content=ev.Content(record=[secret]))),
        do.AddEvent(event=ev.ExportCreated(format="f", to_version=1,
                                           content=ev.ExportContent(recipient=secret))),
        do.End(reason=f"reason {secret}"),
        do.Close(reason=f"closed {secret}"),
    ]  # fmt: skip


@pytest.mark.parametrize("secret", [one[0] for one in SECRETS.values()])
def test_no_secret_in_any_commands_content_reaches_the_files(path: Path, secret: str) -> None:
    with SessionStore.open(path, redact=Redactor()) as store:
        session = store.create(
            "s", title=f"t {secret}", prompt=secret, configuration={"c": secret},
            metadata={"m": [secret]},
        )  # fmt: skip
        fork = session.fork("f", metadata={"from": secret})
        for command in planted(secret):
            recorded = store.execute([(session, command)])[0]
            assert recorded
            assert secret not in repr(recorded)
        fork.spawn("child", metadata={"x": secret}).close(reason=secret)
        store.search("text")
        store.activities()
        clean(store)
        assert secret not in repr(list(store.events()))
        assert session.version == session.state().version
    raw = base64.b64encode(b"\xff\xfe " + secret.encode() + b" \xff").decode()
    assert files_hold(path, secret, raw) == []


@settings(max_examples=budget(25), deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    secret=st.sampled_from([one for some in SECRETS.values() for one in some]),
    content=st.recursive(
        st.one_of(st.just("\0"), st.text(max_size=12), st.integers(0, 9), st.booleans()),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    around=st.tuples(st.text(max_size=8), st.text(max_size=8)),
)
def test_a_secret_planted_anywhere_in_any_shape_never_survives(
    tmp_path_factory: pytest.TempPathFactory, secret: str, content: Any, around: tuple[str, str]
) -> None:
    path = tmp_path_factory.mktemp("planted") / "s.db"
    text = f"{around[0]} {secret} {around[1]}"

    def plant(value: Any) -> Any:
        if value == "\0":
            return text
        if isinstance(value, list):
            return [plant(one) for one in value]
        if isinstance(value, dict):
            return {key: plant(one) for key, one in value.items()} | {text: 1}
        return value

    with SessionStore.open(path, redact=Redactor()) as store:
        session = store.create("s")
        made = plant(content)
        session.append("user", text, metadata={"m": made})
        session.append("tool", [{"type": "x", "v": made}])
        session.add_event(ev.CustomEvent(name="x.test.any", content=[made, text]))
        store.search("text")
        assert store.verify() == []
    assert files_hold(path, secret) == []


def test_the_event_says_what_was_replaced_and_never_the_text(path: Path) -> None:
    with SessionStore.open(path, redact=Redactor()) as store:
        session = store.create("s")
        version = session.version
        recorded = session.append("user", f"{KEY} and {MAIL} and {MAIL}", metadata={"to": MAIL})
        assert session.messages()[0].text == (
            "[redacted: api-key] and [redacted: email] and [redacted: email]"
        )
        [told] = redactions(store)
        assert told.position == 2
        assert [(one.part, one.detector, one.count) for one in told.replaced] == [
            ("metadata", "email@1", 1), ("text", "api-key@1", 1), ("text", "email@1", 2),
        ]  # fmt: skip
        assert told.content is None
        assert (recorded, session.version) == (session.messages()[0].seq, version + 2)
        session.append("user", "nothing here")
        assert len(redactions(store)) == 1


def test_a_retry_is_known_although_something_was_redacted(path: Path) -> None:
    with SessionStore.open(path, redact=Redactor()) as store:
        session = store.create("s", title=f"t {KEY}", key="c")
        assert store.create("s", title=f"t {KEY}", key="c").stream == session.stream
        first = session.append("user", f"my {KEY}", key="k")
        assert session.append("user", f"my {KEY}", key="k") == first
        batch = [Message(role="user", content=KEY, key="b1"), Message(role="user", content="two")]
        assert session.append_many(batch) == session.append_many(batch)
        note = session.compact(1, 2, f"note {KEY}", key="n")
        assert session.compact(1, 2, f"note {KEY}", key="n") == note
        with pytest.raises(errors.KeyReusedError):
            session.append("assistant", f"my {KEY}", key="k")
        version = session.version
    with SessionStore.open(path) as store:  # the retry comes to a store that does not redact
        session = store.session("s")
        assert session.append("user", f"my {KEY}", key="k") == first
        assert session.version == version
        session.append("user", f"plain {KEY}", key="p")
    with SessionStore.open(path, redact=Redactor()) as store:
        session = store.session("s")
        version = session.version
        session.append("user", f"plain {KEY}", key="p")
        assert session.version == version


def test_a_detector_that_fails_stops_the_append(path: Path) -> None:
    class Failing:
        name, version = "failing", 1

        def find(self, text: str) -> list[tuple[int, int]]:
            if "bad" in text:
                raise ValueError
            return []

    with SessionStore.open(path, redact=Redactor([Failing()])) as store:
        session = store.create("s")
        with pytest.raises(errors.RedactionError, match="failing@1"):
            session.append("user", "bad")
        session.append("user", "good")
        assert [one.text for one in session.messages()] == ["good"]
        clean(store)


def test_without_a_redactor_everything_is_stored_as_it_came(path: Path) -> None:
    with SessionStore.open(path) as store:
        store.create("s").append("user", f"my {KEY}")
        assert store.session("s").messages()[0].text == f"my {KEY}"
        assert redactions(store) == []


def test_tool_calls_stay_paired_and_the_session_keeps_its_id(path: Path) -> None:
    with SessionStore.open(path, redact=Redactor()) as store:
        session = store.create(MAIL)
        call = ToolCall(id=KEY, name="mail", arguments={"to": MAIL})
        session.append("assistant", None, tool_calls=[call])
        session.append("tool", f"sent to {MAIL}", call_id=KEY)
        [view] = session.tool_calls()
        assert (view.call_id, view.arguments, view.result) == (
            KEY, {"to": "[redacted: email]"}, "sent to [redacted: email]",
        )  # fmt: skip
        assert store.get(MAIL) is not None
        clean(store)


def test_concurrent_tasks_are_redacted_each_in_its_own_events(path: Path) -> None:
    async def main() -> None:
        async with AsyncSessionStore.open(path, redact=Redactor()) as store:
            sessions = [await store.create(f"s{n}") for n in range(8)]
            await asyncio.gather(
                *(one.append("user", f"my {KEY} {n}") for n in range(5) for one in sessions)
            )

    asyncio.run(main())
    with SessionStore.open(path) as store:
        clean(store)
        for one in redactions(store):
            [event] = store.events(after=one.position - 1, upto=one.position)
            assert event.event.content.text.startswith("my [redacted: api-key] ")
        assert len(redactions(store)) == 40
    assert files_hold(path, KEY) == []
