"""Bodies: content as stored text, with large strings kept once in `blobs`.

A string of at least `BLOB_BYTES` inside a body is replaced by ``{"$blob": "<sha256 in hex>"}``,
so that the same screenshot or tool output is stored once however many events hold it. The body as
stored (with the marker) is what the commitment covers; the digest in it binds the blob.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from eventstore import codec
from eventstore.errors import CorruptStoreError
from eventstore.events import stored

#: Strings of at least this many UTF-8 bytes leave the body (p99 of whole real records is 51 kB).
BLOB_BYTES = 64 * 1024

BLOB = "$blob"
_NAMES = frozenset({BLOB})
_MARKS = (b'"$blob"', b'"$literal"')

#: A body without this has no marker in it: the quickest test there is.
MARK = "$"
MARK_BYTE = ord(MARK)


def has_marks(body: bytes) -> bool:
    """Whether a stored body may refer to blobs."""
    # Looking for one byte first is quick, and most texts hold no dollar sign.
    return MARK_BYTE in body and (_MARKS[0] in body or _MARKS[1] in body)


def spill(content: Any, body: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body to store for `content` whose plain JSON is `body`, and its ``(digest, blob)``s."""
    if len(body) < BLOB_BYTES and not has_marks(body):
        return body, []
    blobs: dict[bytes, bytes] = {}

    def replace(node: Any) -> Any:
        if type(node) is not str or len(node) * 4 < BLOB_BYTES:
            return None
        data = node.encode("utf-8", "surrogatepass")
        if len(data) < BLOB_BYTES:
            return None
        digest = hashlib.sha256(data).digest()
        blobs[digest] = data
        return {BLOB: digest.hex()}

    value = codec.mark(msgspec.to_builtins(content), _NAMES, replace)
    return codec.encode(value), list(blobs.items())


def read_content(
    name: str, schema: int, body: bytes, fetch: Callable[[bytes], bytes | None]
) -> Any:
    """The content in a stored body; `fetch` gives the blob of a digest.

    Raises `CorruptStoreError` when a blob is missing or has other bytes than its digest says.
    """
    if not has_marks(body):
        return stored.read_content(name, schema, body)

    def resolve(_: str, argument: Any) -> Any:
        return fetch_blob(argument, fetch).decode("utf-8", "surrogatepass")

    value = codec.expand(codec.decode(body), _NAMES, resolve)
    return stored.type_content(name, schema, value)


def fetch_blob(argument: Any, fetch: Callable[[bytes], bytes | None]) -> bytes:
    """The checked bytes of the blob that a marker names."""
    data = fetch(bytes.fromhex(argument)) if isinstance(argument, str) else None
    if data is None:
        raise CorruptStoreError(f"blob {argument!r} is missing")
    if hashlib.sha256(data).hexdigest() != argument:
        raise CorruptStoreError(f"blob {argument} has other bytes than its digest says")
    return data


def digests_in(body: bytes) -> list[bytes]:
    """The digests of the blobs that a stored body refers to."""
    if _MARKS[0] not in body:
        return []
    found: list[bytes] = []

    def resolve(_: str, argument: Any) -> Any:
        found.append(bytes.fromhex(argument))

    codec.expand(codec.decode(body), _NAMES, resolve)
    return found
