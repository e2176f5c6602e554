"""Writing the log, or sessions of it, as lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from msgspec import Struct

from eventstore.exports.jsonl import lines
from eventstore.exports.registry import Request
from eventstore.log import rows
from eventstore.log.rows import StoredRow
from eventstore.log.sqlite import SqliteLog

NAME = "events-jsonl"


class EventsJsonl(Struct, frozen=True):
    """Exporter of the log as it is, one event a line.

    The whole log in the order of positions; chosen sessions one after the other.
    """

    name: str = NAME
    description: str = "every event as it is stored, one a line; can be imported again"
    suffix: str = ".jsonl"
    lossless: bool = True

    def export(self, request: Request) -> None:
        """Write the header, the events and the blobs they refer to."""
        out, log = request.stream(), request.store.log
        content = request.content == "full"
        if request.sessions is None:
            out.write(lines.encode(_header(request, None)))
            _write(out, log, rows.of_log(log, request.to_position), None, request, content)
            return
        streams = [session.stream for session in request.sessions]
        out.write(lines.encode(_header(request, [_end(request, one) for one in streams])))
        for stream in streams:
            pages = rows.of_stream(log, stream, request.to_position)
            _write(out, log, pages, stream, request, content)


def _header(request: Request, ends: list[lines.SessionEnd] | None) -> lines.Header:
    return lines.Header(
        format=lines.FORMAT,
        version=lines.VERSION,
        made_by=lines.MADE_BY,
        to_position=request.to_position,
        head=request.head.leaf.hex(),
        content=request.content,
        sessions=ends,
    )


def _end(request: Request, stream: int) -> lines.SessionEnd:
    last = rows.last_of_stream(request.store.log, stream, request.to_position)
    return lines.SessionEnd(
        stream=stream,
        session=last.session_id,
        incarnation=last.incarnation,
        version=last.version,
        leaf=last.leaf.hex(),
    )


def _write(
    out: IO[bytes],
    log: SqliteLog,
    pages: Iterable[list[StoredRow]],
    stream: int | None,
    request: Request,
    content: bool,
) -> None:
    for page in pages:
        waiting: list[bytes] = []
        for read in page:
            row = read
            if content and row.has_blobs:
                row, blobs = rows.with_blobs(log, row.position, stream)
                out.writelines(waiting)
                waiting.clear()
                for digest, data in blobs.items():
                    out.write(lines.encode(lines.blob_line(digest, data)))
            waiting.append(lines.encode(lines.event_line(row, content=content)))
        out.writelines(waiting)
        if request.progress is not None:
            request.progress(page[-1].position, request.to_position)
