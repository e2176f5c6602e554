"""What power-loop's session store gives and takes: constants, enumerations and rows.

Names, fields and values are those of `power_loop.runtime.session_store`, version 0.2.0. Times are
in ms since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

#: Where `SessionStore.open` looks unless told.
DEFAULT_DB_PATH = "./power_loop_sessions.db"

#: How deep sub-agents may nest.
MAX_SPAWN_DEPTH = 3


class SessionKind(str, Enum):  # noqa: UP042 - the original's, whose str() differs from StrEnum's
    """Whether a session is a conversation of its own or a sub-agent's."""

    ROOT = "root"
    SUBAGENT = "subagent"


class SessionStatus(str, Enum):  # noqa: UP042
    """Whether a session was put away."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class SubagentLifecycle(str, Enum):  # noqa: UP042
    """What becomes of a sub-agent's session when its parent is closed: detached ones stay."""

    EPHEMERAL = "ephemeral"
    LINKED = "linked"
    DETACHED = "detached"


class MessageState(str, Enum):  # noqa: UP042
    """Whether a message is still sent to the model."""

    ACTIVE = "active"
    COMPACTED_OUT = "compacted_out"


@dataclass
class SessionRow:
    """A session."""

    session_id: str
    created_at: int
    updated_at: int
    system_prompt: str | None
    model: str | None
    config: dict[str, Any]
    status: SessionStatus
    kind: SessionKind
    parent_session_id: str | None
    spawn_tool_call_id: str | None
    spawn_depth: int
    lifecycle: SubagentLifecycle
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class MessageRow:
    """A message, or the note of a compaction."""

    session_id: str
    seq: int
    role: str
    name: str | None
    content: str | None
    tool_calls: list[dict[str, Any]] | None
    tool_call_id: str | None
    round_index: int | None
    state: MessageState
    meta: dict[str, Any]
    created_at: int


@dataclass
class SessionStateRow:
    """Where a session is: the next message's seq, the round, and the tool calls left pending."""

    session_id: str
    next_seq: int
    round_index: int
    last_compact_seq: int
    pending: dict[str, Any] | None


@dataclass
class CompactionRow:
    """A compaction: the range as the caller gave it, and the seq of its note."""

    session_id: str
    compact_seq: int
    note_seq: int
    from_seq: int
    to_seq: int
    before_tokens: int | None
    after_tokens: int | None
    round_index: int | None
    created_at: int


@dataclass
class UsageRow:
    """The tokens of one round, as last recorded. The original has these in a table only."""

    session_id: str
    round_index: int
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    model: str | None
    created_at: int
