r"""JSON in and out, exactly.

What goes in comes back equal: `decode(encode(value)) == value` for every value that
`require_json` accepts. msgspec does the work; where it would fail or change a value this module
falls back to the standard library (lone surrogates) or refuses (NaN, infinities, keys that are
not strings, types that JSON lacks). Stored bytes are valid UTF-8 and valid JSON in every case: a
lone surrogate is written as its ``\udXXX`` escape, as `JSON.stringify` does.

Markers are one-key objects that stand for something else inside a stored value (`mark`,
`expand`). An object of the caller's that looks like a marker is escaped, so that nothing a caller
stores can be mistaken for one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, TypeVar

import msgspec

from eventstore.errors import EventFormatError, NotJSONError

T = TypeVar("T")

#: Deeper nesting is refused: JSON parsers, ours and other people's, recurse.
DEPTH_MAX = 200


def _refuse(value: object) -> object:
    raise NotJSONError(f"a value of type {type(value).__name__} cannot be stored as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_refuse)

#: `encode` for what msgspec can do alone; raises one of `NOT_SIMPLE` where only `encode` knows, and
#: so does decoding with msgspec.
encode_simply = _encoder.encode
NOT_SIMPLE = (
    msgspec.DecodeError, NotJSONError, TypeError, ValueError, OverflowError, RecursionError,
)  # fmt: skip


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON of `value`: a msgspec Struct or what `require_json` accepts.

    Raises `NotJSONError` when JSON cannot hold the value.
    """
    try:
        try:
            return _encoder.encode(value)
        except UnicodeEncodeError:
            return _dump(msgspec.to_builtins(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotJSONError(f"the value cannot be stored as JSON: {error}") from error


def _dump(value: Any) -> bytes:
    """JSON text in which lone surrogates are escaped and everything else is plain UTF-8."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def decode(data: bytes) -> Any:
    """The value whose JSON text is `data`; raises `EventFormatError` when it is not JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _load(data)


def decode_as(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode `data` with a typed msgspec decoder, lone surrogates included.

    Raises `EventFormatError` when the data is not JSON or has not the decoder's shape.
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return convert(_load(data), decoder.type)


def convert(value: Any, type_: type[T]) -> T:
    """Give a decoded JSON value its type; raises `EventFormatError` when it does not fit."""
    try:
        return msgspec.convert(value, type_)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        name = getattr(type_, "__name__", str(type_))
        raise EventFormatError(f"stored value is no {name}: {error}") from error


def _load(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise EventFormatError(f"stored value is not JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_SCALARS = (str, int, bool, type(None))


def require_json(value: Any, where: str, depth: int = 0) -> None:
    """Raise `NotJSONError` unless JSON holds `value` and gives it back equal.

    Accepted are str, int, finite float, bool, None, and lists and string-keyed dicts of these,
    nested at most `DEPTH_MAX` deep. `where` names the value in the error.
    """
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is float:
        if not isfinite(value):
            raise NotJSONError(f"{where}: {value!r} has no JSON form; use None or a string")
        return
    if depth >= DEPTH_MAX:
        raise NotJSONError(f"{where}: nested deeper than {DEPTH_MAX} levels")
    if kind is list:
        for index, item in enumerate(value):
            require_json(item, f"{where}[{index}]", depth + 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise NotJSONError(f"{where}: the key {key!r} is not a string")
            require_json(item, f"{where}.{key}", depth + 1)
    else:
        raise NotJSONError(f"{where}: a value of type {kind.__name__} cannot be stored as JSON")


def require_depth(value: Any, where: str) -> None:
    """Raise `NotJSONError` when a value is nested deeper than `DEPTH_MAX`."""
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        level = [
            child
            for node in level
            if isinstance(node, list | dict)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise NotJSONError(f"{where}: nested deeper than {DEPTH_MAX} levels")


# -- markers -----------------------------------------------------------------------------------

#: Wraps an object of the caller's that looks like a marker.
LITERAL = "$literal"


def mark(value: Any, names: frozenset[str], replace: Callable[[Any], Any]) -> Any:
    """Copy `value` with marker objects in place of what `replace` returns something for.

    `replace(node)` gives the marker ``{name: …}`` for a node, or None to keep it. One-key objects
    of the caller's whose key is in `names` (or is `LITERAL`) are wrapped in ``{LITERAL: …}``.
    """
    marker = replace(value)
    if marker is not None:
        return marker
    if type(value) is dict:
        copy = {key: mark(item, names, replace) for key, item in value.items()}
        if len(copy) == 1 and (LITERAL in copy or not names.isdisjoint(copy)):
            return {LITERAL: copy}
        return copy
    if type(value) is list:
        return [mark(item, names, replace) for item in value]
    return value


def expand(value: Any, names: frozenset[str], resolve: Callable[[str, Any], Any]) -> Any:
    """Undo `mark`: put `resolve(name, argument)` where a marker ``{name: argument}`` stands."""
    if type(value) is dict:
        if len(value) == 1:
            [(key, item)] = value.items()
            if key == LITERAL:
                return {k: expand(v, names, resolve) for k, v in item.items()}
            if key in names:
                return resolve(key, item)
        return {key: expand(item, names, resolve) for key, item in value.items()}
    if type(value) is list:
        return [expand(item, names, resolve) for item in value]
    return value
