"""What was said between an agent's loop and its model and tools, and the file that holds it.

A script is self-contained: no store is needed to replay it. Chat messages are kept once, in
`messages`, and requests name them by their places as runs ``(first, length)``, because each request
repeats most of the one before. `docs/replaying.md` describes the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from eventstore import codec
from eventstore.errors import EventFormatError, ReplayError
from eventstore.session import runs
from eventstore.session.runs import Runs

#: The number of the file's shape.
SCHEMA = 1


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of the tool call with this id, as the chat message's content."""

    id: str
    content: Any
    failed: bool = False


class Exchange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of the model: what it was sent, what it answered, and what the tools gave.

    `version` is the session's before the answer; `prompted` says that the request begins with the
    system prompt.
    """

    version: int
    request: Runs
    response: int
    prompted: bool = False
    results: tuple[Result, ...] = ()


class Script(Struct, frozen=True, kw_only=True):
    """Everything that a loop was given, in order, between two versions of a session.

    `start` is the context before the first message; `inputs` are the places of messages that came
    from neither model nor tool, `notes` those of the compactions' notes.
    """

    fixture: int
    session: str
    after: int
    upto: int
    messages: list[dict[str, Any]]
    start: Runs
    inputs: tuple[int, ...]
    notes: tuple[int, ...]
    exchanges: tuple[Exchange, ...]

    def at(self, places: Runs) -> list[dict[str, Any]]:
        """The messages at these places."""
        return [self.messages[place] for place in runs.numbers_of(places)]


_decoder = msgspec.json.Decoder(Script)


def encode(script: Script) -> bytes:
    """The file: JSON with one message and one exchange a line, so that differences can be read."""
    return b"".join(_pieces(script))


def _pieces(script: Script) -> Iterator[bytes]:
    separator = b"{\n"
    for name in script.__struct_fields__:
        value = getattr(script, name)
        yield separator + codec.encode(name) + b": "
        separator = b",\n"
        if name in ("messages", "exchanges"):
            yield b"[" + b",".join(b"\n  " + codec.encode(one) for one in value) + b"\n]"
        else:
            yield codec.encode(value)
    yield b"\n}\n"


def decode(data: bytes, name: str) -> Script:
    """The script in a file of this name; raises `ReplayError` when it is none, or a newer one."""
    try:
        whole = codec.decode(data)
        number = whole.get("fixture") if isinstance(whole, dict) else None
        if number != SCHEMA:
            raise ReplayError(
                f"{name} is no fixture of schema {SCHEMA} but of {number!r}; write it again with "
                "`eventstore fixture`, or update"
            )
        script = codec.decode_as(data, _decoder)
    except EventFormatError as error:
        raise ReplayError(f"{name} is no fixture: {error}") from error
    known = range(len(script.messages))
    if not all(place in known for place in _places(script)):
        raise ReplayError(f"{name} is no fixture: it names messages that it does not hold")
    return script


def _places(script: Script) -> Iterable[int]:
    yield from script.inputs
    yield from script.notes
    for first, length in (
        *script.start, *(run for exchange in script.exchanges for run in exchange.request)
    ):  # fmt: skip
        yield from (first, first + length - 1)
    yield from (exchange.response for exchange in script.exchanges)


def load(path: str | Path) -> Script:
    """The script in a file; raises `ReplayError` when it is none, and Python's `OSError`."""
    return decode(Path(path).read_bytes(), str(path))
