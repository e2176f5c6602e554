"""What every format shares: windows, responses in pieces, calls and their results.

The rules, in order:

1. A window of the last `limit` messages begins at a user's message or a compaction's note where it
   holds one; what comes before is left out, so that it never begins in the middle of a turn.
2. Assistant messages that follow each other and belong to one provider response become one.
3. Results stand directly after the message that made their calls, in the order of the calls. A
   result whose call is not in the window (an orphan) is left out.
4. A call without a result in the window is answered with a placeholder (`UNANSWERED`), or left
   out, or kept as it is, as the caller says: providers refuse a call without an answer.
5. Erased text reads `ERASED`.

A note stands where the messages it replaced stood; the system prompt comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from eventstore.events.catalogue import ToolCall
from eventstore.store.views import MessageView

Unanswered: TypeAlias = Literal["placeholder", "drop", "keep"]

UNANSWERED = "[no result was recorded for this tool call]"
ERASED = "[erased]"


class Asked(NamedTuple):
    """A tool call; `id` is its own, or made up for a call without one. `result` answers it.

    `answered` is False for a call that the caller wants to be kept without an answer.
    """

    id: str
    call: ToolCall
    result: MessageView | None
    answered: bool


#: What a provider sees as one message: its role, the message or pieces, and the calls in them.
#: A plain tuple: resuming makes thousands of these.
Turn: TypeAlias = tuple[str, Sequence[MessageView], Sequence[Asked]]


def turns(
    messages: Sequence[MessageView], *, limit: int | None, unanswered: Unanswered
) -> Iterator[Turn]:
    """The turns of these active messages, results with their calls; see the module's rules."""
    window = aligned(messages, limit)
    results = _results(window)
    for group in _grouped(window):
        role = group[0].role
        asked: Sequence[Asked] = ()
        if role == "assistant":
            for message in group:
                if message.tool_calls:
                    asked = _asked(group, results, unanswered)
                    break
        if role != "tool":
            yield role, group, asked


def _asked(
    group: Sequence[MessageView],
    results: dict[tuple[str, int], MessageView],
    unanswered: Unanswered,
) -> list[Asked]:
    asked: list[Asked] = []
    for message in group:
        for index, call in enumerate(message.tool_calls or ()):
            result = results.get((call.id or "", message.seq))
            if result is None and unanswered == "drop":
                continue
            answered = result is not None or unanswered == "placeholder"
            call_id = call.id if call.id is not None else f"call_{message.seq}_{index}"
            asked.append(Asked(call_id, call, result, answered))
    return asked


def aligned(messages: Sequence[MessageView], limit: int | None) -> Sequence[MessageView]:
    """The last `limit` messages, begun at a user's message or a note where there is one."""
    if limit is None or limit >= len(messages):
        return messages
    window = messages[len(messages) - limit :] if limit > 0 else ()
    for index, message in enumerate(window):
        if message.role == "user" or message.stands_for:
            return window[index:]
    return window


def _results(window: Sequence[MessageView]) -> dict[tuple[str, int], MessageView]:
    """Each result by its call's id and the seq of the message that made the call."""
    open_calls: dict[str, int] = {}
    found: dict[tuple[str, int], MessageView] = {}
    for message in window:
        for call in message.tool_calls or ():
            if call.id is not None:
                open_calls[call.id] = message.seq
        if message.call_id is not None and message.call_id in open_calls:
            found.setdefault((message.call_id, open_calls[message.call_id]), message)
    return found


def _grouped(window: Sequence[MessageView]) -> list[list[MessageView]]:
    """Neighbouring assistant messages of one response together, everything else alone."""
    groups: list[list[MessageView]] = []
    for message in window:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and message.role == last.role == "assistant"
            and message.response_id is not None
            and message.response_id == last.response_id
        ):
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def said(message: MessageView) -> str | list[Any] | None:
    """The text or parts of a message; for one whose text was erased, `ERASED`."""
    if message.erased:
        return ERASED
    return message.text if message.parts is None else message.parts
