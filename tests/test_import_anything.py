"""No record of whatever shape stops an import or comes back changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from import_samples import import_one, write

from eventstore import SessionStore
from eventstore.importers import records_of

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(
    st.characters(exclude_categories=()), max_size=30
) | st.sampled_from(["s", "text", "user", 2**63, 2**64, -(2**70), 1e400, -0.0, "~1"])  # fmt: skip
BLOCK_KEYS = ["type", "text", "thinking", "signature", "id", "name", "input", "tool_use_id",
              "content", "is_error"]  # fmt: skip
KEYS = ["type", "subtype", "uuid", "parentUuid", "sessionId", "agentId", "isSidechain", "message",
        "timestamp", "requestId", "summary", "leafUuid", "aiTitle", "compactMetadata",
        "isCompactSummary", "toolUseResult"]  # fmt: skip
KINDS = ["text", "thinking", "redacted_thinking", "tool_use", "tool_result", "image"]
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["$ref", "$literal", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)},
    optional={key: JSON for key in BLOCK_KEYS if key != "type"},
)
USAGE = st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), LEAVES)
MESSAGES = st.fixed_dictionaries(
    {"content": st.lists(BLOCKS, max_size=3) | JSON},
    optional={"id": LEAVES, "model": LEAVES, "stop_reason": LEAVES, "usage": USAGE | JSON},
)
TYPES = ["user", "assistant", "system", "summary", "ai-title", "progress"]
RECORDS = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES) | JSON, "sessionId": st.just("s") | LEAVES},
    optional={key: JSON for key in KEYS[1:] if key not in ("sessionId", "message")}
    | {"message": MESSAGES | JSON, "isCompactSummary": st.booleans()},
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_anything_is_kept(tmp_path: Path, values: list[Any]) -> None:
    lines = [json.dumps(value, separators=(",", ":")).encode() for value in values]
    path = write(tmp_path / "s.jsonl", *lines)
    with SessionStore.open(":memory:") as store:
        report = import_one(store, path, format="claude-code")
        assert report.records == report.appended == len(lines)
        back = [one.data for name in report.sessions for one in records_of(store.session(name))]
        assert sorted(line for line in back if line is not None) == sorted(lines)
        head = store.head
        assert import_one(store, path, format="claude-code").appended == 0
        assert store.head == head


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("key", [*KEYS[1:], "message.id", "message.model", "message.usage",
                                 "message.content", "message.stop_reason"])  # fmt: skip
def test_a_field_of_any_type_is_kept(tmp_path: Path, kind: str, key: str) -> None:
    """Found by chance: a summary whose `leafUuid` was a list could not be looked up."""
    values: list[Any] = [{"type": "user", "sessionId": "s", "uuid": "u",
                          "message": {"role": "user", "content": "x"}}]  # fmt: skip
    for odd in ([], {}, [[]], {"a": []}, True, -1, 1.5, "", None):
        record: dict[str, Any] = {"type": kind, "sessionId": "s", "summary": "t", "aiTitle": "t",
                                  "message": {"role": "user", "content": "x"}}  # fmt: skip
        outer, _, inner = key.partition(".")
        if inner:
            record[outer][inner] = odd
        else:
            record[outer] = odd
        values.append(record)
    lines = [json.dumps(value, separators=(",", ":")).encode() for value in values]
    path = write(tmp_path / "s.jsonl", *lines)
    with SessionStore.open(":memory:") as store:
        report = import_one(store, path, format="claude-code")
        back = [one.data for name in report.sessions for one in records_of(store.session(name))]
        assert sorted(line for line in back if line is not None) == sorted(lines)
