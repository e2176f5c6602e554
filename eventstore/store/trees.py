"""Lineage as a tree: who was spawned, forked or begun again from whom, and what each has cost.

Every session stands in the tree once, so what is added up over it counts no event twice: a message
counts where it was appended, a model call where it was recorded. A session that several others lead
to stands below the first of these that is there: its fork's origin, its parent, the incarnation
before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw
from msgspec import Struct

from eventstore.log.sqlite import SqliteLog
from eventstore.store.current import require_current
from eventstore.store.statistics import Stats, add_stats, add_usage
from projections.queries import lineage, sessions
from projections.queries.lineage import Link
from projections.queries.sessions import ListedSession
from projections.queries.stats import own_messages, usage_of

_ORDER = {"forked": 0, "spawned": 1, "continued": 2}


class Branch(Struct, frozen=True, kw_only=True):
    """A session in a tree of sessions.

    `relation` says how it came to be from the session named `source`, which stands above it:
    ``forked`` (at `source_version`), ``spawned``, or ``continued``, its id having been created
    again; None for the top of a tree. `depth` is 0 there. `last` says for each level whether
    nothing follows on it. `own` counts what happened in the session, `total` in it and everything
    below it.
    """

    name: str
    session_id: str
    incarnation: int
    relation: str | None
    source: str | None
    source_version: int | None
    depth: int
    last: tuple[bool, ...]
    title: str | None
    preview: str | None
    status: str
    created_at: int
    own: Stats
    total: Stats


def branches(log: SqliteLog, stream: int | None) -> list[Branch]:
    """The tree below a session, or those of the whole store, oldest first, from top to bottom."""
    with log.snapshot() as connection:
        require_current(connection)
        streams = None if stream is None else lineage.lineage_of(connection, stream)
        links = lineage.links(connection, streams)
        listed = {
            one.row.stream: one
            for one in sessions.select(connection, streams=streams)
            if streams is not None or one.row.source != sessions.OWN_SOURCE
        }
        above = _above(sorted(listed), links, stream)
        order = _ordered(sorted(listed), above, stream)
        own = _counted(connection, streams, listed)
        total = {number: _copy(one) for number, one in own.items()}
        for number, _ in reversed(order):
            link = above.get(number)
            if link is not None:
                add_stats(total[link.source], total[number])
        return [
            _branch(connection, listed, above.get(number), number, last, own, total)
            for number, last in order
        ]


def _above(streams: Sequence[int], links: Sequence[Link], top: int | None) -> dict[int, Link]:
    """What each session stands below; no circle is left, its lowest number is on top."""
    known = set(streams)
    above: dict[int, Link] = {}
    for link in sorted(links, key=lambda one: (one.stream, _ORDER[one.relation])):
        if link.stream != top and link.source in known:
            above.setdefault(link.stream, link)
    safe: set[int] = set()
    for stream in streams:
        path = [stream]
        while path[-1] in above and path[-1] not in safe:
            source = above[path[-1]].source
            if source in path:
                del above[min(path[path.index(source) :])]
                break
            path.append(source)
        safe.update(path)
    return above


def _ordered(
    streams: Sequence[int], above: dict[int, Link], top: int | None
) -> list[tuple[int, tuple[bool, ...]]]:
    """The sessions from top to bottom, with whether each level above ends there."""
    below: dict[int, list[int]] = {}
    for stream in streams:
        if stream in above:
            below.setdefault(above[stream].source, []).append(stream)
    tops = [stream for stream in streams if stream not in above]
    waiting: list[tuple[int, tuple[bool, ...]]] = [(stream, ()) for stream in reversed(tops)]
    ordered = []
    while waiting:
        stream, last = waiting.pop()
        ordered.append((stream, last))
        children = below.get(stream, [])
        waiting += [
            (child, (*last, index == len(children) - 1))
            for index, child in reversed(list(enumerate(children)))
        ]
    return ordered


def _counted(
    connection: apsw.Connection, streams: Sequence[int] | None, listed: dict[int, ListedSession]
) -> dict[int, Stats]:
    counted = {stream: Stats(name=one.name, sessions=1) for stream, one in listed.items()}
    for stream, messages in own_messages(connection, streams):
        counted[stream].messages = messages
    for usage in usage_of(connection, streams):
        add_usage(counted[usage.stream], usage)
    return counted


def _copy(one: Stats) -> Stats:
    copy = Stats(name=one.name)
    add_stats(copy, one)
    return copy


def _branch(
    connection: apsw.Connection,
    listed: dict[int, ListedSession],
    link: Link | None,
    stream: int,
    last: tuple[bool, ...],
    own: dict[int, Stats],
    total: dict[int, Stats],
) -> Branch:
    one = listed[stream]
    return Branch(
        name=one.name,
        session_id=one.session_id,
        incarnation=one.incarnation,
        relation=None if link is None else link.relation,
        source=None if link is None else listed[link.source].name,
        source_version=None if link is None else link.source_version,
        depth=len(last),
        last=last,
        title=sessions.title_at(connection, one.row.title_position),
        preview=sessions.preview_at(connection, one.row.preview_position),
        status=one.row.status,
        created_at=one.row.created_at,
        own=own[stream],
        total=total[stream],
    )
