"""What is fuzzed: a function of bytes for each way in which foreign bytes come in.

Each raises `BrokenError` where a promise does not hold. An `EventStoreError` is a right answer to
nonsense; any other exception is a finding, and so is a hang or a crash of the interpreter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import apsw
import sent
from seeds import store_bytes
from sent import BrokenError

from eventstore import SessionStore, codec
from eventstore.doctor import examine
from eventstore.errors import EventStoreError
from eventstore.importers import import_paths
from projections.search.query import parse, to_fts5
from projections.search.raw import to_index

#: The name of the file that an importer is given.
FILES = {
    "claude-code": "5e551011-0000-4000-8000-000000000001.jsonl",
    "nanobot": "cli_direct.jsonl",
    "power-loop": "sessions.db",
    "hermes": "state.db",
    "little-loops": "session.db",
}


def importer(name: str, data: bytes) -> None:
    """Import a file, and again: the log verifies, and the second time adds nothing."""
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        file = Path(folder) / FILES[name]
        file.write_bytes(data)
        with SessionStore.open(":memory:") as store:
            try:
                list(import_paths(store, [file], format=name))
            except EventStoreError:
                complete = False
            else:
                complete = True
            head = store.head.position
            if complete:
                list(import_paths(store, [file], format=name))
                if store.head.position != head:
                    raise BrokenError("importing the same file again added something")
            if store.verify() or store.check():
                raise BrokenError("what was imported does not verify")
        if file.read_bytes() != data:
            raise BrokenError("the importer changed its source")
        if {one.name for one in Path(folder).iterdir()} != {file.name}:
            raise BrokenError("the importer left files beside its source")


@cache
def _index() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE VIRTUAL TABLE f USING fts5(text, tokenize = 'unicode61')")
    connection.execute("INSERT INTO f VALUES ('what is docker compose and my.app 容器')")
    return connection


def query(data: bytes) -> None:
    """Whatever is typed is an expression that FTS5 takes."""
    typed = data.decode("utf-8", "surrogateescape")
    expression = to_fts5(parse(typed))
    if expression:
        try:
            _index().execute("SELECT rowid FROM f WHERE f MATCH ?", (expression,)).fetchall()
        except UnicodeEncodeError as error:
            raise BrokenError(f"a lone surrogate is left in {expression!r}") from error
    to_index(typed)


@cache
def _searched() -> SessionStore:
    store = SessionStore.open(":memory:")
    store.create("a").append("user", "what is docker compose and my.app 容器")
    return store


def search(data: bytes) -> None:
    """A search for anything, in either syntax, answers or is refused by name."""
    typed = data.decode("utf-8", "surrogateescape")
    for syntax in ("words", "fts5"):
        try:
            _searched().search(typed, syntax=syntax)
        except EventStoreError:
            if syntax == "words":
                raise


def decoding(data: bytes) -> None:
    """What was decoded is decoded again from its own encoding."""
    try:
        value = codec.decode(data)
        codec.require_json(value, "value")
        stored = codec.encode(value)
    except EventStoreError:
        return
    if repr(codec.decode(stored)) != repr(value):
        raise BrokenError(f"{value!r} came back as {codec.decode(stored)!r}")


@cache
def _store() -> bytes:
    return store_bytes()


def store(data: bytes) -> None:
    """A store of which bytes were changed: every command answers, or refuses by name."""
    content = bytearray(_store())
    for at in range(0, len(data) - 4, 5):
        place = int.from_bytes(data[at : at + 4], "big") % len(content)
        content[place] = data[at + 4]
    if data and data[-1] % 16 == 0:
        del content[int.from_bytes(data[:3], "big") % len(content) :]
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        path = Path(folder) / "s.db"
        path.write_bytes(content)
        for readonly in (True, False):
            try:
                with SessionStore.open(path, readonly=readonly) as opened:
                    _use(opened)
            except EventStoreError:
                continue
        with suppress(EventStoreError):
            examine(path)


def _use(opened: SessionStore) -> None:
    sessions = []
    for work in (
        opened.verify,
        lambda: sessions.extend(opened.sessions()),
        lambda: opened.search("hello"),
        lambda: list(opened.events()),
        opened.stats,
        opened.check,
    ):
        try:
            work()
        except EventStoreError:
            continue
    for info in sessions[:3]:
        try:
            opened.session(info.session_id).chat()
            opened.session(info.session_id).append("user", "x")
        except EventStoreError:
            continue


TARGETS: dict[str, Callable[[bytes], None]] = {
    **{name: lambda data, name=name: importer(name, data) for name in FILES},  # type: ignore[misc]
    "query": query,
    "search": search,
    "codec": decoding,
    "store": store,
    "bundle": sent.bundle,
    "events-jsonl": sent.events_jsonl,
    "notes": sent.notes,
    "keys": sent.keys,
    "erasures": sent.erasure_list,
    "policies": sent.policies,
    "fixture": sent.fixture,
    "times": sent.times,
    "salvage": sent.salvage,
}
