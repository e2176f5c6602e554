"""The calls of `SessionDB` about messages: appending, reading, clearing, searching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventstore.adapters.hermes import errors, messages, rows, searching
from eventstore.adapters.hermes.connection import Connection
from eventstore.adapters.hermes.errors import translated
from eventstore.errors import SessionClosedError
from eventstore.session import commands as do
from eventstore.session.commands import Command, Message
from eventstore.store import listing
from eventstore.store.listing import SessionDetails
from eventstore.store.views import MessageView


class MessageCalls(Connection):
    """Messages in, out, and found again."""

    def append_message(
        self,
        session_id: str,
        role: str,
        content: str | None = None,
        tool_name: str | None = None,
        tool_calls: Any = None,
        tool_call_id: str | None = None,
        token_count: int | None = None,
        finish_reason: str | None = None,
        reasoning: str | None = None,
        reasoning_details: Any = None,
        codex_reasoning_items: Any = None,
        *,
        timestamp: float | None = None,
    ) -> int:
        """Append a message; its row id. `timestamp` is now unless given.

        Raises `sqlite3.IntegrityError` when there is no such session, `sqlite3.ProgrammingError`
        for a value that is no text, `ValueError` for a role that is no lower-case word. Nothing is
        stored then, and nothing stays locked.
        """
        message = messages.to_message(
            role,
            content,
            tool_name=tool_name,
            tool_calls=tool_calls,
            tool_call_id=tool_call_id,
            token_count=token_count,
            finish_reason=finish_reason,
            reasoning=reasoning,
            reasoning_details=reasoning_details,
            codex_reasoning_items=codex_reasoning_items,
            occurred_at=rows.micros(timestamp),
        )
        with translated():
            return self._append(session_id, message)

    def _append(self, session_id: str, message: Message) -> int:
        command = do.Append(messages=(message,))
        for _ in range(2):  # a handle that is kept may be of a session closed since
            session = self._handle(session_id)
            if session is None:
                break
            try:
                return self.store.execute([(session, command)])[0][0].position
            except SessionClosedError:
                self._handles.pop(session_id, None)
        raise errors.unknown_session(session_id)

    def get_messages(self, session_id: str) -> list[dict[str, Any]]:
        """The rows of a session's messages, oldest first; tool calls decoded."""
        return [messages.message_row(session_id, one) for one in self._messages(session_id)]

    def get_messages_as_conversation(self, session_id: str) -> list[dict[str, Any]]:
        """The messages of a session as a model is sent them."""
        return [messages.chat_message(one) for one in self._messages(session_id)]

    def _messages(self, session_id: str) -> list[MessageView]:
        session = self._session(session_id)
        return [] if session is None else messages.in_order(session.messages())

    def clear_messages(self, session_id: str) -> None:
        """Take all messages out of a session and begin to count anew."""
        cleared: list[int] = []

        def decide(found: SessionDetails) -> list[Command]:
            session = self.store.session_of(found.stream)
            cleared[:] = [one.position for one in session.messages() if not one.inherited]
            counted = {**found.configuration, rows.CLEARED_CALLS: found.tool_calls}
            commands: list[Command] = [do.Clear()]
            if found.tool_calls and counted != found.configuration:
                commands.append(do.ChangeConfiguration(configuration=counted))
            return commands

        session = self._decided(session_id, decide)
        if session is not None and cleared and self.erase_on_delete:
            with translated():
                session.erase_events(cleared, reason="messages cleared")

    # -- search ----------------------------------------------------------------------------

    _sanitize_fts5_query = staticmethod(searching.sanitize_query)

    def search_messages(
        self,
        query: str,
        source_filter: Sequence[str] | None = None,
        exclude_sources: Sequence[str] | None = None,
        role_filter: Sequence[str] | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Messages that match what was typed, best first, each with its neighbours.

        Words must all be there; phrases, ``OR``, ``NOT`` and ``begin*`` work as in
        `SessionStore.search`, and punctuation is text. An empty `source_filter` finds nothing.
        """
        if not query or not query.strip() or source_filter == []:
            return []
        wanted = searching.query_of(query)
        if limit < 0:
            limit = searching.ALL
        hits = self.store.search(
            wanted,
            source=source_filter,
            exclude_source=exclude_sources or None,
            role=role_filter or None,
            limit=limit,
            offset=max(offset, 0),
            seconds=None,
        ).hits
        found = listing.brief(self.store.log, (hit.stream for hit in hits))
        places = [(hit.stream, hit.seq) for hit in hits]
        around = listing.around(self.store.log, places, 1)
        return [
            searching.result_row(hit, found[hit.stream], around[place])
            for hit, place in zip(hits, places, strict=True)
            if hit.stream in found and around[place]
        ]
