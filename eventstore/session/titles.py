"""Titles of conversations that are continued: ``base``, then ``base #2``, ``base #3`` and so on.

Pure. The number of a title is what stands after its last `` #``; one without it is the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"(.*?) #(\d+)", re.DOTALL)
_NUMBER = re.compile(r".* #(\d+)", re.DOTALL)

#: Letters of ASCII are compared without case, as SQLite's LIKE does.
_FOLD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def base_of(title: str) -> str:
    """The title without one number at its end."""
    found = _NUMBERED.fullmatch(title)
    return title if found is None else found[1]


def continues(title: str, base: str) -> bool:
    """Whether `title` is `base` with `` #`` and anything after it; case of ASCII does not count."""
    return title.translate(_FOLD).startswith(f"{base} #".translate(_FOLD))


def next_title(title: str, taken: Iterable[str]) -> str:
    """The next free title of the lineage that `title` belongs to.

    With no title of the lineage taken that is its base. Otherwise it is one more than the highest
    number: gaps are not filled, and the base counts as 1.
    """
    base = base_of(title)
    lineage = [one for one in taken if one == base or continues(one, base)]
    if not lineage:
        return base
    numbers = [int(found[1]) for one in lineage if (found := _NUMBER.fullmatch(one))]
    return f"{base} #{max([1, *numbers]) + 1}"
