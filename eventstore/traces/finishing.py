"""Finishing erasures: when this says *complete*, the file and its log hold no byte of the text.

The rows were wiped by the erasure. What can be left are copies in unused bytes of pages, and pages
of the write-ahead log. So the log is emptied into the file, the unused bytes are searched
(`eventstore.traces.unused`), and where a trace is found, or where nobody knows any more what to
look for and they are not all zero, the file is written anew from its rows.

A text that is in a row of an event which was not erased is no trace. Neither is a word that an
index still has of such an event.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from eventstore.errors import EventStoreError
from eventstore.log.engine import MEMORY
from eventstore.log.pages import Image
from eventstore.log.sqlite import SqliteLog
from eventstore.traces import due, needles, unused
from eventstore.traces.due import Due
from eventstore.traces.needles import Needles
from eventstore.vacuum import write_anew

_ANY_ROW = "SELECT count(*) FROM sqlite_schema"


class Finished(Struct, frozen=True, kw_only=True):
    """How an attempt to finish erasures ended.

    Not `complete`, it can be tried again, and `cause` says what stood in the way. `traces` is the
    number of texts of which something was left in unused bytes (None where they were not known, or
    nothing had to be looked at); `rewritten` says that the file was written anew.
    """

    complete: bool
    cause: str | None = None
    traces: int | None = None
    rewritten: bool = False


def finish(
    log: SqliteLog,
    own: Collection[int] = (),
    wanted: Needles | None = None,
    *,
    rewrite: bool = True,
) -> Finished:
    """Finish erasures: those that are due, or with `wanted`, what to look for, the `own` ones.

    Those that wait for the write-ahead log alone are finished in any case. Without `rewrite` what
    only writing the file anew could finish stays due.
    """
    with log.snapshot() as connection:
        found = [
            one
            for one in due.read(connection)
            if wanted is None or one.searched or one.position in own
        ]
    if not found:
        return Finished(complete=True)
    if log.path == MEMORY:
        return _done(log, found, Finished(complete=True))
    emptied, cause = log.truncate_wal()
    outcome = Finished(complete=True)
    if not all(one.searched for one in found):
        try:
            outcome = _searched(log, wanted, rewrite)
        except EventStoreError as error:
            outcome = Finished(complete=False, cause=str(error))
        if outcome.rewritten:
            emptied, cause = log.truncate_wal()
    if outcome.complete and emptied:
        return _done(log, found, outcome)
    return _kept(log, found, outcome, cause)


def resume(log: SqliteLog) -> None:
    """Finish what an earlier process left, as far as that takes no time."""
    with log.reader() as connection:
        there = due.read(connection)
    if there:
        finish(log, rewrite=False)


def is_due(log: SqliteLog) -> bool:
    """Whether there are erasures to be finished."""
    with log.reader() as connection:
        return bool(due.read(connection))


def _searched(log: SqliteLog, wanted: Needles | None, rewrite: bool) -> Finished:
    """Search the pages, and write the file anew where that does not show them clean."""
    number: int | None = 0
    stretches = _unused(log)
    if stretches is None or (stretches and wanted is None):
        number = None
    elif wanted is not None:
        number = len(_traces(log, stretches, wanted))
    if number == 0:
        return Finished(complete=True, traces=0)
    if not rewrite:
        return Finished(
            complete=False, cause="the file has to be written anew (`eventstore erase --finish`)"
        )
    write_anew(log)
    return Finished(complete=True, traces=number, rewritten=True)


def _unused(log: SqliteLog) -> list[bytes] | None:
    """The unused bytes of the file as its newest state is, None when they cannot be told."""
    with log.snapshot() as connection:
        connection.execute(_ANY_ROW).fetchall()  # from here on no frame is overwritten
        image = Image(log.path)
        try:
            return list(unused.stretches(image)) if image.is_mapped else None
        finally:
            image.close()


def _traces(log: SqliteLog, stretches: list[bytes], wanted: Needles) -> set[bytes]:
    """What of the wanted is among unused bytes; not words that an index has of other events."""
    words = {word.encode(): word for word in wanted.words}
    found = needles.found_in(stretches, wanted.texts.union(words))
    suspects = [words[one] for one in found.difference(wanted.texts)]
    if not suspects:
        return found
    with log.reader() as connection:
        there = needles.known(connection, suspects)
    return found - {word.encode() for word in there}


def _done(log: SqliteLog, found: list[Due], outcome: Finished) -> Finished:
    log.transact(lambda transaction: due.remove(transaction.connection, found), exclusive=True)
    return outcome


def _kept(log: SqliteLog, found: list[Due], outcome: Finished, held: str | None) -> Finished:
    """Remember how far it came. `searched` holds only when the log could not be emptied."""
    cause = outcome.cause or held or ""
    searched = outcome.complete
    log.transact(
        lambda transaction: due.keep(transaction.connection, found, searched=searched, cause=cause),
        exclusive=True,
    )
    return Finished(complete=False, cause=cause, traces=outcome.traces, rewritten=outcome.rewritten)
