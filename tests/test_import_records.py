from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import codec
from eventstore.errors import EventFormatError
from eventstore.events.catalogue import Content, MessageContent, ToolCall
from eventstore.importers import records

KEYS = st.sampled_from(["$ref", "$literal", "$blob", "a", "b/c", "d~e", "", "style", "raw"])
ANY = st.characters(exclude_categories=())
TEXTS = (
    st.text(ANY, max_size=5)
    | st.text(min_size=20, max_size=60)
    | st.sampled_from(["/text", "x" * 70])
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def parts_of(value: Any) -> list[Any]:
    """Every node of a JSON value."""
    below = value.values() if type(value) is dict else value if type(value) is list else ()
    return [value, *(node for item in below for node in parts_of(item))]


def kept(value: Any, line: bytes, content: MessageContent) -> dict[str, Any]:
    """The skeleton as it comes back from storage."""
    record = records.skeleton(value, line, content, records.style_of(value, line))
    found: dict[str, Any] = codec.decode(codec.encode(record))
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    value=st.dictionaries(KEYS, JSON, max_size=4),
    style=st.sampled_from(list(records.STYLES)),
    data=st.data(),
)
def test_a_record_comes_back_byte_for_byte(value: Any, style: str, data: st.DataObject) -> None:
    try:
        line = records.STYLES[style](value)
    except UnicodeEncodeError:
        line = records.STYLES["spaced_ascii"](value)
    value = codec.decode(line)
    nodes = st.sampled_from(parts_of(value))
    chosen = data.draw(st.lists(nodes, max_size=3))
    texts = [node for node in chosen if type(node) is str]
    content = MessageContent(
        text=texts[0] if texts else None,
        parts=chosen,
        tool_calls=[ToolCall(name="t", arguments=data.draw(nodes))],
    )
    record = kept(value, line, content)
    assert "style" in record
    assert records.restore(record, content) == line


@given(st.binary(max_size=60))
def test_bytes_in_no_style_come_back(line: bytes) -> None:
    record = codec.decode(codec.encode(records.raw(line)))
    assert records.restore(record, MessageContent()) == line


@pytest.mark.parametrize(
    "line", [b'{"a":1,"a":2}', b'{ "a": 1 }', b'{"a":1.50}', b'{"a":"\\u0041"}', b' {"a":1}']
)
def test_json_in_no_known_style_is_kept_raw(line: bytes) -> None:
    value = json.loads(line)
    record = kept(value, line, MessageContent())
    assert record == {"raw": line.decode()}
    assert records.restore(record, MessageContent()) == line


def test_what_the_content_holds_is_not_kept_again() -> None:
    text = "a text that is long enough to be referred to, even by what only ends in it"
    block = {"type": "image", "source": {"data": "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8="}}
    value = {
        "message": {"content": [block]},
        "toolUseResult": {"stdout": text, "content": f"Error: {text}"},
    }
    content = MessageContent(text=text, parts=[block])
    record = records.skeleton(value, codec.encode(value), content, "compact")
    assert record["value"] == {
        "message": {"content": [{"$ref": "/parts/0"}]},
        "toolUseResult": {
            "stdout": {"$ref": "/text"},
            "content": {"$ref": ["after", "Error: ", "/text"]},
        },
    }
    assert records.restore(record, content) == codec.encode(value)


def test_a_numbered_copy_of_a_file_serves_for_the_plain_one() -> None:
    rows = [f"row {n} of the file, with some words in it" for n in range(1, 12)]
    numbered = "\n".join(f"{n:6}→{row}" for n, row in enumerate(rows, 1)) + "\n\n<system-reminder>"
    value = {"content": numbered, "file": "\n".join(rows)}
    content = MessageContent(text=numbered)
    record = records.skeleton(value, codec.encode(value), content, "compact")
    assert record["value"]["file"] == {"$ref": ["unnumbered", len("\n".join(rows)), "/text"]}
    assert records.restore(record, content) == codec.encode(value)


def test_equal_numbers_of_other_writing_are_not_confused() -> None:
    arguments = {"n": 1, "text": "x" * 30}
    value = {"a": arguments, "b": {"n": 1.0, "text": "x" * 30}, "c": {"n": True, "text": "x" * 30}}
    content = MessageContent(parts=[arguments])
    record = records.skeleton(value, codec.encode(value), content, "compact")
    assert records.restore(record, content) == codec.encode(value)


@pytest.mark.parametrize(
    "record",
    [{}, {"style": "odd", "value": 1}, [], None,
     {"style": "compact", "value": {"$ref": "/nothing"}},
     {"style": "compact", "value": {"$ref": 1}},
     {"raw_base64": "?"}, {"raw": 1}, {"style": "compact", "value": {"$ref": ["odd", 1, "/text"]}}],
)  # fmt: skip
def test_a_skeleton_that_does_not_fit_is_an_error(record: Any) -> None:
    with pytest.raises(EventFormatError, match="cannot be given back"):
        records.restore(record, MessageContent(text="t"))


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":{"$ref":"/text"}}',
        b'{"a":{"\\u0024ref":"/text"}}',
        b'{"a":[{"$literal":{"b":1}}]}',
        b'{"a":{"b":"plain"}}',
    ],
)
def test_a_record_beside_an_empty_content_comes_back(line: bytes) -> None:
    value = codec.decode(line)
    stored = records.skeleton(value, line, Content(), records.style_of(value, line))
    assert records.restore(stored, Content()) == line


@given(text=st.text(min_size=24, max_size=100), cut=st.integers(0, 80), prefix=st.text())
def test_a_text_of_any_length_beside_another_comes_back(text: str, cut: int, prefix: str) -> None:
    content = MessageContent(text=text)
    value = {"same": text, "part": text[:cut], "list": [prefix + text, text], "last": {"t": text}}
    line = codec.encode(value)
    stored = records.skeleton(value, line, content, "compact")
    assert stored["value"]["same"] == {"$ref": "/text"}
    assert records.restore(stored, content) == line
    assert codec.encode(value) == line  # the record itself is left as it was
