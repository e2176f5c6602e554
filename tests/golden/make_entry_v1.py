"""Writes `entry_v1.json`: fixed inputs with the hashes that `entry/v1` gives them.

Nothing of the package is used: the bytes are put together here by hand, from the format's
description alone, so that the package's own hashing is checked against a second opinion.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def big_endian(value: int, size: int) -> bytes:
    return bytes((value >> (8 * (size - 1 - index))) & 255 for index in range(size))


def commitment(salt: bytes, body: bytes) -> bytes:
    return hashlib.sha256(b"agent-eventstore/content/v1" + b"\x00" + salt + body).digest()


def leaf(case: dict[str, Any]) -> bytes:
    key = case["idempotency_key"]
    committed = case["commitment"]
    name, facts = case["type"].encode("ascii"), case["facts"].encode("utf-8")
    entry = b"agent-eventstore/entry/v1" + b"\x00"
    entry += big_endian(case["position"], 8)
    entry += big_endian(case["version"], 8)
    entry += big_endian(case["recorded_at"], 8)
    entry += bytes.fromhex(case["uid"])
    entry += bytes.fromhex(case["previous"])
    entry += bytes(32) if committed is None else bytes.fromhex(committed)
    entry += big_endian(case["actor"], 1)
    entry += big_endian(case["schema"], 2)
    entry += bytes(16) if key is None else hashlib.sha256(key.encode("utf-8")).digest()[:16]
    entry += big_endian(len(name), 2) + name
    entry += big_endian(len(facts), 4) + facts
    return hashlib.sha256(b"\x00" + entry).digest()


def cases() -> dict[str, Any]:
    salt, body = bytes(range(32)), '{"text":"hello 🙂 \\u0000"}'
    first = {
        "position": 1, "version": 1, "recorded_at": 1_700_000_000_000_000,
        "uid": bytes(range(16)).hex(), "previous": bytes(32).hex(),
        "commitment": commitment(salt, body.encode()).hex(), "actor": 4, "schema": 1,
        "idempotency_key": None, "type": "session.created", "facts": "{}",
    }  # fmt: skip
    second = {
        **first, "position": 2, "version": 2, "previous": leaf(first).hex(), "commitment": None,
        "actor": 0, "idempotency_key": "key-ü", "type": "usage.recorded",
        "facts": '{"key":"r1","input":12,"model":"é"}',
    }  # fmt: skip
    last = {
        **first, "position": 2**63 - 1, "version": 2**40, "recorded_at": 2**62, "actor": 255,
        "schema": 65535, "idempotency_key": "k" * 256, "type": "x." + "a" * 60 + ".b",
        "facts": '{"data":{"n":[' + "1," * 40 + '1]},"commuting":false}',
    }  # fmt: skip
    return {
        "commitments": [
            {"salt": s.hex(), "body": b, "commitment": commitment(s, b.encode()).hex()}
            for s, b in ((salt, body), (bytes(32), ""), (b"\xff" * 32, '"x"'))
        ],
        "leaves": [{**case, "leaf": leaf(case).hex()} for case in (first, second, last)],
    }


if __name__ == "__main__":
    text = json.dumps(cases(), indent=1, ensure_ascii=False) + "\n"
    Path(__file__).with_name("entry_v1.json").write_text(text, encoding="utf-8")
