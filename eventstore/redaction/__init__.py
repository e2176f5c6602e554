"""Taking secrets and personal data out of content: before it is stored, or afterwards.

`Redactor`, given to `SessionStore.open`, puts marks like ``[redacted: api-key]`` in the place of
what its detectors find before anything is written. `redact` does the same to what is stored
already: the content is wiped as an erasure does, and what is left of it is stored anew. Either way
an event says what was replaced where, by which detector, and never what it was.

Detectors find what has a form that they know. What they do not find stays.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Detector": "eventstore.redaction.detectors",
    "KeyDetector": "eventstore.redaction.detectors",
    "Redaction": "eventstore.redaction.afterwards",
    "Redactor": "eventstore.redaction.redactor",
    "available": "eventstore.redaction.detectors",
    "named": "eventstore.redaction.detectors",
    "redact": "eventstore.redaction.afterwards",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'eventstore.redaction' has no attribute {name!r}")
    return getattr(import_module(home), name)
