"""Messages as providers take them: what a model is sent.

`turns` states the rules that all formats share; each format is a module. The names that most
callers need are here.
"""

from __future__ import annotations

from eventstore.conversation.openai import ChatMessage, to_chat
from eventstore.conversation.turns import ERASED, UNANSWERED, Unanswered, aligned

__all__ = ["ERASED", "UNANSWERED", "ChatMessage", "Unanswered", "aligned", "to_chat"]
