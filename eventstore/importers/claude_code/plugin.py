"""The plug-in: recognising a transcript and importing one file of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from eventstore import codec
from eventstore.errors import EventFormatError
from eventstore.importers.claude_code.fields import timestamp
from eventstore.importers.claude_code.mapping import FORMAT, Mapped, Mapping, kept
from eventstore.importers.claude_code.sessions import Home, Sessions, is_agent_file
from eventstore.importers.intake import Intake
from eventstore.importers.lines import Line, parse, read_lines
from eventstore.importers.reports import FileReport, Problem
from eventstore.importers.stored_records import TORN
from eventstore.store.session_store import SessionStore

#: Lines at the start of a file among which one must be a transcript's.
_PROBED = 50

#: Records without session id, and the key they have instead.
_NAMELESS = {"summary": "leafUuid", "file-history-snapshot": "messageId"}


class ClaudeCode(Struct, frozen=True):
    """Importer of Claude Code's session and sub-agent transcripts."""

    name: str = FORMAT
    patterns: tuple[str, ...] = ("*.jsonl",)

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether one of the first lines is a record as Claude Code writes them."""
        lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        if any(_is_record(parse(0, line.rstrip(b"\r")).value) for line in lines[:_PROBED]):
            return True
        # The first record may be longer than the head.
        return (
            len(lines) == 1
            and head.startswith(b"{")
            and b'"sessionId"' in head
            and (b'"parentUuid"' in head or b'"isSidechain"' in head)
        )

    def import_file(
        self, store: SessionStore, path: Path, progress: Callable[[int], None] | None = None
    ) -> FileReport:
        """Import one file; damaged records are kept raw and reported, not raised.

        `progress` is told the number of bytes read from time to time. Raises `OSError`, and
        `ImportFailedError` for a line too long to be held in memory.
        """
        report = FileReport(path=str(path), format=self.name)
        run = _Run(store, path, report)
        with path.open("rb") as file:
            for number, line in enumerate(read_lines(file, str(path))):
                run.take(line)
                if progress is not None and number % 100 == 0:
                    progress(file.tell())
        run.intake.finish()
        return report


def _is_record(value: dict[str, Any] | None) -> bool:
    if value is None or type(kind := value.get("type")) is not str:
        return False
    if kind in ("user", "assistant") and type(value.get("message")) is dict and "uuid" in value:
        return True
    return "sessionId" in value or (kind in _NAMELESS and _NAMELESS[kind] in value)


class _Run:
    """One file's import under way."""

    def __init__(self, store: SessionStore, path: Path, report: FileReport) -> None:
        self.report = report
        self.intake = Intake(store, FORMAT, report)
        home, self._occurred_at = _opening(path)
        self._sessions = Sessions(path, home)
        self._times: dict[str, int] = {}
        self._mappings: dict[str, Mapping] = {}
        self._metadata = _described(path, report)

    def take(self, line: Line) -> None:
        """Count a record, map it and give it to the intake."""
        report = self.report
        report.records += 1
        home = self._sessions.of(line.value)
        occurred_at = self._time(home, line.value)
        if line.value is None:
            report.problems.append(Problem(line.number, line.reason or "damaged"))
            mapped = kept(TORN if line.torn else "damaged", occurred_at, damaged=True)
        else:
            if line.glued:
                reason = f"{line.glued} records on one line"
                report.problems.append(Problem(line.number, reason))
            mapped = self._map(home, line.value, occurred_at)
        report.messages += mapped.messages
        report.tool_calls += mapped.tool_calls
        self.intake.put(
            home.session_id,
            line,
            mapped.commands,
            occurred_at=occurred_at,
            parent=home.parent,
            metadata=self._metadata,
        )

    def _time(self, home: Home, record: dict[str, Any] | None) -> int | None:
        """A record's own time, else that of the record before it in its session."""
        own = None if record is None else timestamp(record.get("timestamp"))
        if own is None:
            return self._times.get(home.session_id, self._occurred_at)
        self._times[home.session_id] = own
        return own

    def _map(self, home: Home, record: dict[str, Any], occurred_at: int | None) -> Mapped:
        mapping = self._mappings.get(home.session_id)
        if mapping is None:
            mapping = self._mappings[home.session_id] = Mapping()
        return mapping.map(record, occurred_at)


def _opening(path: Path) -> tuple[Home | None, int | None]:
    """The first session that a file names and the first time in it.

    They are those of the records that stand before and have none of their own.
    """
    sessions = Sessions(path)
    home: Home | None = None
    with path.open("rb") as file:
        for line in read_lines(file, str(path)):
            if line.value is None:
                continue
            if home is None and sessions.names_session(line.value):
                home = sessions.of(line.value)
                if home.parent is not None and not is_agent_file(path):
                    home = Home(home.parent)
            occurred_at = timestamp(line.value.get("timestamp"))
            if home is not None and occurred_at is not None:
                return home, occurred_at
    return home, None


def _described(path: Path, report: FileReport) -> dict[str, Any] | None:
    """What the file ``<name>.meta.json`` beside a sub-agent's transcript says of it."""
    described = path.with_name(f"{path.stem}.meta.json")
    if not is_agent_file(path) or not described.is_file():
        return None
    try:
        value = codec.decode(described.read_bytes())
    except EventFormatError as error:
        report.problems.append(Problem(None, f"{described.name}: {error}"))
        return None
    if type(value) is not dict:
        report.problems.append(Problem(None, f"{described.name} is no JSON object"))
        return None
    return value
