"""The state of a session at a version: the nearest snapshot, and the events after it, folded."""

from __future__ import annotations

import apsw

from eventstore import snapshots
from eventstore.log import reading
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState


def state_at(
    connection: apsw.Connection, stream: int, version: int, known: SessionState | None = None
) -> SessionState:
    """The state at a version that the session has; a `known` one of it may save work."""
    if known is None or known.version > version:
        known = snapshots.nearest(connection, stream, version)
    while known.version < version:
        page = reading.page_of_stream(
            connection, stream, known.version, version, False, reading.PAGE
        )
        known = fold_all(known, page)
    return known
