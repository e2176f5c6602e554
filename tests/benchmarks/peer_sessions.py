"""Session stores of other agents, driven by their public calls."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from engines import ACTIVE, Engine


class PowerLoop(Engine):
    """power-loop's session store."""

    name = "power-loop"
    batches = False

    def __init__(self, path: Path, durability: str) -> None:
        module = import_module("power_loop.runtime.session_store")
        self._store = module.SessionStore.open(str(path))
        self._store._conn.execute(f"PRAGMA synchronous = {durability.upper()}")
        self._sessions: dict[int, str] = {}

    def _session(self, number: int) -> str:
        if number not in self._sessions:
            self._sessions[number] = self._store.create_session(session_id=f"s{number}")
        return self._sessions[number]

    def append_one(self, text: str, session: int = 0) -> None:
        """One message."""
        self._store.append_message(self._session(session), role="user", content=text)

    def remember(self, texts: Sequence[str]) -> None:
        """One compaction at the end, which leaves as many active messages."""
        self.append_each(texts)
        if len(texts) > ACTIVE:
            self._store.record_compaction(
                self._session(0), from_seq=1, to_seq=len(texts) - ACTIVE + 1, before_tokens=None,
                note_content="What was said before.", after_tokens=None, round_index=None,
            )  # fmt: skip

    def resume(self) -> int:
        """The active messages."""
        return len(self._store.load_active_messages(self._session(0)))

    def close(self) -> None:
        """Close the store."""
        self._store.close()


class Hermes(Engine):
    """Hermes Agent's session database, with its full-text indexes."""

    name = "Hermes SessionDB"
    batches = False

    def __init__(self, path: Path, durability: str) -> None:
        self._store = import_module("hermes_state").SessionDB(path)
        self._store._conn.execute(f"PRAGMA synchronous = {durability.upper()}")
        self._known: set[int] = set()

    def append_one(self, text: str, session: int = 0) -> None:
        """One message."""
        if session not in self._known:
            self._store.create_session(f"s{session}", "benchmark")
            self._known.add(session)
        self._store.append_message(f"s{session}", "user", text)

    def remember(self, texts: Sequence[str]) -> None:
        """Its compaction begins another session, so only the active messages are stored."""
        self.append_each(texts[-ACTIVE:])

    def resume(self) -> int:
        """The whole session, which is what it keeps of a context."""
        return len(self._store.get_messages_as_conversation("s0"))

    def search(self, typed: str, limit: int) -> int:
        """The number of messages that its own search finds."""
        return len(self._store.search_messages(typed, limit=limit))

    def close(self) -> None:
        """Close the database."""
        self._store.close()
