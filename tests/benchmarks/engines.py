"""This engine and the bare insert, as the benchmark drives every engine.

An engine has a `name`, is opened on a path with a durability, and appends texts to numbered
sessions: `append_one` in a transaction of its own, `append_batch` all in one. One that has no
batches, or cannot be used from threads, says so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import apsw

from eventstore import Session, SessionStore
from eventstore.session.commands import Append, Compact, Message

#: Messages that are active when a session is resumed.
ACTIVE = 200
#: Messages between two compactions.
STEP = 100


class Engine:
    """Base of the engines that are measured."""

    name: ClassVar[str]
    batches: ClassVar[bool] = True
    threads: ClassVar[bool] = True

    def append_one(self, text: str, session: int = 0) -> None:
        """Append in a transaction of its own."""
        raise NotImplementedError

    def append_each(self, texts: Sequence[str]) -> None:
        """Append each in a transaction of its own."""
        for text in texts:
            self.append_one(text)

    def append_batch(self, texts: Sequence[str]) -> None:
        """Append all in one transaction."""
        raise NotImplementedError

    def remember(self, texts: Sequence[str]) -> None:
        """Make a session that is resumed later, `ACTIVE` of its messages active where it can."""
        self.append_each(texts)

    def resume(self) -> int:
        """Read what a model would be sent; the number of messages."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""


class ThisEngine(Engine):
    """agent-eventstore."""

    name = "agent-eventstore"

    def __init__(self, path: Path, durability: str) -> None:
        self.store = SessionStore.open(path, durability=durability)
        self._sessions: dict[int, Session] = {}
        self._lock = threading.Lock()

    def session(self, number: int = 0) -> Session:
        """A session by its number."""
        with self._lock:
            if number not in self._sessions:
                self._sessions[number] = self.store.create(f"s{number}")
            return self._sessions[number]

    def append_one(self, text: str, session: int = 0) -> None:
        """One message."""
        self.session(session).append("user", text)

    def append_batch(self, texts: Sequence[str]) -> None:
        """Many messages."""
        self.session().append_many([Message(role="user", content=text) for text in texts])

    def remember(self, texts: Sequence[str]) -> None:
        """A session that is compacted every `STEP` messages."""
        remember(self.session(), texts)

    def resume(self) -> int:
        """The active messages of session 0."""
        return len(self.store.session("s0").messages())

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def remember(session: Session, texts: Sequence[str], page: int = 10) -> None:
    """Append texts, `page` compactions a transaction."""
    store = session.store
    assert isinstance(store, SessionStore)
    active: deque[int] = deque()
    seq = 1
    batch: list[tuple[Session, Append | Compact]] = []
    for start in range(0, len(texts), STEP):
        part = texts[start : start + STEP]
        messages = tuple(Message(role="user", content=text) for text in part)
        batch.append((session, Append(messages=messages)))
        active.extend(range(seq, seq + len(part)))
        seq += len(part)
        if len(active) > ACTIVE:
            kept = list(active)[STEP + 1 :]
            note = Message(role="system", content="What was said before.")
            last = active[STEP]
            batch.append((session, Compact(from_seq=active[0], to_seq=last, note=note)))
            active = deque([seq, *kept])
            seq += 1
        if len(batch) >= 2 * page:
            store.execute(batch)
            batch = []
    if batch:
        store.execute(batch)


class BareInsert(Engine):
    """One table, the same bytes in one row, a unique index; the least that SQLite can do."""

    name = "bare INSERT"

    def __init__(self, path: Path, durability: str) -> None:
        self._connection = apsw.Connection(str(path))
        for pragma in (
            "journal_mode = WAL", f"synchronous = {durability.upper()}", "temp_store = MEMORY",
            "secure_delete = ON", "cache_size = -16000", "wal_autocheckpoint = 4000",
        ):  # fmt: skip
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection.execute(
            "CREATE TABLE messages (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, "
            "version INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (stream, version)) STRICT"
        )
        self._insert = "INSERT INTO messages (stream, version, body) VALUES (?, ?, ?)"
        self._version = 0
        self._lock = threading.Lock()

    def append_one(self, text: str, session: int = 0) -> None:
        """One row in one transaction; threads take turns."""
        with self._lock:
            self._version += 1
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(self._insert, (session, self._version, text))
            self._connection.execute("COMMIT")

    def append_batch(self, texts: Sequence[str]) -> None:
        """Many rows in one transaction."""
        first = self._version + 1
        self._version += len(texts)
        self._connection.execute("BEGIN IMMEDIATE")
        rows = ((0, version, text) for version, text in enumerate(texts, first))
        self._connection.executemany(self._insert, rows)
        self._connection.execute("COMMIT")

    def resume(self) -> int:
        """The last messages."""
        query = "SELECT body FROM messages WHERE stream = 0 ORDER BY version DESC LIMIT ?"
        return len(self._connection.execute(query, (ACTIVE,)).fetchall())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
