"""Redacting events that are stored: what would be found, and replacing it.

Sessions are gone through one after the other, each in pages; what is found is replaced in
transactions of bounded size, so an interrupted redaction is completed by running it again. A
content that was redacted before is looked through as it is now: doing it twice adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct

from eventstore import traces
from eventstore.errors import HeldError
from eventstore.events import stored
from eventstore.events.catalogue import Event, Replaced
from eventstore.log.port import Recorded
from eventstore.redaction.redactor import FoundText, Redactor
from eventstore.store import holding, redacting
from eventstore.store.erasure import Words
from eventstore.store.keeping import keep
from eventstore.store.redacting import Replacement
from eventstore.store.session import Session
from eventstore.store.session_store import SessionStore

#: Told from time to time: how many of the sessions were gone through.
Progress: TypeAlias = Callable[[int, int], None]

#: Events that one transaction redacts at most.
BATCH = 100

#: Characters of a found text that are shown at most, and never more than a quarter of it.
SHOWN_MAX = 4


class Place(Struct, frozen=True, kw_only=True):
    """An event of which something is redacted.

    `session` finds the session, `type` is the event's, `seq` the message's number if it is one.
    `fragments` show how what was found begins.
    """

    session: str
    stream: int
    position: int
    type: str
    seq: int | None
    replaced: tuple[Replaced, ...]
    fragments: tuple[str, ...]


class Redaction(Struct, frozen=True, kw_only=True):
    """What a redaction did, or (`dry_run`) would do.

    `held` are sessions that a legal hold keeps as they are, with what it says. `shared_blobs` are
    events of other sessions that still hold a large text that was redacted here. Not `complete`,
    traces may be left in the file (`cause`); `SessionStore.finish_erasures` tries again.
    """

    places: tuple[Place, ...]
    held: tuple[tuple[str, str], ...] = ()
    shared_blobs: tuple[int, ...] = ()
    dry_run: bool = False
    complete: bool = True
    cause: str | None = None


def redact(
    store: SessionStore,
    sessions: Sequence[Session] | None = None,
    redactor: Redactor | None = None,
    *,
    by: str | None = None,
    reason: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Redaction:
    """Redact what is stored of these sessions, or (None) of every one, closed ones included.

    With `dry_run` nothing is written. `by` and `reason` stay for good.

    Raises `HeldError` when a session that was named is under a legal hold (others are passed over
    and listed), `RedactionError` when a detector fails.
    """
    words = Words(by=by, reason=reason)
    run = _Run(store, redactor or Redactor(), words, dry_run)
    chosen = _every(store) if sessions is None else [store.require_own(one) for one in sessions]
    if sessions is not None:
        for session in chosen:
            refusal = holding.refusal(store.log, session.stream)
            if refusal is not None:
                raise HeldError(refusal)
    try:
        for number, session in enumerate(chosen):
            if progress is not None:
                progress(number, len(chosen))
            run.session(session)
        if progress is not None:
            progress(len(chosen), len(chosen))
    finally:
        outcome = run.finish()
    if not dry_run:
        keep(store.keeper, "erasure")
    return outcome


def _every(store: SessionStore) -> list[Session]:
    return [store.session_of(head.id) for head in store.log.streams_with_prefix("")]


class _Run:
    """One redaction: what was found so far, and what the file is to be searched for."""

    def __init__(
        self, store: SessionStore, redactor: Redactor, words: Words, dry_run: bool
    ) -> None:
        self._store = store
        self._redactor = redactor
        self._words = words
        self._dry_run = dry_run
        self._places: list[Place] = []
        self._held: list[tuple[str, str]] = []
        self._shared: set[int] = set()
        self._events: list[int] = []
        self._wanted = traces.Needles()

    def session(self, session: Session) -> None:
        """Go through one session."""
        name = session.name
        refusal = holding.refusal(self._store.log, session.stream)
        if refusal is not None:
            self._held.append((name, refusal))
            return
        batch: list[Place] = []
        for recorded in session.events():
            place = self._place(session, name, recorded)
            if place is not None:
                batch.append(place)
            if len(batch) >= BATCH:
                self._take(session, batch)
                batch = []
        self._take(session, batch)

    def _place(self, session: Session, name: str, recorded: Recorded) -> Place | None:
        found = self._redactor.examine(recorded.event)
        if found is None:
            return None
        return Place(
            session=name,
            stream=session.stream,
            position=recorded.position,
            type=stored.name_of(recorded.event),
            seq=getattr(recorded.event, "seq", None),
            replaced=found.replaced,
            fragments=tuple(fragment_of(one) for one in found.found),
        )

    def _take(self, session: Session, batch: list[Place]) -> None:
        if self._dry_run or not batch:
            self._places += batch
            return
        store, positions = self._store, [one.position for one in batch]
        try:
            done = redacting.redact(
                store.log, store.derived, session.stream, positions, self._replace, self._words
            )
        except HeldError as error:  # placed since it was looked for
            self._held.append((session.name, str(error)))
            return
        self._places += [one for one in batch if one.position in done.positions]
        self._shared.update(done.shared_blobs)
        self._events += done.events
        self._wanted.add(done.wanted)

    def _replace(self, event: Event) -> Replacement | None:
        found = self._redactor.examine(event)
        if found is None:
            return None
        content = found.content
        plain = msgspec.to_builtins(content) if isinstance(content, Struct) else content
        return Replacement(plain, found.replaced, tuple(one.text for one in found.found))

    def finish(self) -> Redaction:
        """Search the file for what was replaced; what came of it all."""
        done = traces.Finished(complete=True)
        if self._events:
            done = traces.finish(self._store.log, self._events, self._wanted)
        redacted = {one.position for one in self._places}
        return Redaction(
            places=tuple(self._places),
            held=tuple(self._held),
            shared_blobs=tuple(sorted(self._shared - redacted)),
            dry_run=self._dry_run,
            complete=done.complete,
            cause=done.cause,
        )


def fragment_of(found: FoundText) -> str:
    """How a found text begins, and how long it is: enough to know it by, not to use it."""
    shown = found.text[: min(SHOWN_MAX, len(found.text) // 4)]
    return f"{shown}… ({len(found.text)} characters)"
