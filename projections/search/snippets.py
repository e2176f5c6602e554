"""Snippets: the stretch of a text around its first match, and where the matches are in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from projections.search.query import Term
from projections.search.text import CJK, clean

#: Characters of a snippet, and how many of them stand before the first match.
WIDTH = 200
BEFORE = 60

_TOKEN = re.compile(f"[{CJK}]|[^\\W_{CJK}]+")
_ONE = re.compile(f"[{CJK}]")
_CJK_FIRST = CJK[0]
#: What stands between two tokens that follow each other.
_BETWEEN = re.compile(r"[\W_]*")
#: Letters of which some have another form without diacritics.
_MARKED = re.compile("[\u00c0-\u024f\u0370-\u052f\u1e00-\u1fff]")


class Snippet(NamedTuple):
    """A stretch of a text on one line; `highlights` are ``(start, length)`` in characters."""

    text: str
    highlights: tuple[tuple[int, int], ...]


class _Unmarked(dict[int, int]):
    """Characters to the same without diacritics, filled as they are met."""

    def __missing__(self, code: int) -> int:
        one = chr(code)
        self[code] = found = ord(
            unicodedata.normalize("NFD", one)[0] if _MARKED.match(one) else one
        )
        return found


_UNMARKED = _Unmarked({ord("ς"): ord("σ")})


def fold(text: str) -> str:
    """A text as it is compared, without case and diacritics: as many characters as before."""
    lowered = text.lower()
    if len(lowered) != len(text):  # of all characters, only this one becomes two
        lowered = text.replace("İ", "I").lower()
    if text.isascii() or not _MARKED.search(lowered):
        return lowered
    return lowered.translate(_UNMARKED)


class Pattern(NamedTuple):
    """The tokens of a term, folded; with `prefix`, the last one may go on."""

    tokens: tuple[str, ...]
    prefix: bool

    def spans(self, folded: str) -> Iterator[tuple[int, int]]:
        """Where the term is in a folded text."""
        start = folded.find(self.tokens[0])
        while start >= 0:
            end = self._end(folded, start)
            if end is not None:
                yield start, end
            start = folded.find(self.tokens[0], start + 1)

    def _end(self, folded: str, start: int) -> int | None:
        """Where a match ends whose first token begins here; None if there is none."""
        if start and _in_word(folded, start):
            return None
        end = self._token_end(folded, start, 0)
        for index in range(1, len(self.tokens)):
            if end is None:
                return None
            start = _BETWEEN.match(folded, end).end()  # type: ignore[union-attr]
            end = self._token_end(folded, start, index)
        return end

    def _token_end(self, folded: str, start: int, index: int) -> int | None:
        token = self.tokens[index]
        if not folded.startswith(token, start):
            return None
        end = start + len(token)
        if _in_word(folded, end):
            if not self.prefix or index + 1 < len(self.tokens):
                return None
            return _TOKEN.match(folded, start).end()  # type: ignore[union-attr]
        return end


def _in_word(text: str, at: int) -> bool:
    """Whether the characters before and after this place are of the same word."""
    pair = text[at - 1 : at + 1]
    return len(pair) == 2 and pair.isalnum() and (max(pair) < _CJK_FIRST or not _ONE.search(pair))


def patterns_of(terms: Iterable[Term]) -> tuple[Pattern, ...]:
    """What finds the terms; those without a word are left out."""
    found = (Pattern(tuple(_TOKEN.findall(fold(clean(one.text)))), one.prefix) for one in terms)
    return tuple(one for one in dict.fromkeys(found) if one.tokens)


def snippet(text: str, patterns: Sequence[Pattern]) -> Snippet:
    """The stretch around the first match of any pattern; the beginning if none is seen."""
    text = clean(text)
    spans = _first_spans(fold(text), patterns)
    start = max(0, spans[0][0] - BEFORE) if spans else 0
    if start:  # not in the middle of a word
        blank = text.find(" ", start, spans[0][0])
        start = blank + 1 if blank >= 0 else start
    end = min(len(text), start + WIDTH)
    return _on_one_line(text, start, end, [span for span in spans if span[1] <= end])


def _first_spans(folded: str, patterns: Sequence[Pattern]) -> list[tuple[int, int]]:
    """Where matches are, from the first one as far as a snippet goes; overlapping ones are one."""
    found: list[tuple[int, int]] = []
    last = len(folded)
    for pattern in patterns:
        for span in pattern.spans(folded):
            if span[0] > last:
                break
            found.append(span)
            last = min(last, span[0] + WIDTH)
    spans: list[tuple[int, int]] = []
    for first, end in sorted(found):
        if first > last:
            break
        if spans and first < spans[-1][1]:
            begin, other = spans.pop()
            spans.append((begin, max(end, other)))
        else:
            spans.append((first, end))
    return spans


def _on_one_line(text: str, start: int, end: int, spans: list[tuple[int, int]]) -> Snippet:
    """Runs of blanks and line ends as one blank; the spans follow."""
    lead, tail = ("…" if start else ""), ("…" if end < len(text) else "")
    stretch = text[start:end]
    if stretch.isprintable() and "  " not in stretch:  # a blank is the only printable one
        shift = len(lead) - start
        moved = [(first + shift, last - first) for first, last in spans]
        return Snippet(f"{lead}{stretch}{tail}", tuple(moved))
    shown, at, moved = lead, start, []
    for first, last in spans:
        shown += _squeeze(text[at:first])
        begin = len(shown)
        shown += _squeeze(text[first:last])
        moved.append((begin, len(shown) - begin))
        at = last
    return Snippet(shown + _squeeze(text[at:end]) + tail, tuple(moved))


def _squeeze(text: str) -> str:
    words = " ".join(text.split())
    if not words:
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{words}{' ' if text[-1].isspace() else ''}"
