"""OpenTelemetry: what its own packages read is what happened, under the conventions' names."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, populated, ticking
from histories import histories, play
from hypothesis import HealthCheck, given, settings

from eventstore import SessionStore, ToolCall
from eventstore.exports.otel import names
from eventstore.exports.runner import export

trace_pb2 = pytest.importorskip(
    "opentelemetry.proto.trace.v1.trace_pb2", reason="opentelemetry-proto is not installed"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    """A session with a model call in two pieces, tools, usage, a compaction and a sub-agent."""
    with SessionStore.open(tmp_path / "s.db", clock=ticking(step=1_000_000)) as store:
        trip = store.create("trip", model="m1", provider="acme", prompt="Be brief.", source="cli")
        trip.append("user", "Where to?")
        trip.append("assistant", "Let me look.", response_id="r1", model="m1-2026")
        call = ToolCall(id="c1", name="search", arguments={"q": "Rome"})
        bad = ToolCall(id="c2", name="map", arguments="{broken")
        trip.append("assistant", tool_calls=[call, bad], response_id="r1", model="m1-2026",
                    finish_reason="tool_use", reasoning="hm")  # fmt: skip
        trip.record_usage("r1", input=10, cache_read=30, cache_write=2, output=7, reasoning=3)
        trip.append("tool", "The Forum", call_id="c1")
        trip.append("tool", "no such tool", call_id="c2", failed=True)
        trip.append("assistant", "The Forum.", response_id="r2", finish_reason="stop")
        trip.compact(1, 5, "They asked; Rome.")
        trip.append("user", "And then?")
        trip.append("assistant", "Home.", response_id="r3")
        trip.record_usage("r3", input=5, output=1)
        trip.record_usage("title call", input=1, output=1, model="small")
        child = trip.spawn("trip/child")
        child.append("user", "go")
        child.append("assistant", "gone")
        fork = trip.fork("other-trip")
        fork.append("assistant", "Or Naples.")
        yield store


def lines(store: SessionStore, **options: Any) -> list[Any]:
    out = io.BytesIO()
    export(store, "otel", out, record=False, **options)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def parsed(line: Any) -> Any:
    """A line as OpenTelemetry's own type; OTLP writes ids in hexadecimal, protobuf in base64."""
    from google.protobuf import json_format

    def ids(value: Any) -> Any:
        if isinstance(value, list):
            return [ids(item) for item in value]
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(item)).decode()
                if key in ("traceId", "spanId", "parentSpanId") else ids(item)
                for key, item in value.items()
            }  # fmt: skip
        return value

    return json_format.ParseDict(ids(line), trace_pb2.TracesData())


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [value_of(one) for one in found.values] if kind == "array_value" else found


def spans_of(found: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
    return [
        (span, {one.key: value_of(one.value) for one in span.attributes})
        for line in found
        for resource in parsed(line).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def of(store: SessionStore, conversation: str, operation: str, **options: Any) -> list[Any]:
    return [
        (span, attributes)
        for span, attributes in spans_of(lines(store, **options))
        if attributes[names.CONVERSATION] == conversation
        and attributes[names.OPERATION] == operation
    ]


def test_a_session_is_a_trace_of_its_calls(store: SessionStore) -> None:
    [(agent, attributes)] = of(store, "trip", "invoke_agent")
    assert agent.name == "invoke_agent cli"
    assert not agent.parent_span_id
    assert attributes["gen_ai.provider.name"] == "acme"
    assert json.loads(attributes["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "Be brief."}
    ]
    assert [event.name for event in agent.events] == ["context.compacted"]
    for operation, kind in (("chat", "SPAN_KIND_CLIENT"), ("execute_tool", "SPAN_KIND_INTERNAL")):
        for span, _ in of(store, "trip", operation):
            assert span.parent_span_id == agent.span_id
            assert span.trace_id == agent.trace_id
            assert trace_pb2.Span.SpanKind.Name(span.kind) == kind
            assert agent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= agent.end_time_unix_nano


def test_one_response_is_one_span_whatever_number_of_messages_it_came_in(
    store: SessionStore,
) -> None:
    chats = of(store, "trip", "chat")
    assert [one["gen_ai.response.id"] for _, one in chats[:3]] == ["r1", "r2", "r3"]
    [output] = json.loads(chats[0][1]["gen_ai.output.messages"])
    assert output["finish_reason"] == "tool_use"
    assert [part["type"] for part in output["parts"]] == [
        "text", "reasoning", "tool_call", "tool_call",
    ]  # fmt: skip
    assert output["parts"][2] == {
        "type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": "Rome"},
    }  # fmt: skip
    [said] = json.loads(chats[0][1]["gen_ai.input.messages"])
    assert said == {"role": "user", "parts": [{"type": "text", "content": "Where to?"}]}
    said = json.loads(chats[1][1]["gen_ai.input.messages"])
    assert said[0]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "The Forum"}]


def test_input_tokens_are_all_of_them_and_every_model_call_counts_once(
    store: SessionStore,
) -> None:
    chats = [one for _, one in of(store, "trip", "chat")]
    first = chats[0]
    assert first["gen_ai.usage.input_tokens"] == 42
    assert first["gen_ai.usage.cache_read.input_tokens"] == 30
    assert first["gen_ai.usage.cache_creation.input_tokens"] == 2
    assert first["gen_ai.usage.output_tokens"] == 7
    assert first["gen_ai.usage.reasoning.output_tokens"] == 3
    totals = store.session("trip").usage()
    assert sum(one.get("gen_ai.usage.input_tokens", 0) for one in chats) == totals.input_total
    assert sum(one.get("gen_ai.usage.output_tokens", 0) for one in chats) == totals.output
    [(_, agent)] = of(store, "trip", "invoke_agent")
    assert agent["gen_ai.usage.input_tokens"] == totals.input_total


def test_a_tool_call_has_its_arguments_its_result_and_its_failure(store: SessionStore) -> None:
    (good, search), (bad, broken) = of(store, "trip", "execute_tool")
    assert (good.name, bad.name) == ("execute_tool search", "execute_tool map")
    assert json.loads(search["gen_ai.tool.call.arguments"]) == {"q": "Rome"}
    assert broken["gen_ai.tool.call.arguments"] == "{broken"
    assert json.loads(search["gen_ai.tool.call.result"]) == [
        {"type": "text", "content": "The Forum"}
    ]
    assert (good.status.code, bad.status.code) == (1, 2)
    assert (search.get("error.type"), broken["error.type"]) == (None, "tool_error")


def test_a_sub_agent_is_below_its_parent_and_a_fork_links_to_its_origin(
    store: SessionStore,
) -> None:
    [(trip, _)] = of(store, "trip", "invoke_agent")
    [(child, _)] = of(store, "trip/child", "invoke_agent")
    assert (child.trace_id, child.parent_span_id) == (trip.trace_id, trip.span_id)
    [(fork, _)] = of(store, "other-trip", "invoke_agent")
    assert [(one.trace_id, one.span_id) for one in fork.links] == [(trip.trace_id, trip.span_id)]
    assert fork.trace_id != trip.trace_id
    assert len(of(store, "other-trip", "chat")) == 1


def test_names_are_those_of_the_version(store: SessionStore) -> None:
    old = {name for _, one in spans_of(lines(store)) for name in one}
    new = {name for _, one in spans_of(lines(store, options={"semconv": "genai"})) for name in one}
    assert old - new == {"gen_ai.usage.cache_creation.input_tokens"}
    assert new - old == {
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.conversation.compacted",
    }  # fmt: skip
    assert lines(store)[0]["resourceSpans"][0]["scopeSpans"][0]["schemaUrl"].endswith("/1.41.0")


def test_every_name_is_one_that_opentelemetry_knows(store: SessionStore) -> None:
    known = pytest.importorskip(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes",
        reason="opentelemetry-semantic-conventions is not installed",
    )
    names_known = {value for value in vars(known).values() if isinstance(value, str)}
    used = {name for _, one in spans_of(lines(store)) for name in one if name.startswith("gen_ai")}
    assert len(used) > 15
    assert used <= names_known


def test_ids_are_valid_and_the_same_in_every_export(store: SessionStore) -> None:
    sdk = pytest.importorskip("opentelemetry.trace", reason="opentelemetry-sdk is not installed")
    first, second = spans_of(lines(store)), spans_of(lines(store))
    assert [span for span, _ in first] == [span for span, _ in second]
    seen = set()
    for span, _ in first:
        context = sdk.SpanContext(
            int.from_bytes(span.trace_id, "big"), int.from_bytes(span.span_id, "big"), False
        )
        assert context.is_valid
        assert len(span.trace_id) == 16
        assert len(span.span_id) == 8
        seen.add((span.trace_id, span.span_id))
    assert len(seen) == len(first)


def test_what_was_erased_is_marked(store: SessionStore) -> None:
    trip = store.session("trip")
    trip.erase_events([message.position for message in trip.history()])
    chats = of(store, "trip", "chat")
    for _, one in chats[:3]:
        assert one["agent_eventstore.erased"] is True
        [output] = json.loads(one["gen_ai.output.messages"])
        assert {part["type"] for part in output["parts"]} == {"erased"}
    assert all(one["agent_eventstore.erased"] for _, one in of(store, "trip", "execute_tool"))


def test_without_texts_no_text_goes_out(store: SessionStore) -> None:
    text = json.dumps(lines(store, content="none"))
    for word in ("Rome", "Forum", "Where", "brief", "broken", '"search"', "hm"):
        assert word not in text
    assert "gen_ai.usage.input_tokens" in text


@settings(max_examples=budget(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_any_history_can_be_read(history: list[Any]) -> None:
    with SessionStore.open(":memory:", clock=ticking()) as store:
        play(store, history)
        spans = spans_of(lines(store))
        ids = [(span.trace_id, span.span_id) for span, _ in spans]
        assert len(set(ids)) == len(ids)
        infos = store.sessions(statuses=None)
        agents = [one for _, one in spans if one[names.OPERATION] == "invoke_agent"]
        assert sorted(one[names.CONVERSATION] for one in agents) == sorted(
            one.name for one in infos
        )
        for info in infos:
            totals = store.session(info.name).usage()
            chats = [
                one for _, one in spans
                if one[names.CONVERSATION] == info.name and one[names.OPERATION] == "chat"
            ]  # fmt: skip
            assert sum(one.get(names.INPUT_TOKENS, 0) for one in chats) == totals.input_total


def test_a_long_session_is_written_in_several_lines(tmp_path: Path) -> None:
    with populated(tmp_path / "s.db") as store:
        long = store.create("long")
        for number in range(150):
            long.append("assistant", f"answer {number}")
        found = lines(store, sessions=[long])
        assert len(found) == 2
        assert len(spans_of(found)) == 151
