"""Policies: what is to be done with which sessions, and the TOML file of them.

```toml
[[policy]]
name = "sub-agents after a month"
do = "erase"
older_than = "30d"
kind = "subagent"
```

A policy has at least one of `older_than` and `above`. Everything it says must hold.
"""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import (
    ContextCompacted,
    FileTouched,
    IssueMoved,
    Kind,
    LoopMoved,
    MessageAppended,
    RecordImported,
    ToolCalled,
    UserCorrected,
)
from eventstore.events.stored import CLASSES, CUSTOM_NAME
from eventstore.session.state import Status

#: The events whose content `erase-content` erases unless told otherwise.
TYPES = tuple(
    one.type
    for one in (
        MessageAppended, ContextCompacted, RecordImported, ToolCalled, FileTouched, IssueMoved,
        LoopMoved, UserCorrected,
    )
)  # fmt: skip

_AGE = re.compile(r"([0-9]{1,6}) ?(min|h|d|w|y)")
_SECONDS = {"min": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_UNITS = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


#: Characters of a policy's name, which the events of what it does repeat.
NAME_MAX = 100


class Action(StrEnum):
    """What a policy does with a session."""

    CLOSE = "close"
    ERASE_CONTENT = "erase-content"
    ERASE = "erase"


class Policy(Struct, frozen=True, kw_only=True):
    """One rule; `read_policies` makes it of a table of the file.

    `older_than` (µs) is the age of a session's last activity; with `erase-content` that of the
    event, by the time its source gives for it. `above` (bytes) takes the sessions with the oldest
    activity, as many as bring what the store uses below it. `sources`, `kind` and `statuses` leave
    only such sessions, `types` says which events lose their content.

    Raises `InvalidValueError` for what contradicts itself.
    """

    name: str
    do: Action
    older_than: int | None = None
    above: int | None = None
    sources: tuple[str, ...] | None = None
    kind: Kind | None = None
    statuses: tuple[Status, ...] | None = None
    types: tuple[str, ...] = TYPES

    def __post_init__(self) -> None:
        if not (self.name and self.name.isprintable() and len(self.name) <= NAME_MAX):
            raise InvalidValueError(
                f"a policy has a name of at most {NAME_MAX} printable characters, not {self.name!r}"
            )
        where = f"policy {self.name!r}"
        if self.older_than is None and self.above is None:
            raise InvalidValueError(f"{where} says neither older_than nor above")
        if self.above is not None and self.do is not Action.ERASE:
            raise InvalidValueError(f"{where}: only do = 'erase' can make the store small enough")
        if self.types != TYPES and self.do is not Action.ERASE_CONTENT:
            raise InvalidValueError(f"{where}: types are for do = 'erase-content'")
        for name in self.types:
            cls = CLASSES.get(name)
            if cls.content_type is None if cls is not None else not CUSTOM_NAME.fullmatch(name):
                raise InvalidValueError(f"{where}: no event of type {name!r} has content")


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy as the file has it."""

    name: str
    do: Action
    older_than: str | None = None
    above: str | None = None
    source: str | list[str] | None = None
    kind: Kind | None = None
    status: Status | list[Status] | None = None
    types: list[str] | None = None


class _File(Struct, forbid_unknown_fields=True):
    policy: list[_Table]


def read_policies(source: str | Path) -> tuple[Policy, ...]:
    """The policies in a TOML file, in its order.

    Raises `InvalidValueError`, which says where the file is wrong, and `OSError`.
    """
    path = Path(source)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        found = msgspec.convert(table, _File)
        policies = tuple(_policy(one) for one in found.policy)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidValueError(f"{path} holds no policies: {error}") from error
    names = [one.name for one in policies]
    if len(set(names)) < len(names):
        raise InvalidValueError(f"{path}: two policies have one name: {names}")
    return policies


def _policy(table: _Table) -> Policy:
    return Policy(
        name=table.name,
        do=table.do,
        older_than=None if table.older_than is None else age_of(table.older_than),
        above=None if table.above is None else size_of(table.above),
        sources=_several(table.source),
        kind=table.kind,
        statuses=_several(table.status),
        types=TYPES if table.types is None else tuple(table.types),
    )


def _several(value: Any) -> tuple[Any, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def age_of(text: str) -> int:
    """An age like ``12h``, ``90d``, ``6w`` or ``2y`` (of 365 days) in µs."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise InvalidValueError(f"an age is a number and min, h, d, w or y, not {text!r}")
    return int(found[1]) * _SECONDS[found[2]] * 1_000_000


def size_of(text: str) -> int:
    """A size like ``500 MB`` or ``2GiB`` in bytes."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidValueError(f"a size is a number and {', '.join(_UNITS)}, not {text!r}")
    return int(float(found[1]) * _UNITS[found[2]])
