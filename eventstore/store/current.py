"""Whether the built-in projections may be read: they must be at the head of the log."""

from __future__ import annotations

import apsw

from eventstore.errors import ProjectionBehindError
from eventstore.log import reading
from projections import checkpoints
from projections.builtin import VERSION
from projections.inline import BUILTIN_NAME
from projections.queries import current


def require_current(connection: apsw.Connection) -> None:
    """Raise `ProjectionBehindError` unless the built-in projections are at the head."""
    if current.at_head(connection):
        return
    checkpoint = checkpoints.read(connection, BUILTIN_NAME)
    head = reading.head_of(connection)
    if checkpoint is None or checkpoint.head != head or checkpoint.version != VERSION:
        at = 0 if checkpoint is None else checkpoint.head.position
        raise ProjectionBehindError(
            f"the projections are at position {at}, the log at {head.position}, or another "
            "version made them; open the store for writing once, or run `eventstore rebuild`"
        )
