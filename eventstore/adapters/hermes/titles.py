"""Which titles a session may have."""

from __future__ import annotations

import re

#: Characters of a title, once it is cleaned.
MAX_TITLE_LENGTH = 100

#: Control characters (line ends and tabs aside, which are blanks), and characters that show
#: nothing or change the direction of the text around them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ufffc]"
)


def sanitize_title(title: str | None) -> str | None:
    """The title on one line without invisible characters, None when nothing is left of it.

    Raises `ValueError` when it is longer than `MAX_TITLE_LENGTH` then.
    """
    if not title:
        return None
    cleaned = " ".join(re.split(r"\s+", _INVISIBLE.sub("", title))).strip()
    if len(cleaned) > MAX_TITLE_LENGTH:
        raise ValueError(f"Title too long ({len(cleaned)} chars, max {MAX_TITLE_LENGTH})")
    return cleaned or None
