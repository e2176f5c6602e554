"""References from a source record into the content it was made into.

A marker ``{"$ref": …}`` in a stored record stands for a value of the event's own content:

- ``"/text"``: the value at this place (a JSON pointer),
- ``["after", prefix, "/text"]``: a text that ends with the text there,
- ``["unnumbered", length, "/text"]``: the first `length` characters of the text there, without
  the line numbers that agents' file viewers put before each line.

The last two are second copies that agents keep beside a tool's result; with exact copies they are
two fifths of a transcript's bytes.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from msgspec import Struct

from eventstore import codec

NAME = "$ref"
_NAMES = frozenset({NAME})

#: Shorter texts are kept in place: a reference would be as long.
TEXT_MIN = 24

#: Second copies that are not exact are looked for from this length on.
DERIVED_MIN = 64

_NUMBER = re.compile(r"^ *\d+(?:→|\t)", re.MULTILINE)


class _Places:
    """Where in a content each text, and each object or list by identity, is found."""

    def __init__(self, content: Any) -> None:
        self.texts: dict[str, str] = {}
        self.nodes: dict[int, str] = {}
        self._unnumbered: list[tuple[str, str]] | None = None
        for field in content.__struct_fields__:
            if field != "record":
                value = getattr(content, field)
                if value is not None:
                    self._add(value, "/" + field)
        # A shorter text is neither a copy of a known one nor derived from one.
        lengths = map(len, self.texts)
        self.text_min = min(DERIVED_MIN, *lengths) if self.texts else sys.maxsize

    def _add(self, value: Any, place: str) -> None:
        kind = type(value)
        if kind is str:
            if len(value) >= TEXT_MIN:
                self.texts.setdefault(value, place)
        elif kind is dict:
            if value:
                self.nodes[id(value)] = place
            for key, item in value.items():
                self._add(item, f"{place}/{_escape(key)}")
        elif kind is list or kind is tuple:
            if value:
                self.nodes[id(value)] = place
            for index, item in enumerate(value):
                self._add(item, f"{place}/{index}")
        elif isinstance(value, Struct):
            for field in value.__struct_fields__:
                self._add(getattr(value, field), f"{place}/{field}")

    def short(self, value: Any) -> Any:
        """`value` with markers, as `codec.mark` makes it but in fewer calls.

        What has no marker in it is not copied.
        """
        kind = type(value)
        if kind is str:
            return value if len(value) < self.text_min else self._text(value)
        if kind is not dict and kind is not list:
            return value
        place = self.nodes.get(id(value))
        if place is not None:
            return {NAME: place}
        copy, text_min = value, self.text_min
        for key, item in value.items() if kind is dict else enumerate(value):
            inner = type(item)
            if inner is str:
                if len(item) < text_min:
                    continue
                made = self._text(item)
            elif inner is dict or inner is list:
                made = self.short(item)
            else:
                continue
            if made is not item:
                if copy is value:
                    copy = value.copy()
                copy[key] = made
        if len(copy) == 1 and kind is dict and (NAME in copy or codec.LITERAL in copy):
            return {codec.LITERAL: copy}
        return copy

    def _text(self, text: str) -> Any:
        """The marker that may stand for a text of at least `text_min`, or the text."""
        place = self.texts.get(text)
        if place is not None:
            return {NAME: place}
        if len(text) < DERIVED_MIN:
            return text
        return self._derived(text) or text

    def _derived(self, text: str) -> dict[str, Any] | None:
        for known, place in self.texts.items():
            if len(known) >= DERIVED_MIN and text.endswith(known):
                return {NAME: ["after", text[: -len(known)], place]}
        if self._unnumbered is None:
            self._unnumbered = [
                (_unnumber(known), place)
                for known, place in self.texts.items()
                if _NUMBER.match(known)
            ]
        for bare, place in self._unnumbered:
            if bare.startswith(text):
                return {NAME: ["unnumbered", len(text), place]}
        return None


def _unnumber(text: str) -> str:
    return _NUMBER.sub("", text)


def shorten(value: Any, content: Any) -> Any:
    """`value` with markers for what stands in `content`, a Struct; it is not changed.

    Objects and lists are recognised when they are the very same objects, texts when equal.
    """
    return _Places(content).short(value)


def lengthen(value: Any, content: Any) -> Any:
    """Undo `shorten`.

    Raises `LookupError`, `TypeError`, `ValueError` or `AttributeError` when a marker does not fit
    the content.
    """

    def resolve(_: str, argument: Any) -> Any:
        if type(argument) is str:
            return _at(content, argument)
        kind, detail, place = argument
        text = _at(content, place)
        if kind == "after":
            return detail + text
        if kind == "unnumbered":
            return _unnumber(text)[:detail]
        raise ValueError(f"unknown reference {kind!r}")

    return codec.expand(value, _NAMES, resolve)


def _at(content: Any, place: str) -> Any:
    value = content
    for token in place[1:].split("/"):
        if isinstance(value, Struct):
            value = getattr(value, token)
        elif type(value) is dict:
            value = value[token.replace("~1", "/").replace("~0", "~")]
        else:
            value = value[int(token)]
    return value


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
