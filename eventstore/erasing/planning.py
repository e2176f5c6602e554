"""The plan of an erasure: every event with the reason why it is in, and what is left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache

import apsw
from msgspec import Struct

from eventstore import codec
from eventstore.erasing.expansion import Expansion, Reason, Rule
from eventstore.erasing.exports import EarlierExport, earlier_exports
from eventstore.erasing.histories import History
from eventstore.erasing.selection import Chosen
from eventstore.errors import UnknownSessionError
from eventstore.log import reading
from eventstore.log.engine import rows_of
from eventstore.log.port import Recorded
from eventstore.log.redactions import BODY
from eventstore.store.erasure import Target
from projections.queries import lineage, sessions

_LISTED = "(SELECT value FROM json_each(?))"
_ROWS = (
    "SELECT e.position, e.stream, e.version, e.type FROM events AS e "  # noqa: S608
    f"JOIN contents AS c ON c.position = e.position WHERE e.position IN {_LISTED} "
    f"AND {BODY} IS NOT NULL ORDER BY e.position"
)
_IDS = "SELECT id, session_id FROM streams"
_STREAM_OF = "SELECT stream FROM events WHERE position = ?"
#: The message before this one in the same append, as far as it came from the same source record.
_BEFORE = (
    f"SELECT p.position, json_type({BODY}, '$.record') IS NOT NULL FROM events AS e "  # noqa: S608
    "JOIN events AS p ON p.stream = e.stream AND p.version = e.version - 1 "
    "AND p.recorded_at = e.recorded_at AND p.type = e.type "
    "JOIN contents AS c ON c.position = p.position WHERE e.position = ?"
)
_HAS_RECORD = (
    f"SELECT json_type({BODY}, '$.record') IS NOT NULL FROM contents AS c "  # noqa: S608
    "WHERE c.position = ?"
)


class Item(Struct, frozen=True, kw_only=True):
    """An event whose content is to be erased.

    `session` names its session, `seq` is a message's number. `rule` says why it is in, `because`
    the event it was derived from (None for one that was selected).
    """

    position: int
    stream: int
    session: str
    version: int
    type: str
    seq: int | None
    rule: str
    because: int | None


class Plan(Struct, frozen=True, kw_only=True):
    """What an erasure reaches, and what it leaves.

    `sessions` are those erased as a whole, `left` what was derived and is kept because a rule was
    left out, `forks` and `sub_agents` the sessions that have or come from something erased and
    stay, `named` those that stay and whose id continues an erased one or contains a text that was
    looked for, `exports` the earlier exports that have it.
    """

    items: tuple[Item, ...]
    sessions: tuple[str, ...]
    left: tuple[Item, ...]
    forks: tuple[str, ...]
    sub_agents: tuple[str, ...]
    named: tuple[str, ...]
    exports: tuple[EarlierExport, ...]
    streams: tuple[int, ...]

    @property
    def positions(self) -> tuple[int, ...]:
        """Where the events are in the log."""
        return tuple(item.position for item in self.items)

    def targets(self) -> list[Target]:
        """What is to be erased, session by session."""
        grouped: dict[int, list[Item]] = {stream: [] for stream in self.streams}
        for item in self.items:
            grouped.setdefault(item.stream, []).append(item)
        return [
            Target(
                stream=stream,
                positions=None if stream in self.streams else [one.position for one in items],
                derived=[one.position for one in items if one.rule != Rule.SELECTED],
            )
            for stream, items in sorted(grouped.items())
        ]


class _Facts:
    """The facts that an expansion asks for, from the file; see `expansion.Source`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._holders: dict[int, int | None] = {}
        self.history = cache(self._history)
        self.forks = cache(lambda stream: lineage.forks(connection, stream))
        self.children = cache(lambda stream: lineage.children(connection, stream))

    def _history(self, stream: int) -> History:
        def page(mark: int, size: int) -> list[Recorded]:
            return reading.page_of_stream(self._connection, stream, mark, None, False, size)

        return History(stream, reading.pages(page, 0, of_stream=True))

    def stream_of(self, position: int) -> int:
        stream = self._connection.execute(_STREAM_OF, (position,)).get
        if not isinstance(stream, int):
            raise UnknownSessionError(f"there is no event at position {position}")
        return stream

    def record_holder(self, position: int) -> int | None:
        """The first of the messages made of one record holds it; they were appended together."""
        walked: list[int] = []
        found: int | None = None
        if not self._connection.execute(_HAS_RECORD, (position,)).get:
            while position not in self._holders:
                walked.append(position)
                row = self._connection.execute(_BEFORE, (position,)).fetchone()
                if row is None or row[1]:
                    found = None if row is None else int(row[0])
                    break
                position = int(row[0])
            else:
                found = self._holders[position]
        self._holders.update(dict.fromkeys(walked, found))
        return found


def plan(
    connection: apsw.Connection,
    chosen: Chosen,
    rules: Iterable[Rule],
    left_out: Iterable[Rule],
    text: str | None = None,
) -> Plan:
    """What erasing the chosen reaches by these rules; what others would reach besides is `left`.

    `text` is one that was looked for.
    """
    rules = frozenset(rules)
    facts = _Facts(connection)
    reached = Expansion(facts, rules).expand(chosen.whole, chosen.positions)
    beyond = rules.union(left_out)
    if beyond == rules:
        wider = reached
    else:
        wider = Expansion(facts, beyond).expand(chosen.whole, chosen.positions)
    left = {one: why for one, why in wider.reasons.items() if one not in reached.reasons}
    names = _Names(connection)
    items = _items(connection, facts, names, reached.reasons)
    return Plan(
        items=tuple(items),
        sessions=names.of(reached.whole),
        left=tuple(_items(connection, facts, names, left)),
        forks=names.of(reached.forks),
        sub_agents=names.of(reached.sub_agents),
        named=names.containing(reached.whole, text),
        exports=tuple(earlier_exports(connection, _first_versions(items, reached))),
        streams=tuple(
            stream
            for stream in sorted(reached.whole)
            if not names.one(stream).startswith("erased:") or any(i.stream == stream for i in items)
        ),
    )


class _Names:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.one = cache(lambda stream: sessions.name_of(connection, stream) or "")

    def of(self, streams: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.one(stream) for stream in sorted(streams))

    def containing(self, whole: Collection[int], text: str | None) -> tuple[str, ...]:
        """The sessions beside these whose id continues one of theirs, or contains a text.

        Importers name sub-agents and forks so: the session's id, a slash, and a name.
        """
        if not whole and text is None:
            return ()
        ids: dict[int, str] = dict(rows_of(self._connection, _IDS))
        erased = {ids[stream] for stream in whole}
        wanted = None if text is None else text.casefold()

        def says(name: str) -> bool:
            parts = name.split("/")
            above = ("/".join(parts[:count]) for count in range(1, len(parts)))
            return any(one in erased for one in above) or (
                wanted is not None and wanted in name.casefold()
            )

        return self.of(one for one, name in ids.items() if one not in whole and says(name))


def _items(
    connection: apsw.Connection, facts: _Facts, names: _Names, reasons: dict[int, Reason]
) -> list[Item]:
    """Those of these events whose content is still there."""
    listed = codec.encode(sorted(reasons)).decode()
    return [
        Item(
            position=position,
            stream=stream,
            session=names.one(stream),
            version=version,
            type=name,
            seq=facts.history(stream).seq_of.get(position),
            rule=str(reasons[position].rule),
            because=reasons[position].because,
        )
        for position, stream, version, name in rows_of(connection, _ROWS, (listed,))
    ]


def _first_versions(items: Sequence[Item], reached: Expansion) -> dict[int, tuple[int, int]]:
    """Of each session that has something of it: the first version and position concerned."""
    first: dict[int, tuple[int, int]] = {}
    for item in items:
        first.setdefault(item.stream, (item.version, item.position))
    lowest = min((item.position for item in items), default=0)
    for stream in reached.forks:
        first.setdefault(stream, (1, lowest))
    return first
