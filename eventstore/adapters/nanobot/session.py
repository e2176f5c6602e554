"""A conversation in memory, as nanobot's callers hold and change it.

All fields are public and may be changed directly; what was changed is found when it is saved.
Messages are dicts of any JSON values. Times are local and naive, as `datetime.now` gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: What of a message a model is sent beside role and content.
_SENT = ("tool_calls", "tool_call_id", "name")


@dataclass
class Session:
    """One conversation. `last_consolidated` is where the part that a model is sent begins."""

    key: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    created_at: datetime = field(default_factory=datetime.now)
    updated_at: datetime = field(default_factory=datetime.now)
    metadata: dict[str, Any] = field(default_factory=dict)
    last_consolidated: int = 0

    def add_message(self, role: str, content: str, **kwargs: Any) -> None:
        """Add a message with the present time; `kwargs` are further fields and win over it."""
        message = {"role": role, "content": content, "timestamp": datetime.now().isoformat()}
        self.messages.append({**message, **kwargs})
        self.updated_at = datetime.now()

    def get_history(self, max_messages: int = 500) -> list[dict[str, Any]]:
        """What a model is sent: the last messages that are not consolidated, from a user's on.

        Without a user's message among them they are all returned. As in the original,
        `max_messages` 0 means all, and a negative `last_consolidated` counts from the end.
        """
        window = self.messages[self.last_consolidated :][-max_messages:]
        for begin, message in enumerate(window):
            if message.get("role") == "user":
                window = window[begin:]
                break
        history = []
        for message in window:
            sent = {"role": message["role"], "content": message.get("content", "")}
            for name in _SENT:
                if name in message:
                    sent[name] = message[name]
            history.append(sent)
        return history

    def clear(self) -> None:
        """Drop all messages; the metadata stays."""
        self.messages = []
        self.last_consolidated = 0
        self.updated_at = datetime.now()
