"""Whether the built-in tables are at the head of the log, as `projections.checkpoints` notes it.

A statement that has the condition in it needs no snapshot around itself and the question.
"""

from __future__ import annotations

import apsw

from projections.builtin import VERSION
from projections.inline import BUILTIN_NAME

#: SQL that is true when this version of the code wrote the tables up to the last event; not when
#: there is no event yet.
AT_HEAD = (
    "(SELECT CASE WHEN p.position IS NULL THEN e.version = "  # noqa: S608
    "(SELECT version FROM sessions WHERE stream = e.stream) "
    "ELSE p.position = e.position AND p.leaf = e.leaf END "
    "FROM projections AS p CROSS JOIN events AS e "
    f"WHERE p.name = '{BUILTIN_NAME}' AND p.version = {VERSION} ORDER BY e.position DESC LIMIT 1)"
)
_AT_HEAD = f"SELECT {AT_HEAD}"


def at_head(connection: apsw.Connection) -> bool:
    """Whether the built-in tables are at the head; False also when there is no event yet."""
    return bool(connection.execute(_AT_HEAD).get)
