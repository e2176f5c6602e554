"""`entry/v1`: what is hashed of an event, byte by byte.

The format is frozen by golden vectors (`tests/golden/entry_v1.json`) and documented in
`docs/file-format.md`. Every column of `events` and `contents` is covered: changing any one of
them changes the leaf or breaks the commitment. Stored bytes are hashed as they are; nothing is
ever parsed or canonicalised.

All integers are big-endian. leaf = SHA-256(0x00 || entry), the leaf hash of RFC 6962 §2.1.
"""

from __future__ import annotations

import hashlib
import os
import struct

ENTRY_LABEL = b"agent-eventstore/entry/v1\0"
CONTENT_LABEL = b"agent-eventstore/content/v1\0"

#: Stands for "no previous leaf" and "no content".
ZEROS = bytes(32)
NO_KEY = bytes(16)

SALT_BYTES = 32
UID_BYTES = 16

_PREFIX = b"\0" + ENTRY_LABEL
_head = struct.Struct(">QQQ16s32s32sBH16sH").pack
_length = struct.Struct(">I").pack
_sha256 = hashlib.sha256


def commitment_of(salt: bytes, body: bytes) -> bytes:
    """SHA-256(label || 32-byte salt || stored bytes of the content)."""
    return _sha256(CONTENT_LABEL + salt + body).digest()


def fresh_salts() -> list[bytes]:
    """Salts from the system, asked for many: one call each costs ten times as much.

    None is to be used twice, whatever becomes of its transaction.
    """
    random = os.urandom(SALT_BYTES * 64)
    return [random[at : at + SALT_BYTES] for at in range(0, len(random), SALT_BYTES)]


def key_digest(idempotency_key: str | None) -> bytes:
    """The first 16 bytes of the key's SHA-256, zeros when there is no key."""
    if idempotency_key is None:
        return NO_KEY
    return _sha256(idempotency_key.encode("utf-8", "surrogatepass")).digest()[:16]


def leaf_of(
    position: int,
    version: int,
    recorded_at: int,
    uid: bytes,
    previous: bytes,
    commitment: bytes | None,
    actor: int,
    schema: int,
    idempotency_key: str | None,
    name: bytes,
    facts: bytes,
) -> bytes:
    """The leaf hash of one event.

    `recorded_at` is in µs since 1970; `uid` is the stream's 16 random bytes; `previous` is the
    leaf of the stream's event before this one (`ZEROS` first); `name` is the type in ASCII and
    `facts` the stored bytes.
    """
    return _sha256(
        _PREFIX
        + _head(
            position,
            version,
            recorded_at,
            uid,
            previous,
            commitment or ZEROS,
            actor,
            schema,
            NO_KEY if idempotency_key is None else key_digest(idempotency_key),
            len(name),
        )
        + name
        + _length(len(facts))
        + facts
    ).digest()
