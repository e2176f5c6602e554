"""The hashes of RFC 6962 §2.1.

Leaves and nodes have different prefixes, so neither passes for one of the other kind.
"""

from __future__ import annotations

import hashlib

HASH_BYTES = 32

_sha256 = hashlib.sha256

#: The root of the tree without leaves: the hash of nothing.
EMPTY_ROOT = _sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return _sha256(b"\x01" + left + right).digest()
