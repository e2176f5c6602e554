"""`SessionDB`: the calls of Hermes Agent's session database, each a few of the engine's own.

A row's id is its event's position in the log, which grows over all sessions as Hermes's row ids do.
Deleting a session closes it and, unless told otherwise, erases what it said; its id can be used
again. Times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventstore.adapters.hermes import rows
from eventstore.adapters.hermes.errors import translated
from eventstore.adapters.hermes.message_calls import MessageCalls
from eventstore.adapters.hermes.session_calls import SessionCalls
from eventstore.errors import SessionClosedError
from eventstore.store import listing
from eventstore.store.listing import ListedDetails
from eventstore.store.session import Session
from projections.queries.listing import Which

_DAY = 86_400 * 1_000_000


class SessionDB(SessionCalls, MessageCalls):
    """Hermes Agent's sessions in a store of this engine."""

    @staticmethod
    def schema_version() -> int:
        """The schema of Hermes's whose calls and rows these are."""
        return rows.SCHEMA_VERSION

    # -- lists -----------------------------------------------------------------------------

    def list_sessions_rich(
        self,
        source: str | None = None,
        exclude_sources: Sequence[str] | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Rows with a preview of the conversation and its last activity; newest session first."""
        which = Which(
            sources=(source,) if source else None,
            excluded_sources=tuple(exclude_sources) if exclude_sources else None,
        )
        found = self._listed(which, limit, offset)
        return [rows.rich_row(one, self._opening(one)) for one in found]

    def _opening(self, found: ListedDetails) -> str | None:
        """The first text of a user; the first message may have none."""
        if found.opening is not None or found.messages == 0:
            return found.opening
        for message in self.store.session_of(found.stream).messages():
            if message.role == "user" and message.text is not None:
                return message.text
        return None

    def search_sessions(
        self, source: str | None = None, limit: int = 20, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Rows of sessions, newest first."""
        which = Which(sources=(source,) if source else None)
        return [rows.session_row(one) for one in self._listed(which, limit, offset)]

    def session_count(self, source: str | None = None) -> int:
        """How many sessions there are."""
        return listing.count(self.store.log, Which(sources=(source,) if source else None))[0]

    def message_count(self, session_id: str | None = None) -> int:
        """How many messages a session has, or (None) all together."""
        return listing.count(self.store.log, Which(session_id=session_id or None))[1]

    # -- export and deletion ---------------------------------------------------------------

    def export_session(self, session_id: str) -> dict[str, Any] | None:
        """The row of a session with its messages."""
        found = self.get_session(session_id)
        return None if found is None else {**found, "messages": self.get_messages(session_id)}

    def export_all(self, source: str | None = None) -> list[dict[str, Any]]:
        """Every session with its messages, newest first."""
        found = self.search_sessions(source=source, limit=100_000)
        return [{**one, "messages": self.get_messages(one["id"])} for one in found]

    def delete_session(self, session_id: str) -> bool:
        """Close a session for good, and erase it unless told otherwise; whether it was there.

        Its children live on without a parent.
        """
        session = self._session(session_id)
        return session is not None and self._delete(session)

    def prune_sessions(self, older_than_days: float = 90, source: str | None = None) -> int:
        """Delete the ended sessions that began so many days ago; how many."""
        before = self._clock() - int(older_than_days * _DAY)
        which = Which(ended_created_before=before, sources=(source,) if source else None)
        found = [self.store.session_of(one.stream) for one in self._listed(which)]
        return sum(self._delete(session) for session in found)

    def _delete(self, session: Session) -> bool:
        self._handles.pop(session.id, None)
        with translated():
            try:
                if self.erase_on_delete:
                    session.close_and_erase(reason="deleted")
                else:
                    session.close(reason="deleted")
            except SessionClosedError:
                return False
        return True
