"""Contents that hold text and nothing else, which JSON gives back equal whatever the text says.

Text is the one value of which that is so by its type alone, if no lone surrogate is in it. Lists,
objects and numbers depend on what is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

_TEXT_TYPES = frozenset({str, type(None)})


def test_for(cls: type[Struct] | None) -> Callable[[Any], bool]:
    """A test of whether a value is of this class and holds text alone; never true of other classes.

    Only fields that are declared as ``str | None`` count as text; all others must be None. A class
    of which a field has another default, or none, is left to those who look at each value.
    """
    found = () if cls is None else fields(cls)
    text = [field.name for field in found if field.type == str | None]
    other = [field.name for field in found if field.name not in text]
    if len(text) < 2 or len(other) < 2 or any(field.default is not None for field in found):
        return lambda _: False  # an `attrgetter` of several names gives tuples
    texts, others, nothing = attrgetter(*text), attrgetter(*other), (None,) * len(other)

    def holds_text_alone(value: Any) -> bool:
        return (
            type(value) is cls
            and others(value) == nothing
            and _TEXT_TYPES.issuperset(map(type, texts(value)))
        )

    return holds_text_alone
