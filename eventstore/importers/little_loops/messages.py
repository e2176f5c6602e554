"""Messages that a database has of sessions, schema 2 and later.

It has their text alone, so they make a session only where the store has none from elsewhere: the
transcript says more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from msgspec import Struct

from eventstore import codec
from eventstore.adapters.little_loops.shapes import SOURCE, moment
from eventstore.errors import ImportFailedError, InvalidValueError, VersionConflictError
from eventstore.events.catalogue import MessageAppended
from eventstore.importers.attaching import attach
from eventstore.importers.lines import Line
from eventstore.importers.little_loops.rows import problem_of, whole
from eventstore.importers.reports import FileReport
from eventstore.importers.sqlite_source import Row, SqliteSource
from eventstore.log.port import unchanged_since
from eventstore.session.commands import Append, Message
from eventstore.session.decisions import check_session_id
from eventstore.session.state import Status
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

#: Tables of messages, and who speaks in each.
ROLES = {"message_events": "user", "assistant_messages": "assistant"}


class Said(Struct, frozen=True):
    """A row of a message."""

    table: str
    row: Row

    @property
    def at(self) -> int | None:
        """When it was said."""
        return moment(self.row.values.get("ts"))


def said(source: SqliteSource, table: str) -> Iterator[Said]:
    """The rows of a table of messages; none where the schema is older."""
    columns = source.tables.get(table)
    if columns is not None:
        for row in source.rows(table, columns, order=("id",)):
            yield Said(table, row)


def by_session(rows: Iterable[Said]) -> dict[str | None, list[Said]]:
    """The messages of each session in order of time; under None those that can be of none."""
    found: dict[str | None, list[Said]] = {}
    for one in rows:
        found.setdefault(_session_of(one.row), []).append(one)
    for messages in found.values():
        messages.sort(key=lambda one: one.at or 0)
    return found


def _session_of(row: Row) -> str | None:
    session_id = row.values.get("session_id")
    if problem_of(row) is not None or not isinstance(row.values.get("content"), str):
        return None
    try:
        return check_session_id(session_id)  # type: ignore[arg-type]
    except InvalidValueError:
        return None


def append(
    store: SessionStore, session_id: str | None, rows: list[Said], report: FileReport
) -> bool:
    """Append the messages that are not stored; False where they make no session."""
    if session_id is None:
        return False
    session = store.get(session_id)
    if session is None:
        session = store.create(session_id, source=SOURCE, occurred_at=rows[0].at)
    state = session.state()
    if state.source != SOURCE or state.status is Status.CLOSED:
        return False
    fresh = _fresh(session, rows)
    commands = [(session, _command(one)) for one in fresh]
    try:
        store.execute(commands, unchanged_since(state.version))
    except VersionConflictError as error:
        raise ImportFailedError(
            f"somebody else wrote to session {session_id!r} while {report.path} was imported; "
            "import the file again, which adds what is missing"
        ) from error
    report.messages += len(rows)
    report.appended += len(fresh)
    if session_id not in report.sessions:
        report.sessions.append(session_id)
    return True


def _fresh(session: Session, rows: list[Said]) -> list[Said]:
    """The messages of which the session has fewer; an erased one counts by its time."""
    known: Counter[Hashable] = Counter()
    for recorded in session.events():
        event = recorded.event
        if isinstance(event, MessageAppended):
            text = None if event.content is None else event.content.text
            known[(event.role, event.occurred_at, text)] += 1
    fresh = []
    for one in rows:
        key = (ROLES[one.table], one.at)
        for stored in ((*key, one.row.values["content"]), (*key, None)):
            if known[stored]:
                known[stored] -= 1
                break
        else:
            fresh.append(one)
    return fresh


def _command(one: Said) -> Append:
    value = whole(one.table, one.row.values)
    message = Message(role=ROLES[one.table], content=value["row"]["content"], occurred_at=one.at)
    kept = attach(Append(messages=(message,)), Line(0, codec.encode(value), value, "compact"))
    assert isinstance(kept, Append)
    return kept
