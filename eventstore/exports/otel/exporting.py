"""Writing traces as OTLP's JSON, one `TracesData` a line, as its file exporters do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from msgspec import Struct, field

from eventstore import __version__, codec
from eventstore.errors import InvalidValueError
from eventstore.exports import past
from eventstore.exports.otel import names
from eventstore.exports.otel.spans import JSONObject, Spans, any_value
from eventstore.exports.registry import Request

#: Spans in one line.
_TOGETHER = 100


class Otel(Struct, frozen=True):
    """Exporter of traces; the option `semconv` says in which names."""

    name: str = "otel"
    description: str = "OpenTelemetry GenAI traces, OTLP JSON lines"
    suffix: str = ".jsonl"
    lossless: bool = False
    options: dict[str, str] = field(
        default_factory=lambda: {
            "semconv": f"whose names: {' or '.join(names.VERSIONS)}, else {names.DEFAULT}"
        }
    )

    def check(self, options: Mapping[str, str], _: str) -> None:
        """Raise `InvalidValueError` for a version that is not known."""
        version = options.get("semconv", names.DEFAULT)
        if version not in names.VERSIONS:
            raise InvalidValueError(
                f"semconv is one of {', '.join(names.VERSIONS)}, not {version!r}"
            )

    def export(self, request: Request) -> None:
        """Write the spans of each session, some in a line."""
        version = request.options.get("semconv", names.DEFAULT)
        out, log = request.stream(), request.store.log
        for one in past.sessions(request):
            head = log.stream_by_id(one.session.stream)
            assert head is not None
            spans = Spans(one, head.uid, version, request.content == "full").all()
            resource = _resource(request, one.info.source)
            while together := list(islice(spans, _TOGETHER)):
                out.write(codec.encode(_line(resource, version, together)) + b"\n")


def _resource(request: Request, source: str | None) -> JSONObject:
    found: dict[str, Any] = {
        "service.name": source or "agent-eventstore",
        "agent_eventstore.head": request.head.leaf.hex(),
        "agent_eventstore.to_position": request.to_position,
    }
    attributes = [{"key": name, "value": any_value(value)} for name, value in found.items()]
    return {"attributes": attributes}


def _line(resource: JSONObject, version: str, spans: list[JSONObject]) -> JSONObject:
    scoped: JSONObject = {
        "scope": {"name": "agent-eventstore", "version": __version__},
        "spans": spans,
    }
    schema = names.SCHEMAS[version]
    if schema is not None:
        scoped["schemaUrl"] = schema
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}
