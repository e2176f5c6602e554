"""Sessions as the rows of Hermes's `sessions` table, schema 6.

What the engine has no field of its own for is kept in the session's configuration, and the user's
id in its metadata.
"""

from __future__ import annotations

import json
from typing import Any

from eventstore.store.listing import ListedDetails, SessionDetails

#: The schema of Hermes's own files whose calls and rows this adapter has.
SCHEMA_VERSION = 6

#: Characters of the first message that a preview is made of, and that it shows.
PREVIEW_READ = 63
PREVIEW_SHOWN = 60

#: Keys of the configuration that are columns of the row.
BILLING = ("billing_provider", "billing_base_url", "billing_mode")
PRICING = ("cost_status", "cost_source", "pricing_version")
MODEL_CONFIG, MODEL_CONFIG_TEXT = "model_config", "model_config_text"
ACTUAL_COST = "actual_cost_usd"
#: How many tool calls were made in messages that were cleared since.
CLEARED_CALLS = "cleared_tool_calls"


def seconds(at: int | None) -> float | None:
    """A time in µs as seconds."""
    return None if at is None else at / 1_000_000


def micros(at: float | None) -> int | None:
    """A time in seconds as µs."""
    return None if at is None else round(at * 1_000_000)


def session_row(found: SessionDetails) -> dict[str, Any]:
    """Every column of a session's row, in the table's order."""
    kept, usage = found.configuration, found.usage
    cost = None if usage.calls == 0 else (usage.cost_nanos or 0) / 1e9
    return {
        "id": found.session_id,
        "source": found.source,
        "user_id": found.metadata.get("user_id"),
        "model": found.model,
        "model_config": model_config_of(kept),
        "system_prompt": found.prompt,
        "parent_session_id": found.parent,
        "started_at": seconds(found.created_at),
        "ended_at": seconds(found.ended_at),
        "end_reason": found.end_reason,
        "message_count": found.messages,
        "tool_call_count": found.tool_calls - kept.get(CLEARED_CALLS, 0),
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write,
        "reasoning_tokens": usage.reasoning,
        "billing_provider": kept.get("billing_provider"),
        "billing_base_url": kept.get("billing_base_url"),
        "billing_mode": kept.get("billing_mode"),
        "estimated_cost_usd": cost,
        "actual_cost_usd": kept.get(ACTUAL_COST),
        "cost_status": kept.get("cost_status"),
        "cost_source": kept.get("cost_source"),
        "pricing_version": kept.get("pricing_version"),
        "title": found.title,
    }


def rich_row(found: ListedDetails, opening: str | None) -> dict[str, Any]:
    """The row with the beginning of the conversation and its last activity."""
    at = found.created_at if found.last_message_at is None else found.last_message_at
    row = session_row(found)
    row["preview"], row["last_active"] = preview(opening), seconds(at)
    return row


def preview(text: str | None) -> str:
    """The beginning of a text on one line."""
    if not text:
        return ""
    raw = text[:PREVIEW_READ].replace("\n", " ").replace("\r", " ").strip()
    return raw if len(raw) <= PREVIEW_SHOWN else f"{raw[:PREVIEW_SHOWN]}..."


def model_config_of(kept: dict[str, Any]) -> str | None:
    """The model's configuration as JSON text."""
    if MODEL_CONFIG_TEXT in kept:
        return str(kept[MODEL_CONFIG_TEXT])
    return json.dumps(kept[MODEL_CONFIG]) if MODEL_CONFIG in kept else None


def configuration_of(model_config: Any) -> dict[str, Any] | None:
    """What a new session's configuration keeps of its `model_config`."""
    if not model_config:
        return None
    return {MODEL_CONFIG: json.loads(json.dumps(model_config))}
