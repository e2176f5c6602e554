"""FTS5's own query syntax, as a caller writes it: made fit for this index. Pure.

The expression stays what it is, with two changes. Texts are cleaned and set apart as indexed ones
are, or Chinese, Japanese and Korean would not be found. And it begins with a blank: one that begins
with ``*`` would be a command to FTS5, not a query.
"""

from __future__ import annotations

import re

from projections.search.query import Term, has_words
from projections.search.text import set_apart

#: A string, a bareword, or anything else.
_ITEM = re.compile(r'"((?:[^"]|"")*)"|([A-Za-z0-9_\x1a\x80-\U0010ffff]+)|([^"])')
_OPERATORS = ("AND", "OR", "NOT", "NEAR")


def to_index(typed: str) -> str:
    """The expression that is given to FTS5."""
    return " " + _ITEM.sub(_fit, typed)


def _fit(item: re.Match[str]) -> str:
    if item[0].isascii():
        return item[0]
    text = item[1] if item[1] is not None else item[0]
    return f'"{set_apart(text)}"'


def terms_of(typed: str) -> tuple[Term, ...]:
    """The words and phrases that can be a reason for a hit, for its snippet."""
    found: list[Term] = []
    items = [item for item in _ITEM.finditer(typed) if not item[0].isspace()]
    for index, item in enumerate(items):
        following = items[index + 1][0] if index + 1 < len(items) else ""
        before = items[index - 1][0] if index else ""
        distance = before == "," and item[0].isdigit()
        if item[3] is not None or item[0] in _OPERATORS or following == ":" or distance:
            continue
        text = item[0] if item[1] is None else item[1].replace('""', '"')
        if has_words(text):
            found.append(Term(text, following == "*"))
    return tuple(found)
