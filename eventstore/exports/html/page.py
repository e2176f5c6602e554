"""Writing a page: the template's parts around the timeline, straight to the output.

The page holds its style and its script; its policy (CSP) names both by their hashes and allows
nothing else but images that are in the page itself. So no text of a session can run, load or send
anything, even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import IO

from eventstore.exports.html import relatives
from eventstore.exports.html.escaping import inline, plain
from eventstore.exports.html.head import head, title_of
from eventstore.exports.html.history import History
from eventstore.exports.html.timeline import Progress, Timeline
from eventstore.store.points import At
from eventstore.store.session import Session

#: Characters that are written together.
_BUFFER = 1 << 16


def write_page(
    session: Session,
    out: IO[bytes],
    *,
    to_version: int | None = None,
    to_position: int | None = None,
    texts: bool = True,
    progress: Progress | None = None,
) -> None:
    """Write one HTML page with everything of a session up to a version (its last one if None).

    `to_position`, a position of the log, can be given instead. The page needs no other file and no
    network. It is written as it is made: what is held in memory is the largest message, not the
    session. Without `texts` it has facts only: who, when, how much, but no content. `progress` is
    told the versions done and all.

    Raises `InvalidRangeError` for a version or position that there is not.
    """
    if to_position is not None:
        to_version = session.version_at(At.position(to_position))
    version = session.version if to_version is None else session.version_at(to_version)
    at = At.version(version)
    history = History(session, version, to_position, texts=texts)
    info = session.info(at)
    title = title_of(history, info)
    spawned = relatives.children(history)

    def chunks() -> Iterator[str]:
        values = {
            "title": plain(title),
            "heading": inline(title),
            "facts": "".join(head(session, history, info, spawned)),
        }
        before, after = template("page.html", "$timeline", values)
        yield before
        state = session.state(at)
        timeline = Timeline(history, state.prompt_position, spawned.by_call)
        yield from timeline.chunks(progress)
        yield after

    write(chunks(), out)


def write(chunks: Iterator[str], out: IO[bytes]) -> None:
    """Write text as UTF-8, many small pieces together."""
    waiting: list[str] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= _BUFFER:
            out.write("".join(waiting).encode())
            waiting, size = [], 0
    out.write("".join(waiting).encode())


def template(name: str, place: str, values: Mapping[str, str]) -> tuple[str, str]:
    """A template of this package with these values, what is before `place` and what is after.

    It has the style, the script and the policy that allows these two.
    """
    style, script = _file("page.css"), _file("page.js")
    known = {"style": style, "script": script, "policy": policy(style, script)}
    before, after = _file(name).split(place)
    filled = known | dict(values)
    return Template(before).substitute(filled), Template(after).substitute(filled)


def policy(style: str, script: str) -> str:
    """The content security policy of a page with this style and script."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _file(name: str) -> str:
    return (files("eventstore.exports.html") / name).read_text(encoding="utf-8")
