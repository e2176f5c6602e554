"""The spans of a session: one for the session, one for each model call, one for each tool call.

Ids follow from the session's random uid and the position of what the span is of, so that an export
made again has the same ones. A sub-agent's session is in its parent's trace, below its span; a fork
links to the session that it continues. Times are those that the events tell: a model call ends with
its answer and begins with the message before that, for the log does not know better.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

from eventstore import codec
from eventstore.exports.otel import names
from eventstore.exports.otel.answers import Answer, answers
from eventstore.exports.otel.messages import content_parts, input_message, output_message
from eventstore.exports.past import Past
from eventstore.store.pages import usage_calls_of
from eventstore.store.session import Session
from eventstore.store.views import CompactionView, ToolCallView
from eventstore.visible import encodable
from projections.queries.usage import UsageCall

#: A span, or a part of one, as OTLP's JSON has it.
JSONObject: TypeAlias = dict[str, Any]
Attributes: TypeAlias = dict[str, Any]

_INTERNAL, _CLIENT = 1, 3
_OK, _ERROR = 1, 2

#: Answers whose usage is looked up together.
_PAGE = 50


class Spans:
    """Makes the spans of one session in the names of one version of the conventions."""

    def __init__(self, past: Past, uid: bytes, version: str, shown: bool) -> None:
        self._past = past
        self._shown = shown
        self._renamed = names.renamed(version)
        self._uid = uid
        self._parent = _parent(past.session)
        root = _root(past.session)
        self._trace = _id(16, uid if root is None else _uid(root), 0)
        self._common = {
            names.CONVERSATION: past.info.name,
            names.PROVIDER: past.info.provider or "unknown",
        }

    def all(self) -> Iterator[JSONObject]:
        """The session's span first, then model calls, then tool calls."""
        yield self._session()
        yield from self._model_calls()
        for call in self._past.tool_calls():
            yield self._tool_call(call)

    # -- the session -------------------------------------------------------------------------

    def _session(self) -> JSONObject:
        info, past = self._past.info, self._past
        totals = past.session.usage(past.state.version)
        agent = info.source or "agent"
        span = self._span(f"invoke_agent {agent}", 0, info.created_at, info.updated_at, _INTERNAL)
        if self._parent is not None:
            span["parentSpanId"] = _id(8, _uid(self._parent), 0)
        if info.origin is not None and past.state.origin is not None:
            origin = past.session.store.session_of(past.state.origin)
            root = _root(origin) or origin
            trace, link = _id(16, _uid(root), 0), _id(8, _uid(origin), 0)
            span["links"] = [{"traceId": trace, "spanId": link}]
        prompt = past.prompt() if self._shown else None
        span["attributes"] = self._attributes(
            {
                names.OPERATION: "invoke_agent",
                **self._common,
                names.AGENT: agent,
                names.REQUEST_MODEL: info.model,
                names.SYSTEM: None if prompt is None else [{"type": "text", "content": prompt}],
                names.INPUT_TOKENS: totals.input_total if totals.calls else None,
                names.OUTPUT_TOKENS: totals.output if totals.calls else None,
                names.ERASED: info.session_id.startswith("erased:") or None,
            }
        )
        span["events"] = [self._compaction(one) for one in past.compactions()]
        return span

    def _compaction(self, one: CompactionView) -> JSONObject:
        found = {
            names.SEQ: one.seq,
            "agent_eventstore.compaction.messages": one.count,
            "agent_eventstore.compaction.from_seq": one.from_seq,
            "agent_eventstore.compaction.to_seq": one.to_seq,
            "agent_eventstore.compaction.tokens_before": one.tokens_before,
            "agent_eventstore.compaction.tokens_after": one.tokens_after,
        }
        return {
            "timeUnixNano": _nanos(one.at),
            "name": "context.compacted",
            "attributes": self._attributes(found),
        }

    # -- model calls -------------------------------------------------------------------------

    def _model_calls(self) -> Iterator[JSONObject]:
        """A span for each answer of the model, and for usage that belongs to none of them."""
        log, stream = self._past.session.store.log, self._past.session.stream
        told: set[str] = set()
        found = answers(self._past.messages(), self._past.info.created_at)
        while page := list(islice(found, _PAGE)):
            keys = [answer.key for answer in page if answer.key is not None]
            usages = usage_calls_of(log, stream, keys, self._past.to_position)
            for answer in page:
                known = answer.key is not None and answer.key not in told
                usage = usages.get(str(answer.key)) if known else None
                yield self._model_call(answer, usage)
                if usage is not None:
                    told.add(usage.key)
        for usage in self._past.usage():
            if usage.key not in told:
                yield self._usage(usage)

    def _model_call(self, answer: Answer, usage: UsageCall | None) -> JSONObject:
        first, last = answer.pieces[0], answer.pieces[-1]
        model = first.model or self._past.info.model
        span = self._chat(model, first.position, answer.began, last.at)
        reason = last.finish_reason
        erased = any(piece.erased for piece in answer.pieces)
        said = [input_message(one) for one in answer.said] if self._shown else []
        span["attributes"] = self._attributes(
            {
                names.OPERATION: "chat",
                **self._common,
                names.REQUEST_MODEL: model,
                names.RESPONSE_MODEL: first.model,
                names.RESPONSE_ID: first.response_id,
                names.FINISH_REASONS: None if reason is None else (reason,),
                names.INPUT: said or None,
                names.OUTPUT: [output_message(answer.pieces)] if self._shown or erased else None,
                **_tokens(usage),
                names.COMPACTED: answer.compacted or None,
                names.POSITION: first.position,
                names.SEQ: first.seq,
                names.STATE: None if first.state == "active" else first.state,
                names.ERASED: erased or None,
            }
        )
        return span

    def _usage(self, usage: UsageCall) -> JSONObject:
        """A model call of which only the usage is known."""
        span = self._chat(usage.model, usage.position, usage.at, usage.at)
        span["attributes"] = self._attributes(
            {
                names.OPERATION: "chat",
                **self._common,
                names.REQUEST_MODEL: usage.model,
                **_tokens(usage),
                names.POSITION: usage.position,
            }
        )
        return span

    # -- tool calls --------------------------------------------------------------------------

    def _tool_call(self, call: ToolCallView) -> JSONObject:
        name = (call.name or "unknown") if self._shown else "withheld"
        end = call.called_at if call.answered_at is None else call.answered_at
        span = self._span(f"execute_tool {name}", 0, call.called_at, end, _INTERNAL)
        span["spanId"] = _id(8, self._uid, call.seq, call.call_id)
        span["parentSpanId"] = _id(8, self._uid, 0)
        if call.failed is not None:
            span["status"] = {"code": _ERROR if call.failed else _OK}
        result = None if call.result is None else content_parts(call.result)
        span["attributes"] = self._attributes(
            {
                names.OPERATION: "execute_tool",
                **self._common,
                names.TOOL: name,
                names.TOOL_TYPE: "function",
                names.CALL_ID: call.call_id,
                names.CALL_ARGUMENTS: _text(call.arguments) if self._shown else None,
                names.CALL_RESULT: _text(result) if self._shown else None,
                names.ERROR: "tool_error" if call.failed else None,
                names.SEQ: call.seq,
                names.ERASED: call.name is None or None,
            }
        )
        return span

    # -- parts -------------------------------------------------------------------------------

    def _chat(self, model: str | None, position: int, begin: int, end: int) -> JSONObject:
        span = self._span(f"chat {model or 'unknown'}", position, begin, end, _CLIENT)
        return {**span, "parentSpanId": _id(8, self._uid, 0)}

    def _span(self, name: str, position: int, begin: int, end: int, kind: int) -> JSONObject:
        return {
            "traceId": self._trace,
            "spanId": _id(8, self._uid, position),
            "name": encodable(name),
            "kind": kind,
            "startTimeUnixNano": _nanos(min(begin, end)),
            "endTimeUnixNano": _nanos(end),
        }

    def _attributes(self, found: Attributes) -> list[JSONObject]:
        made = []
        for name, value in found.items():
            called = self._renamed.get(name, name)
            if value is not None and called is not None:
                made.append({"key": called, "value": any_value(value)})
        return made


def any_value(value: Any) -> JSONObject:
    """A value as OTLP's JSON has it; what is no plain value is JSON text."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case str():
            return {"stringValue": encodable(value)}
        case tuple():
            return {"arrayValue": {"values": [any_value(one) for one in value]}}
        case _:
            return {"stringValue": codec.encode(value).decode()}


def _tokens(usage: UsageCall | None) -> Attributes:
    """The counters that OpenTelemetry has: its input is all input, cached or not."""
    if usage is None:
        return {}
    return {
        names.INPUT_TOKENS: usage.input + usage.cache_read + usage.cache_write,
        names.CACHE_READ: usage.cache_read or None,
        names.CACHE_WRITE: usage.cache_write or None,
        names.OUTPUT_TOKENS: usage.output,
        names.REASONING: usage.reasoning or None,
        names.COST: usage.cost_nanos,
        names.CURRENCY: usage.currency,
    }


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return codec.encode(value).decode()


def _nanos(us: int) -> str:
    return str(max(0, us) * 1000)


def _id(size: int, uid: bytes, position: int, call_id: str = "") -> str:
    data = b"agent-eventstore/otel\0" + uid + position.to_bytes(8, "big") + call_id.encode()
    return hashlib.sha256(data).hexdigest()[: 2 * size]


def _uid(session: Session) -> bytes:
    head = session.store.log.stream_by_id(session.stream)
    assert head is not None
    return head.uid


def _parent(session: Session) -> Session | None:
    """The session that spawned this one, if it is in the log."""
    parent = session.state().parent
    return None if parent is None else session.store.session_of(parent)


def _root(session: Session) -> Session | None:
    """The topmost session above this one, None where there is none above; no circle is followed."""
    found, seen = None, {session.stream}
    above = _parent(session)
    while above is not None and above.stream not in seen:
        seen.add(above.stream)
        found, above = above, _parent(above)
    return found
