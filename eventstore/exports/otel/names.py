"""Names of attributes, by version of the semantic conventions.

`1.41` is a version of the semantic conventions. Those for generative AI went on in a repository of
their own, open-telemetry/semantic-conventions-genai, without a number so far: `genai`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DEFAULT = "1.41"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
CONVERSATION = "gen_ai.conversation.id"
AGENT = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
SYSTEM = "gen_ai.system_instructions"
INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE = "gen_ai.usage.cache_creation.input_tokens"
REASONING = "gen_ai.usage.reasoning.output_tokens"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
CALL_ID = "gen_ai.tool.call.id"
CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
CALL_RESULT = "gen_ai.tool.call.result"
ERROR = "error.type"
COMPACTED = "gen_ai.conversation.compacted"

#: What no convention names.
POSITION = "agent_eventstore.position"
SEQ = "agent_eventstore.seq"
ERASED = "agent_eventstore.erased"
STATE = "agent_eventstore.state"
COST = "agent_eventstore.cost_nanos"
CURRENCY = "agent_eventstore.currency"

#: Version → what it calls differently; None for what it does not have.
_RENAMED: Mapping[str, Mapping[str, str | None]] = MappingProxyType(
    {
        "1.41": {COMPACTED: None},
        "genai": {CACHE_WRITE: "gen_ai.usage.cache_write.input_tokens"},
    }
)

#: Where each version is described; None while it has no number.
SCHEMAS: Mapping[str, str | None] = MappingProxyType(
    {"1.41": "https://opentelemetry.io/schemas/1.41.0", "genai": None}
)

VERSIONS = tuple(_RENAMED)


def renamed(version: str) -> Mapping[str, str | None]:
    """What a version calls differently."""
    return _RENAMED[version]
