"""Snippets: the stretch of a text around its first match, and where the matches are in it."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from projections.search.query import Term
from projections.search.text import CJK, clean

#: Characters of a snippet, and how many of them stand before the first match.
WIDTH = 200
BEFORE = 60

_TOKEN = re.compile(f"[{CJK}]|[^\\W_{CJK}]+")


class Snippet(NamedTuple):
    """A stretch of a text on one line; `highlights` are ``(start, length)`` in characters."""

    text: str
    highlights: tuple[tuple[int, int], ...]


class _Pattern(NamedTuple):
    tokens: tuple[str, ...]
    prefix: bool

    def ends(self, seen: Sequence[str]) -> bool:
        """Whether the last of these tokens complete a match."""
        size = len(self.tokens)
        if len(seen) < size:
            return False
        *words, last = list(seen)[-size:]
        if words != list(self.tokens[:-1]):
            return False
        return last.startswith(self.tokens[-1]) if self.prefix else last == self.tokens[-1]


def fold(token: str) -> str:
    """A token as it is compared: without case and diacritics."""
    if token.isascii():
        return token.lower()
    parts = unicodedata.normalize("NFD", token.lower())
    return unicodedata.normalize("NFC", "".join(c for c in parts if not "̀" <= c <= "ͯ"))


def tokens_of(text: str) -> list[str]:
    """The tokens of a cleaned text, folded."""
    return [fold(match[0]) for match in _TOKEN.finditer(clean(text))]


def snippet(text: str, terms: Sequence[Term]) -> Snippet:
    """The stretch around the first match of any of the terms; the beginning if none is seen."""
    text = clean(text)
    spans = _first_spans(text, terms)
    start = max(0, spans[0][0] - BEFORE) if spans else 0
    if start:  # not in the middle of a word
        blank = text.find(" ", start, spans[0][0])
        start = blank + 1 if blank >= 0 else start
    end = min(len(text), start + WIDTH)
    return _on_one_line(text, start, end, [span for span in spans if span[1] <= end])


def _first_spans(text: str, terms: Sequence[Term]) -> list[tuple[int, int]]:
    """Where matches are, from the first one as far as a snippet goes."""
    patterns = [_Pattern(tuple(tokens_of(term.text)), term.prefix) for term in terms]
    patterns = [pattern for pattern in patterns if pattern.tokens]
    exact = {pattern.tokens[-1] for pattern in patterns if not pattern.prefix}
    begins = tuple(pattern.tokens[-1] for pattern in patterns if pattern.prefix)
    longest = max((len(pattern.tokens) for pattern in patterns), default=0)
    seen: deque[str] = deque(maxlen=longest)
    starts: deque[int] = deque(maxlen=longest)
    spans: list[tuple[int, int]] = []
    if not patterns:
        return spans
    for match in _TOKEN.finditer(text):
        if spans and match.start() > spans[0][0] + WIDTH:
            break
        token = fold(match[0])
        seen.append(token)
        starts.append(match.start())
        if token not in exact and not token.startswith(begins):
            continue  # no pattern ends here
        sizes = [len(pattern.tokens) for pattern in patterns if pattern.ends(seen)]
        if sizes:
            first = starts[-max(sizes)]
            while spans and first < spans[-1][1]:  # overlapping matches are one
                first = min(first, spans.pop()[0])
            spans.append((first, match.end()))
    return spans


def _on_one_line(text: str, start: int, end: int, spans: list[tuple[int, int]]) -> Snippet:
    """Runs of blanks and line ends as one blank; the spans follow."""
    lead, tail = ("…" if start else ""), ("…" if end < len(text) else "")
    shown, at, moved = lead, start, []
    for first, last in spans:
        shown += _squeeze(text[at:first])
        begin = len(shown)
        shown += _squeeze(text[first:last])
        moved.append((begin, len(shown) - begin))
        at = last
    return Snippet(shown + _squeeze(text[at:end]) + tail, tuple(moved))


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text)
