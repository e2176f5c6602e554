"""What messages and events say, as HTML: text, typed parts, images, JSON, tool calls.

Text is shown as it is, never as markdown or HTML. Long text is cut, the rest of it folded away
behind it. Images are shown when their bytes are in the log; nothing is ever loaded from elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from eventstore import codec
from eventstore.errors import EventStoreError
from eventstore.events.catalogue import MessageContent, ToolCall
from eventstore.exports.html.escaping import inline, on_one_line, slices
from eventstore.exports.html.figures import plural, size


class Length(NamedTuple):
    """How much of a text is shown before the rest of it is folded."""

    lines: int
    characters: int


MESSAGE = Length(120, 12_000)
RESULT = Length(40, 4_000)
PREVIEW = 120

#: Larger images are named, not shown: a page is to open fast.
IMAGE_BYTES_MAX = 4_000_000
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DATA_URL = re.compile(r"data:([a-z0-9.+/-]+);base64,", re.ASCII)


def text(value: str, length: Length = MESSAGE) -> Iterator[str]:
    """A text, its line ends as one character each, the part after `length` folded."""
    if "\r\n" in value:
        value = value.replace("\r\n", "\n")
    cut = _cut(value, length)
    yield '<div class="t">'
    yield from slices(value, 0, cut)
    if cut < len(value):
        more = value.count("\n", cut) + 1
        kind = plural(more, "more line") if more > 1 else f"{len(value) - cut:,} more characters"
        yield f'</div><details class="rest"><summary>Show all · {kind}</summary><div class="t">'
        yield from slices(value, cut)
        yield "</div></details>"
    else:
        yield "</div>"


def _cut(value: str, length: Length) -> int:
    """Where to cut: the whole text if it is not much longer than what may be shown."""
    at = -1
    for _ in range(length.lines):
        at = value.find("\n", at + 1, length.characters)
        if at < 0:
            break
    if at < 0:
        if len(value) <= length.characters * 5 // 4:
            return len(value)
        line = value.rfind("\n", length.characters // 2, length.characters)
        return length.characters if line < 0 else line + 1
    short = len(value) <= length.characters and value.count("\n", at) <= length.lines // 4
    return len(value) if short else at + 1


def as_json(value: Any, length: Length = RESULT) -> Iterator[str]:
    """A value as indented JSON text."""
    encoded = codec.encode(value)
    try:
        formatted = msgspec.json.format(encoded, indent=2).decode()
    except msgspec.DecodeError:  # of lone surrogates, which are shown as such
        formatted = json.dumps(codec.decode(encoded), ensure_ascii=False, indent=2)
    return text(formatted, length)


def folded(summary: str, body: Iterator[str], kind: str = "fold") -> Iterator[str]:
    """A body behind a line; `summary` is HTML, `kind` a class of the style sheet."""
    yield f'<details class="{kind}"><summary>{summary}</summary>'
    yield from body
    yield "</details>"


def content(value: MessageContent, length: Length = MESSAGE) -> Iterator[str]:
    """A message's text or parts."""
    if value.parts is not None:
        for one in value.parts:
            yield from part(one, length)
    elif value.text:
        yield from text(value.text, length)


def part(value: Any, length: Length) -> Iterator[str]:
    """One typed part; of a kind that is not known, its JSON."""
    match value:
        case str(words) | {"type": "text" | "input_text" | "output_text", "text": str(words)}:
            yield from text(words, length)
        case {"type": "thinking", "thinking": str(words)} | {
            "type": "reasoning",
            "text": str(words),
        }:
            yield from folded(_label("Reasoning", words), text(words), "think")
        case {"type": str(kind)} if (found := attachment(value)) is not None:
            yield from _attached(kind, *found)
        case {"type": "image" | "image_url" | "input_image"}:
            yield from folded("Image that is elsewhere, not loaded", as_json(value))
        case {"type": str(kind)}:
            yield from folded(f"Part of type <b>{inline(on_one_line(kind, 60))}</b>",
                              as_json(value))  # fmt: skip
        case _:
            yield from folded("Part", as_json(value))


def attachment(value: Mapping[str, Any]) -> tuple[str, str] | None:
    """The media type and base64 of a part that carries bytes, as providers write it."""
    match value:
        case {"source": {"type": "base64", "media_type": str(media), "data": str(data)}}:
            return media, data
        case {"image_url": {"url": str(url)}} | {"image_url": str(url)}:
            head = _DATA_URL.match(url)
            return (head[1], url[head.end() :]) if head else None
        case {"type": "image", "data": str(data), "mimeType": str(media)}:
            return media, data
    return None


def _attached(kind: str, media: str, data: str) -> Iterator[str]:
    count = len(data) * 3 // 4 - data[-2:].count("=")
    label = f"{inline(on_one_line(media, 60))}, {size(count)}"
    known = media in IMAGE_TYPES and bool(data) and _BASE64.fullmatch(data)
    if known and count <= IMAGE_BYTES_MAX:
        yield f'<figure><img alt="Image of this message" src="data:{media};base64,'
        yield data
        yield f'"><figcaption>{label}</figcaption></figure>'
    else:
        why = "too large for this page" if known else "not shown on this page"
        name = inline(on_one_line(kind, 60))
        yield f'<p class="left-out">Attachment ({name}): {label}, {why}</p>'


def reasoning(value: MessageContent) -> Iterator[str]:
    """The model's thinking, folded."""
    if value.reasoning:
        yield from folded(_label("Reasoning", value.reasoning), text(value.reasoning), "think")
    if value.reasoning_items:
        label = f"{plural(len(value.reasoning_items), 'reasoning item')} as the provider gave "
        label += "them" if len(value.reasoning_items) > 1 else "it"
        yield from folded(label, as_json(value.reasoning_items), "think")


def _label(name: str, words: str) -> str:
    return f'<b>{name}</b> <span class="p">{inline(on_one_line(words, PREVIEW))}</span>'


def call(one: ToolCall, spawned: str | None = None) -> Iterator[str]:
    """A tool call, folded: its arguments, one below the other; and the session that it began."""
    arguments = one.arguments
    if isinstance(arguments, str):
        arguments = _parsed(arguments)
    preview = arguments
    if isinstance(arguments, dict):
        texts = (value for value in arguments.values() if isinstance(value, str))
        preview = next(texts, arguments or "")
    if not isinstance(preview, str):
        preview = codec.encode(preview).decode() if preview is not None else ""
    summary = (
        f"<b>{inline(on_one_line(one.name, 80))}</b> "
        f'<code class="p">{inline(on_one_line(preview, PREVIEW))}</code>'
    )
    if spawned is not None:
        summary += f' <span class="n">began session {inline(on_one_line(spawned, 80))}</span>'
    yield from folded(summary, _arguments(arguments, one.id), "call")


def _arguments(arguments: Any, call_id: str | None) -> Iterator[str]:
    if isinstance(arguments, dict):
        yield "<dl>"
        for name, value in arguments.items():
            yield f"<dt>{inline(on_one_line(name, 200))}</dt><dd>"
            yield from text(value, RESULT) if isinstance(value, str) else as_json(value)
            yield "</dd>"
        yield "</dl>"
    elif isinstance(arguments, str):
        yield from text(arguments, RESULT)
    elif arguments is not None:
        yield from as_json(arguments)
    if call_id is not None:
        yield f'<p class="id">call {inline(call_id)}</p>'


def _parsed(arguments: str) -> Any:
    """Arguments given as JSON text, as an object; the text where an object would lose something."""
    try:
        value = json.loads(arguments, object_pairs_hook=_without_repeats)
        codec.require_depth(value, "arguments")
    except (ValueError, RecursionError, EventStoreError):
        return arguments
    return value if isinstance(value, dict) else arguments


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found
