"""Reading the lines back: a log that is equal to the one that was exported, row by row.

All of a file is taken in one transaction, or nothing of it. What is derived is derived from the
rows in the same transaction, so nobody sees a log without its projections.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
from msgspec import Struct

from eventstore import claims
from eventstore.errors import EventStoreError, ImportFailedError
from eventstore.exports.jsonl import lines
from eventstore.exports.jsonl.checking import Checker
from eventstore.exports.jsonl.exporting import NAME
from eventstore.exports.jsonl.lines import BlobLine, EventLine, Header
from eventstore.importers.reports import FileReport
from eventstore.log import reading, restoring
from eventstore.log.port import Head
from eventstore.log.transaction import SqliteTransaction
from eventstore.store.session_store import SessionStore

#: Lines between two calls of `progress`.
_TOLD_EVERY = 500


class EventsJsonl(Struct, frozen=True):
    """Importer of logs that were exported as ``events-jsonl``."""

    name: str = NAME
    patterns: tuple[str, ...] = ("*.jsonl",)

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the first line is a header of the format."""
        return head.startswith(lines.BEGIN)

    def import_file(
        self, store: SessionStore, path: Path, progress: Callable[[int], None] | None = None
    ) -> FileReport:
        """Take the log of the file into a store that is empty, or holds the beginning of it.

        Raises `ImportFailedError` with the number of the line where the file is not what was
        exported, or is not the continuation of the store's log; nothing is stored then.
        """
        told = progress or (lambda _: None)

        def work(transaction: SqliteTransaction) -> tuple[FileReport, bool]:
            taking = _Taking(store, transaction, path)
            return taking.run(told), taking.dropped

        report, dropped = store.log.transact(work, exclusive=True)
        if dropped:
            store.log.truncate_wal()
        store.derived.prepare(store.log)
        return report


class _Taking:
    """One file that is taken in.

    Blobs are written when they come: an event further on may need them. What no event needs
    in the end was of content that the store has erased: it is wiped again, as `dropped` says.
    """

    def __init__(self, store: SessionStore, transaction: SqliteTransaction, path: Path) -> None:
        self._store = store
        self._transaction = transaction
        self._connection = transaction.connection
        self._path = path
        self._before = transaction.head.position
        self._report = FileReport(path=str(path), format=NAME)
        self._blobs: set[bytes] = set()
        self.dropped = False
        self._checker = Checker(reading.blob_fetcher(self._connection))

    def run(self, told: Callable[[int], None]) -> FileReport:
        """Take every line, and derive what is derived."""
        number, read = 0, 0
        try:
            with self._path.open("rb") as file:
                for number, data in enumerate(iter(lambda: file.readline(lines.LINE_MAX), b""), 1):
                    if len(data) == lines.LINE_MAX:
                        raise ImportFailedError(f"a line has at most {lines.LINE_MAX - 1} bytes")
                    self._take(number, data)
                    read += len(data)
                    if number % _TOLD_EVERY == 0:
                        told(read)
            head = self._checker.finish()
        except (ImportFailedError, apsw.Error, OverflowError) as error:
            where = getattr(error, "line", None) or number
            told_of = f"{self._path}:{where}: {error}"
            raise ImportFailedError(f"{told_of}; nothing was imported") from error
        self.dropped = restoring.drop_unreferred(self._connection, self._blobs)
        if head.position > self._before:
            self._derive(head)
        told(read)
        self._report.sessions = self._checker.session_ids()
        return self._report

    def _take(self, number: int, data: bytes) -> None:
        line = lines.decode(data)
        if isinstance(line, Header):
            self._checker.header(number, line)
        elif isinstance(line, BlobLine):
            digest, body = self._checker.blob(number, line)
            restoring.keep_blob(self._connection, digest, body)
            self._blobs.add(digest)
        else:
            self._event(number, line)

    def _event(self, number: int, line: EventLine) -> None:
        is_new = line.position > self._before
        begins = line.stream not in self._checker.chains
        event = self._checker.event(number, line)
        report = self._report
        report.records += 1
        if line.type in ("message.appended", "context.compacted"):
            report.messages += 1
            report.tool_calls += len(getattr(event, "call_ids", ()))
        if not is_new:
            self._compare(line)
            return
        report.appended += 1
        uid, leaf = bytes.fromhex(line.uid), bytes.fromhex(line.leaf)
        commitment = None if line.commitment is None else bytes.fromhex(line.commitment)
        if begins:
            row = (line.stream, line.session, line.incarnation, uid)
            restoring.write_streams(self._connection, [row])
        restoring.write_events(
            self._connection,
            [(line.position, line.stream, line.version, line.type, line.schema, line.recorded_at,
              line.actor, line.facts, line.key, commitment, leaf)],
        )  # fmt: skip
        if commitment is not None:
            salt = None if line.salt is None else bytes.fromhex(line.salt)
            restoring.write_content(self._connection, line.position, salt, line.body)

    def _compare(self, line: EventLine) -> None:
        """The store has an event at this position: it must be this one."""
        leaf, has_content = restoring.stored_at(self._connection, line.position)
        if leaf.hex() != line.leaf:
            raise ImportFailedError(
                f"the store has another event at position {line.position}, so the file does not "
                "continue its log; import it into an empty store"
            )
        if line.erased and has_content:
            raise ImportFailedError(
                f"the content of event {line.position} was erased before the export, and the store "
                "still has it; erase it there first, or import into an empty store"
            )

    def _derive(self, head: Head) -> None:
        """Have the rows seen: the log ends there now, and projections and claims follow from it."""
        self._transaction.wrote(head)
        try:
            self._store.derived.inline(self._connection.cursor(), [], head, head)
            claims.rebuild(self._connection)
        except EventStoreError as error:
            raise ImportFailedError(
                f"{self._path}: the events cannot be understood ({error}); nothing was imported"
            ) from error
