"""What can be read of a session, now and in the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from eventstore.conversation import ChatMessage, Unanswered, to_chat
from eventstore.errors import InvalidValueError
from eventstore.following import checked_types
from eventstore.log.port import Recorded
from eventstore.log.sqlite import SqliteLog
from eventstore.replaying.steps import Step, Until, steps
from eventstore.session.state import SessionState
from eventstore.store import context, reads
from eventstore.store.context import Context, ContextFormat
from eventstore.store.points import Point
from eventstore.store.views import AsOf, CompactionView, MessageView, SessionInfo, ToolCallView
from projections.queries.usage import UsageTotals


class Readable(Protocol):
    """What reading a session needs of the store it belongs to."""

    log: SqliteLog

    @property
    def path(self) -> str:
        """The file's path."""


class SessionReads:
    """The reads of a session; a `Session` is used for them and for its commands.

    Every read sees what is in the store then, in one snapshot of the file.
    """

    __slots__ = ()

    store: Readable
    stream: int
    id: str
    incarnation: int

    def __repr__(self) -> str:
        return f"<Session {self.id!r} (incarnation {self.incarnation}) of {self.store.path}>"

    @property
    def name(self) -> str:
        """What finds this session: the id, or ``id~n`` when the id was created again since."""
        return reads.name_of(self.store.log, self.stream)

    @property
    def version(self) -> int:
        """The version of the session's last event."""
        return reads.version_of(self.store.log, self.stream)

    def version_at(self, at: Point) -> int:
        """The version that a point is (`At`); raises `InvalidRangeError`, `UnknownMessageError`."""
        return reads.version_of_point(self.store.log, self.stream, at)

    def state(self, at: Point | None = None) -> SessionState:
        """The folded state, now or as of a point."""
        return reads.state_of(self.store.log, self.stream, at)

    def as_of(self, at: Point | None = None, *, history: bool = False) -> AsOf:
        """All that is compared of a session (`eventstore.comparison`), now or as of a point.

        Its messages are the active ones; with `history` all there were, each in its state then.
        """
        return reads.as_of(self.store.log, self.stream, at, history)

    def info(self, at: Point | None = None) -> SessionInfo:
        """What a list of sessions shows of this one, now or as of a point."""
        return reads.info_of(self.store.log, self.stream, at)

    def messages(self, at: Point | None = None) -> list[MessageView]:
        """The active messages in the order a model would be sent them, now or as of a point."""
        return reads.active_messages(self.store.log, self.stream, at)

    def history(self, *, after: int = 0, limit: int | None = None) -> list[MessageView]:
        """All messages in order of seq, whatever became of them."""
        return reads.history(self.store.log, self.stream, after, limit)

    def message(self, seq: int) -> MessageView | None:
        """One message by its seq."""
        found = reads.history(self.store.log, self.stream, seq - 1, 1)
        return found[0] if found and found[0].seq == seq else None

    def chat(
        self,
        at: Point | None = None,
        *,
        limit: int | None = None,
        unanswered: Unanswered = "placeholder",
        reasoning: bool = False,
        prompt: bool = True,
    ) -> list[ChatMessage]:
        """What a model would be sent, as OpenAI chat messages.

        `eventstore.conversation` states the rules and the options.
        """
        state, messages = reads.state_and_messages(self.store.log, self.stream, at)
        text = reads.prompt_of(self.store.log, state) if prompt else None
        return to_chat(
            messages, prompt=text, limit=limit, unanswered=unanswered, reasoning=reasoning
        )

    def context(
        self,
        at: Point | None = None,
        *,
        format: ContextFormat = "openai",  # noqa: A002
        limit: int | None = None,
        unanswered: Unanswered = "placeholder",
        reasoning: bool = False,
        prompt: bool = True,
    ) -> Context:
        """What a model was sent, in a provider's form or as text, and what the notes stand for.

        `format` is ``openai`` (as `chat`), ``anthropic`` or ``text``; the modules of
        `eventstore.conversation` state the rules. `reasoning` is for the first and the last:
        Anthropic's form has the thinking that can be given back.
        """
        return context.context(
            self.store.log, self.stream, at, format=format, limit=limit, unanswered=unanswered,
            reasoning=reasoning, prompt=prompt,
        )  # fmt: skip

    def events(
        self, *, after: int = 0, upto: int | None = None, content: bool = True
    ) -> Iterator[Recorded]:
        """The session's events in order, versions after … upto."""
        return self.store.log.read_stream(self.stream, after=after, upto=upto, content=content)

    def replay(
        self,
        *,
        after: Point = 0,
        upto: Point | None = None,
        types: Sequence[str] | str | None = None,
        until: Until | None = None,
        content: bool = True,
    ) -> Iterator[Step]:
        """The session's events after … upto two points, each with the state before and after it.

        Made as they are asked for. `types` gives only events of these types. The step for which
        `until` holds is the last: a condition like ``"tool=bash and text~denied"``, see
        `eventstore.replaying.conditions`, or a function of a step. Raises `InvalidValueError`.
        """
        if content is False and isinstance(until, str):
            raise InvalidValueError("a condition needs the content; leave out content=False")
        state = self.state(after)
        last = self.version if upto is None else self.version_at(upto)
        events = self.events(after=state.version, upto=last, content=content)
        return steps(state, events, types=checked_types(types), until=until)

    def title(self, at: Point | None = None) -> str | None:
        """The title, now or as of a point."""
        return reads.title_of(self.store.log, self.state(at))

    def prompt(self, at: Point | None = None) -> str | None:
        """The system prompt, now or as of a point."""
        return reads.prompt_of(self.store.log, self.state(at))

    def configuration(self, at: Point | None = None) -> dict[str, Any] | None:
        """The configuration, now or as of a point."""
        return reads.configuration_of(self.store.log, self.state(at))

    def pending_tool_calls(self, at: Point | None = None) -> Any:
        """The payload that `suspend_tool_calls` left, None when nothing is pending."""
        return reads.pending_of(self.store.log, self.state(at))

    def compactions(self) -> list[CompactionView]:
        """Every compaction with its note and what it stands for, oldest first."""
        return reads.compactions(self.store.log, self.stream)

    def tool_calls(self) -> list[ToolCallView]:
        """Every tool call that has an id, with its result."""
        return reads.tool_calls(self.store.log, self.stream)

    def usage(self, at: Point | None = None, *, lineage: bool = False) -> UsageTotals:
        """Tokens and cost of this session, or of it and all its descendants; now or as of a point.

        Of descendants, what they had recorded at the position where this session's point is.
        """
        return reads.usage(self.store.log, self.stream, at, lineage)

    def usage_by(
        self, group: str, at: Point | None = None, *, lineage: bool = False
    ) -> dict[str | int | None, UsageTotals]:
        """Usage for each ``model``, ``provider``, ``round``, ``session``, ``currency`` or ``key``.

        For ``session`` the keys are stream numbers. `at` is that of `usage`.
        """
        return reads.usage_by(self.store.log, self.stream, group, at, lineage)
