"""The fields at the head of an issue file: as much of YAML as little-loops reads of it. Pure."""

from __future__ import annotations

import re
from typing import Any

_END = re.compile(r"\n---\s*\n")

#: Other words for a status.
_STATUSES = {
    "complete": "done",
    "completed": "done",
    "finished": "done",
    "closed": "done",
    "in-progress": "in_progress",
    "in progress": "in_progress",
    "wip": "in_progress",
}


def frontmatter(text: str) -> dict[str, Any]:
    """The fields between the two lines ``---`` that a file begins with; none without them.

    A value is a text, a list of texts, or None: also for a block of several lines, which is not
    read.
    """
    end = _END.search(text, 3) if text.startswith("---") else None
    if end is None:
        return {}
    found: dict[str, Any] = {}
    items: list[str] = []
    for line in map(str.strip, text[4 : end.start()].split("\n")):
        if not line or line.startswith("#"):
            continue
        if line.startswith("- "):
            items.append(line[2:].strip())  # of nothing, where no field waits for items
            continue
        items = []
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = _value(value.strip(), items)
    fields: dict[str, Any] = {
        name: value or None if value is not _EMPTY else [] for name, value in found.items()
    }
    status = fields.get("status")
    if isinstance(status, str):
        fields["status"] = _STATUSES.get(status, status)
    return fields


#: What ``[]`` says.
_EMPTY: list[str] = []


def _value(written: str, items: list[str]) -> Any:
    """A field's value; `items` where they are to follow on lines of their own."""
    if not written:
        return items
    if written[0] in "|>" or written.lower() in ("null", "~"):
        return None
    if written[0] == "[" and written[-1] == "]":
        inner = written[1:-1].strip()
        return [one.strip() for one in inner.split(",")] if inner else _EMPTY
    return written
