"""A session file of nanobot's: reading it, and bringing its session to what it says.

A file is one session: a line ``{"_type": "metadata", …}``, normally the first, in today's format
perhaps one ``{"_type": "provider_state", …}``, and messages. Of several such lines the last counts.
The file says what the session is, so it is compared with what is stored as a save is: what is
there is skipped, what follows is appended, and where the two differ what is stored is retracted.
A file older than what is stored changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from eventstore.adapters.nanobot.keys import key_of_file
from eventstore.adapters.nanobot.picture import Change, Picture, Wanted
from eventstore.adapters.nanobot.storage import SOURCE, Storage
from eventstore.adapters.nanobot.times import microseconds
from eventstore.events.catalogue import RecordImported
from eventstore.importers.attaching import attach
from eventstore.importers.lines import Line, read_lines
from eventstore.importers.reports import FileReport, Problem
from eventstore.importers.stored_records import TORN, records_of
from eventstore.session.commands import AddEvent, Append, Command, Message

#: The kind that a metadata line is kept as.
_METADATA = "metadata"


class SessionFile(Struct):
    """What a file holds. `metadata` is the line of that name that counts, if there is one."""

    metadata: Line | None = None
    provider_state: Line | None = None
    messages: list[Line] = field(default_factory=list)
    damaged: list[Line] = field(default_factory=list)

    @property
    def key(self) -> str | None:
        """The session's key, None if the file does not say it."""
        key = self._told("key")
        return key if type(key) is str and key else None

    def _told(self, name: str, otherwise: Any = None) -> Any:
        value = None if self.metadata is None else self.metadata.value
        return otherwise if value is None else value.get(name, otherwise)

    def wanted(self) -> Wanted:
        """The session as the file has it."""
        told = self._told("last_archived")
        if type(told) is not int:
            told = self._told("last_consolidated")
        state = self.provider_state
        return Wanted(
            messages=[line.value for line in self.messages if line.value is not None],
            created_at=_text(self._told("created_at")),
            updated_at=_text(self._told("updated_at")),
            metadata=self._told("metadata", {}),
            last_consolidated=0 if told is None else told,
            extra=_provider_state(None if state is None else state.value),
            decoded=True,
        )


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None


def _provider_state(value: Any) -> dict[str, Any]:
    return {} if value is None else {"provider_state": value.get("state")}


def read_file(path: Path) -> SessionFile:
    """The lines of a file by what they are. Raises `OSError` and `ImportFailedError`."""
    found = SessionFile()
    with path.open("rb") as file:
        for line in read_lines(file, str(path)):
            kind = None if line.value is None else line.value.get("_type")
            if line.value is None:
                found.damaged.append(line)
            elif kind == _METADATA:
                found.metadata = line
            elif kind == "provider_state":
                found.provider_state = line
            else:
                found.messages.append(line)
    return found


def key_in(path: Path) -> str | None:
    """The key that the first metadata line of a file names, None if none does."""
    with path.open("rb") as file:
        for line in read_lines(file, str(path)):
            if line.value is not None and line.value.get("_type") == _METADATA:
                return SessionFile(metadata=line).key
    return None


def import_session(storage: Storage, path: Path, key: str | None = None) -> FileReport:
    """Bring the session of a file, under its own key or this one, to what the file says.

    One transaction. Raises `OSError`, `ImportFailedError`, and the engine's errors.
    """
    file = read_file(path)
    return import_read(storage, path, file, key or file.key or key_of_file(path.stem))


def import_read(storage: Storage, path: Path, file: SessionFile, key: str) -> FileReport:
    """As `import_session`, of a file that was read."""
    wanted = file.wanted()
    report = FileReport(
        path=str(path),
        format=SOURCE,
        sessions=[key],
        records=len(file.messages) + len(file.damaged) + (file.metadata is not None),
        messages=len(file.messages),
        tool_calls=sum(_calls(entry) for entry in wanted.messages),
        problems=[Problem(line.number, line.reason or "damaged") for line in file.damaged],
    )
    stored = storage.load(key)
    if stored is None and storage.exists(key):
        reason = f"session {key!r} is closed; nothing was taken from the file"
        report.problems.append(Problem(None, reason))
    elif stored is None or not _is_older(wanted, stored, report):
        storage.save(key, wanted, _Completing(file, stored, report))
    return report


def _calls(entry: dict[str, Any]) -> int:
    calls = entry.get("tool_calls")
    return len(calls) if type(calls) is list else 0


def _is_older(wanted: Wanted, stored: Picture, report: FileReport) -> bool:
    file, ours = microseconds(wanted.updated_at), microseconds(stored.updated_at)
    if file is None or ours is None or file >= ours:
        return False
    if stored.kept.common(wanted.messages) < len(wanted.messages):
        reason = (
            f"the session was updated at {stored.updated_at}, after the file, {wanted.updated_at}, "
            "and says something else; nothing was taken from the file"
        )
        report.problems.append(Problem(None, reason))
    return True


class _Completing:
    """Adds the source records to the commands of an import, and counts them."""

    def __init__(self, file: SessionFile, stored: Picture | None, report: FileReport) -> None:
        self.file = file
        self.report = report
        known = stored is not None and bool(file.damaged)
        self._stored = (
            {one.data for one in records_of(stored.session)} if known and stored else set()
        )

    def __call__(self, change: Change) -> list[Command]:
        lines = self.file.messages[change.keep :]
        damaged = [line for line in self.file.damaged if line.data not in self._stored]
        changed = bool(change.commands or damaged)
        told = [one for one in (self.file.metadata, self.file.provider_state) if one and changed]
        self.report.appended = len(lines) + len(damaged) + len(told)
        # The last event is the save's own: it tells the session's times.
        return [
            *(_kept(line) for line in (*told, *damaged)),
            *(
                replace(command, messages=_with_records(command, lines))
                if isinstance(command, Append)
                else command
                for command in change.commands
            ),
        ]


def _with_records(command: Append, lines: list[Line]) -> tuple[Message, ...]:
    made: list[Message] = []
    for message, line in zip(command.messages, lines, strict=True):
        attached = attach(Append(messages=(message,)), line)
        assert isinstance(attached, Append)
        made.extend(attached.messages)
    return tuple(made)


def _kept(line: Line) -> Command:
    kind = TORN if line.torn else "damaged"
    if line.value is not None:
        kind = line.value["_type"]
    event = RecordImported(format=SOURCE, kind=kind, damaged=line.value is None)
    return attach(AddEvent(event=event), line)
