"""Carrying policies out: closing, erasing, and what came of it.

The plan is made first, and every step of it is taken in a transaction of its own or of few, in
its order. A step that was taken changes what the next plan finds, so a run that was interrupted is
completed by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeAlias

from msgspec import Struct

from eventstore.errors import HeldError, InvalidValueError, SessionClosedError
from eventstore.log.port import Actor
from eventstore.retention.planning import Held, Plan, Step, plan, used_bytes
from eventstore.retention.policies import Action, Policy
from eventstore.session.state import Status
from eventstore.store import erasure, lifecycle
from eventstore.store.erasure import Erased, Target, Words
from eventstore.store.keeping import keep
from eventstore.store.session_store import SessionStore

#: Told from time to time: how many of the steps were taken.
Progress: TypeAlias = Callable[[int, int], None]

#: Steps that one transaction takes at most, and events that it erases about.
STEPS = 50
EVENTS = 5_000


class Retention(Struct, frozen=True, kw_only=True):
    """What retention did, or (`dry_run`) would do.

    `held` was passed over. `bytes_before` and `bytes_after` are what the pages in use of the file
    hold; pages that became free go back to the file system with `eventstore vacuum`. Not
    `complete`, traces of what was erased may be left in the file (`cause`).
    """

    at: int
    dry_run: bool
    steps: tuple[Step, ...]
    held: tuple[Held, ...]
    bytes_before: int
    bytes_after: int
    complete: bool = True
    cause: str | None = None


def retain(
    store: SessionStore,
    policies: Sequence[Policy],
    *,
    by: str | None = None,
    dry_run: bool = False,
    now: int | None = None,
    progress: Progress | None = None,
) -> Retention:
    """Carry out policies as they are at the time `now` (µs since 1970), the store's unless given.

    With `dry_run` nothing is written, and the report is what the run would give. The events of what
    is erased give `by`, and the policy's name as their reason.
    """
    if not policies:
        raise InvalidValueError("there is no policy")
    at = store.log.now() if now is None else now
    before = used_bytes(store)
    made = plan(store, policies, at)
    run = _Run(store, made, by, progress)
    if not dry_run:
        run.all()
    return Retention(
        at=at,
        dry_run=dry_run,
        steps=made.steps if dry_run else tuple(run.taken),
        held=(*made.held, *run.held),
        bytes_before=before,
        bytes_after=before if dry_run else used_bytes(store),
        complete=run.cause is None,
        cause=run.cause,
    )


class _Run:
    """One run over a plan."""

    def __init__(
        self, store: SessionStore, made: Plan, by: str | None, progress: Progress | None
    ) -> None:
        self._store = store
        self._steps = made.steps
        self._by = by
        self._progress = progress
        self.taken: list[Step] = []
        self.held: list[Held] = []
        self.cause: str | None = None

    def all(self) -> None:
        """Take every step, those of one policy that follow each other together."""
        done = 0
        for (name, action), steps in groupby(self._steps, lambda one: (one.policy, one.do)):
            for batch in _batches(list(steps)):
                if action is not Action.ERASE_CONTENT:
                    self._close(batch)
                if action is Action.CLOSE:
                    self.taken += batch
                else:
                    self._erase(batch, name)
                done += len(batch)
                if self._progress is not None:
                    self._progress(done, len(self._steps))

    def _close(self, batch: Sequence[Step]) -> None:
        for step in batch:
            if self._store.session_of(step.stream).state().status is Status.CLOSED:
                continue
            try:
                lifecycle.close(
                    self._store.log, step.stream, cascade=False, reason=None, actor=Actor.OPERATOR
                )
            except SessionClosedError:
                continue  # by somebody else, meanwhile

    def _erase(self, batch: Sequence[Step], policy: str) -> None:
        """Erase all of a batch, or one by one when a hold was placed meanwhile."""
        try:
            self._told(self._erase_steps(batch, policy))
            self.taken += batch
        except HeldError as error:
            if len(batch) == 1:
                self.held.append(Held(policy=policy, session=batch[0].session, hold=str(error)))
                return
            for step in batch:
                self._erase([step], policy)

    def _erase_steps(self, batch: Sequence[Step], policy: str) -> Erased:
        words = Words(by=self._by, reason=f"retention policy {policy!r}")
        targets = [Target(stream=one.stream, positions=one.positions or None) for one in batch]
        store = self._store
        erased = erasure.erase(store.log, lambda _: targets, words, store.derived.erase)
        keep(store.keeper, "erasure")
        return erased

    def _told(self, erased: Erased) -> None:
        """An erasure that finishes the file finishes earlier ones as well."""
        self.cause = None if erased.complete else erased.cause


def _batches(steps: list[Step]) -> list[list[Step]]:
    """Steps in parts of bounded size."""
    found: list[list[Step]] = []
    events = 0
    for step in steps:
        if not found or len(found[-1]) >= STEPS or events + step.events > EVENTS:
            found.append([])
            events = 0
        found[-1].append(step)
        events += step.events
    return found
