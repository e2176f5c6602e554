"""The exporters there are, and what one is asked for.

An exporter is a plug-in that knows one format. Those of this project are named in `_PLUGINS`;
others announce themselves by the entry point group `agent_eventstore.exporters`, whose values name
a class, or anything else that gives an `Exporter` when it is called. All are loaded when they are
asked for, so a format's dependencies are needed by those who use it only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from msgspec import Struct

from eventstore.errors import ExportFailedError, InvalidValueError

if TYPE_CHECKING:
    from eventstore.log.port import Head
    from eventstore.store.session import Session
    from eventstore.store.session_store import SessionStore

#: Entry points by which other packages bring exporters.
GROUP = "agent_eventstore.exporters"

#: Name of a format → module and class of its exporter.
_PLUGINS: dict[str, str] = {
    "events-jsonl": "eventstore.exports.jsonl.exporting:EventsJsonl",
    "otel": "eventstore.exports.otel.exporting:Otel",
    "openai": "eventstore.exports.openai:OpenAI",
    "markdown": "eventstore.exports.markdown:Markdown",
    "parquet": "eventstore.exports.parquet.exporting:Parquet",
    "html": "eventstore.exports.html.exporting:Html",
}

#: Whether texts go out, or only what is known of them.
CONTENTS = ("full", "none")


class Request(Struct, frozen=True, kw_only=True):
    """What is exported, and where to.

    `sessions` are chosen ones, None for the whole log. The export holds the log up to `to_position`
    and nothing later; `head` is the event there. `out` is a stream, for formats that make one file,
    and `folder` an empty folder, for those that make several: one of them is given. `progress` is
    told how far of how much. `content` is one of `CONTENTS`. `options` are the format's own.
    """

    store: SessionStore
    sessions: Sequence[Session] | None
    to_position: int
    head: Head
    out: IO[bytes] | None = None
    folder: Path | None = None
    progress: Callable[[int, int], None] | None = None
    content: str = "full"
    recipient: str | None = None
    options: Mapping[str, str] = {}
    tell: Callable[[str], None] | None = None

    def stream(self) -> IO[bytes]:
        """The stream to write to; for a format that makes one file."""
        if self.out is None:
            raise ExportFailedError("this format writes one file and was given a folder")
        return self.out

    def directory(self) -> Path:
        """The folder to write to; for a format that makes several files."""
        if self.folder is None:
            raise ExportFailedError("this format writes several files and was given a stream")
        return self.folder

    def say(self, note: str) -> None:
        """Tell the person who exports something about the result, e.g. what was left out."""
        if self.tell is not None:
            self.tell(note)


class Exporter(Protocol):
    """What an exporter owes.

    It may also have `per_session`, True when one session makes one document; `options`, a mapping
    of the options it takes to what they mean; and `check`, a function of the options and
    of `content`, which raises an `EventStoreError` when the export could not be made. With
    ``index(request, folder, made)`` it also writes what lists the documents; `made` gives each
    session with the name of its file, and writes that file when it is asked for.
    """

    @property
    def name(self) -> str:
        """The format's name."""

    @property
    def description(self) -> str:
        """What the format is for, in one line."""

    @property
    def suffix(self) -> str:
        """How names of its files end, e.g. ``.jsonl``; empty for a format that makes a folder."""

    @property
    def lossless(self) -> bool:
        """Whether the events can be had back from it, byte by byte."""

    def export(self, request: Request) -> None:
        """Write what is asked for, in memory that does not grow with the store.

        What was erased is marked as erased. Raises an `EventStoreError` when it cannot.
        """


def is_per_session(exporter: Exporter) -> bool:
    """Whether one session makes one document, so that several make a folder of them."""
    return bool(getattr(exporter, "per_session", False))


def options_of(exporter: Exporter) -> Mapping[str, str]:
    """The options that an exporter takes, with what they mean."""
    found: Mapping[str, str] = getattr(exporter, "options", {})
    return found


def check(exporter: Exporter, options: Mapping[str, str], content: str) -> None:
    """Refuse what the exporter cannot do, before anything is recorded or written.

    Raises `InvalidValueError` for an option that it does not take, and what its own `check` raises.
    """
    known = options_of(exporter)
    for name in options:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise InvalidValueError(f"{exporter.name} has no option {name!r}; {has}")
    own: Callable[..., None] | None = getattr(exporter, "check", None)
    if own is not None:
        own(options, content)


def formats() -> list[str]:
    """The names of the formats that can be exported: the built-in ones, then those of others."""
    return list(dict.fromkeys((*_PLUGINS, *sorted(_announced()))))


def exporter(name: str) -> Exporter:
    """The exporter of a format; raises `ExportFailedError` when there is none."""
    place = _PLUGINS.get(name)
    if place is not None:
        module, _, cls = place.partition(":")
        made: Exporter = getattr(import_module(module), cls)()
        return made
    announced = _announced()
    if name not in announced:
        raise ExportFailedError(f"there is no exporter {name!r}; there are {formats()}")
    try:
        return announced[name]()
    except Exception as error:  # code of others: whatever it raises, the exporter cannot be used
        raise ExportFailedError(f"the exporter {name!r} cannot be loaded: {error}") from error


def _announced() -> dict[str, Callable[[], Exporter]]:
    """The exporters of other packages, not loaded yet."""
    return {
        point.name: lambda point=point: point.load()()  # type: ignore[misc]
        for point in entry_points(group=GROUP)
    }
