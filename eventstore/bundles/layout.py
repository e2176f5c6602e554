"""What a bundle is made of: names of files, the line of an event, the manifest.

`docs/bundle-format.md` says what the bytes mean. Everything in a bundle has one form only, so what
a reader makes of the parts can be compared with them byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import accumulate

from msgspec import Struct

from eventstore.events.catalogue import ContentErased
from eventstore.log.port import Actor

FORMAT = "agent-eventstore/bundle/v1"

CHECKPOINT = "checkpoint"
ENTRIES = "entries"
EVENTS = "events.jsonl"
MANIFEST = "manifest.json"
README = "README.txt"
ANCHORS = "anchors/"
BLOBS = "blobs/"
LONG = "long/"

#: Entries longer than this do not fit the length that a bundle of entries has for each.
ENTRY_MAX = 0xFFFF

#: States of an event's content in a bundle. What is missing is neither erased nor withheld.
SHOWN, ERASED, WITHHELD, MISSING = "shown", "erased", "withheld", "missing"

#: How the type of an event begins whose content names its session, where it is the first one.
STARTING = "session."
CONTENT_ERASED = ContentErased.type
CONTENT_REDACTED = "content.redacted"
ERASING = (CONTENT_ERASED, CONTENT_REDACTED)

#: A marker that stands for a blob in a body, unless it is one that the caller wrote.
_BLOB = re.compile(rb'(?<!"\$literal":)\{"\$blob":"([0-9a-f]{64})"\}')

_EPOCH = datetime(1970, 1, 1)
_ACTORS = {int(actor): actor.name.lower() for actor in Actor}

README_TEXT = """\
This is a bundle of agent-eventstore: events of a log, and the proof that they are its events.

To check it, get verify_bundle.py from the project's own pages, not from whoever gave you this, and
the log's public key from its operator by another way. It needs Python 3.11 and nothing else:

    python verify_bundle.py THIS_FOLDER_OR_TAR --key KEY --older CHECKPOINT

CHECKPOINT is an earlier checkpoint of the log that was kept where its operator cannot change it.
Without one the operator could have written the whole log anew yesterday, and the answer is
UNANCHORED.

To read it, read events.jsonl: one event a line, in the order in which they were recorded. Its lines
are checked against the proof. This text and manifest.json prove nothing.

What a right bundle proves, and what it does not, is in the project's docs/auditing.md; what each
file means is in docs/bundle-format.md.
"""


class Line(Struct, frozen=True):
    """An event as `events.jsonl` shows it, without its content. `facts` is the stored text."""

    position: int
    uid: bytes
    version: int
    recorded_at: int
    actor: int
    name: str
    schema: int
    facts: str

    def head(self) -> bytes:
        """The line up to the content; raises what a value that no line can have makes it raise."""
        time = (_EPOCH + timedelta(microseconds=self.recorded_at)).isoformat(
            timespec="microseconds"
        )
        return (
            f'{{"position":{self.position},"stream":"{self.uid.hex()}","version":{self.version},'
            f'"time":"{time}Z","actor":"{_ACTORS[self.actor]}","type":"{self.name}",'
            f'"schema":{self.schema},"facts":{self.facts}'
        ).encode()


def shown(body: bytes, salt: bytes) -> bytes:
    """The part of a line that discloses content."""
    return b',"content":%s,"salt":"%s"' % (body, salt.hex().encode())


def absent(state: str) -> bytes:
    """The part of a line that says that content is not in the bundle."""
    return b',"%s":true' % state.encode()


def tail(session: str | None) -> bytes:
    """The end of a line: the session's id, if its first event is in the bundle with its content."""
    return b',"session":%s}\n' % json.dumps(session).encode()


def blobs_in(body: bytes) -> list[str]:
    """The digests of the blobs that a body needs, in hexadecimal."""
    return [one.decode() for one in _BLOB.findall(body)] if b'"$blob"' in body else []


class Erasures:
    """Which events' content later events of the same tree say was erased."""

    def __init__(self, runs: Iterable[tuple[int, int]]) -> None:
        """`runs` are ``(first, end)``, the end not included."""
        steps: Counter[int] = Counter()
        for first, end in runs:
            steps[first] += 1
            steps[end] -= 1
        self._places = sorted(steps)
        self._depths = list(accumulate(steps[place] for place in self._places))

    def __contains__(self, position: int) -> bool:
        index = bisect_right(self._places, position)
        return index > 0 and self._depths[index - 1] > 0


class Wiping:
    """What events say is gone, event by event in the order of the log."""

    def __init__(self) -> None:
        #: Where the content in force of redacted events stands.
        self._replacing: dict[object, int] = {}

    def runs(
        self, name: str, facts: Mapping[str, object], position: int, has_content: bool
    ) -> Iterator[tuple[int, int]]:
        """The runs ``(first, end)`` of earlier events whose content this event says is gone."""
        runs: list[tuple[int, int]] = []
        if name == CONTENT_ERASED:
            runs = facts["positions"]  # type: ignore[assignment]
        elif name == CONTENT_REDACTED and has_content:
            original = facts["position"]
            runs = [(original, 1), (self._replacing.get(original, position), 1)]  # type: ignore[list-item]
            self._replacing[original] = position
        for first, length in runs:
            if 0 < first < position and length > 0:
                yield first, min(first + length, position)


def manifest(
    *,
    whole: bool,
    origin: str,
    size: int,
    root: bytes,
    sessions: int,
    counts: Mapping[str, int],
    files: Mapping[str, str],
) -> bytes:
    """`manifest.json`. `counts` has how many contents are in which state."""
    values = {
        "format": FORMAT,
        "mode": "log" if whole else "sessions",
        "origin": origin,
        "size": size,
        "root": root.hex(),
        "sessions": sessions,
        SHOWN: counts[SHOWN],
        ERASED: counts[ERASED],
        WITHHELD: counts[WITHHELD],
        "files": files,
    }
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
