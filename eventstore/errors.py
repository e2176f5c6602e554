"""Every error this project raises.

All derive from `EventStoreError`. A message says what happened, with which values, and what to
do. Values that programs need (expected and actual version, positions) are attributes as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class EventStoreError(Exception):
    """Base of every error of this project."""


# -- opening and using a file ------------------------------------------------------------------


class StoreError(EventStoreError):
    """The file could not be opened, read or written."""


class EngineTooOldError(StoreError):
    """The SQLite library that `apsw` brings is older than 3.54, which has known defects."""


class NotAStoreError(StoreError):
    """The path holds something that is not a store of this project."""


class NewerStoreError(StoreError):
    """The file was written by a newer version of this project."""


class StoreMissingError(StoreError):
    """There is no file at the path, and creating one was not asked for."""


class ReadOnlyStoreError(StoreError):
    """A write was asked of a store that was opened, or lies, read-only."""


class StoreBusyError(StoreError):
    """Another process held the write lock for the whole time budget."""


class DiskFullError(StoreError):
    """The disk is full; the transaction was rolled back and nothing of it is stored."""


class CorruptStoreError(StoreError):
    """SQLite, or a check of ours on a row just read, found the file damaged."""


class StoreClosedError(StoreError):
    """The store was used after `close()`."""


class PositionLostError(StoreError):
    """The log does not hold the event that a kept position and leaf name."""


class ConsumerMovedError(StoreError):
    """The place of a named consumer is not where this consumer left it."""

    def __init__(self, name: str, kept: int | None, known: int | None) -> None:
        now = "there is none any more" if kept is None else f"it is {kept} now"
        left = "had none" if known is None else f"left it at {known}"
        super().__init__(
            f"the position of consumer {name!r} was moved by somebody else: this one {left}, "
            f"{now}; run one process under a name, or make the consumer anew to go on from there"
        )
        self.kept = kept
        self.known = known


# -- appending ---------------------------------------------------------------------------------


class AppendError(EventStoreError):
    """An append was refused; nothing of it is stored."""


class VersionConflictError(AppendError):
    """The session is not at the version the caller expected."""

    def __init__(self, session: str, expected: str, actual: int) -> None:
        super().__init__(
            f"session {session!r}: expected {expected}, but it is at version {actual}; "
            "read the session again and retry"
        )
        self.session = session
        self.expected = expected
        self.actual = actual


class PartialRetryError(AppendError):
    """Some idempotency keys of one append are stored already and others are not."""

    def __init__(self, session: str, present: Sequence[str], absent: Sequence[str]) -> None:
        super().__init__(
            f"session {session!r}: of the idempotency keys {list(present)} are stored already and "
            f"{list(absent)} are not; a retry must carry exactly the keys of the first attempt"
        )
        self.present = tuple(present)
        self.absent = tuple(absent)


class KeyReusedError(AppendError):
    """An idempotency key that is stored already came again with another event."""


class AppendUnknownError(EventStoreError):
    """The commit raised, so whether the events are stored is unknown.

    Read the session again, or retry with the same idempotency keys: both settle the question.
    """


class AppendCancelledError(EventStoreError):
    """A task was cancelled while it wrote; the write is wholly there or not at all.

    `stored` says which: True, and `result` is what the call would have returned; False, and nothing
    is there; None when nobody knows, because the commit itself failed. `error` is what the call
    would have raised, if it came to that.

    It is the `__cause__` of the `asyncio.CancelledError`; `eventstore.cancelled_append` finds it.
    """

    def __init__(
        self, stored: bool | None, result: Any = None, error: BaseException | None = None
    ) -> None:
        words = {True: "is stored", False: "is not stored", None: "may be stored or not"}
        super().__init__(f"the task was cancelled while it wrote; what it wrote {words[stored]}")
        self.stored = stored
        self.result = result
        self.error = error


class NotJSONError(EventStoreError):
    """A value cannot be stored as JSON without changing it."""


class EventFormatError(EventStoreError):
    """Stored facts or content do not have the shape of their event type."""


class SchemaTooNewError(EventFormatError):
    """An event of a known type carries a schema number that this version cannot read."""


# -- session rules -----------------------------------------------------------------------------


class RuleError(EventStoreError):
    """A command broke a rule of the session; the message names the rule."""


class UnknownSessionError(RuleError):
    """No session has this id."""


class AmbiguousSessionError(RuleError):
    """Several sessions have an id with this prefix."""


class SessionExistsError(RuleError):
    """A session with this id exists and is not closed."""


class SessionClosedError(RuleError):
    """The session was closed; nothing can be written to it any more."""


class SpawnDepthError(RuleError):
    """A sub-session would be nested deeper than the limit."""


class UnknownMessageError(RuleError):
    """The session has no such message, or it is not active any more."""


class TitleTakenError(RuleError):
    """A title that was to be unique is claimed by another open session."""

    def __init__(self, title: str, session: str) -> None:
        super().__init__(
            f"the title {title!r} is already in use by session {session!r}; choose another, or "
            "the next of its lineage"
        )
        self.title = title
        self.session = session


class InvalidRangeError(RuleError):
    """A range of messages is inverted, empty or reaches outside the session."""


class InvalidValueError(RuleError):
    """An argument has a value that the rules do not allow."""


class PlanChangedError(RuleError):
    """An erasure concerns more events than the plan that somebody agreed to."""


def _beginning(text: str, characters: int = 200) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


class InvalidQueryError(InvalidValueError):
    """A search in FTS5's own syntax that FTS5 cannot read; `query` and `reason` say what and why.

    What is typed in the other syntax is never an error.
    """

    def __init__(self, query: str, reason: str) -> None:
        super().__init__(
            f"{_beginning(query)!r} is no query in FTS5's syntax: {reason}; put what is text in "
            'double quotes, with each " in it doubled'
        )
        self.query = query
        self.reason = reason


# -- derived data ------------------------------------------------------------------------------


class ProjectionError(EventStoreError):
    """A projection could not apply an event, or is not registered as asked."""


class ProjectionBehindError(ProjectionError):
    """A projection has not reached the head of the log and cannot be caught up here."""


# -- replaying ---------------------------------------------------------------------------------


class ReplayError(EventStoreError):
    """What was recorded does not suffice to run an agent against it."""


class DivergenceError(ReplayError):
    """An agent asked its model or a tool for something else than was recorded.

    `expected` and `made` are both requests as they were compared, None for none; `diff` is a
    unified diff of them as JSON.
    """

    def __init__(self, what: str, expected: Any, made: Any, diff: str) -> None:
        super().__init__(f"{what}\n{diff}" if diff else what)
        self.what = what
        self.expected = expected
        self.made = made
        self.diff = diff


# -- import ------------------------------------------------------------------------------------


class ImportFailedError(EventStoreError):
    """A file could not be imported at all (damaged records are reported, not raised)."""


class UnknownFormatError(ImportFailedError):
    """No importer recognises the file."""


# -- proofs and signed checkpoints -------------------------------------------------------------


class InvalidProofError(EventStoreError):
    """A proof of the Merkle tree does not show what it is to show."""


class NoteError(EventStoreError):
    """A signed note, a checkpoint or a key is not written as its format asks for."""


class UnverifiedNoteError(NoteError):
    """No signature of a note is by a key that is trusted, or one that claims to be is not."""


class SigningError(EventStoreError):
    """There is no key to sign with, or it cannot be used."""


class MissingExtraError(EventStoreError):
    """An optional package is not installed; the message names the extra that brings it."""


class CheckpointError(EventStoreError):
    """A log is not the one that a checkpoint is of, or is not what it was then."""


class RollbackDetectedError(CheckpointError):
    """The log has fewer events than when the checkpoint was made.

    `size` and `root` are what the checkpoint says, `found` is how many events the log has.
    """

    def __init__(self, size: int, root: bytes, found: int, where: str) -> None:
        super().__init__(
            f"the log has {found} events, but {where} says that it had {size} (root {root.hex()}): "
            "its end was cut off, or an older copy was put in its place"
        )
        self.size = size
        self.root = root
        self.found = found


class ForkDetectedError(CheckpointError):
    """The log has another history than when the checkpoint was made.

    `root` is what the checkpoint says of the first `size` events, `found` what the log has.
    """

    def __init__(self, size: int, root: bytes, found: bytes, where: str) -> None:
        super().__init__(
            f"the first {size} events have the root {found.hex()}, but {where} says "
            f"{root.hex()}: the log was rewritten, or this is another copy that went its own way"
        )
        self.size = size
        self.root = root
        self.found = found


class AnchorError(EventStoreError):
    """An anchor did not take a note, or does not have it as it was."""


class OtherLogError(CheckpointError):
    """A checkpoint is of another log: it names another origin than the store has."""

    def __init__(self, named: str, own: str | None, where: str) -> None:
        has = "has none yet" if own is None else f"is {own}"
        super().__init__(
            f"{where} is of the log {named}, but this one {has}: it is the side file or note of "
            "another store, or another store was put in the place of this one"
        )
        self.named = named
        self.own = own
