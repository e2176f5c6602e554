"""What people type, and the FTS5 expression it stands for. Pure, and total: no text is an error.

- Words must all be there, in any order; letter case and diacritics do not matter.
- ``"several words"`` is a phrase. A quote without a partner is punctuation.
- ``OR`` separates alternatives; ``NOT`` excludes the next word or phrase from its alternative. An
  operator with nothing to join is a word, and so is one in lower case.
- ``dep*`` finds words that begin so.
- Everything else is text: punctuation separates words, and what is joined by it (``my.app``,
  ``a@b.c``, ``it's``) is found as a phrase. So is a run of Chinese, Japanese or Korean.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from projections.search.text import set_apart

#: What is read of a query; the rest is left out.
CHARACTERS_MAX = 2_000

_ITEM = re.compile(r'"([^"]*)"(\*?)|([^\s"]+)')


class Term(NamedTuple):
    """A word or phrase; with `prefix`, its last word may go on."""

    text: str
    prefix: bool


class Alternative(NamedTuple):
    """Terms that must all be there, and terms of which none may."""

    wanted: tuple[Term, ...]
    unwanted: tuple[Term, ...]


class Query(NamedTuple):
    """Alternatives, of which one must hold."""

    alternatives: tuple[Alternative, ...]

    @property
    def wanted(self) -> tuple[Term, ...]:
        """Every term that can be a reason for a hit."""
        return tuple(term for one in self.alternatives for term in one.wanted)


def parse(typed: str) -> Query:
    """What `typed` asks for; with no word in it there are no alternatives."""
    groups: list[list[str | Term]] = [[]]
    items = _items(typed[:CHARACTERS_MAX])
    for index, item in enumerate(items):
        if item == "OR" and groups[-1] and index + 1 < len(items):
            groups.append([])
        else:
            groups[-1].append(item)
    found = (_alternative(group) for group in groups)
    return Query(tuple(one for one in found if one.wanted))


def _items(typed: str) -> list[str | Term]:
    """Operators as texts, everything else as terms."""
    found: list[str | Term] = []
    for match in _ITEM.finditer(typed):
        phrase, star, word = match.groups()
        if word in ("OR", "NOT", "AND"):
            found.append(word)
        elif word is None:
            found.append(Term(phrase, bool(star)))
        else:
            bare = word.rstrip("*")
            found.append(Term(bare, bare != word))
    return [item for item in found if isinstance(item, str) or has_words(item.text)]


def has_words(text: str) -> bool:
    """Whether there is anything in `text` that an index could hold."""
    return any(one.isalnum() or unicodedata.category(one) == "Co" for one in text)


def _alternative(group: list[str | Term]) -> Alternative:
    wanted: list[Term] = []
    unwanted: list[Term] = []
    negated = False
    for index, item in enumerate(group):
        last = index + 1 == len(group)
        if isinstance(item, Term):
            (unwanted if negated else wanted).append(item)
            negated = False
        elif item == "NOT" and wanted and not last and isinstance(group[index + 1], Term):
            negated = True
        elif item != "AND" or not wanted or last:
            wanted.append(Term(item, False))
    return Alternative(tuple(wanted), tuple(unwanted))


def to_fts5(query: Query) -> str:
    """The query as an FTS5 expression; an empty text when nothing can be found.

    Terms are strings in quotes: nothing that was typed is syntax. Terms side by side are an
    implicit AND, which FTS5 lets go on without a term in which its tokenizer finds nothing.
    """
    return " OR ".join(f"({_alternative_to_fts5(one)})" for one in query.alternatives)


def _alternative_to_fts5(one: Alternative) -> str:
    wanted = " ".join(map(_term_to_fts5, one.wanted))
    if not one.unwanted:
        return wanted
    return f"({wanted}) NOT ({' OR '.join(map(_term_to_fts5, one.unwanted))})"


def _term_to_fts5(term: Term) -> str:
    quoted = set_apart(term.text).replace('"', " ").strip()
    return f'"{quoted}" *' if term.prefix else f'"{quoted}"'
