"""A session, as callers hold it: commands that append events, beside the reads.

A handle names one stream, that is one incarnation of a session id, and keeps no state of its own:
every read sees what is in the store then, every command is decided inside the write transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol

from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import Event, Lifecycle, ToolCall, UsageRecorded
from eventstore.log.port import ANY, Actor, Expected, Recorded
from eventstore.session import commands as do
from eventstore.session.commands import Command, Message
from eventstore.store import erasure, executor, holding, lifecycle, plain, reads
from eventstore.store.derived import Registry
from eventstore.store.erasure import Erased, Words
from eventstore.store.holding import HoldView
from eventstore.store.keeping import Keeping, keep
from eventstore.store.points import Point
from eventstore.store.session_reads import Readable, SessionReads

#: What `Session.append` is given beside a role and a text where there is nothing else.
_NOTHING = (None,) * 12


class Owner(Readable, Protocol):
    """What a session needs of the store it belongs to; `SessionStore` is it."""

    derived: Registry
    keeper: Keeping | None

    @staticmethod
    def new_id() -> str:
        """A fresh session id."""

    @property
    def create(self) -> Callable[..., Session]:
        """Begins a session."""

    def session_of(self, stream: int) -> Session:
        """The session with this stream number."""

    def require_own(self, session: Session) -> Session:
        """The session, if it is of this store."""


class Session(SessionReads):
    """One session of a store; get it from `SessionStore.create` or `SessionStore.session`."""

    __slots__ = ("id", "incarnation", "store", "stream")

    store: Owner

    def __init__(self, store: Owner, session_id: str, incarnation: int, stream: int) -> None:
        self.store = store
        self.id = session_id
        self.incarnation = incarnation
        self.stream = stream

    def _do(self, command: Command, expected: Expected = ANY) -> list[Recorded]:
        return executor.execute_one(self.store.log, self.stream, command, expected)

    # -- messages --------------------------------------------------------------------------

    def append(
        self,
        role: str,
        content: str | list[Any] | None = None,
        *,
        tool_calls: Sequence[ToolCall] = (),
        call_id: str | None = None,
        name: str | None = None,
        tool_name: str | None = None,
        failed: bool = False,
        reasoning: str | None = None,
        reasoning_items: list[Any] | None = None,
        metadata: dict[str, Any] | None = None,
        round: int | None = None,  # noqa: A002
        tokens: int | None = None,
        finish_reason: str | None = None,
        response_id: str | None = None,
        model: str | None = None,
        key: str | None = None,
        expected: Expected = ANY,
    ) -> int:
        """Append a message and return its seq once it is stored.

        `content` is a text or a list of typed parts (JSON objects). `call_id` is the tool call
        that a tool's message answers. With a `key` the call can be repeated safely: the second
        time it returns the first one's seq.

        Raises `NotJSONError`, `InvalidValueError`, `SessionClosedError`, `VersionConflictError`.
        """
        others = (
            call_id, name, tool_name, reasoning, reasoning_items, metadata, round, tokens,
            finish_reason, response_id, model, key,
        )  # fmt: skip
        plainly = others == _NOTHING and not tool_calls and not failed and expected is ANY
        if plainly and type(content) is str:
            return plain.append(self.store.log, self.stream, role, content)
        message = Message(
            role=role,
            content=content,
            name=name,
            tool_calls=tuple(tool_calls),
            call_id=call_id,
            tool_name=tool_name,
            failed=failed,
            reasoning=reasoning,
            reasoning_items=reasoning_items,
            metadata=metadata,
            round=round,
            tokens=tokens,
            finish_reason=finish_reason,
            response_id=response_id,
            model=model,
        )  # the key is the command's: a call with more names than these takes much longer
        recorded = self._do(do.Append(messages=(message,), key=key), expected)
        return recorded[0].event.seq  # type: ignore[attr-defined, no-any-return]

    def append_many(self, messages: Sequence[Message], *, expected: Expected = ANY) -> list[int]:
        """Append messages, all or none; their seqs."""
        recorded = self._do(do.Append(messages=tuple(messages)), expected)
        return [one.event.seq for one in recorded]  # type: ignore[attr-defined]

    def compact(
        self,
        from_seq: int,
        to_seq: int,
        note: str | Message,
        *,
        tokens_before: int | None = None,
        tokens_after: int | None = None,
        round: int | None = None,  # noqa: A002
        trigger: str | None = None,
        key: str | None = None,
        expected: Expected = ANY,
    ) -> int:
        """Fold the active messages from_seq … to_seq into a note, which takes their place.

        The range is in active order and both ends must be active. A note given as text gets the
        role ``system``. Returns the note's seq. Nothing is lost: `history` has every message.

        Raises `UnknownMessageError` and `InvalidRangeError`.
        """
        if isinstance(note, str):
            note = Message(role="system", content=note, name="compact_note", round=round)
        command = do.Compact(
            from_seq=from_seq,
            to_seq=to_seq,
            note=note,
            tokens_before=tokens_before,
            tokens_after=tokens_after,
            trigger=trigger,
            key=key,
            actor=Actor.MODEL,
        )
        return self._do(command, expected)[0].event.seq  # type: ignore[attr-defined, no-any-return]

    def consolidate(self, to_seq: int, *, expected: Expected = ANY) -> None:
        """Take the active messages up to and including to_seq out of the context, with no note."""
        self._do(do.Consolidate(to_seq=to_seq), expected)

    def retract(self, from_seq: int, *, expected: Expected = ANY) -> None:
        """Rewind: retract from_seq and every active message after it."""
        self._do(do.Retract(from_seq=from_seq), expected)

    def clear(self, *, expected: Expected = ANY) -> None:
        """Retract every message; seqs go on where they were."""
        self._do(do.Clear(), expected)

    # -- what is in force ------------------------------------------------------------------

    def set_title(self, title: str | None, *, unique: bool = False) -> None:
        """Give the session a title, or take it away with None.

        A `unique` title is claimed until the session gets another one, is closed or erased: no
        other open session can claim it meanwhile. Raises `TitleTakenError`.
        """
        self._do(do.SetTitle(title=title, unique=unique))

    def change_prompt(self, prompt: str | None) -> None:
        """Give the session another system prompt, or none."""
        self._do(do.ChangePrompt(prompt=prompt))

    def change_model(self, model: str | None, provider: str | None = None) -> None:
        """Switch to another model."""
        self._do(do.ChangeModel(model=model, provider=provider))

    def change_configuration(self, configuration: dict[str, Any] | None) -> None:
        """Give the session another configuration, or none."""
        self._do(do.ChangeConfiguration(configuration=configuration))

    def advance_round(self, round: int) -> None:  # noqa: A002
        """Say which round the agent's loop is in."""
        self._do(do.AdvanceRound(round=round))

    def suspend_tool_calls(self, payload: Any, call_ids: Sequence[str] = ()) -> None:
        """Leave tool calls pending, with what is needed to take them up again."""
        self._do(do.SuspendToolCalls(payload=payload, call_ids=tuple(call_ids)))

    def settle_tool_calls(self) -> None:
        """Say that the pending tool calls were taken up or dropped."""
        self._do(do.SettleToolCalls())

    def record_usage(
        self,
        key: str,
        *,
        input: int = 0,  # noqa: A002
        cache_read: int = 0,
        cache_write: int = 0,
        output: int = 0,
        reasoning: int = 0,
        cost: Decimal | float | None = None,
        currency: str | None = None,
        cost_source: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        round: int | None = None,  # noqa: A002
    ) -> None:
        """Record the tokens and cost of one model call, or correct them under the same key.

        The counters are disjoint: `input` is uncached input, `reasoning` is part of `output`.
        `cost` is in units of `currency` (USD when a cost is given without one).
        """
        nanos = None if cost is None else _nanos(cost)
        usage = UsageRecorded(
            key=key,
            round=round,
            model=model,
            provider=provider,
            input=input,
            cache_read=cache_read,
            cache_write=cache_write,
            output=output,
            reasoning=reasoning,
            cost_nanos=nanos,
            currency="USD" if nanos is not None and currency is None else currency,
            cost_source=cost_source,
        )
        self._do(do.RecordUsage(usage=usage, actor=Actor.SYSTEM))

    def add_event(
        self, event: Event, *, actor: Actor = Actor.UNKNOWN, key: str | None = None
    ) -> int:
        """Append an activity, an imported record or a custom event; its position."""
        return self._do(do.AddEvent(event=event, actor=actor, key=key))[0].position

    # -- the session's life ----------------------------------------------------------------

    def end(self, reason: str | None = None) -> None:
        """End the conversation; it can be reopened, and still takes messages."""
        self._do(do.End(reason=reason))

    def reopen(self) -> None:
        """Make an ended or archived session active again."""
        self._do(do.Reopen())

    def archive(self) -> None:
        """Put the session away; it keeps everything and still takes messages."""
        self._do(do.Archive())

    def reparent(self, parent: Session | None) -> None:
        """Give the session another parent, or none.

        Raises `InvalidValueError` for itself or one of its own descendants.
        """
        stream = None if parent is None else self.store.require_own(parent).stream
        lifecycle.reparent(self.store.log, self.stream, stream)

    def close(self, *, cascade: bool = True, reason: str | None = None) -> list[str]:
        """Close the session for good and, cascading, its children; the names of all closed ones.

        Children that are detached lose their parent and live on. Nothing is deleted: the history
        stays readable until it is erased, and the id can be created again.
        """
        streams = lifecycle.close(
            self.store.log, self.stream, cascade=cascade, reason=reason, actor=Actor.UNKNOWN
        )
        keep(self.store.keeper, "close")
        return [self.store.session_of(stream).name for stream in streams]

    def fork(
        self,
        session_id: str | None = None,
        *,
        at: Point | None = None,
        metadata: dict[str, Any] | None = None,
        source: str | None = None,
        occurred_at: int | None = None,
    ) -> Session:
        """A new session that continues this one's past at the point `at` (its present if None).

        No body is copied. The fork has the context of that point; what happens in either one
        later does not show in the other. Its usage counts only what happens in it.
        """
        stream = lifecycle.fork(
            self.store.log,
            self.stream,
            session_id or self.store.new_id(),
            at=at,
            metadata=metadata,
            source=source,
            occurred_at=occurred_at,
        )
        return self.store.session_of(stream)

    def spawn(self, session_id: str | None = None, **options: Any) -> Session:
        """Create a child session; the options are those of `SessionStore.create`."""
        options.setdefault("lifecycle", Lifecycle.EPHEMERAL)
        return self.store.create(session_id, parent=self, **options)

    def erase(
        self, *, by: str | None = None, reason: str | None = None, basis: str | None = None
    ) -> Erased:
        """Erase the content of every event, and the session's id; facts and proofs stay.

        This and `erase_events` erase exactly what they name; `eventstore.erasing` also reaches what
        was derived from it. `by`, `reason` and `basis` (the legal basis) stay for good.
        """
        return self._erase(None, Words(by=by, reason=reason, basis=basis))

    def close_and_erase(
        self, *, by: str | None = None, reason: str | None = None, basis: str | None = None
    ) -> Erased:
        """Close the session as `close` does, and erase it, in one transaction.

        Of sessions that are closed with it the content stays.
        """
        words = Words(by=by, reason=reason, basis=basis)
        store = self.store
        erased = erasure.close_and_erase(store.log, self.stream, words, store.derived.erase)
        keep(self.store.keeper, "erasure")
        return erased

    def erase_events(
        self,
        positions: Sequence[int],
        *,
        by: str | None = None,
        reason: str | None = None,
        basis: str | None = None,
    ) -> Erased:
        """Erase the content of the events at these positions of the log."""
        return self._erase(positions, Words(by=by, reason=reason, basis=basis))

    def _erase(self, positions: Sequence[int] | None, words: Words) -> Erased:
        target = erasure.Target(stream=self.stream, positions=positions)
        erased = erasure.erase(self.store.log, lambda _: [target], words, self.store.derived.erase)
        keep(self.store.keeper, "erasure")
        return erased

    # -- legal holds -----------------------------------------------------------------------

    def place_hold(
        self,
        name: str,
        *,
        by: str | None = None,
        reason: str | None = None,
        until: int | None = None,
    ) -> None:
        """Put the session, open or closed, under a legal hold.

        Until it is released, erasing and redacting it are refused with `HeldError`. `until` (µs
        since 1970) ends it by itself. `by` and `reason` stay for good. A hold on a fork also holds
        the events of its origin that it took over. Raises `InvalidValueError`.
        """
        holding.place(self.store.log, self.stream, name, by=by, reason=reason, until=until)

    def release_hold(self, name: str, *, by: str | None = None, reason: str | None = None) -> None:
        """Release a hold; raises `InvalidValueError` when there is none of this name."""
        holding.release(self.store.log, self.stream, name, by=by, reason=reason)

    def holds(self) -> list[HoldView]:
        """The holds that were placed on this session and not released."""
        return holding.listed(self.store.log, self.stream)

    # -- relatives -------------------------------------------------------------------------

    def children(self) -> list[Session]:
        """The sessions that this one spawned."""
        return [self.store.session_of(n) for n in reads.children(self.store.log, self.stream)]

    def forks(self) -> list[Session]:
        """The sessions that were forked from this one."""
        return [self.store.session_of(n) for n in reads.forks(self.store.log, self.stream)]


def _nanos(cost: Decimal | float) -> int:
    """A cost in billionths; raises `InvalidValueError` for what is no amount."""
    try:
        return int((Decimal(str(cost)) * 10**9).to_integral_value())
    except (ArithmeticError, ValueError) as error:
        raise InvalidValueError(f"a cost is a number, not {cost!r}") from error
