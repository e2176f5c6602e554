"""Messages as plain text, by the rules of `eventstore.conversation.turns`: for people and logs.

Each message begins with a line ``## role``, with its seqs. Nothing is escaped: do not parse it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from eventstore import codec
from eventstore.conversation.turns import UNANSWERED, Asked, Turn, Unanswered, said, turns
from eventstore.store.views import MessageView


def to_text(
    messages: Sequence[MessageView],
    *,
    prompt: str | None = None,
    limit: int | None = None,
    unanswered: Unanswered = "placeholder",
    reasoning: bool = False,
) -> str:
    """These active messages as text; with `reasoning`, the model's thinking too."""
    pieces = [] if prompt is None else [f"## system\n\n{prompt}"]
    for turn in turns(messages, limit=limit, unanswered=unanswered):
        pieces.append("\n\n".join(_lines(turn, reasoning)))
        pieces.extend(_results(turn[2]))
    return "\n\n".join(pieces) + "\n" if pieces else ""


def _lines(turn: Turn, reasoning: bool) -> Iterator[str]:
    role, group, calls = turn
    seqs = ", ".join(f"#{message.seq}" for message in group)
    yield f"## {role} {seqs}"
    for message in group:
        if reasoning and message.reasoning:
            yield f"[thinking] {message.reasoning}"
        yield from _content(said(message))
    for asked in calls:
        arguments = asked.call.arguments
        text = arguments if isinstance(arguments, str) else _json(arguments or {})
        yield f"[calls {asked.call.name} as {asked.id}] {text}"


def _results(calls: Sequence[Asked]) -> Iterator[str]:
    for asked in calls:
        if not asked.answered:
            continue
        result = asked.result
        if result is None:
            yield f"## tool\n\n[answers {asked.id}] {UNANSWERED}"
        else:
            failed = ", failed" if result.failed else ""
            yield f"## tool #{result.seq}\n\n[answers {asked.id}{failed}] " + "\n\n".join(
                _content(said(result))
            )


def _content(content: str | list[Any] | None) -> Iterator[str]:
    if not isinstance(content, list):
        content = [content] if content else []
    for part in content:
        match part:
            case str(text) | {"type": "text" | "input_text" | "output_text", "text": str(text)}:
                yield text
            case _:
                yield _json(part)


def _json(value: Any) -> str:
    return codec.encode(value).decode()
