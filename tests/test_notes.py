"""Signed notes, checkpoints and keys: one test for each thing that C2SP's texts ask for."""

from __future__ import annotations

import base64
import builtins
import hashlib
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.checkpoints import checkpoint, note
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.keys import SignerKey, VerifierKey, key_id_of
from eventstore.checkpoints.note import Note, Signature
from eventstore.errors import MissingExtraError, NoteError, UnverifiedNoteError
from eventstore.merkle import EMPTY_ROOT

needs_cryptography = pytest.mark.skipif(
    find_spec("cryptography") is None,
    reason="cryptography is not installed (the extra [sign])",
)

TEXT = "A first line,\nand a second.\n"
SIGNED = Note(TEXT, (Signature("example.com/log", b"\1\2\3\4", bytes(64)),))
LINE = SIGNED.signatures[0].line


class FixedVerifier:
    """A key whose right signature is 64 zero bytes."""

    def __init__(self, name: str = "example.com/log", key_id: bytes = b"\1\2\3\4") -> None:
        self.name = name
        self.key_id = key_id

    def verifies(self, text: bytes, signature: bytes) -> bool:
        return text == TEXT.encode() and signature == bytes(64)


def refused(data: str | bytes, match: str = ".") -> None:
    with pytest.raises(NoteError, match=match):
        note.parse(data)


# -- the form of a note ------------------------------------------------------------------------


def test_a_note_is_its_text_a_blank_line_and_signature_lines() -> None:
    coded = base64.b64encode(b"\1\2\3\4" + bytes(64)).decode()
    assert str(SIGNED) == f"{TEXT}\n\u2014 example.com/log {coded}\n"
    assert note.parse(str(SIGNED)) == SIGNED
    assert note.parse(str(SIGNED).encode()) == SIGNED


def test_the_text_includes_its_last_newline_and_not_the_blank_line() -> None:
    assert note.parse(f"{TEXT}\n{LINE}").text == TEXT


def test_the_text_may_have_empty_lines_since_the_last_one_separates() -> None:
    text = "one\n\ntwo\n\n\n"
    assert note.parse(f"{text}\n{LINE}").text == text


def test_a_text_without_a_newline_at_its_end_cannot_be_signed() -> None:
    with pytest.raises(NoteError, match="ends in a newline"):
        note.signed("abc", SIGNED.signatures)


def test_a_note_has_a_blank_line_before_the_signatures() -> None:
    refused(TEXT + LINE, "blank line")
    refused(TEXT, "blank line")


def test_a_note_has_at_least_one_signature_line() -> None:
    refused(f"{TEXT}\n", "signature line")
    refused(f"{TEXT}\n\n", "signature line")


def test_the_last_signature_line_ends_in_a_newline() -> None:
    refused(f"{TEXT}\n{LINE}".rstrip("\n"), "newline")


def test_a_note_is_utf_8() -> None:
    refused(f"{TEXT}\n{LINE}".encode() + b"\xff\n", "UTF-8")
    refused(f"\ud800{TEXT}\n{LINE}", "UTF-8")


@pytest.mark.parametrize("code", [*range(10), *range(11, 32)])
def test_a_note_has_no_control_character_but_newline(code: int) -> None:
    refused(f"{chr(code)}{TEXT}\n{LINE}", "control characters")
    refused(f"{TEXT}\n{LINE.replace('example', chr(code))}")


def test_characters_that_are_not_ascii_controls_are_fine() -> None:
    text = "\x7f \x85 è \u2028 \u2014 not a signature\n"
    assert note.parse(f"{text}\n{LINE}").text == text


@pytest.mark.parametrize(
    "line",
    [
        "- example.com/log AQIDBAAA\n",  # a hyphen
        "\u2014example.com/log AQIDBAAA\n",
        "\u2013 example.com/log AQIDBAAA\n",  # an en dash
        "Unexpected line.\n",
        "\u2014 example.com/log\n",
        "\u2014 example.com/log \n",
        "\u2014 example.com/log  AQIDBAAA\n",
        "\u2014  AQIDBAAA\n",
        "\u2014 two words AQIDBAAA\n",
        "\u2014 example.com/log AQIDBAAA \n",
    ],
)
def test_a_signature_line_is_a_dash_a_name_and_base64_with_single_spaces(line: str) -> None:
    refused(f"{TEXT}\n{line}")
    refused(f"{TEXT}\n{LINE}{line}")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\u3000", "+"])
def test_a_key_name_is_not_empty_and_has_no_space_or_plus(name: str) -> None:
    refused(f"{TEXT}\n\u2014 {name} AQIDBAAA\n")
    with pytest.raises(NoteError, match="no name"):
        note.check_name(name)


@pytest.mark.parametrize(
    "coded",
    [
        "AQIDBAA",  # not padded
        "AQIDBAAA====",
        "AQID BAAA",
        "AQIDBA-_",  # the alphabet for addresses
        "AQIDBAB=",  # bits that stand for nothing
        "AQIDBÄAA",
        "=",
    ],
)
def test_a_signature_is_standard_base64_in_its_one_spelling(coded: str) -> None:
    refused(f"{TEXT}\n\u2014 example.com/log {coded}\n")


@pytest.mark.parametrize("size", [0, 1, 3, 4])
def test_a_signature_has_a_key_id_and_at_least_one_byte(size: int) -> None:
    coded = base64.b64encode(bytes(size)).decode()
    refused(f"{TEXT}\n\u2014 example.com/log {coded}\n")


def test_the_first_four_bytes_are_the_key_id() -> None:
    coded = base64.b64encode(b"\xde\xad\xbe\xef" + b"rest").decode()
    [signature] = note.parse(f"{TEXT}\n\u2014 n {coded}\n").signatures
    assert signature == Signature("n", b"\xde\xad\xbe\xef", b"rest")


def test_at_least_sixteen_signatures_are_read_and_not_without_limit() -> None:
    assert len(note.parse(f"{TEXT}\n{LINE * 16}").signatures) == 16
    assert len(note.parse(f"{TEXT}\n{LINE * note.SIGNATURES_MAX}").signatures) == 100
    refused(f"{TEXT}\n{LINE * 101}", "at most 100")


def test_the_size_of_a_note_is_limited() -> None:
    refused(f"{'x' * 1_000_000}\n\n{LINE}", "at most 1000000 bytes")


@given(st.text(max_size=40), st.binary(min_size=1, max_size=70))
def test_what_is_read_is_written_the_same(text: str, value: bytes) -> None:
    try:
        written = str(note.signed(f"{text}\n", [Signature("n", b"abcd", value)]))
    except NoteError:
        return
    assert str(note.parse(written)) == written
    assert note.parse(written).text == f"{text}\n"


@given(st.binary(max_size=200))
def test_anything_is_a_note_or_a_note_error(data: bytes) -> None:
    for made in (data, str(SIGNED).encode() + data, data + str(SIGNED).encode()):
        try:
            found = note.parse(made)
        except NoteError:
            continue
        assert str(found).encode() == made


# -- signatures --------------------------------------------------------------------------------


def test_a_signature_by_a_known_key_is_verified() -> None:
    assert note.verified(SIGNED, [FixedVerifier()]) == list(SIGNED.signatures)


def test_signatures_by_unknown_keys_are_ignored() -> None:
    other = Signature("other", b"zzzz", b"whatever")
    found = note.verified(Note(TEXT, (other, *SIGNED.signatures)), [FixedVerifier()])
    assert found == list(SIGNED.signatures)


@pytest.mark.parametrize(
    "like", [Signature("example.com/log", b"zzzz", b"x"), Signature("n", b"\1\2\3\4", b"x")]
)
def test_a_key_that_shares_the_name_or_the_id_but_not_both_is_unknown(like: Signature) -> None:
    assert note.verified(Note(TEXT, (like, *SIGNED.signatures)), [FixedVerifier()])
    with pytest.raises(UnverifiedNoteError, match="no key that is trusted"):
        note.verified(Note(TEXT, (like,)), [FixedVerifier()])


def test_a_note_without_a_signature_by_a_known_key_is_refused() -> None:
    for trusted in ([], [FixedVerifier("another")]):
        with pytest.raises(UnverifiedNoteError, match=r"but by example\.com/log \(01020304\)"):
            note.verified(SIGNED, trusted)


def test_a_wrong_signature_by_a_known_key_refuses_the_whole_note() -> None:
    wrong = Note(TEXT, (SIGNED.signatures[0]._replace(value=b"\1" * 64),))
    with pytest.raises(UnverifiedNoteError, match="is wrong"):
        note.verified(wrong, [FixedVerifier()])
    second = FixedVerifier("second", b"2222")
    both = Note(TEXT, (*wrong.signatures, Signature("second", b"2222", bytes(64))))
    with pytest.raises(UnverifiedNoteError, match="is wrong"):
        note.verified(both, [FixedVerifier(), second])


def test_a_changed_text_is_refused() -> None:
    with pytest.raises(UnverifiedNoteError, match="is wrong"):
        note.verified(Note(TEXT + "more\n", SIGNED.signatures), [FixedVerifier()])


def test_a_signature_that_comes_twice_counts_once() -> None:
    twice = Note(TEXT, SIGNED.signatures * 2)
    assert note.verified(twice, [FixedVerifier()]) == list(SIGNED.signatures)


def test_two_known_keys_with_one_name_and_id_are_an_error() -> None:
    with pytest.raises(NoteError, match="two keys"):
        note.verified(SIGNED, [FixedVerifier(), FixedVerifier()])


def test_a_later_signature_by_a_key_takes_the_place_of_the_earlier() -> None:
    old = SIGNED.signatures[0]
    new = old._replace(value=b"\2" * 64)
    assert note.signed(TEXT, [old, new]).signatures == (new,)


def test_a_note_needs_a_signature_to_be_written() -> None:
    with pytest.raises(NoteError):
        note.signed(TEXT, [])


# -- checkpoints -------------------------------------------------------------------------------

ROOT = base64.b64encode(EMPTY_ROOT).decode()


def test_the_text_of_a_checkpoint_is_origin_size_and_root() -> None:
    made = Checkpoint("example.com/log", 42, EMPTY_ROOT)
    assert made.text == f"example.com/log\n42\n{ROOT}\n"
    assert checkpoint.parse(made.text) == made


def test_extension_lines_are_kept_and_not_understood() -> None:
    text = f"o\n1\n{ROOT}\none\ntwo words\n"
    assert checkpoint.parse(text).extensions == ("one", "two words")
    assert checkpoint.parse(text).text == text


def test_an_empty_tree_has_the_size_zero() -> None:
    assert checkpoint.parse(f"o\n0\n{ROOT}\n").size == 0


@pytest.mark.parametrize(
    "size", ["", "00", "01", "-1", "+1", "1 ", " 1", "1.0", "0x1", "1e3", "٣", str(1 << 63)]
)
def test_the_size_is_decimal_without_leading_zeros(size: str) -> None:
    with pytest.raises(NoteError):
        checkpoint.parse(f"o\n{size}\n{ROOT}\n")


@pytest.mark.parametrize(
    "text",
    [
        f"o\n1\n{ROOT}",  # no newline at the end
        f"\n1\n{ROOT}\n",  # no origin
        "o\n1\n",
        "o\n",
        "",
        "\n",
        f"o\n1\n{ROOT}\n\n",  # an empty extension line
        f"o\n1\n{ROOT}\nx\n\ny\n",
        f"o\n\n1\n{ROOT}\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{base64.b64encode(bytes(31)).decode()}\n",
        f"o\n1\n{base64.b64encode(bytes(33)).decode()}\n",
        "o\n1\n!\n",
        f"o\r\n1\r\n{ROOT}\r\n",
    ],
)
def test_a_checkpoint_is_at_least_three_lines_and_none_is_empty(text: str) -> None:
    with pytest.raises(NoteError):
        checkpoint.parse(text)


def test_a_checkpoint_is_read_with_and_without_signatures() -> None:
    made = Checkpoint("o", 1, EMPTY_ROOT)
    bare, unsigned = checkpoint.read(made.text)
    assert (bare, unsigned.signatures) == (made, ())
    found, written = checkpoint.read(f"{made.text}\n{LINE}".encode())
    assert (found, len(written.signatures)) == (made, 1)
    with pytest.raises(NoteError):
        checkpoint.read(b"\xff")


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, (1 << 63) - 1))
def test_checkpoints_are_written_in_one_way(origin: str, size: int) -> None:
    made = Checkpoint(origin, size, EMPTY_ROOT)
    try:
        found = checkpoint.parse(made.text)
    except NoteError:
        assert any(one < " " for one in origin)
        return
    assert found == made


# -- keys --------------------------------------------------------------------------------------

PUBLIC = bytes(range(32))
VKEY = str(VerifierKey("example.com/log", PUBLIC))


def test_a_key_id_is_of_the_name_the_algorithm_and_the_public_key() -> None:
    digest = hashlib.sha256(b"example.com/log\n\x01" + PUBLIC).digest()
    assert key_id_of("example.com/log", PUBLIC) == digest[:4]
    assert VKEY.split("+")[1] == digest[:4].hex()


def test_a_verifier_key_is_read_and_written() -> None:
    assert VerifierKey.parse(VKEY) == VerifierKey("example.com/log", PUBLIC)
    assert base64.b64decode(VKEY.split("+", 2)[2]) == b"\x01" + PUBLIC


def test_no_part_of_a_verifier_key_is_a_key() -> None:
    for begin in range(len(VKEY)):
        for end in range(begin + 1, len(VKEY) + 1):
            if (begin, end) != (0, len(VKEY)):
                with pytest.raises(NoteError):
                    VerifierKey.parse(VKEY[begin:end])


def test_no_changed_character_leaves_a_verifier_key() -> None:
    for at, one in enumerate(VKEY):
        with pytest.raises(NoteError):
            VerifierKey.parse(VKEY[:at] + chr(ord(one) + 1) + VKEY[at + 1 :])


def _vkey(data: bytes) -> str:
    key_id = hashlib.sha256(b"n\n" + data).digest()[:4].hex()
    return f"n+{key_id}+{base64.b64encode(data).decode()}"


def test_a_key_of_another_algorithm_or_length_is_refused() -> None:
    VerifierKey.parse(_vkey(b"\x01" + PUBLIC))
    for data in (b"\x02" + PUBLIC, b"\x01" + PUBLIC + b"x", b"\x01" + PUBLIC[:-1], b"\x01"):
        with pytest.raises(NoteError):
            VerifierKey.parse(_vkey(data))


@needs_cryptography
def test_a_signer_key_is_read_and_written_and_signs() -> None:
    key = SignerKey("example.com/log", bytes(32))
    assert key.secret.startswith(f"PRIVATE+KEY+example.com/log+{key.key_id.hex()}+")
    same = SignerKey.parse(key.secret)
    assert same.verifier == key.verifier
    signed = same.sign(TEXT)
    assert note.verified(note.parse(str(signed)), [key.verifier]) == list(signed.signatures)
    assert key.sign(TEXT) == signed  # Ed25519 signs a text in one way only


@needs_cryptography
def test_a_signature_is_of_the_whole_text_and_by_this_key_only() -> None:
    key = SignerKey("example.com/log", bytes(32))
    signed = key.sign(TEXT)
    with pytest.raises(UnverifiedNoteError, match="wrong"):
        note.verified(Note(TEXT.upper(), signed.signatures), [key.verifier])
    flipped = signed.signatures[0]._replace(value=bytes(64))
    with pytest.raises(UnverifiedNoteError, match="wrong"):
        note.verified(Note(TEXT, (flipped,)), [key.verifier])
    short = signed.signatures[0]._replace(value=bytes(3))
    with pytest.raises(UnverifiedNoteError, match="wrong"):
        note.verified(Note(TEXT, (short,)), [key.verifier])
    namesake = SignerKey("example.com/log", b"\1" * 32)
    with pytest.raises(UnverifiedNoteError, match="no key that is trusted"):
        note.verified(signed, [namesake.verifier])


@needs_cryptography
def test_a_signer_key_is_never_shown() -> None:
    key = SignerKey("example.com/log", bytes(32))
    coded = key.secret.rpartition("+")[2]
    assert coded not in repr(key)
    assert coded not in str(key)
    for broken in (key.secret[:-2], key.secret.replace("example", "else"), key.secret[12:]):
        with pytest.raises(NoteError) as caught:
            SignerKey.parse(broken)
        assert coded[:20] not in str(caught.value)
        assert caught.value.__cause__ is None


@needs_cryptography
def test_no_changed_character_leaves_a_signer_key() -> None:
    secret = SignerKey("example.com/log", bytes(32)).secret
    for at, one in enumerate(secret):
        with pytest.raises(NoteError):
            SignerKey.parse(secret[:at] + chr(ord(one) + 1) + secret[at + 1 :])


@needs_cryptography
def test_new_keys_differ() -> None:
    assert SignerKey.new("n").key_id != SignerKey.new("n").key_id
    with pytest.raises(NoteError, match="no name"):
        SignerKey.new("a b")


def test_without_cryptography_signing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"agent-eventstore\[sign\]"):
        SignerKey.new("n")
    with pytest.raises(MissingExtraError, match=r"agent-eventstore\[sign\]"):
        VerifierKey("n", PUBLIC).verifies(b"", b"")
    assert VerifierKey.parse(VKEY).public == PUBLIC  # reading a key needs nothing
