"""Searching the messages of a store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import apsw
from msgspec import Struct
from msgspec.structs import replace

from eventstore.errors import InvalidQueryError, InvalidValueError, StoreBusyError
from eventstore.log import reading
from eventstore.log.sqlite import SqliteLog
from eventstore.store.current import require_current
from eventstore.store.derived import Registry
from eventstore.store.views import MessageView, message_views
from projections.queries import lineage as lineage_queries
from projections.queries import messages
from projections.queries.search import Filters, Found, find, require_valid, texts_of
from projections.search.query import Term, parse, to_fts5
from projections.search.raw import terms_of, to_index
from projections.search.snippets import Snippet, patterns_of, snippet

#: Seconds that a search gives to indexing what was appended since the last one.
SECONDS = 5.0

#: How a query is read: as what a person types, or as FTS5's own syntax.
WORDS, FTS5 = SYNTAXES = ("words", "fts5")

_SESSION_KINDS = ("root", "subagent")
_MESSAGE_KINDS = ("message", "note")
_HIDDEN = ("retracted", "cleared")


class Hit(Struct, frozen=True, kw_only=True):
    """A message that matches, in the first session that shows it.

    `name` finds that session; it is its `session_id`, or ``id~n`` when the id was created again.
    `also_in` are the names of the others: forks share the messages they took over. `state` is
    active, compacted or consolidated. A higher `score` is a better match; scores of different
    queries do not compare, and hits that were asked for newest first have none. `highlights` are
    the matches in the snippet as ``(start, length)`` in characters.
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
    score: float | None
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


def several(values: Sequence[str] | str | None) -> tuple[str, ...] | None:
    """One or several values of a filter, None when it was not asked for."""
    return (values,) if isinstance(values, str) else None if values is None else tuple(values)


class Request(Struct, frozen=True, kw_only=True):
    """A search as it was asked for; see `SessionStore.search`. `lineage` is a stream."""

    typed: str
    syntax: str
    filters: Filters
    lineage: int | None
    newest: bool
    limit: int
    offset: int
    neighbours: int


def search(
    log: SqliteLog, derived: Registry, asked: Request, seconds: float | None
) -> SearchResult:
    """Catch the index up, as far as `seconds` go, and search it."""
    for name in ("limit", "offset", "neighbours"):
        if getattr(asked, name) < 0:
            raise InvalidValueError(f"{name} is 0 or more, not {getattr(asked, name)}")
    match, terms = read_query(asked.typed, asked.syntax)
    with log.snapshot() as connection:
        reached = derived.reached(connection, "search")
        if log.readonly or reached == reading.head_of(connection).position:
            return _answer(connection, asked, match, terms, reached)
    with suppress(StoreBusyError):  # what is there already can be searched all the same
        derived.catch_up(log, "search", seconds)
    with log.snapshot() as connection:
        reached = derived.reached(connection, "search")
        return _answer(connection, asked, match, terms, reached)


def _answer(
    connection: apsw.Connection,
    asked: Request,
    match: str,
    terms: Sequence[Term],
    reached: int | None,
) -> SearchResult:
    require_current(connection)
    behind = reading.head_of(connection).position - (reached or 0)
    if not match or reached is None:
        return SearchResult(behind=behind)
    if asked.syntax == FTS5:
        require_valid(connection, match, asked.typed)
    filters = asked.filters
    if asked.lineage is not None:
        family = lineage_queries.family(connection, asked.lineage)
        own = family if filters.streams is None else filters.streams
        filters = replace(filters, streams=tuple(one for one in family if one in own))
    found, bounded = find(
        connection, match, filters, newest=asked.newest, limit=asked.limit, offset=asked.offset
    )
    texts, patterns = texts_of(connection, found), patterns_of(terms)
    hits = tuple(
        _hit(
            one,
            snippet(texts[one.position], patterns),
            _around(connection, one, asked.neighbours) if asked.neighbours else (),
        )
        for one in found
    )
    return SearchResult(hits=hits, behind=behind, bounded=bounded)


def read_query(typed: str, syntax: str) -> tuple[str, tuple[Term, ...]]:
    """The FTS5 expression for what was typed, empty when it finds nothing, and its terms."""
    if syntax == FTS5:
        if "\0" in typed:
            raise InvalidQueryError(typed, "it has a NUL character, where FTS5 would end it")
        return to_index(typed), terms_of(typed)
    if syntax != WORDS:
        raise InvalidValueError(f"a syntax is one of {', '.join(SYNTAXES)}, not {syntax!r}")
    query = parse(typed)
    return to_fts5(query), query.wanted


def _hit(found: Found, shown: Snippet, neighbours: tuple[MessageView, ...]) -> Hit:
    return Hit(
        name=found.name,
        session_id=found.session_id,
        stream=found.stream,
        seq=found.seq,
        role=found.role,
        kind=found.kind,
        state=found.state,
        position=found.position,
        at=found.at,
        score=None if found.score is None else float(f"{found.score:.6g}"),
        snippet=shown.text,
        highlights=shown.highlights,
        also_in=found.also,
        neighbours=neighbours,
    )


def _around(connection: apsw.Connection, found: Found, count: int) -> tuple[MessageView, ...]:
    """The messages around a hit that are not retracted or cleared, in order of seq."""
    rows = messages.in_range(connection, found.stream, found.seq - count, found.seq + count)
    return tuple(
        view
        for view in message_views(connection, rows)
        if view.seq != found.seq and view.state not in _HIDDEN
    )
