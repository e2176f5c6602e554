"""Search as Hermes's store offers it: its query clean-up, and its shape of a hit."""

from __future__ import annotations

import re
from typing import Any

from eventstore.adapters.hermes.messages import content_of
from eventstore.adapters.hermes.rows import seconds
from eventstore.store.searching import Hit
from eventstore.store.views import MessageView
from projections.queries.listing import BriefRow

#: Hits that a search without a limit gives.
ALL = 10_000

#: Characters of a neighbour's text that a hit shows.
CONTEXT_CHARACTERS = 200

_PHRASE = re.compile(r'("[^"]*")')
_SYNTAX = re.compile(r'[+{}()"^]')
_STARS = re.compile(r"\*+")
_LONE_STAR = re.compile(r"(?<!\S)\*")
_LEADING = re.compile(r"(?:AND|OR|NOT)\b\s*", re.IGNORECASE)
_TRAILING = re.compile(r"\s+(?:AND|OR|NOT)\s*$", re.IGNORECASE)
_HYPHENATED = re.compile(r"\b(\w+(?:-\w+)+)\b")
_COLUMN = re.compile(r"(?<![\w:])content\s*:\s*", re.IGNORECASE)
_NEAR = re.compile(r"\bNEAR\s*\(([^()]*?)(?:,\s*\d+\s*)?\)")
_SLOT = re.compile("\x00Q(\\d+)\x00")


def sanitize_query(typed: str) -> str:
    """What was typed as an FTS5 expression that is rarely an error.

    Phrases in balanced quotes stay; characters of the syntax become blanks, stars are single and
    follow something, no operator stands at an end, and words joined by hyphens are phrases.
    """
    phrases: list[str] = []

    def keep(match: re.Match[str]) -> str:
        phrases.append(match[0])
        return f"\x00Q{len(phrases) - 1}\x00"

    text = _SYNTAX.sub(" ", _PHRASE.sub(keep, typed))
    text = _LONE_STAR.sub("", _STARS.sub("*", text)).strip()
    if leading := _LEADING.match(text):
        text = text[leading.end() :]
    text = _HYPHENATED.sub(r'"\1"', _TRAILING.sub("", text.strip()))

    def restore(match: re.Match[str]) -> str:
        number = int(match[1])
        return phrases[number] if number < len(phrases) else match[0]

    return _SLOT.sub(restore, text).strip()


def query_of(typed: str) -> str:
    """What was typed for the engine's search, to which punctuation is text.

    The one column of Hermes's index, ``content:``, is dropped: everything searched is content. Of
    ``NEAR(…)`` the words are left.
    """
    pieces = _PHRASE.split(sanitize_query(_NEAR.sub(r" \1 ", typed)))
    return "".join(
        piece if _PHRASE.fullmatch(piece) else _COLUMN.sub("", piece) for piece in pieces
    ).strip()


def marked(hit: Hit) -> str:
    """The snippet with its matches between ``>>>`` and ``<<<``."""
    text, at = "", 0
    for start, length in hit.highlights:
        text += f"{hit.snippet[at:start]}>>>{hit.snippet[start : start + length]}<<<"
        at = start + length
    return text + hit.snippet[at:]


def result_row(hit: Hit, session: BriefRow, around: list[MessageView]) -> dict[str, Any]:
    """One hit; `around` are the message before it, itself, and the one after it."""
    [message] = [one for one in around if one.seq == hit.seq]
    return {
        "id": hit.position,
        "session_id": hit.session_id,
        "role": hit.role,
        "snippet": marked(hit),
        "timestamp": seconds(hit.at),
        "tool_name": message.tool_name,
        "source": session.source,
        "model": session.model,
        "session_started": seconds(session.created_at),
        "context": [{"role": one.role, "content": shown(one)} for one in around],
    }


def shown(message: MessageView) -> str:
    """The beginning of what a message says, of several parts their texts."""
    content = content_of(message)
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = " ".join(text for text in texts if isinstance(text, str))
    return (content or "")[:CONTEXT_CHARACTERS]
