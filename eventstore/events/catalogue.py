"""Every event that a session can have.

An event is one immutable fact about one session. Its fields are its *facts*: numbers,
enumerations, ids that software made, ranges; never text that a person or a model wrote. Its
`content` holds that text; it is stored apart, can be erased, and is None once erased or withheld
(or when the type has none). What the rules and the structural projections need is in the facts,
so erasing content changes no state.

`type` is the stored name, `schema` the number of the facts' shape (see `events.stored`), and
`commutes` says that the order among other events of the session does not matter, so that a writer
who expects an exact version is not disturbed by it.

A message's number within its session is its `seq`. A run ``(first, length)`` stands for
consecutive seqs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeAlias

from msgspec import Meta, Struct

#: A number in facts: one that every JSON reader holds exactly, and SQLite can add up.
Whole: TypeAlias = Annotated[int, Meta(ge=-(2**53), le=2**53)]

#: ``(first, length)``: the seqs first … first + length - 1.
Run: TypeAlias = tuple[Whole, Whole]


class Kind(StrEnum):
    """Whether a session is a conversation of its own or was spawned by one."""

    ROOT = "root"
    SUBAGENT = "subagent"


class Lifecycle(StrEnum):
    """What closing the parent does to a spawned session: detached ones live on."""

    EPHEMERAL = "ephemeral"
    LINKED = "linked"
    DETACHED = "detached"


# -- content -----------------------------------------------------------------------------------


class Content(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The erasable part of an event.

    `record` is what an importer keeps of the source record beside the named fields, so that the
    record can be given back as it was (see `eventstore.importers.records`).
    """

    record: Any = None


class SessionContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """The id the session was created with, and free metadata."""

    session_id: str
    metadata: dict[str, Any] | None = None


class ReasonContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Why a session was ended or closed, in words."""

    reason: str | None = None


class TitleContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """The title."""

    title: str


class PromptContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """The system prompt."""

    prompt: str


class ConfigurationContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """The configuration that the session runs with from here on."""

    configuration: dict[str, Any]


class PendingContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Whatever the agent needs to take up the tool calls it left pending."""

    payload: Any


class ToolCall(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model's request to run a tool. `arguments` is kept as it came: an object or a text."""

    id: str | None = None
    name: str
    arguments: Any = None


class MessageContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What a message says.

    `text` is plain text; a message of several typed parts has `parts` instead, each a JSON object
    with a ``type``. `reasoning` is the model's thinking as text, `reasoning_items` the provider's
    opaque items (signatures, encrypted blocks), `tool_name` the tool whose result this is.
    """

    text: str | None = None
    parts: list[Any] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    reasoning: str | None = None
    reasoning_items: list[Any] | None = None
    metadata: dict[str, Any] | None = None


class ActivityContent(Content, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The free-form part of an activity: a path, a title, arguments, a correction's text."""

    subject: str | None = None
    data: dict[str, Any] | None = None


class ExportContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Whom an export was made for."""

    recipient: str | None = None


# -- events ------------------------------------------------------------------------------------


#: The class of an event type's content, None for a type that has none.
ContentType: TypeAlias = type[Content] | None


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every event.

    `occurred_at` (µs since 1970) is the time that the source of an imported event gives for it.
    """

    type: ClassVar[str]
    schema: ClassVar[int] = 1
    commutes: ClassVar[bool] = False
    content_type: ClassVar[ContentType] = None

    occurred_at: Whole | None = None
    content: Any = None


class SessionCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A session began. `parent` is the stream number of the session that spawned it."""

    type = "session.created"
    content_type = SessionContent

    kind: Kind = Kind.ROOT
    lifecycle: Lifecycle = Lifecycle.EPHEMERAL
    depth: Whole = 0
    parent: Whole | None = None
    spawn_call_id: str | None = None
    source: str | None = None
    content: SessionContent | None = None


class SessionForked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A session began as a continuation of another one's past.

    `origin` (stream number), `origin_version` and `origin_leaf` say of which; the rest is the
    state taken over: the active messages by the origin's seqs, and the positions of the events
    whose title, prompt, configuration and pending calls still hold. No body is copied.
    """

    type = "session.forked"
    content_type = SessionContent

    origin: Whole
    origin_version: Whole
    origin_leaf: str
    next_seq: Whole = 1
    active: tuple[Run, ...] = ()
    kind: Kind = Kind.ROOT
    lifecycle: Lifecycle = Lifecycle.EPHEMERAL
    depth: Whole = 0
    parent: Whole | None = None
    source: str | None = None
    round: Whole = 0
    model: str | None = None
    provider: str | None = None
    open_calls: tuple[str, ...] = ()
    title_position: Whole | None = None
    prompt_position: Whole | None = None
    configuration_position: Whole | None = None
    pending_position: Whole | None = None
    content: SessionContent | None = None


class SessionEnded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The conversation ended; it can be reopened."""

    type = "session.ended"
    content_type = ReasonContent

    content: ReasonContent | None = None


class SessionReopened(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An ended or archived session is active again."""

    type = "session.reopened"


class SessionArchived(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The session was put away; it keeps everything and can be reopened."""

    type = "session.archived"


class SessionReparented(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The session has another parent, or none. Kind and depth stay."""

    type = "session.reparented"

    parent: Whole | None = None


class SessionClosed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The session is over for good; its id may be created again as the next incarnation.

    `cascade_from` is the stream number of the ancestor whose closing closed this one.
    """

    type = "session.closed"
    content_type = ReasonContent

    cascade_from: Whole | None = None
    content: ReasonContent | None = None


class TitleSet(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The session has a title, or (`cleared`) none any more.

    A `unique` one is claimed: no other open session can claim it (`eventstore.claims`).
    """

    type = "title.set"
    commutes = True
    content_type = TitleContent

    cleared: bool = False
    unique: bool = False
    content: TitleContent | None = None


class PromptChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The session has another system prompt, or (`cleared`) none any more."""

    type = "prompt.changed"
    content_type = PromptContent

    cleared: bool = False
    content: PromptContent | None = None


class ModelChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The session runs on another model."""

    type = "model.changed"

    model: str | None = None
    provider: str | None = None


class ConfigurationChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The session has another configuration, or (`cleared`) none any more."""

    type = "configuration.changed"
    content_type = ConfigurationContent

    cleared: bool = False
    content: ConfigurationContent | None = None


class RoundAdvanced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The agent's loop is in this round now."""

    type = "round.advanced"

    round: Whole


class ToolCallsSuspended(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The agent stopped with tool calls pending, to be taken up later."""

    type = "tool_calls.suspended"
    content_type = PendingContent

    call_ids: tuple[str, ...] = ()
    content: PendingContent | None = None


class ToolCallsSettled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The pending tool calls were taken up or dropped."""

    type = "tool_calls.settled"


class MessageAppended(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A message joined the end of the conversation.

    `call_ids` are the tool calls an assistant message makes; `call_id` is the one a tool message
    answers and `failed` whether the tool reported an error. Messages of one provider response
    share `response_id`. `tokens` counts the message alone.
    """

    type = "message.appended"
    content_type = MessageContent

    seq: Whole
    role: str
    round: Whole | None = None
    tokens: Whole | None = None
    finish_reason: str | None = None
    call_ids: tuple[str, ...] = ()
    call_id: str | None = None
    failed: bool = False
    response_id: str | None = None
    model: str | None = None
    content: MessageContent | None = None


class ContextCompacted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A note (the message `seq`) took the place of the active messages in `runs`.

    `from_seq` and `to_seq` are the first and last of them in active order, the note's own seq when
    it stands for none; `tokens_before` and `tokens_after` are the context's size as the caller
    counted it.
    """

    type = "context.compacted"
    content_type = MessageContent

    seq: Whole
    from_seq: Whole
    to_seq: Whole
    runs: tuple[Run, ...]
    count: Whole
    role: str = "system"
    round: Whole | None = None
    tokens: Whole | None = None
    tokens_before: Whole | None = None
    tokens_after: Whole | None = None
    trigger: str | None = None
    content: MessageContent | None = None


class MessagesConsolidated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The active messages in `runs`, the last of them `to_seq`, left the context without a note."""

    type = "messages.consolidated"

    to_seq: Whole
    runs: tuple[Run, ...]
    count: Whole


class MessagesRetracted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The conversation was rewound: `from_seq` and all active messages after it are gone."""

    type = "messages.retracted"

    from_seq: Whole
    runs: tuple[Run, ...]
    count: Whole


class MessagesCleared(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Every message of the session is gone; seqs go on."""

    type = "messages.cleared"

    count: Whole


class UsageRecorded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens and cost of one model call; a later one with the same `key` corrects the earlier.

    The counters are disjoint: `input` is uncached input, `cache_read` and `cache_write` the rest
    of the input, `output` everything generated, of which `reasoning` is a part. `cost_nanos` is in
    billionths of `currency`; `cost_source` says who computed it.
    """

    type = "usage.recorded"
    commutes = True

    key: str
    round: Whole | None = None
    model: str | None = None
    provider: str | None = None
    input: Whole = 0
    cache_read: Whole = 0
    cache_write: Whole = 0
    output: Whole = 0
    reasoning: Whole = 0
    cost_nanos: Whole | None = None
    currency: str | None = None
    cost_source: str | None = None


class Activity(Event, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of what an agent did beside the conversation."""

    commutes = True
    content_type = ActivityContent

    content: ActivityContent | None = None


class ToolCalled(Activity, frozen=True, kw_only=True, omit_defaults=True):
    """A tool ran. Durations in µs."""

    type = "tool.called"

    call_id: str | None = None
    status: str | None = None
    duration: Whole | None = None
    bytes_in: Whole | None = None
    bytes_out: Whole | None = None


class FileTouched(Activity, frozen=True, kw_only=True, omit_defaults=True):
    """A file was read, written, moved or deleted (`operation`)."""

    type = "file.touched"

    operation: str | None = None


class IssueMoved(Activity, frozen=True, kw_only=True, omit_defaults=True):
    """An issue went from one state to another."""

    type = "issue.moved"

    from_state: str | None = None
    to_state: str | None = None


class LoopMoved(Activity, frozen=True, kw_only=True, omit_defaults=True):
    """A loop entered a state by a transition."""

    type = "loop.moved"

    state: str | None = None
    transition: str | None = None
    retries: Whole | None = None


class UserCorrected(Activity, frozen=True, kw_only=True, omit_defaults=True):
    """A person corrected the agent."""

    type = "user.corrected"


class ContentErased(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The content of the events at `positions` (runs of positions) was erased.

    `scope` is ``event`` or ``session``; in the latter case the session id went as well. `derived`
    are those of the positions that were not asked for, but came from others that were erased. `by`,
    `reason` and `basis` (the legal basis) are short, and must not contain what was erased: this
    event is never erased.
    """

    type = "content.erased"
    commutes = True

    positions: tuple[Run, ...]
    scope: str = "event"
    by: str | None = None
    reason: str | None = None
    basis: str | None = None
    derived: tuple[Run, ...] = ()


class Replaced(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a redaction replaced: how many texts of a part of the content, found by which detector.

    `part` is a field of the content, or one of its elements: ``text``, ``parts[2]``,
    ``tool_calls[0].arguments``. `detector` is its name and version, ``api-key@1``.
    """

    part: str
    detector: str
    count: Whole = 1


class ContentRedacted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Marks took the place of texts in the content of the event at `position`.

    Without content they did before it was stored. With content, that is what the event's content
    is from here on, and what it was is wiped. `by` and `reason` are as in `ContentErased`.
    """

    type = "content.redacted"
    commutes = True

    position: Whole
    replaced: tuple[Replaced, ...]
    by: str | None = None
    reason: str | None = None
    content: Any = None


class HoldPlaced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The session is under a legal hold: nothing of it is erased, redacted or retired.

    `hold` names it. It ends when it is released, or at the time `until` (µs since 1970). `by` and
    `reason` are short, and are never erased.
    """

    type = "hold.placed"
    commutes = True

    hold: str
    by: str | None = None
    reason: str | None = None
    until: Whole | None = None


class HoldReleased(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The hold of this name is over."""

    type = "hold.released"
    commutes = True

    hold: str
    by: str | None = None
    reason: str | None = None


class ExportCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An export was begun, of this session or (`scope` ``log``) of the whole log.

    It holds nothing after `to_position` of the log; `to_version` is the session's version there.
    """

    type = "export.created"
    schema = 2
    commutes = True
    content_type = ExportContent

    format: str
    scope: str = "session"
    to_version: Whole | None = None
    to_position: Whole | None = None
    content: ExportContent | None = None


class RecordImported(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A source record that is no message, kept whole in its content's `record`.

    `format` names the importer and `kind` the record's own type; a `damaged` one is kept raw.
    """

    type = "record.imported"
    commutes = True
    content_type = Content

    format: str
    kind: str | None = None
    damaged: bool = False
    content: Content | None = None


class CustomEvent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event of the application's own; `name` is its type, ``x.<namespace>.<name>``.

    `data` is stored as facts and can never be erased: numbers and software-made ids only. What a
    person or model wrote goes into `content`, any JSON value. `commuting` is the application's
    word that the order among other events of the session does not matter.
    """

    name: str
    data: dict[str, Any] = {}
    commuting: bool = False
    content: Any = None


class UnknownEvent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event of a type or schema number that this version does not know, shown raw."""

    name: str
    number: Whole
    facts: dict[str, Any]
    content: Any = None


CATALOGUE: tuple[type[Event], ...] = (
    SessionCreated,
    SessionForked,
    SessionEnded,
    SessionReopened,
    SessionArchived,
    SessionReparented,
    SessionClosed,
    TitleSet,
    PromptChanged,
    ModelChanged,
    ConfigurationChanged,
    RoundAdvanced,
    ToolCallsSuspended,
    ToolCallsSettled,
    MessageAppended,
    ContextCompacted,
    MessagesConsolidated,
    MessagesRetracted,
    MessagesCleared,
    UsageRecorded,
    ToolCalled,
    FileTouched,
    IssueMoved,
    LoopMoved,
    UserCorrected,
    ContentErased,
    ContentRedacted,
    HoldPlaced,
    HoldReleased,
    ExportCreated,
    RecordImported,
)
