"""What the facts of a session add up to."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from eventstore.events.catalogue import Kind, Lifecycle
from eventstore.session.runs import Runs

#: Goes up whenever `fold` or the state's shape changes: older snapshots are then dropped.
REDUCER = 2


class Status(StrEnum):
    """Where a session is in its life."""

    ACTIVE = "active"
    ENDED = "ended"
    ARCHIVED = "archived"
    CLOSED = "closed"


class Hold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A legal hold that was placed and not released; see `eventstore.session.holds`.

    `until` (µs since 1970) ends it by itself.
    """

    name: str
    by: str | None = None
    reason: str | None = None
    until: int | None = None
    placed_at: int = 0


class SessionState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The folded state of one session at one version; version 0 is "no events yet".

    `active` are the seqs of the active messages in active order. Text is not in here: the
    `*_position` fields name the events whose content holds what is in force. `open_calls` are the
    tool calls that were made and not answered. `holds` are in the order they were placed, those
    whose time is over included.
    """

    version: int = 0
    status: Status = Status.ACTIVE
    kind: Kind = Kind.ROOT
    lifecycle: Lifecycle = Lifecycle.EPHEMERAL
    depth: int = 0
    parent: int | None = None
    origin: int | None = None
    origin_version: int | None = None
    source: str | None = None
    next_seq: int = 1
    active: Runs = ()
    messages: int = 0
    compactions: int = 0
    round: int = 0
    model: str | None = None
    provider: str | None = None
    open_calls: tuple[str, ...] = ()
    title_position: int | None = None
    prompt_position: int | None = None
    configuration_position: int | None = None
    pending_position: int | None = None
    created_at: int = 0
    updated_at: int = 0
    unknown: int = 0
    holds: tuple[Hold, ...] = ()
