"""A session as a Markdown document, for people.

Whatever a person, a model or a tool wrote stands in a fenced block whose fence is longer than any
run of backticks in it, or is escaped; so it is shown as it is, is never taken for Markdown or HTML,
and cannot end the block it stands in. Control characters are shown as escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from eventstore import __version__, codec
from eventstore.conversation.turns import ERASED
from eventstore.events.catalogue import ToolCall
from eventstore.exports import past
from eventstore.exports.past import Past
from eventstore.exports.registry import Request
from eventstore.store.views import MessageView
from eventstore.visible import inline, visible
from projections.queries.usage import UsageTotals

_BACKTICKS = re.compile("`+")
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:@/^=$\"'])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

#: Times outside of these years are given as numbers.
_LATEST = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * 1_000_000


class Markdown(Struct, frozen=True):
    """Exporter of one document a session: the messages in order, tool calls folded."""

    name: str = "markdown"
    description: str = "one readable document a session"
    suffix: str = ".md"
    lossless: bool = False
    per_session: bool = True

    def export(self, request: Request) -> None:
        """Write the document of the one session that is asked for."""
        out, shown = request.stream(), request.content == "full"
        for one in past.sessions(request):
            for block in _blocks(one, shown, request):
                out.write(block.encode() + b"\n\n")


def _blocks(one: Past, shown: bool, request: Request) -> Iterator[str]:
    yield from _head(one, shown, request)
    prompt = one.prompt() if shown else None
    if prompt is not None:
        yield from _folded("System prompt", fenced(prompt))
    elif one.state.prompt_position is not None:
        yield "System prompt: " + _absent(shown)
    compactions = {compaction.seq: compaction for compaction in one.compactions()}
    for message in one.messages():
        compaction = compactions.get(message.seq)
        if compaction is not None:
            yield "---"
            yield (
                f"**Context compacted:** the note #{message.seq} took the place of "
                f"{compaction.count:,} messages, #{compaction.from_seq} to #{compaction.to_seq}"
                f"{_tokens_change(compaction.tokens_before, compaction.tokens_after)}."
            )
        yield from _message(message, shown)


def _head(one: Past, shown: bool, request: Request) -> Iterator[str]:
    info = one.info
    title = info.title if shown else None
    yield f"# {escaped(title) if title else 'Session ' + code(info.name)}"
    facts = [("Session", code(info.name)), ("Status", info.status)]
    for label, value in (
        ("Source", info.source), ("Model", info.model), ("Provider", info.provider),
        ("Sub-agent of", info.parent), ("Fork of", info.origin),
    ):  # fmt: skip
        if value is not None:
            facts.append((label, code(value)))
    facts += [("Begun", _time(info.created_at)), ("Last activity", _time(info.updated_at))]
    facts.append(("Messages", f"{info.messages:,}, of which {info.active_messages:,} are active"))
    usage = one.session.usage_by("currency", one.state.version)
    for currency, totals in usage.items():
        facts.append(("Usage", _usage(totals, currency)))
    end = f"events 1 to {request.to_position:,} of the log, head {code(request.head.leaf.hex())}"
    facts.append(("Exported", f"{end}, by agent-eventstore {__version__}"))
    yield "\n".join(f"- **{label}:** {value}" for label, value in facts)


def _message(message: MessageView, shown: bool) -> Iterator[str]:
    marks = [_time(message.at)]
    if message.name and shown:
        marks.append(f"by {code(message.name)}")
    if message.model is not None:
        marks.append(code(message.model))
    if message.call_id is not None:
        marks.append(f"answers {code(message.call_id)}")
    if message.failed:
        marks.append("**failed**")
    if message.state != "active":
        marks.append(f"*{message.state}*")
    if message.inherited:
        marks.append("from the origin")
    yield f"## #{message.seq} {escaped(message.role)}"
    yield " · ".join(marks)
    if message.erased or not shown:
        yield _absent(shown)
        return
    if not (message.text or message.parts or message.tool_calls or message.reasoning):
        yield "*no text*"
    if message.reasoning:
        yield from _folded("Reasoning", fenced(message.reasoning))
    if message.role == "tool" or message.call_id is not None:
        tool = f" of {message.tool_name}" if message.tool_name else ""
        yield from _folded(f"Result{tool}", *_content(message))
    else:
        yield from _content(message)
    for call in message.tool_calls or ():
        yield from _folded(*_call(call))


def _call(call: ToolCall) -> Iterator[str]:
    arguments = call.arguments
    text = (
        arguments if isinstance(arguments, str) else _json({} if arguments is None else arguments)
    )
    yield f"Tool call: {call.name}" + ("" if call.id is None else f" ({call.id})")
    yield fenced(text, "json")


def _content(message: MessageView) -> Iterator[str]:
    content = message.text if message.parts is None else message.parts
    for part in content if isinstance(content, list) else [content]:
        match part:
            case None | "":
                continue
            case str(text) | {"type": "text" | "input_text" | "output_text", "text": str(text)}:
                yield fenced(text)
            case {"type": "image" | "image_url" | "input_image" | "input_audio"}:
                yield f"*[{escaped(part['type'])}, {len(_json(part)):,} bytes of JSON]*"
            case _:
                yield fenced(_json(part), "json")


# -- making text harmless ------------------------------------------------------------------------


def fenced(text: str, language: str = "") -> str:
    """A block of code that holds `text` and cannot be ended by it."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def code(text: str) -> str:
    """A span of code that holds `text`, on one line."""
    shown = inline(text)
    longest = max(map(len, _BACKTICKS.findall(shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if not shown or shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def escaped(text: str) -> str:
    """`text` on one line of prose, with nothing in it that Markdown or HTML would understand."""
    plain = _MARKUP.sub(r"\\\1", inline(" ".join(text.split())))
    return "".join(_HTML.get(one, one) for one in plain)


def _folded(summary: str, *blocks: str) -> Iterator[str]:
    """Blocks behind a line that can be opened; that is HTML, so its text is escaped for HTML."""
    plain = "".join(_HTML.get(one, one) for one in inline(" ".join(summary.split())))
    yield f"<details><summary>{plain}</summary>"
    yield from blocks
    yield "</details>"


def _absent(shown: bool) -> str:
    return f"*{ERASED}*" if shown else "*[withheld]*"


def _json(value: Any) -> str:
    return codec.encode(value).decode()


def _time(us: int | None) -> str:
    if us is None:
        return "–"
    if not 0 <= us <= _LATEST:
        return f"{us} µs since 1970"
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _tokens_change(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return ""
    return f"; {before:,} tokens became {after:,}"


def _usage(totals: UsageTotals, currency: str | int | None) -> str:
    cost = ""
    if totals.cost_nanos is not None:
        unit = escaped(str(currency)) if currency else "of no currency"
        cost = f", {totals.cost_nanos / 1e9:,.4f} {unit}"
    return (
        f"{totals.calls:,} model calls, {totals.input_total:,} tokens in, "
        f"{totals.output:,} out{cost}"
    )
