"""Detectors: what they find and what they leave, in time that grows with the text alone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

import pytest
from engine_support import budget
from hypothesis import example, given
from hypothesis import strategies as st
from redaction_support import HARMLESS, NAMED, SECRETS

from eventstore.errors import RedactionError
from eventstore.events.catalogue import MessageAppended, MessageContent, ToolCall
from eventstore.redaction import detectors
from eventstore.redaction.detectors import DEFAULT, OPTIONAL, Detector
from eventstore.redaction.marks import agrees, mark_of
from eventstore.redaction.redactor import Redactor

ALL = Redactor((*DEFAULT, *OPTIONAL))
PLANTED = [(name, secret) for name, secrets in SECRETS.items() for secret in secrets]
AROUND = [("", ""), ("a key: ", " was here"), ('{"k":"', '"}'), ("line\n", "\nline"), ("(", ")."),
          ("日本", "語"), ("x=", ";")]  # fmt: skip


@pytest.mark.parametrize(("name", "secret"), PLANTED, ids=lambda one: str(one)[:24])
def test_a_secret_is_found_whole_wherever_it_stands(name: str, secret: str) -> None:
    for before, after in AROUND:
        found = Redactor().text(before + secret + after)
        assert secret not in found
        assert found[: len(before)] == before
        assert found.endswith(after)
        assert "[redacted: " in found
    assert Redactor().text(f"see {secret} there") == f"see {mark_of(name)} there"


@pytest.mark.parametrize(("before", "secret", "after"), NAMED)
def test_a_value_is_found_by_the_name_beside_it(before: str, secret: str, after: str) -> None:
    assert Redactor().text(before + secret + after) == f"{before}[redacted: secret]{after}"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("phone", ["+49 30 901820", "+1-212-555-0100", "+442079460000"]),
        ("credit-card", ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"]),
        ("iban", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"]),
    ],
)
def test_numbers_are_found_when_they_are_asked_for(name: str, numbers: list[str]) -> None:
    chosen = Redactor(detectors.named([name]))
    for number in numbers:
        assert chosen.text(f"call {number} NOW") == f"call {mark_of(name)} NOW"
        assert Redactor().text(f"call {number} NOW") == f"call {number} NOW"
    for wrong in ("4111 1111 1111 1112", "DE89 3704 0044 0532 0130 01", "v1.2.3+20261121"):
        assert chosen.text(wrong) == wrong


def test_secrets_are_found_under_their_key_in_an_object() -> None:
    call = ToolCall(
        id="c1", name="login",
        arguments={"password": "correct horse battery staple", "user": "ada", "pin_token": "1234",
                   "nested": [{"apiKey": ["first-1", "second-2"]}], "max_tokens": "4096"},
    )  # fmt: skip
    event = MessageAppended(seq=1, role="assistant", content=MessageContent(tool_calls=[call]))
    found = Redactor().examine(event)
    assert found is not None
    assert found.content.tool_calls[0].arguments == {
        "password": "[redacted: secret]", "user": "ada", "pin_token": "1234",
        "nested": [{"apiKey": ["[redacted: secret]"] * 2}], "max_tokens": "4096",
    }  # fmt: skip
    [replaced] = found.replaced
    assert (replaced.part, replaced.detector, replaced.count) == (
        "tool_calls[0].arguments", "secret@1", 3,
    )  # fmt: skip


def test_keys_of_objects_are_looked_through_and_none_is_lost() -> None:
    content = MessageContent(metadata={"a@example.org": 1, "b@example.org": 2, "c": 3})
    found = Redactor().examine(MessageAppended(seq=1, role="user", content=content))
    assert found is not None
    assert found.content.metadata == {"[redacted: email]": 1, "[redacted: email] (2)": 2, "c": 3}


SNIPPETS = st.one_of(
    st.sampled_from([secret for _, secret in PLANTED]),
    st.sampled_from(["".join(one) for one in NAMED]),
    st.sampled_from(HARMLESS),
    st.text(max_size=30),
    st.sampled_from(["[redacted: api-key]", "[redacted: ", "]", "@", "=", ": ", "\n", " "]),
)


@given(st.lists(SNIPPETS, max_size=8).map("".join))
def test_redacting_what_was_redacted_changes_nothing(text: str) -> None:
    once = ALL.text(text)
    assert ALL.text(once) == once


@example("password: ********1@b\u00fccher.example")
@given(st.lists(SNIPPETS, max_size=6).map("".join))
def test_what_was_redacted_agrees_with_the_text_it_was_made_of(text: str) -> None:
    assert agrees(ALL.text(text).encode("utf-8", "surrogatepass"),
                  text.encode("utf-8", "surrogatepass"))  # fmt: skip


def test_what_reaches_into_a_mark_takes_all_of_it() -> None:
    assert ALL.text("password: ********1@b\u00fccher.example") == "password: [redacted: secret]"


def test_a_text_that_differs_beside_a_mark_does_not_agree() -> None:
    stored = b"my [redacted: api-key] and [redacted: email] end"
    assert agrees(stored, b"my secret and other end")
    for other in (b"my secret and other END", b"My secret and other end", b"my secret or other end",
                  b"my  end", b"my secret and end"):  # fmt: skip
        assert not agrees(stored, other)


HOSTILE = ["a", "A", "1", "-", "_", ".", "@", "a@", "a.", "a@a.", "=", "a=", "password=", "token:",
           "eyJ", "eyJa.", "sk-", "ghp_", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "://a:",
           "http://a:b", "+1", "4 ", "4-", "DE89 ", "AB12 CDEF ", "\\", '\\"', "'", '"', "secret='",
           "authorization: bearer ", "[redacted: ", " ", "\n", "é", "_live_", "AIza"]  # fmt: skip


@pytest.mark.parametrize("size", [100_000, pytest.param(budget(500_000), marks=pytest.mark.slow)])
@pytest.mark.parametrize("piece", HOSTILE)
def test_long_hostile_texts_are_looked_through(piece: str, size: int) -> None:
    """What took time in the square of the length would not come back."""
    text = piece * (size // len(piece))
    assert isinstance(ALL.text(text), str)
    assert isinstance(ALL.text(f"{text} x"), str)


# -- other people's detectors ----------------------------------------------------------------------


class Ticket:
    """Ticket numbers."""

    name = "ticket"
    version = 3

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        at = text.find("TICKET-")
        if at >= 0:
            yield at, at + 11


class Failing(Ticket):
    name = "failing"

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        raise ValueError(text)


class Beyond(Ticket):
    name = "beyond"

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        yield 0, len(text) + 1


def test_a_detector_of_ones_own_is_used() -> None:
    assert isinstance(Ticket(), Detector)
    assert Redactor([Ticket()]).text("see TICKET-0042!") == "see [redacted: ticket]!"


def test_detectors_that_fail_or_lie_stop_the_redaction_without_the_text() -> None:
    for wrong in (Failing(), Beyond()):
        with pytest.raises(RedactionError) as caught:
            Redactor([wrong]).text("a very secret text")
        assert "a very secret text" not in str(caught.value)


@pytest.mark.parametrize("wrong", [object(), "email", type("X", (Ticket,), {"name": "a b"})()])
def test_what_is_no_detector_is_refused(wrong: Detector) -> None:
    with pytest.raises(RedactionError):
        Redactor([wrong])
    with pytest.raises(RedactionError):
        Redactor([Ticket(), Ticket()])
    with pytest.raises(RedactionError):
        Redactor([])


def test_installed_packages_offer_detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint("ticket", f"{__name__}:Ticket", detectors.GROUP)
    monkeypatch.setattr(detectors, "entry_points", lambda group: [point])
    assert "ticket" in detectors.available()
    assert detectors.named(["ticket", "ticket"])[0].version == 3
    monkeypatch.setattr(detectors, "entry_points", lambda group: [point, point])
    with pytest.raises(RedactionError, match="two detectors"):
        detectors.available()
    monkeypatch.setattr(detectors, "entry_points", lambda group: [])
    with pytest.raises(RedactionError, match="there is no detector"):
        detectors.named(["ticket"])
