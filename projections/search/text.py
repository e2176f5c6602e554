"""What of a message is indexed, and in which form. Pure: the same content gives the same text.

A row leaves the index only with exactly the text it was indexed with. Whoever changes anything here
that can give another text raises `INDEXER`, so that indexes made before are made anew.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from eventstore.events.catalogue import MessageContent

#: Number of the rules in this module.
INDEXER = 1

#: Characters of a tool's output that are indexed; everything else is indexed whole.
TOOL_CHARACTERS_MAX = 32_768

#: JSON is followed so deep at most; deeper values are not indexed.
DEPTH_MAX = 32

#: Fields of a typed part that hold what was said, in their order.
_PART_FIELDS = ("name", "title", "text", "content", "input", "arguments", "output")

#: Characters of scripts that are written without spaces between words.
CJK = (
    "\u1100-\u11ff\u3005-\u3007\u303b\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3105-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{CJK}]+")
#: What FTS5 cannot be given: NUL ends a text for it, and lone surrogates are no UTF-8.
_UNFIT = re.compile("[\x00\ud800-\udfff]")
#: Symbols that FTS5 takes for letters, as some that are newer than its tables; they are separators
#: like the older ones, so that a word before an emoji is that word.
_SYMBOLS = re.compile("[\u2066-\u2069\u23f4-\u23ff\u2700\u2b4d-\u2bff\U0001f000-\U0001faff]")

#: Normal forms by a version of Unicode that does not change with Python's.
_normal = unicodedata.ucd_3_2_0.normalize


def clean(text: str) -> str:
    """`text` in composed form, with blanks for what no index can hold."""
    if text.isascii():
        return text.replace("\x00", " ")
    text = _UNFIT.sub(" ", text)
    # Asking is ten times faster. What is normal for a later Unicode is so for 3.2 too: forms of
    # characters that are there do not change.
    return text if unicodedata.is_normalized("NFC", text) else _normal("NFC", text)


def set_apart(text: str) -> str:
    """`text` cleaned, with blanks around each Chinese, Japanese and Korean character.

    Each is then a token of its own, so a phrase of them is any substring.
    """
    text = clean(text)
    return text if text.isascii() else _RUN.sub(_apart, _SYMBOLS.sub(" ", text))


def _apart(run: re.Match[str]) -> str:
    return f" {'  '.join(run[0])} "


def readable_text(content: MessageContent, role: str) -> str:
    """What is searched of a message, as people read it; `set_apart` of it is what is indexed.

    Its text or the texts of its parts, the name of the tool, and the names and arguments of the
    calls it makes; not the model's reasoning, nor metadata.
    """
    text = "\n".join(piece for piece in _pieces(content) if piece)
    return text[:TOOL_CHARACTERS_MAX] if role == "tool" else text


def _pieces(content: MessageContent) -> Iterator[str]:
    if content.tool_name is not None:
        yield content.tool_name
    if content.text is not None:
        yield content.text
    for part in content.parts or ():
        yield from _of_part(part, 0)
    for call in content.tool_calls or ():
        yield call.name
        yield from _of_arguments(call.arguments)


def _of_part(part: Any, depth: int) -> Iterator[str]:
    """The texts of a typed part; opaque fields (images, signatures) are left out."""
    if isinstance(part, str):
        yield part
    elif depth < DEPTH_MAX and isinstance(part, list):
        for one in part:
            yield from _of_part(one, depth + 1)
    elif depth < DEPTH_MAX and isinstance(part, dict):
        for field in _PART_FIELDS:
            if field in ("input", "arguments"):
                yield from _of_arguments(part.get(field))
            else:
                yield from _of_part(part.get(field), depth + 1)


def _of_arguments(arguments: Any) -> Iterator[str]:
    """Names and values of a call's arguments; a text that holds JSON is read as such."""
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            yield arguments
            return
        yield from _of_json(parsed, 0)
    else:
        yield from _of_json(arguments, 0)


def _of_json(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float):
        yield json.dumps(value)
    elif depth < DEPTH_MAX and isinstance(value, list):
        for one in value:
            yield from _of_json(one, depth + 1)
    elif depth < DEPTH_MAX and isinstance(value, dict):
        for key, one in value.items():
            yield str(key)
            yield from _of_json(one, depth + 1)
