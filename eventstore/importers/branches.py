"""Comparing a file's records with what is stored of the same conversation.

An import that finds other records stored than the file holds makes a fork, `<session>/fork-N`. A
conversation is therefore stored as one or more *branches*, the session and its forks, each a
sequence of records. The file's records are compared with all of them in lockstep, so that memory
stays small, until at most the ones with the longest common beginning are left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eventstore.importers.lines import Line
from eventstore.importers.stored_records import StoredRecord, lineage, records_of
from eventstore.redaction import marks
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

_FORK = re.compile(r"/fork-([0-9]{1,9})$")


def fork_number(session_id: str) -> int | None:
    """N of a session id that ends in ``/fork-N``."""
    found = _FORK.search(session_id)
    return None if found is None else int(found[1])


class Branch:
    """One stored sequence of records and how far the file agrees with it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        #: What is compared; an append that follows expects the session at this version.
        self.version = session.version
        self._records: Iterator[StoredRecord] = records_of(session, self.version)
        self._next: StoredRecord | None = next(self._records, None)

    def _advance(self) -> None:
        self._next = next(self._records, None)

    def accepts(self, line: Line, messages: int) -> bool:
        """Whether the next stored record is this line, and if so step over it.

        An erased record agrees with anything, a redacted one with what is the same around its
        marks; a record of several `messages` left as many events,
        of which only the first held it. A stored torn line may be missing from the file, whose
        later copy completed it; a torn line of the file agrees with the complete one stored.
        """
        while (stored := self._next) is not None and not _agree(stored, line):
            if not stored.torn:
                return False
            self._advance()
        if stored is None:
            return False
        self._advance()
        for _ in range(messages - 1):
            if self._next is None or self._next.data is not None or not self._next.is_message:
                break
            self._advance()
        return True

    @property
    def exhausted(self) -> bool:
        """Whether everything stored has been compared."""
        return self._next is None

    def fork_point(self) -> tuple[Session, int]:
        """The session and version after which what is stored parts from the file."""
        assert self._next is not None
        return self._next.session, self._next.version - 1


def _agree(stored: StoredRecord, line: Line) -> bool:
    if stored.data is None or stored.data == line.data or marks.agrees(stored.data, line.data):
        return True
    if not line.torn:
        return False
    before = marks.begin_of(stored.data)  # all that can be told of a line that was redacted
    return before.startswith(line.data) or (before != stored.data and line.data.startswith(before))


def branches_of(store: SessionStore, session_id: str) -> list[Branch]:
    """The stored branches of a conversation, the session itself first; empty if there are none."""
    base = store.get(session_id)
    if base is None:
        return []
    found = {base.stream: base}
    forks = [
        fork
        for fork in store.sessions_with_prefix(f"{session_id}/fork-")
        if fork_number(fork.id) is not None and fork.id.count("/") == session_id.count("/") + 1
    ]
    found.update((fork.stream, fork) for fork in forks)
    return [
        Branch(session)
        for session in sorted(found.values(), key=lambda one: fork_number(one.id) or 0)
        if all(part.stream in found for part, _ in lineage(session)) or session is base
    ]


def next_fork_id(store: SessionStore, session_id: str) -> str:
    """The id of the next fork of a session: the lowest N above all that are taken."""
    taken = [fork_number(one.id) or 0 for one in store.sessions_with_prefix(f"{session_id}/fork-")]
    return f"{session_id}/fork-{max(taken, default=0) + 1}"
