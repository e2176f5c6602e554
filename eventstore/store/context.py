"""The context of a session at a point: what a model was sent, and what its notes stand for."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import apsw
from msgspec import Struct

from eventstore.conversation import Unanswered, to_chat
from eventstore.conversation.anthropic import to_anthropic
from eventstore.conversation.coverage import Coverage, coverage
from eventstore.conversation.text import to_text
from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import Run
from eventstore.log.sqlite import SqliteLog
from eventstore.store import reads
from eventstore.store.points import Point
from eventstore.store.views import MessageView
from projections.queries import calls, lineage

ContextFormat: TypeAlias = Literal["openai", "anthropic", "text"]


class Context(Struct, frozen=True, kw_only=True):
    """What a model was sent at a version of a session.

    `sent` is in the format that was asked for: a list of OpenAI chat messages, an object with
    Anthropic's ``system`` and ``messages``, or a text. `messages` are the active messages it was
    made of, and `coverage` says what each note among them stands for, in their order.
    """

    version: int
    model: str | None
    provider: str | None
    format: str
    sent: Any
    messages: tuple[MessageView, ...]
    coverage: tuple[Coverage, ...]


def context(
    log: SqliteLog,
    stream: int,
    at: Point | None,
    *,
    format: ContextFormat,  # noqa: A002
    limit: int | None,
    unanswered: Unanswered,
    reasoning: bool,
    prompt: bool,
) -> Context:
    """The context as of a point; see `Session.context`."""
    state, messages = reads.state_and_messages(log, stream, at)
    text = reads.prompt_of(log, state) if prompt else None
    with log.snapshot() as connection:
        notes = _notes(connection, stream)
    sent: Any
    match format:
        case "openai":
            sent = to_chat(
                messages, prompt=text, limit=limit, unanswered=unanswered, reasoning=reasoning
            )
        case "anthropic":
            sent = to_anthropic(messages, prompt=text, limit=limit, unanswered=unanswered)
        case "text":
            sent = to_text(
                messages, prompt=text, limit=limit, unanswered=unanswered, reasoning=reasoning
            )
        case _:
            raise InvalidValueError(
                f"a context is in the format openai, anthropic or text, not {format!r}"
            )
    return Context(
        version=state.version,
        model=state.model,
        provider=state.provider,
        format=format,
        sent=sent,
        messages=tuple(messages),
        coverage=tuple(coverage(one.seq, notes) for one in messages if one.seq in notes),
    )


def _notes(connection: apsw.Connection, stream: int) -> dict[int, tuple[Run, ...]]:
    """The runs of every note of a session, and of those that it took over from its origins."""
    notes: dict[int, tuple[Run, ...]] = {}
    last: int | None = None
    while True:
        for row in calls.compactions(connection, stream):
            if last is None or row["version"] <= last:
                notes.setdefault(row["seq"], row["runs"])
        origin = lineage.origin(connection, stream)
        if origin is None:
            return notes
        stream, last = origin
