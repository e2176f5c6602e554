"""The format ``html``: a page a session, and with several an index of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from eventstore.errors import ExportFailedError
from eventstore.exports.html import page
from eventstore.exports.html.escaping import inline
from eventstore.exports.html.figures import date_and_time, plural
from eventstore.exports.html.head import costs, title_of
from eventstore.exports.html.history import History
from eventstore.exports.registry import Request
from eventstore.store.points import At
from eventstore.store.session import Session

NAME = "html"


class Html(Struct, frozen=True):
    """Exporter of sessions as pages for people to read."""

    name: str = NAME
    description: str = "one page a session, for reading and printing; needs no network"
    suffix: str = ".html"
    lossless: bool = False
    per_session: bool = True

    def export(self, request: Request) -> None:
        """Write the page of the one session."""
        if request.sessions is None or len(request.sessions) != 1:
            raise ExportFailedError("a page is of one session; name a folder for several")
        [session] = request.sessions
        page.write_page(
            session,
            request.stream(),
            to_position=request.to_position,
            texts=request.content == "full",
            progress=request.progress,
        )

    def index(self, request: Request, folder: Path, made: Iterator[tuple[Session, str]]) -> None:
        """Write ``index.html``, which lists the pages as they are made."""
        with (folder / "index.html").open("xb") as out:
            page.write(_index(request, made), out)


def _index(request: Request, made: Iterator[tuple[Session, str]]) -> Iterator[str]:
    chosen = request.sessions
    values = {
        "heading": "The whole log" if chosen is None else plural(len(chosen), "session"),
        "position": f"{request.to_position:,}",
        "leaf": request.head.leaf.hex(),
    }
    before, after = page.template("index.html", "$rows", values)
    yield before
    for session, name in made:
        yield _row(request, session, name)
    yield after


def _row(request: Request, session: Session, name: str) -> str:
    at = At.position(request.to_position)
    info = session.info(at)
    history = History(session, info.version, request.to_position, texts=request.content == "full")
    used = session.usage_by("currency", at)
    known = costs(used)
    cells = (
        date_and_time(info.created_at),
        date_and_time(max(info.updated_at, info.created_at)),
        f"{info.messages:,}",
        f"{sum(one.calls for one in used.values()):,}",
        " · ".join(known),
    )
    title = f'<a href="{quote(name)}">{inline(title_of(history, info))}</a>'
    others = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{title}<code>{inline(info.name)}</code></th>{others}</tr>\n'
