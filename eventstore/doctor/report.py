"""What an examination can find: every code with its severity, its remedy, and who may apply it.

A code is for programs and never changes its meaning. Only what is derived from the log, or guards
it, is fixable; what is part of the log's own record is told and left as it is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct


class Severity(StrEnum):
    """How bad it is: `ERROR` something is wrong or lost, `WARNING` it will be, `NOTE` good to know.

    A store with notes only is healthy.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Kind(NamedTuple):
    """What holds of every finding with one code."""

    severity: Severity
    fixable: bool
    advice: str


class Diagnosis(Struct, frozen=True, kw_only=True):
    """One thing that was found, and what to do about it.

    `position`, `session` and `table` say where, as far as that can be said. A `fixable` one is
    mended by `examine(path, fix=True)`.
    """

    code: str
    severity: Severity
    message: str
    advice: str
    fixable: bool
    position: int | None = None
    session: str | None = None
    table: str | None = None


class Report(Struct, frozen=True, kw_only=True):
    """What an examination found: `findings` are there now, `fixed` were there and were mended.

    `events` is the number of events, None where the end of the log cannot be read.
    """

    path: str
    events: int | None
    findings: tuple[Diagnosis, ...]
    fixed: tuple[Diagnosis, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return all(one.severity is Severity.NOTE for one in self.findings)


_RESTORE = "the log is not as it was written: keep the file, restore a backup"
_SALVAGE = "do not write to it: restore a backup, or save what is left with `eventstore salvage`"
_FIX = "`eventstore doctor --fix` makes it anew"

CODES: dict[str, Kind] = {
    "file.mode": Kind(Severity.WARNING, False, "others can read it: chmod 600"),
    "file.wal": Kind(
        Severity.NOTE, True, "end the reader that keeps a snapshot open; --fix empties it"
    ),
    "file.free-pages": Kind(Severity.NOTE, False, "`eventstore vacuum` gives them back"),
    "file.erasures": Kind(
        Severity.WARNING, False, "erased text may be left: run `eventstore erase --finish`"
    ),
    "sqlite.damage": Kind(Severity.ERROR, False, _SALVAGE),
    "sqlite.index": Kind(Severity.ERROR, True, _FIX),
    "schema.identity": Kind(Severity.ERROR, False, _RESTORE),
    "schema.pragma": Kind(Severity.NOTE, False, "a backup that is restored has the right setting"),
    "schema.log-table": Kind(Severity.ERROR, False, _RESTORE),
    "schema.derived-table": Kind(Severity.WARNING, True, _FIX),
    "schema.index": Kind(Severity.WARNING, True, _FIX),
    "schema.trigger": Kind(
        Severity.WARNING, True, "find out who changed it; --fix puts it back"
    ),
    "schema.view": Kind(Severity.NOTE, True, _FIX),
    "schema.unknown-trigger": Kind(
        Severity.WARNING, False, "it can change what is stored: drop it unless you know it"
    ),
    "schema.unknown": Kind(Severity.NOTE, False, "nothing of ours uses it: drop it if you do not"),
    **{
        f"log.{kind}": Kind(Severity.ERROR, False, _RESTORE)
        for kind in (
            "leaf", "content", "gap", "version", "stream", "event", "blob", "unreadable",
        )
    },
    "log.lost": Kind(Severity.WARNING, False, "salvage lost it; an older backup may have it"),
    "projection.checkpoint": Kind(Severity.WARNING, True, _FIX),
    "projection.rows": Kind(Severity.ERROR, True, _FIX),
    "projection.unfinished": Kind(Severity.NOTE, True, "the next rebuild goes on; --fix drops it"),
    "search.index": Kind(Severity.ERROR, True, _FIX),
    "claims.rows": Kind(Severity.ERROR, True, _FIX),
    "snapshot.stale": Kind(Severity.WARNING, True, "it is not used; --fix drops it"),
    "snapshot.damaged": Kind(Severity.ERROR, True, "it is not used; --fix drops it"),
    "session.parent": Kind(Severity.WARNING, False, "`Session.reparent` gives it another parent"),
    "session.origin": Kind(Severity.ERROR, False, _RESTORE),
    "session.calls": Kind(
        Severity.NOTE, False, "chat() puts a placeholder in the place of the result"
    ),
    "session.results": Kind(Severity.NOTE, False, "chat() leaves it out"),
}  # fmt: skip


def diagnosis(
    code: str,
    message: str,
    *,
    position: int | None = None,
    session: str | None = None,
    table: str | None = None,
) -> Diagnosis:
    """A finding with this code."""
    severity, fixable, advice = CODES[code]
    return Diagnosis(
        code=code,
        severity=severity,
        message=message,
        advice=advice,
        fixable=fixable,
        position=position,
        session=session,
        table=table,
    )
