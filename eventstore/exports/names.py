"""File names for sessions, whose ids can be any text."""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[^A-Za-z0-9_.~-]+")

#: What Windows takes for devices, whatever follows a dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])(\..*)?", re.IGNORECASE)

#: Characters of an id that stand in a file's name; every system allows as many.
_LENGTH = 100

#: The name of a folder's own page.
INDEX = "index"


def file_name(name: str, stream: int) -> str:
    """A file name for the session of this name, which no other session has.

    An id that is no plain name is shortened to its plain characters; the stream number tells it
    from others then.
    """
    plain = _UNSAFE.sub("_", name).lstrip(".-")[:_LENGTH].rstrip(".")
    if _RESERVED.fullmatch(plain):
        plain = f"_{plain}"
    own = plain == name and name.islower() and name != INDEX
    return plain if own else f"{plain or 'session'}.{stream}"
