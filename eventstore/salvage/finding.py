"""Reading every leaf of a damaged file: what could be rows of the log, not believed yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from eventstore.errors import StoreError
from eventstore.log.pages import Image
from eventstore.salvage.records import BlobRow, ContentRow, EventRow, StreamRow, row_of

#: A row of `events` has a leaf of 32 bytes, and more.
EVENT_BYTES_MIN = 48

#: Progress is told after so many pages.
STEP = 256


class Found:
    """What lies in a file. Of contents and blobs only the page is kept: they can be many."""

    def __init__(self, image: Image) -> None:
        self._image = image
        # Positions have no gaps, and streams have events: none is more than there is room for.
        self._most = image.count * image.page_size // EVENT_BYTES_MIN
        self.events: dict[int, EventRow] = {}
        self.streams: dict[int, StreamRow] = {}
        self.wiped: set[int] = set()
        self._contents: dict[int, int] = {}
        self._blobs: dict[bytes, int] = {}
        self._doubtful: set[tuple[str, int]] = set()

    def read(self, progress: Callable[[int, int], None]) -> None:
        """Look at every page."""
        for number in range(1, self._image.count + 1):
            if self._image.is_leaf_alive(number):
                self._read_page(number)
            if number % STEP == 0 or number == self._image.count:
                progress(number, self._image.count)
        for kind, number in self._doubtful:
            (self.events if kind == "event" else self.streams).pop(number, None)

    def _read_page(self, number: int) -> None:
        for cell in self._image.cells(number):
            match row_of(cell):
                case EventRow() as event if max(event.position, event.stream) <= self._most:
                    if self.events.setdefault(event.position, event) != event:
                        self._doubtful.add(("event", event.position))
                case StreamRow() as stream:
                    if self.streams.setdefault(stream.id, stream) != stream:
                        self._doubtful.add(("stream", stream.id))
                case ContentRow(position, None, None):
                    self.wiped.add(position)
                case ContentRow(position) if 0 < position <= self._most:
                    self._contents.setdefault(position, number)
                case BlobRow(digest, body):
                    if hashlib.sha256(body).digest() == digest:
                        self._blobs.setdefault(digest, number)

    def has_blob(self, digest: bytes) -> bool:
        """Whether a blob was found whole."""
        return digest in self._blobs

    def blob(self, digest: bytes) -> bytes:
        """The bytes of a blob that was found; raises `StoreError` when it cannot be read again."""
        for cell in self._image.cells(self._blobs[digest]):
            row = row_of(cell)
            if isinstance(row, BlobRow) and hashlib.sha256(row.body).digest() == digest:
                return row.body
        raise StoreError(
            f"page {self._blobs[digest]} could be read once and not again: copy the file to a disk "
            "that does not fail, and salvage the copy"
        )

    def content_positions(self) -> Iterable[int]:
        """The positions of every content that can be read."""
        return self._contents

    def content(self, position: int) -> ContentRow | None:
        """The content of an event as it lies in the file, None when there is none to be read."""
        number = self._contents.get(position)
        for cell in () if number is None else self._image.cells(number):
            if cell.rowid == position:
                row = row_of(cell)
                if isinstance(row, ContentRow) and row.body is not None:
                    return row
        return None


def holds_events(path: str) -> bool:
    """Whether there is anything in a file that looks like an event."""
    image = Image(path)
    try:
        pages = range(1, image.count + 1)
        return any(
            isinstance(row_of(cell), EventRow)
            for number in pages
            if image.is_leaf_alive(number)
            for cell in image.cells(number)
        )
    finally:
        image.close()
