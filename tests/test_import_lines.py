from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import ImportFailedError
from eventstore.importers import lines
from eventstore.importers.lines import Line, read_lines


def read(data: bytes) -> list[Line]:
    return list(read_lines(io.BytesIO(data), "sample.jsonl"))


def test_each_line_is_a_record_and_blank_lines_are_none() -> None:
    found = read(b'{"a":1}\n\n  \n{"b":2}\n')
    assert [(line.number, line.data, line.value) for line in found] == [
        (1, b'{"a":1}', {"a": 1}),
        (4, b'{"b":2}', {"b": 2}),
    ]


def test_byte_order_mark_and_crlf_are_framing() -> None:
    found = read(b'\xef\xbb\xbf{"a":1}\r\n{"b":2}\r\n')
    assert [line.data for line in found] == [b'{"a":1}', b'{"b":2}']


def test_a_last_line_without_line_end_is_a_record() -> None:
    [line] = read(b'{"a":1}')
    assert line.value == {"a": 1}
    assert not line.torn


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":"b', "Unterminated string"),
        (b'{"a":1}}', "not JSON"),
        (b'\0\0\0{"a":1}', "3 NUL bytes"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b"[1]", "list, not an object"),
        (b'"text"', "str, not an object"),
        (b'{"a":NaN}', "number that JSON cannot hold"),
        (b'{"a":1e400}', "number"),
        (b'{"a":' + b"9" * 5_000 + b"}", "number with too many digits"),
        (b'{"a":' + b"[" * 190 + b"]" * 190 + b"}", "nested deeper"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper"),
        (b'{"a":1}{"b":', "not JSON"),
        (b'{"a":1}[2]', "not JSON"),
    ],
)
def test_a_damaged_line_is_kept_with_its_reason(data: bytes, reason: str) -> None:
    before, line, after = read(b'{"x":1}\n' + data + b'\n{"y":2}\n')
    assert (line.data, line.value, line.torn) == (data, None, False)
    assert reason in (line.reason or "")
    assert (before.value, after.value) == ({"x": 1}, {"y": 2})


def test_a_damaged_line_without_line_end_is_torn() -> None:
    assert [line.torn for line in read(b'{"a"\n{"a"')] == [False, True]


def test_objects_glued_on_one_line_are_recovered_and_counted() -> None:
    first, second, third = read(b'{"a":"\xc3\xa9"}{"b":2} {"c":3}\n')
    assert [line.data for line in (first, second, third)] == [
        b'{"a":"\xc3\xa9"}',
        b'{"b":2}',
        b' {"c":3}',
    ]
    assert (first.value, second.value, third.value) == ({"a": "é"}, {"b": 2}, {"c": 3})
    assert [line.glued for line in (first, second, third)] == [3, 0, 0]


def test_deep_brackets_inside_a_text_are_no_nesting() -> None:
    [line] = read(b'{"a":"' + b"[" * 500 + b'"}')
    assert line.value == {"a": "[" * 500}


def test_a_line_too_long_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_MAX", 50)
    with pytest.raises(ImportFailedError, match=r"sample\.jsonl: line 2 is longer than 50 bytes"):
        read(b'{"a":1}\n' + b"x" * 60)


PIECES = st.sampled_from(
    [
        b'{"a":1}',
        b"{",
        b"}",
        b'"',
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"\xff",
        b" ",
        b"1",
        b"[]",
        b"\xef\xbb\xbf",
    ]
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_no_byte_of_a_line_is_lost(data: bytes) -> None:
    found = read(data)
    assert all(a.number <= b.number for a, b in pairwise(found))
    body = data.removeprefix(b"\xef\xbb\xbf")
    for number, whole in enumerate(body.split(b"\n"), 1):
        mine = b"".join(line.data for line in found if line.number == number)
        assert mine == whole.removesuffix(b"\r") or (not mine and not whole.strip())
