"""Projections that are written with each append, in the append's own transaction.

The built-in ones share one checkpoint, which says that every append keeps them at the head. When
another process wrote meanwhile this is made sure of; where it is not so (that process ran other
code, or a projection is new) they are caught up first, in the same transaction, so that there is
never a silent hole. A user's inline
projection that fails is detached: its checkpoint stays behind, the failure is kept for
`detached`, and the append goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress

import apsw

from eventstore.errors import ProjectionError
from eventstore.events.catalogue import Event, MessageAppended
from eventstore.log.inline import MessageColumns
from eventstore.log.port import Head, Recorded
from projections import checkpoints
from projections.base import OF_THE_FILE, Projection, apply_page, combined_version
from projections.catchup import catch_up_here, reset

#: The checkpoint that the built-in projections share.
BUILTIN_NAME = "builtin"


class InlineProjections:
    """Called by the log with the events of each commit; see the module's docstring."""

    def __init__(self, builtin: Sequence[Projection], users: Sequence[Projection] = ()) -> None:
        self.builtin = tuple(builtin)
        self.users = tuple(users)
        self.version = combined_version(builtin)
        self.detached: dict[str, ProjectionError] = {}
        self._readers: dict[type[Event], tuple[Projection, ...]] = {}
        self._at: Head | None = None
        concerned = [one for one in builtin if one.reads is None or MessageAppended in one.reads]
        self._of_message = [row for one in concerned for row in one.of_message or ()]
        #: Whether what a message changes is known without asking a projection.
        self.takes_messages = not users and all(one.of_message is not None for one in concerned)

    def __call__(
        self, cursor: apsw.Cursor, events: list[Recorded], before: Head, after: Head
    ) -> None:
        """Apply the events of one commit, from `before` to `after`; with none, only catch up."""
        if len(events) == 1 and self.takes_messages:
            message = _columns_of(events[0])
            if message is not None:
                self.apply_message(cursor, message, before, after)
                return
        connection = cursor.connection
        if before != self._at:
            self._catch_up_builtin(connection, before)
        if not events:
            return
        self._at = None
        try:
            for one in self._concerned(events):
                one.apply(connection, events)
        except OF_THE_FILE:
            raise
        except Exception:  # whatever it is, the log says whether the events are to blame
            self._derive_anew(connection)
        for projection in self.users:
            if projection.name not in self.detached:
                self._apply_user(projection, connection, events, before, after)
        self._at = after

    def apply_message(
        self, cursor: apsw.Cursor, message: MessageColumns, before: Head, after: Head
    ) -> None:
        """As calling it with the event of a message without tool calls, written already."""
        if before != self._at:
            self._catch_up_builtin(cursor.connection, before)
        self._at = None
        try:
            for sql, pick, must_change in self._of_message:
                cursor.execute(sql, pick(message))
                if must_change and cursor.connection.changes() != 1:
                    raise ProjectionError("there is no row for this session")
        except OF_THE_FILE:
            raise
        except Exception:  # as above
            self._derive_anew(cursor.connection)
        self._at = after

    def _concerned(self, events: Sequence[Recorded]) -> Sequence[Projection]:
        """The built-in projections whose tables these events change, in their order."""
        if len(events) > 1:
            kinds = {type(recorded.event) for recorded in events}
            return [one for one in self.builtin if one.reads is None or one.reads & kinds]
        kind = type(events[0].event)
        found = self._readers.get(kind)
        if found is None:
            found = tuple(one for one in self.builtin if one.reads is None or kind in one.reads)
            self._readers[kind] = found
        return found

    def _catch_up_builtin(self, connection: apsw.Connection, before: Head) -> None:
        checkpoint = checkpoints.read(connection, BUILTIN_NAME, before.position)
        if checkpoint is None or checkpoint.head != before or checkpoint.version != self.version:
            catch_up_here(
                connection, self.builtin, BUILTIN_NAME, self.version, upto=before.position
            )
        checkpoints.keep_at_head(connection, BUILTIN_NAME)

    def _derive_anew(self, connection: apsw.Connection) -> None:
        """After rows that the log does not give got into the way: the log alone says what is true.

        It holds the events of this commit already. Raises `ProjectionError` when they are to blame.
        """
        reset(connection, self.builtin, BUILTIN_NAME, self.version)
        catch_up_here(connection, self.builtin, BUILTIN_NAME, self.version)
        checkpoints.keep_at_head(connection, BUILTIN_NAME)

    def _apply_user(
        self,
        projection: Projection,
        connection: apsw.Connection,
        events: Sequence[Recorded],
        before: Head,
        after: Head,
    ) -> None:
        connection.execute("SAVEPOINT user_projection")
        try:
            checkpoint = checkpoints.read(connection, projection.name)
            if (
                checkpoint is None
                or checkpoint.head != before
                or checkpoint.version != projection.version
            ):
                catch_up_here(
                    connection,
                    (projection,),
                    projection.name,
                    projection.version,
                    upto=before.position,
                )
            apply_page(projection, connection, events)
            checkpoints.write(connection, projection.name, projection.version, after)
        except (ProjectionError, apsw.SQLError, apsw.ConstraintError) as error:
            connection.execute("ROLLBACK TO user_projection")
            failure = error if isinstance(error, ProjectionError) else ProjectionError(str(error))
            self.detach(projection.name, failure)
        connection.execute("RELEASE user_projection")

    def detach(self, name: str, failure: ProjectionError) -> None:
        """Leave a user's projection behind until it is rebuilt, and warn of it."""
        self.detached[name] = failure
        with suppress(RuntimeWarning):  # where warnings are errors, appends go on all the same
            warnings.warn(
                f"projection {name!r} failed and is detached until it is rebuilt: {failure}",
                RuntimeWarning,
                stacklevel=2,
            )


def _columns_of(recorded: Recorded) -> MessageColumns | None:
    """What an event comes to, if it is a message without tool calls that does not begin a session.

    One that does finds no row of its session to change.
    """
    position, stream, version, at, _, e, *_ = recorded
    if type(e) is not MessageAppended or e.call_ids or e.call_id is not None or version == 1:
        return None
    at = e.occurred_at or at
    return (position, stream, version, at, e.seq, e.role, e.round, e.tokens)
