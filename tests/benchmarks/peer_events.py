"""Event stores in Python, driven by their public calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from engines import ACTIVE, Engine


def _tuned(pool: Any, durability: str) -> None:
    """Have eventsourcing's connections sync as told; it leaves that to SQLite's default."""
    connect = pool._create_connection

    def create() -> Any:
        connection = connect()
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous = {durability.upper()}")
        return connection

    pool._create_connection = create


class Recorder(Engine):
    """The SQLite recorder of eventsourcing: rows of bytes, no domain model."""

    name = "eventsourcing recorder"

    def __init__(self, path: Path, durability: str) -> None:
        sqlite = import_module("eventsourcing.sqlite")
        self._event = import_module("eventsourcing.persistence").StoredEvent
        self._datastore = sqlite.SQLiteDatastore(str(path))
        _tuned(self._datastore.pool, durability)
        self._recorder = sqlite.SQLiteApplicationRecorder(self._datastore)
        self._recorder.create_table()
        self._versions: dict[int, int] = {}

    def _make(self, text: str, session: int) -> Any:
        version = self._versions[session] = self._versions.get(session, 0) + 1
        return self._event(UUID(int=session), version, "said", text.encode())

    def append_one(self, text: str, session: int = 0) -> None:
        """One event."""
        self._recorder.insert_events([self._make(text, session)])

    def append_batch(self, texts: Sequence[str]) -> None:
        """Many events."""
        self._recorder.insert_events([self._make(text, 0) for text in texts])

    def resume(self) -> int:
        """The last events of the stream: it has no notion of active ones."""
        found = self._recorder.select_events(UUID(int=0), desc=True, limit=ACTIVE)
        return len(found)

    def close(self) -> None:
        """Close the datastore."""
        self._datastore.close()


@cache
def conversation() -> Any:
    """The aggregate of the application, made once: its events are found by their module."""
    domain = import_module("eventsourcing.domain")

    def begin(self: Any) -> None:
        self.texts = []

    def say(self: Any, text: str) -> None:
        self.texts = [*self.texts[-ACTIVE + 1 :], text]

    body = {"__init__": begin, "say": domain.event("Said")(say), "__module__": __name__}
    kind = globals()["Conversation"] = type("Conversation", (domain.Aggregate,), body)
    return kind


class Application(Engine):
    """An application of eventsourcing with one aggregate, kept in memory between the saves."""

    name = "eventsourcing application"
    threads = False

    def __init__(self, path: Path, durability: str) -> None:
        kind = conversation()
        environment = {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": os.fspath(path),
        }
        self._application = import_module("eventsourcing.application").Application(environment)
        _tuned(self._application.factory.datastore.pool, durability)
        self._aggregate: Any = kind()

    def append_one(self, text: str, session: int = 0) -> None:
        """One event, saved."""
        self._aggregate.say(text)
        self._application.save(self._aggregate)

    def append_batch(self, texts: Sequence[str]) -> None:
        """Many events, saved together."""
        for text in texts:
            self._aggregate.say(text)
        self._application.save(self._aggregate)

    def resume(self) -> int:
        """The aggregate, from all of its events."""
        return len(self._application.repository.get(self._aggregate.id).texts)

    def close(self) -> None:
        """Close the application."""
        self._application.close()


class Eventsource(Engine):
    """The SQLite store of eventsource-py."""

    name = "eventsource-py"
    threads = False

    def __init__(self, path: Path, durability: str) -> None:
        import_module("aiosqlite")
        store = import_module("eventsource.adapters.sqlite.store")
        domain = import_module("eventsource.domain")
        ports = import_module("eventsource.ports")
        base = import_module("eventsource.domain.event").DomainEvent
        registry = import_module("eventsource.domain.event_registry").EventRegistry()
        annotations = {"event_type": str, "aggregate_type": str, "text": str}
        body = {"__annotations__": annotations, "event_type": "Said", "aggregate_type": "Session"}
        self._kind = type("Said", (base,), {**body, "__module__": __name__})
        registry.register(self._kind)
        self._loop = asyncio.new_event_loop()
        self._store = store.SQLiteEventStore(str(path), registry)
        self._stream = domain.StreamId(uuid4(), "Session")
        self._any = ports.ExpectedVersion.any_()
        self._run(self._tune(durability))

    def _run(self, task: Any) -> Any:
        return self._loop.run_until_complete(task)

    async def _tune(self, durability: str) -> None:
        connection = await self._store._conn()
        await connection.execute(f"PRAGMA synchronous = {durability.upper()}")

    async def _append(self, batches: Sequence[Sequence[str]]) -> None:
        for texts in batches:
            events = [
                self._kind(aggregate_id=self._stream.aggregate_id, text=text) for text in texts
            ]
            await self._store.append(self._stream, events, self._any)

    def append_one(self, text: str, session: int = 0) -> None:
        """One event."""
        self._run(self._append([[text]]))

    def append_each(self, texts: Sequence[str]) -> None:
        """One event a commit, all in one run of the loop."""
        self._run(self._append([[text] for text in texts]))

    def append_batch(self, texts: Sequence[str]) -> None:
        """Many events."""
        self._run(self._append([texts]))

    def resume(self) -> int:
        """The whole stream: it has no notion of active events."""

        async def read() -> int:
            return len([one async for one in self._store.read_stream(self._stream)])

        found: int = self._run(read())
        return found

    def close(self) -> None:
        """Close the store and the loop."""
        self._run(self._store.close())
        self._loop.close()
