"""The lines of the format ``events-jsonl``, version 1.

Each line is a JSON object with a field `line` that says what it is: a `header` first, then an
`event` each, and before the first event that refers to it a `blob`. Facts and bodies are JSON
*texts in strings*, exactly as they are stored and hashed: any JSON parser gives back the text that
was hashed, whatever it does to numbers, escapes or the order of keys. Bytes are in hexadecimal.

`docs/schemas/events-jsonl.schema.json` is the same as a JSON Schema.
"""

from __future__ import annotations

import base64
from typing import TypeAlias

import msgspec
from msgspec import Struct

from eventstore import __version__
from eventstore.errors import ImportFailedError
from eventstore.log.rows import StoredRow

FORMAT = "agent-eventstore/events"
VERSION = 1
MADE_BY = f"agent-eventstore {__version__}"

#: Bytes of a line at most: more than SQLite holds in one value.
LINE_MAX = 1 << 30

#: How a header begins, by which a file is recognised.
BEGIN = f'{{"line":"header","format":"{FORMAT}"'.encode()


class SessionEnd(Struct, frozen=True, kw_only=True):
    """A chosen session in a header, and its last event that is exported."""

    stream: int
    session: str
    incarnation: int
    version: int
    leaf: str


class Header(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="line", tag="header"):
    """What the file holds: the events up to position `to_position`, whose leaf is `head`.

    `sessions` are the chosen ones where it is not the whole log, one after the other. `content` is
    ``none`` where texts were left out.
    """

    format: str
    version: int
    made_by: str
    to_position: int
    head: str
    content: str
    sessions: list[SessionEnd] | None = None


class EventLine(
    Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="line",
    tag="event",
):  # fmt: skip
    """An event: its columns as they are stored.

    `key` is missing without an idempotency key, `commitment` without content. With content there
    are `salt` and `body`, or `erased`, or (by an export without texts) `withheld`.
    """

    position: int
    session: str
    incarnation: int
    stream: int
    uid: str
    version: int
    type: str
    schema: int
    recorded_at: int
    actor: int
    key: str | None = None
    facts: str
    salt: str | None = None
    body: str | None = None
    erased: bool = False
    withheld: bool = False
    commitment: str | None = None
    leaf: str


class BlobLine(
    Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="line",
    tag="blob",
):  # fmt: skip
    """A text that bodies refer to by its `digest`; in `base64` where it is not UTF-8."""

    digest: str
    text: str | None = None
    base64: str | None = None


Line: TypeAlias = Header | EventLine | BlobLine

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """A line, with its end."""
    return _encoder.encode(line) + b"\n"


def decode(data: bytes) -> Line:
    """The line in these bytes; raises `ImportFailedError` when it is none of the format's."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImportFailedError(f"this is no line of {FORMAT}: {error}") from error


def event_line(row: StoredRow, *, content: bool) -> EventLine:
    """The line of a row; without `content` its text is withheld."""
    committed = row.commitment is not None
    erased = committed and row.body is None
    shown = content and row.salt is not None
    return EventLine(
        position=row.position,
        session=row.session_id,
        incarnation=row.incarnation,
        stream=row.stream,
        uid=row.uid.hex(),
        version=row.version,
        type=row.type,
        schema=row.schema,
        recorded_at=row.recorded_at,
        actor=row.actor,
        key=row.key,
        facts=row.facts,
        salt=row.salt.hex() if shown and row.salt is not None else None,
        body=row.body if shown else None,
        erased=erased,
        withheld=committed and not erased and not content,
        commitment=None if row.commitment is None else row.commitment.hex(),
        leaf=row.leaf.hex(),
    )


def blob_line(digest: bytes, data: bytes) -> BlobLine:
    """The line of a blob; one with half of a surrogate pair is no UTF-8."""
    try:
        return BlobLine(digest=digest.hex(), text=data.decode())
    except UnicodeDecodeError:
        return BlobLine(digest=digest.hex(), base64=base64.b64encode(data).decode())


def blob_data(line: BlobLine) -> bytes:
    """The bytes of a blob's line; raises `ImportFailedError` when it has not one form of them."""
    if (line.text is None) == (line.base64 is None):
        raise ImportFailedError("a blob has either text or base64")
    if line.text is not None:
        return line.text.encode()
    try:
        return base64.b64decode(line.base64 or "", validate=True)
    except ValueError as error:
        raise ImportFailedError(f"the base64 of the blob cannot be read: {error}") from error
