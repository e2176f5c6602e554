"""Searching the messages of a store."""

from __future__ import annotations

from contextlib import suppress

import apsw
from msgspec import Struct
from msgspec.structs import replace

from eventstore.errors import InvalidValueError, StoreBusyError
from eventstore.log import reading
from eventstore.log.sqlite import SqliteLog
from eventstore.store.derived import Registry
from eventstore.store.reads import require_current
from eventstore.store.views import MessageView, message_view
from projections.queries import lineage as lineage_queries
from projections.queries import messages, sessions
from projections.queries.search import Filters, Found, find
from projections.search.query import Query, parse, to_fts5
from projections.search.snippets import snippet
from projections.search.text import readable_text

#: Seconds that a search gives to indexing what was appended since the last one.
SECONDS = 5.0

_SESSION_KINDS = ("root", "subagent")
_MESSAGE_KINDS = ("message", "note")
_HIDDEN = ("retracted", "cleared")


class Hit(Struct, frozen=True, kw_only=True):
    """A message that matches, in the first session that shows it.

    `name` finds that session; it is its `session_id`, or ``id~n`` when the id was created again.
    `also_in` are the names of the others: forks share the messages they took over. `state` is
    active, compacted or consolidated. A higher `score` is a better match; scores of different
    queries do not compare. `highlights` are the matches in the snippet as ``(start, length)`` in
    characters.
    """

    name: str
    session_id: str
    stream: int
    seq: int
    role: str
    kind: str
    state: str
    position: int
    at: int
    score: float
    snippet: str
    highlights: tuple[tuple[int, int], ...] = ()
    also_in: tuple[str, ...] = ()
    neighbours: tuple[MessageView, ...] = ()


class SearchResult(Struct, frozen=True, kw_only=True):
    """What a search found.

    `behind` counts the events that the index did not have yet. `bounded` says that there were too
    many hits to rank them all, so that only the newest were ranked.
    """

    hits: tuple[Hit, ...] = ()
    behind: int = 0
    bounded: bool = False


def kinds_of(kind: str | None) -> tuple[str | None, str | None]:
    """`kind` as that of the session or that of the message; `InvalidValueError` if it is neither.

    The two have no value in common.
    """
    if kind is not None and kind not in (*_SESSION_KINDS, *_MESSAGE_KINDS):
        kinds = ", ".join((*_SESSION_KINDS, *_MESSAGE_KINDS))
        raise InvalidValueError(f"a kind is one of {kinds}, not {kind!r}")
    return (kind if kind in _SESSION_KINDS else None, kind if kind in _MESSAGE_KINDS else None)


def search(
    log: SqliteLog,
    derived: Registry,
    typed: str,
    filters: Filters,
    *,
    lineage: int | None,
    newest: bool,
    limit: int,
    offset: int,
    neighbours: int,
    seconds: float | None,
) -> SearchResult:
    """Catch the index up, as far as `seconds` go, and search it; see `SessionStore.search`."""
    for name, value in (("limit", limit), ("offset", offset), ("neighbours", neighbours)):
        if value < 0:
            raise InvalidValueError(f"{name} is 0 or more, not {value}")
    query = parse(typed)
    if not log.readonly:
        with suppress(StoreBusyError):  # what is there already can be searched all the same
            derived.catch_up(log, "search", seconds)
    with log.snapshot() as connection:
        require_current(connection)
        behind = derived.missing(connection, "search")
        if not query.alternatives or not derived.is_usable(connection, "search"):
            return SearchResult(behind=behind)
        if lineage is not None:
            family = lineage_queries.family(connection, lineage)
            own = family if filters.streams is None else filters.streams
            streams = tuple(one for one in family if one in own)
            filters = replace(filters, streams=streams)
        found, bounded = find(
            connection, to_fts5(query), filters, newest=newest, limit=limit, offset=offset
        )
        hits = tuple(_hit(connection, one, query, neighbours) for one in found)
    return SearchResult(hits=hits, behind=behind, bounded=bounded)


def _hit(connection: apsw.Connection, found: Found, query: Query, neighbours: int) -> Hit:
    [recorded] = reading.by_positions(connection, [found.position], content=True)
    content = recorded.event.content
    text = "" if content is None else readable_text(content, found.role)
    shown = snippet(text, query.wanted)
    head = reading.stream_by_id(connection, found.stream)
    assert head is not None
    return Hit(
        name=str(sessions.name_of(connection, found.stream)),
        session_id=head.session_id,
        stream=found.stream,
        seq=found.seq,
        role=found.role,
        kind=found.kind,
        state=found.state,
        position=found.position,
        at=found.at,
        score=float(f"{found.score:.6g}"),
        snippet=shown.text,
        highlights=shown.highlights,
        also_in=tuple(str(sessions.name_of(connection, one)) for one in found.also),
        neighbours=_neighbours(connection, found, neighbours) if neighbours else (),
    )


def _neighbours(connection: apsw.Connection, found: Found, count: int) -> tuple[MessageView, ...]:
    """The messages around a hit that are not retracted or cleared, in order of seq."""
    rows = messages.in_range(connection, found.stream, found.seq - count, found.seq + count)
    return tuple(
        message_view(row) for row in rows if row.seq != found.seq and row.state not in _HIDDEN
    )
