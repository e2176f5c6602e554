"""Which structs JSON gives back equal, known from the types of their fields' values.

Text without lone surrogates, whole numbers that JSON holds exactly, truth values and None come back
from JSON equal or not by their types alone: when a struct with values of some types in its fields
came back once, every other one with the same types does. What other values do (lists, objects,
floats, enumerations) depends on what is in them, and is never known beforehand.
"""

from __future__ import annotations

from typing import Any

from msgspec import NODEFAULT, Struct, inspect
from msgspec.structs import astuple, fields

#: The range in which JSON's readers hold whole numbers exactly.
WHOLE_MAX = 2**53

_PLAIN = frozenset({str, int, bool, type(None)})


class Shapes:
    """The types of values with which structs of one class are known to come back equal."""

    def __init__(self, cls: type[Struct]) -> None:
        self._cls = cls
        #: Fields declared as something else than plain values, known at their default alone.
        self._other = [
            (index, field.default if field.default is not NODEFAULT else _NEVER)
            for index, field in enumerate(fields(cls))
            if not _is_plain(inspect.type_info(field.type))
        ]
        #: For each known combination, which of the fields hold whole numbers.
        self._known: dict[tuple[type, ...], tuple[int, ...]] = {}

    def hold(self, value: Any) -> bool:
        """Whether this value is known to come back equal, if no lone surrogate is in its text."""
        if type(value) is not self._cls:
            return False
        values = astuple(value)
        for index, default in self._other:
            if values[index] is not default:
                return False
        numbers = self._known.get(tuple(map(type, values)))
        if numbers is None:
            return False
        for index in numbers:  # noqa: SIM110 - a generator takes longer than all the rest
            if not -WHOLE_MAX <= values[index] <= WHOLE_MAX:
                return False
        return True

    def learn(self, value: Any) -> None:
        """Note that this one came back equal, if that says something of others."""
        if type(value) is not self._cls:
            return
        values = astuple(value)
        others = dict(self._other)
        if all(
            one is others[index] if index in others else type(one) in _PLAIN
            for index, one in enumerate(values)
        ):
            numbers = [index for index, one in enumerate(values) if type(one) is int]
            self._known[tuple(map(type, values))] = tuple(numbers)


#: Stands for the default of a field that has none: no value is it.
_NEVER = object()


def _is_plain(declared: inspect.Type) -> bool:
    """Whether values of this declared type are refused or taken for their types alone."""
    match declared:
        case inspect.UnionType(types=types):
            return all(_is_plain(one) for one in types)
        case inspect.Metadata(type=inner):
            return _is_plain(inner)
        case inspect.IntType(gt=None, lt=None, multiple_of=None, ge=low, le=high):
            return (low is None or low <= -WHOLE_MAX) and (high is None or high >= WHOLE_MAX)
        case inspect.StrType(min_length=None, max_length=None, pattern=None):
            return True
        case inspect.BoolType() | inspect.NoneType():
            return True
    return False
