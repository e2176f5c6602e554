"""A session as it was at the end of what is exported."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from eventstore.exports import chosen
from eventstore.exports.registry import Request
from eventstore.session.state import SessionState
from eventstore.store import pages
from eventstore.store.points import At
from eventstore.store.session import Session
from eventstore.store.views import CompactionView, MessageView, SessionInfo, ToolCallView
from projections.queries.usage import UsageCall


class Past(Struct, frozen=True):
    """A session at a version; its texts are read when they are asked for, page by page."""

    session: Session
    state: SessionState
    info: SessionInfo
    to_position: int

    def messages(self) -> Iterator[MessageView]:
        """All messages that there were, in order of seq."""
        return pages.messages(self.session.store.log, self.session.stream, self.state)

    def tool_calls(self) -> Iterator[ToolCallView]:
        """All tool calls with an id that had been made."""
        return pages.tool_calls(self.session.store.log, self.session.stream, self.state)

    def usage(self) -> Iterator[UsageCall]:
        """Every model call that had been recorded, once."""
        return pages.usage_calls(self.session.store.log, self.session.stream, self.to_position)

    def compactions(self) -> list[CompactionView]:
        """The compactions that there had been."""
        found = self.session.compactions()
        return [one for one in found if one.version <= self.state.version]

    def prompt(self) -> str | None:
        """The system prompt in force at the end."""
        return self.session.prompt(self.state.version)


def sessions(request: Request) -> Iterator[Past]:
    """The sessions of an export, one after the other; progress counts them."""
    total = chosen.count(request) if request.progress is not None else 0
    for number, session in enumerate(chosen.sessions(request), 1):
        at = At.position(request.to_position)
        yield Past(session, session.state(at), session.info(at), request.to_position)
        if request.progress is not None:
            request.progress(number, max(total, number))
