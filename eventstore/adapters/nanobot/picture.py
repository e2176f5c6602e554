"""What of a session is stored, read as one moment, and the commands that bring it to another.

A session of nanobot's is stored as: its messages; a *consolidation* up to where
`last_consolidated` points, so that what is active in the engine is what nanobot would send; and a
configuration, the *header*, with created_at, updated_at and metadata. A save that only appends
messages writes no header: the last of them tells the times. So the last event of every save does.

A message that changed retracts itself and all that follow; one that is consolidated already clears
the session, and all messages are appended again. Nothing is lost by either: what was retracted or
cleared stays in the history.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from eventstore.adapters.nanobot.comparing import Kept, same
from eventstore.adapters.nanobot.messages import Entry, Times, entry_of, message_of, plain, times_of
from eventstore.adapters.nanobot.times import local_text, microseconds
from eventstore.errors import StoreBusyError
from eventstore.session.commands import (
    Append,
    ChangeConfiguration,
    Clear,
    Command,
    Consolidate,
    Message,
    Retract,
)
from eventstore.session.state import SessionState, Status
from eventstore.store import reads
from eventstore.store.session import Session as Stored
from eventstore.store.views import MessageView

#: The time in a header that changes with every save.
_UPDATED = "updated_at"

#: In a header: the seq of the first message after all was cleared, so that none before is read.
_FIRST = "first_seq"

#: How often a session that others keep writing to is read again before giving up.
_TRIES = 100


class Wanted(Struct, frozen=True):
    """What a session is to be: as its owner holds it, times as texts.

    `extra` is what else belongs in the header, by name; `decoded` says that all of it was read
    from JSON just now.
    """

    messages: list[Entry]
    created_at: str | None
    updated_at: str | None
    metadata: Any
    last_consolidated: Any
    extra: dict[str, Any] = {}
    decoded: bool = False

    @property
    def start(self) -> int:
        """Where the part begins that a model is sent."""
        first = self.last_consolidated
        if type(first) is not int:
            return 0
        return slice(first, None).indices(len(self.messages))[0]

    @property
    def times(self) -> Times:
        """created_at and updated_at."""
        return {"created_at": self.created_at, _UPDATED: self.updated_at}

    def header(self) -> dict[str, Any]:
        """The header but for updated_at."""
        header = {"created_at": self.created_at, "metadata": plain(self.metadata)}
        if type(self.last_consolidated) is not int or self.last_consolidated != self.start:
            header["last_consolidated"] = plain(self.last_consolidated)
        return {**header, **self.extra}


class Picture(Struct):
    """What is stored of a session.

    `seqs` are those of the messages, the first `consolidated` of which are consolidated. `header`
    is without updated_at.
    """

    session: Stored
    version: int
    next_seq: int
    seqs: list[int]
    kept: Kept
    consolidated: int
    header: dict[str, Any]
    updated_at: str | None

    @property
    def last_consolidated(self) -> Any:
        """As the owner last had it."""
        return self.header.get("last_consolidated", self.consolidated)

    def with_metadata(self, updates: dict[str, Any]) -> Wanted:
        """The same session with some fields of its metadata changed."""
        metadata = self.header.get("metadata")
        told = ("created_at", "metadata", "last_consolidated", _FIRST)
        return Wanted(
            messages=self.kept.copies(),
            created_at=self.header.get("created_at"),
            updated_at=self.updated_at,
            metadata={**metadata, **updates} if type(metadata) is dict else updates,
            last_consolidated=self.last_consolidated,
            extra={key: value for key, value in self.header.items() if key not in told},
        )


class Change(Struct, frozen=True):
    """The commands of a save, and what is stored when they are done.

    That is the first `keep` messages that were, and the `new` ones.
    """

    commands: list[Command]
    keep: int
    new: list[Entry]
    consolidated: int
    header: dict[str, Any]


class _Read(Struct, frozen=True):
    """Messages that were read: their seqs, their dicts, and the view of the last."""

    seqs: list[int]
    entries: list[Entry]
    last: MessageView | None


def _read(views: Iterable[MessageView]) -> _Read:
    seqs, entries, view = list[int](), list[Entry](), None
    for view in views:
        seqs.append(view.seq)
        entries.append(entry_of(view))
    return _Read(seqs, entries, view)


def read(session: Stored) -> Picture | None:
    """What is stored of a session, None when it is closed."""
    log, stream = session.store.log, session.stream
    for _ in range(_TRIES):
        state, active = reads.state_and_each(log, stream, None, _read)
        if state.status is Status.CLOSED:
            return None
        header = reads.configuration_of(log, state) or {}
        before = _before(session, active.seqs[0] if active.seqs else state.next_seq, header)
        newest, last = state.next_seq - 1, active.last
        if last is None or last.seq != newest:
            last = session.message(newest)
        if session.version == state.version:
            return _picture(session, state, before, active, header, last)
    raise StoreBusyError(
        f"session {session.id!r} changed each of {_TRIES} times that it was read; try again"
    )


def _before(session: Stored, end: int, header: dict[str, Any]) -> _Read:
    """The consolidated messages: they are among those from the header's first to `end`."""
    first = header.get(_FIRST, 1)
    views = session.history(after=first - 1, limit=end - first) if first < end else []
    return _read(view for view in views if view.state == "consolidated")


def blank(session: Stored) -> Picture:
    """What is stored of a session that has just begun."""
    return Picture(session, 1, 1, [], Kept([]), 0, {}, None)


def _picture(
    session: Stored,
    state: SessionState,
    before: _Read,
    active: _Read,
    header: dict[str, Any],
    last: MessageView | None,
) -> Picture:
    return Picture(
        session=session,
        version=state.version,
        next_seq=state.next_seq,
        seqs=before.seqs + active.seqs,
        kept=Kept(before.entries + active.entries),
        consolidated=len(before.seqs),
        header={key: value for key, value in header.items() if key != _UPDATED},
        updated_at=updated_at(state, header, last),
    )


def updated_at(state: SessionState, header: dict[str, Any], last: MessageView | None) -> str | None:
    """When the session was updated: as its header or its last message says, the later of them."""
    if last is None or (state.configuration_position or 0) > last.position:
        told: str | None = header.get(_UPDATED)
        return told
    times = times_of(last.metadata)
    return local_text(last.at) if times is None else times[_UPDATED]


def change(picture: Picture, wanted: Wanted) -> Change:
    """What brings a session from what is stored to what is wanted; no commands, no change.

    Raises `TypeError` or `ValueError` for a message that has no JSON form.
    """
    at = microseconds(wanted.updated_at)
    commands: list[Command] = []
    keep, consolidated = picture.kept.common(wanted.messages), picture.consolidated
    if keep < consolidated or wanted.start < consolidated:
        keep = consolidated = 0
        commands.append(Clear(occurred_at=at))
    elif keep < len(picture.kept):
        if keep == 0:
            commands.append(Clear(occurred_at=at))
        else:
            commands.append(Retract(from_seq=picture.seqs[keep], occurred_at=at))
    header, new = wanted.header(), wanted.messages[keep:]
    first = picture.next_seq if keep == 0 else picture.header.get(_FIRST, 1)
    if first > 1:
        header[_FIRST] = first
    told = (
        wanted.start > consolidated
        or not same(header, picture.header)
        or (not new and wanted.updated_at != picture.updated_at)
    )
    if new:
        new = new if wanted.decoded else [plain(entry) for entry in new]
        saved = None if told else wanted.times
        commands.append(Append(messages=_messages(new, saved, at)))
    if wanted.start > consolidated:
        end = wanted.start - 1
        seq = picture.seqs[end] if end < keep else picture.next_seq + end - keep
        commands.append(Consolidate(to_seq=seq, occurred_at=at))
    if told:
        configuration = {**header, _UPDATED: wanted.updated_at}
        commands.append(ChangeConfiguration(configuration=configuration, occurred_at=at))
    return Change(commands, keep, new, wanted.start, header)


def _messages(new: list[Entry], saved: Times | None, at: int | None) -> tuple[Message, ...]:
    others = [message_of(entry, None, at) for entry in new[:-1]]
    return (*others, message_of(new[-1], saved, at))


def advance(picture: Picture, wanted: Wanted, done: Change, version: int) -> None:
    """Bring the picture to what is stored after a change was carried out."""
    new = done.new
    picture.seqs[done.keep :] = range(picture.next_seq, picture.next_seq + len(new))
    picture.next_seq += len(new)
    picture.kept.replace(done.keep, new)
    picture.consolidated = done.consolidated
    picture.header = done.header
    picture.updated_at = wanted.updated_at
    picture.version = version
