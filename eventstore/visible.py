"""Text of others made harmless to look at: what cannot be seen, or deceives, becomes escapes."""

from __future__ import annotations

import re

#: Control characters, which can move a terminal's cursor, retitle its window or fake a prompt;
#: marks that reorder text; line ends but ``\n``; lone surrogates, which no encoding has.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LONE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` with its unsafe characters as escapes, as in a Python literal; lines are kept."""
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def inline(text: str) -> str:
    """`text` made visible, line ends and tabs as escapes too: for ids and error messages."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def encodable(text: str) -> str:
    """`text` with U+FFFD for halves of surrogate pairs, which most formats have no bytes for."""
    return text if text.isascii() else _LONE.sub("\ufffd", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
