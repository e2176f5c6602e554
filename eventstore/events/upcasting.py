"""Reading facts of older schema numbers.

Stored bytes never change. When the facts of a type change shape, its class gets the next
`schema` number and one upcaster ``(type, from_schema)`` is registered here, which turns facts of
that schema into facts of the next one. `events.stored.read` is the only caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from eventstore.errors import EventFormatError
from eventstore.events.catalogue import CATALOGUE, Event

Facts: TypeAlias = dict[str, Any]
Upcaster: TypeAlias = Callable[[Facts], Facts]

#: ``(type, schema)`` → the function that makes facts of ``schema + 1``.
UPCASTERS: dict[tuple[str, int], Upcaster] = {
    # Schema 2 has a scope and a position, which may be missing; without them it means the same.
    ("export.created", 1): lambda facts: facts,
}


def check_chains(upcasters: Iterable[tuple[str, int]], current: Mapping[str, int]) -> None:
    """Raise `EventFormatError` unless every type's chain runs from schema 1 to the current one.

    No step may be missing, repeated, beyond the current schema or of an unknown type.
    """
    steps = list(upcasters)
    if len(set(steps)) != len(steps):
        raise EventFormatError(f"an upcaster is registered twice: {sorted(steps)}")
    needed = {(name, step) for name, schema in current.items() for step in range(1, schema)}
    if missing := needed.difference(steps):
        raise EventFormatError(f"upcasters are missing for {sorted(missing)}")
    if extra := set(steps).difference(needed):
        raise EventFormatError(f"upcasters lead nowhere: {sorted(extra)}")


def upcast(
    name: str, schema: int, facts: Facts, upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS
) -> Facts:
    """Facts of `schema` brought to the newest schema of the type, step by step."""
    while (step := upcasters.get((name, schema))) is not None:
        facts = step(facts)
        schema += 1
    return facts


def current_schemas(catalogue: Iterable[type[Event]] = CATALOGUE) -> dict[str, int]:
    """The schema number that each type of the catalogue has now."""
    return {cls.type: cls.schema for cls in catalogue}


check_chains(UPCASTERS, current_schemas())
