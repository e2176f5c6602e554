"""What Claude Code's records become."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from import_samples import SAMPLES, assistant, import_one, record, records, user, write

from eventstore import Kind, SessionStore
from eventstore.events.catalogue import (
    ContextCompacted,
    MessageAppended,
    MessageContent,
    ModelChanged,
    RecordImported,
    UsageRecorded,
)
from eventstore.importers import import_paths

MAIN = "5e551011-0000-4000-8000-000000000001"


@pytest.fixture
def store() -> Iterator[SessionStore]:
    with SessionStore.open(":memory:") as store:
        yield store


@pytest.fixture
def sample(store: SessionStore) -> SessionStore:
    list(import_paths(store, [SAMPLES]))
    return store


def events(store: SessionStore, session_id: str, kind: type) -> list[Any]:
    session = store.session(session_id)
    return [one.event for one in session.events() if isinstance(one.event, kind)]


def test_the_report_counts_what_the_file_holds(store: SessionStore) -> None:
    report = import_one(store, SAMPLES / f"{MAIN}.jsonl")
    assert (report.format, report.sessions, report.problems) == ("claude-code", [MAIN], [])
    assert (report.records, report.appended, report.messages, report.tool_calls) == (14, 14, 10, 3)


def test_messages_have_their_roles_and_calls(sample: SessionStore) -> None:
    found = events(sample, MAIN, MessageAppended)
    assert [m.role for m in found] == [
        "user", "assistant", "assistant", "assistant", "tool", "assistant", "tool", "tool", "user",
    ]  # fmt: skip
    thinking, text, call = found[1:4]
    assert thinking.content.reasoning == "The file has to be read first."
    assert thinking.content.reasoning_items[0]["type"] == "thinking"
    assert "signature" in thinking.content.reasoning_items[0]
    assert text.content.text == "I will look into garden.csv."
    assert call.call_ids == ("toolu_01",)
    assert call.finish_reason == "tool_use"
    assert {m.response_id for m in (thinking, text, call)} == {"msg_01"}
    assert call.content.tool_calls[0].arguments == {"file_path": "/home/user/garden/garden.csv"}


def test_each_tool_result_is_a_message_and_the_rest_of_the_record_another(
    sample: SessionStore,
) -> None:
    failed, good, rest = events(sample, MAIN, MessageAppended)[-3:]
    assert (failed.call_id, failed.failed, failed.content.tool_name) == ("toolu_02", True, "Bash")
    assert (good.call_id, good.failed) == ("toolu_03", False)
    assert good.content.parts[0]["text"].startswith("sunny")
    assert (rest.role, rest.content.text) == ("user", "Never mind the pump.")
    assert [bool(m.content.record) for m in (failed, good, rest)] == [True, False, False]


def test_second_copies_in_tool_use_result_are_references(sample: SessionStore) -> None:
    result = events(sample, MAIN, MessageAppended)[4]
    copy = result.content.record["value"]["toolUseResult"]["file"]["content"]
    assert copy["$ref"][0] == "unnumbered"
    failed = events(sample, MAIN, MessageAppended)[6]
    assert failed.content.record["value"]["toolUseResult"] == {
        "$ref": ["after", "Error: ", "/text"]
    }


def test_times_are_the_sources(sample: SessionStore) -> None:
    first = events(sample, MAIN, MessageAppended)[0]
    assert first.occurred_at == 1769940000_250000


def test_usage_is_recorded_once_per_response_and_corrected(sample: SessionStore) -> None:
    usage = events(sample, MAIN, UsageRecorded)
    assert [(u.key, u.output) for u in usage] == [("msg_01", 1), ("msg_01", 77), ("msg_02", 30)]
    totals = sample.session(MAIN).usage()
    assert (totals.input, totals.cache_read, totals.cache_write, totals.output) == (
        15,
        3000,
        200,
        107,
    )


def test_a_change_of_model_is_an_event(sample: SessionStore) -> None:
    models = [e.model for e in events(sample, MAIN, ModelChanged)]
    assert models == ["claude-sonnet-4-5", "claude-opus-4-5"]


def test_a_compaction_folds_all_active_messages(sample: SessionStore) -> None:
    [compaction] = events(sample, MAIN, ContextCompacted)
    assert (compaction.from_seq, compaction.to_seq, compaction.count) == (1, 9, 9)
    assert (compaction.trigger, compaction.tokens_before, compaction.role) == (
        "auto",
        155250,
        "user",
    )
    assert sample.session(MAIN).state().active == ((10, 1),)


def test_a_compaction_of_nothing_is_a_message(store: SessionStore, tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", user("u", "the summary", isCompactSummary=True))
    assert import_one(store, path).messages == 1
    assert [m.content.text for m in events(store, "s", MessageAppended)] == ["the summary"]


def test_titles_come_from_summaries_of_the_session_and_given_ones(sample: SessionStore) -> None:
    assert sample.session(MAIN).title() == "Garden watering"
    kinds = [e.kind for e in events(sample, MAIN, RecordImported)]
    assert kinds == [
        "summary",
        "file-history-snapshot",
        "system.compact_boundary",
        "queue-operation",
    ]


def test_a_title_of_a_lesser_kind_does_not_replace_one(store: SessionStore, tmp_path: Path) -> None:
    titles = [
        {"type": "ai-title", "aiTitle": "by a model", "sessionId": "s"},
        {"type": "custom-title", "customTitle": "by hand", "sessionId": "s"},
        {"type": "ai-title", "aiTitle": "by a model again", "sessionId": "s"},
    ]
    path = write(tmp_path / "s.jsonl", user("u", "hi"), *(json.dumps(t).encode() for t in titles))
    import_one(store, path)
    assert store.session("s").title() == "by hand"


def test_a_sub_agents_file_is_a_child_session(sample: SessionStore) -> None:
    child = sample.session(f"{MAIN}/a17")
    state = child.state()
    assert (state.kind, state.parent) == (Kind.SUBAGENT, sample.session(MAIN).stream)
    assert next(child.events()).event.content.metadata == {"agentType": "Explore", "spawnDepth": 1}


def test_a_sub_agent_that_came_first_is_adopted(store: SessionStore) -> None:
    import_one(store, SAMPLES / MAIN / "subagents" / "agent-a17.jsonl")
    assert store.session(f"{MAIN}/a17").state().parent is None
    import_one(store, SAMPLES / f"{MAIN}.jsonl")
    state = store.session(f"{MAIN}/a17").state()
    assert (state.kind, state.parent) == (Kind.SUBAGENT, store.session(MAIN).stream)


def test_the_older_layouts_sidechains_are_child_sessions(sample: SessionStore) -> None:
    owners = {
        session_id: [json.loads(line or b"").get("uuid") for line in records(sample, session_id)]
        for session_id in ("older", "older/aaaaaaaa", "older/bbbbbbbb", "older/sidechain")
    }
    assert owners == {
        "older": ["m1", None],
        "older/aaaaaaaa": ["aaaaaaaa-1", "aaaaaaaa-2"],
        "older/bbbbbbbb": ["bbbbbbbb-1"],
        "older/sidechain": ["cccccccc-1"],
    }
    parent = sample.session("older").stream
    assert all(sample.session(one).state().parent == parent for one in owners if one != "older")


def test_records_without_id_belong_to_the_session_around_them(
    store: SessionStore, tmp_path: Path
) -> None:
    bare = [b'{"type":"summary","leafUuid":"%d","summary":"t"}' % n for n in range(3)]
    other = user("u2", "there", sessionId="other")
    path = write(tmp_path / "f.jsonl", bare[0], user("u", "here"), bare[1], other, bare[2], b"{")
    report = import_one(store, path)
    assert report.sessions == ["s", "other"]
    assert records(store, "s") == [bare[0], user("u", "here"), bare[1]]
    assert records(store, "other") == [other, bare[2], b"{"]


def test_a_file_without_any_id_is_a_session_named_like_it(
    store: SessionStore, tmp_path: Path
) -> None:
    path = write(tmp_path / "named.jsonl", b'{"type":"summary","leafUuid":"1","summary":"t"}')
    assert import_one(store, path).sessions == ["named"]


@pytest.mark.parametrize(
    "line",
    [
        record("user", "u", "error"),
        record("user", "u", {"role": "user", "content": None}),
        record("user", "u", {"role": "user", "content": ["text"]}),
        record("user", "u", {"role": "user", "content": [{"type": "tool_result", "content": 1}]}),
        assistant("u", {"type": "tool_use", "name": 7}),
        record("progress", "u", data={"type": "hook"}),
        record("a type with spaces", "u"),
        b'{"silly":"this","sessionId":"s"}',
        b'{"type":["user"],"sessionId":"s"}',
        b'{"type":"summary","summary":1,"sessionId":"s"}',
    ],
)
def test_what_is_no_message_is_kept_whole(store: SessionStore, tmp_path: Path, line: bytes) -> None:
    report = import_one(store, write(tmp_path / "s.jsonl", user("u0", "hi"), line))
    assert (report.records, report.messages, report.problems) == (2, 1, [])
    [kept] = events(store, "s", RecordImported)
    assert not kept.damaged
    assert records(store, "s")[1] == line


def test_unknown_blocks_become_parts(store: SessionStore, tmp_path: Path) -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "new_kind", "x": [1]}]
    import_one(store, write(tmp_path / "s.jsonl", assistant("a", *blocks)))
    [message] = events(store, "s", MessageAppended)
    assert message.content.parts == blocks


def test_facts_take_no_text_from_a_record(store: SessionStore, tmp_path: Path) -> None:
    secret = "a secret sentence, not an id"
    message = {
        "role": "assistant", "id": secret, "model": secret, "stop_reason": secret,
        "content": [{"type": "tool_use", "id": secret, "name": secret, "input": {}}],
        "usage": {"input_tokens": secret, "output_tokens": True},
    }  # fmt: skip
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": secret}]}
    boundary = record(
        "system", "b", subtype="compact_boundary", compactMetadata={"trigger": secret}
    )
    path = write(
        tmp_path / "s.jsonl",
        record("assistant", "a", message),
        record("user", "u", result),
        record(secret, secret, requestId=secret, timestamp=secret),
        boundary,
        user("n", "note", isCompactSummary=True),
    )
    import_one(store, path)
    for one in store.session("s").events(content=False):
        assert "secret" not in repr(one.event)
    assert records(store, "s")[0] == record("assistant", "a", message)


def test_lone_surrogates_are_kept(store: SessionStore, tmp_path: Path) -> None:
    line = b'{"type":"user","uuid":"x","message":{"role":"user","content":"broken \\ud83d end"}}'
    import_one(store, write(tmp_path / "s.jsonl", line))
    [message] = events(store, "s", MessageAppended)
    assert message.content == MessageContent(
        text="broken \ud83d end", record=message.content.record
    )
    assert records(store, "s") == [line]


def test_a_line_in_an_odd_style_is_still_a_message(store: SessionStore, tmp_path: Path) -> None:
    line = user("u", "hello").replace(b'"type":', b'"type" :  ')
    assert import_one(store, write(tmp_path / "s.jsonl", line)).messages == 1
    assert records(store, "s") == [line]


def test_damaged_records_are_kept_and_reported(store: SessionStore, tmp_path: Path) -> None:
    lines = [user("u", "hi"), b'{"type":"us', b"[1]", b"\0\0", b"\xff\xfe", user("v", "again")]
    glued = user("w", "one") + user("x", "two")
    report = import_one(store, write(tmp_path / "s.jsonl", *lines, glued))
    assert [problem.line for problem in report.problems] == [2, 3, 4, 5, 7]
    assert (report.records, report.messages) == (8, 4)
    assert records(store, "s") == [*lines, user("w", "one"), user("x", "two")]
    assert [e.damaged for e in events(store, "s", RecordImported)] == [True] * 4
