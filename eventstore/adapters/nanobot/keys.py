"""Session keys as session ids of the engine, and as the names of nanobot's files.

A key is its own session id unless it cannot be one (control characters, say); then the id is
`_PREFIX` and the key in URL-safe base64.
"""

from __future__ import annotations

import base64
import binascii
import re

from eventstore.errors import InvalidValueError
from eventstore.session.decisions import check_session_id

_PREFIX = "nanobot-key:"

#: What may not be in a file's name.
_UNSAFE = re.compile(r'[<>:"/\\|?*]')


def session_id_of(key: str) -> str:
    """The session id of a key; raises `InvalidValueError` for a key too long for one."""
    if not key.startswith(_PREFIX):
        try:
            return check_session_id(key)
        except InvalidValueError:
            pass
    return check_session_id(_PREFIX + _encoded(key))


def key_of(session_id: str) -> str:
    """The key of a session id."""
    if session_id.startswith(_PREFIX):
        key = _decoded(session_id.removeprefix(_PREFIX))
        return session_id if key is None else key
    return session_id


def file_name(key: str) -> str:
    """The name that nanobot 0.1.4 gives a session's file. Several keys can have the same one."""
    return f"{_UNSAFE.sub('_', key).strip()}.jsonl"


def key_of_file(stem: str) -> str:
    """The key of a file that does not say it, from its name without ``.jsonl``.

    Today's nanobot writes keys in base64; nanobot 0.1.4 writes ``_`` for the first ``:``.
    """
    key = _decoded(stem)
    if key is not None and ":" in key and _encoded(key) == stem:
        return key
    return stem.replace("_", ":", 1)


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _decoded(text: str) -> str | None:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return data.decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return None
