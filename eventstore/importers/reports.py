"""What an import says of each file."""

from __future__ import annotations

from msgspec import Struct, field


class Problem(Struct, frozen=True):
    """Something wrong with a file, at a line of it (None: the file as a whole).

    In a file that has no lines, `line` is the number of the record in the order it was read.
    """

    line: int | None
    reason: str


class FileReport(Struct, kw_only=True):
    """One file's import.

    `records`, `messages` and `tool_calls` count what the file holds, damaged records included in
    the first; `appended` counts the records that were not stored before. `sessions` are the ids
    of the conversations in the file, `forked` the ids of the forks that were made because the
    file contradicts what is stored. `format` is None for an empty file.
    `failed` says that the file, or the rest of it after what was appended, was not imported.
    """

    path: str
    format: str | None = None
    sessions: list[str] = field(default_factory=list)
    records: int = 0
    messages: int = 0
    tool_calls: int = 0
    problems: list[Problem] = field(default_factory=list)
    appended: int = 0
    forked: list[str] = field(default_factory=list)
    failed: bool = False
