"""Texts that a statement selects beside a row, so that a row and its texts are one statement."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from eventstore.errors import CorruptStoreError, EventFormatError
from eventstore.events import stored
from eventstore.log import blobs, reading, redactions

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def body_at(position: str) -> str:
    """SQL for the body in force at a position, which is an expression; NULL when it was erased."""
    body = redactions.BODY
    return f"(SELECT {body} FROM contents AS c WHERE c.position = {position})"  # noqa: S608


def content_in(connection: apsw.Connection, body: str | None, stream: int) -> dict[str, Any]:
    """The content in a stored body of a session's, as plain JSON; empty for None.

    Raises `CorruptStoreError` naming the stream when it cannot be read.
    """
    if body is None:
        return {}
    if blobs.MARK not in body:
        try:
            return _decode(body)
        except stored.UNREAD:
            pass  # the long way knows what msgspec does not, or says what is wrong
    try:
        value = blobs.read_content("", 1, body.encode(), reading.blob_fetcher(connection))
    except (EventFormatError, CorruptStoreError) as error:
        raise CorruptStoreError(
            f"a text of the session with stream number {stream} cannot be read: {error}"
        ) from error
    if type(value) is not dict:
        raise CorruptStoreError(f"a text of the session with stream number {stream} is {value!r}")
    return value
