"""A git repository as an anchor: one file a log, one commit a note.

With a remote that refuses to rewrite history, the operator cannot take back what was pushed.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from eventstore.checkpoints import checkpoint
from eventstore.checkpoints.anchors import FileAnchor
from eventstore.errors import AnchorError, InvalidValueError

#: Seconds that one command of git may take.
SECONDS = 30.0

_COMMIT = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
_PLAIN = re.compile(r"agent-eventstore/[0-9a-f]{32}", re.ASCII)

#: What must not come from the surroundings: another repository, or a question at a terminal.
_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
_LEFT_OUT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")

_AUTHOR = ("-c", "user.name=agent-eventstore", "-c", "user.email=agent-eventstore@localhost")


class GitAnchor:
    """A repository with a work tree. The receipt is the commit; with `push`, it is pushed first."""

    def __init__(self, path: str | Path, *, push: bool = False, seconds: float = SECONDS) -> None:
        self.path = Path(path).expanduser().absolute()
        self.push = push
        self._seconds = seconds

    @property
    def name(self) -> str:
        """``git:`` or ``git+push:``, and the path."""
        return f"git{'+push' if self.push else ''}:{self.path}"

    def submit(self, note: str) -> str:
        """Commit the note, and push the commit if that is wanted."""
        found, _ = checkpoint.read(note)
        file = _file_of(found.origin)
        target = self.path / file
        if not target.exists() or target.read_text(encoding="utf-8") != note:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(note, encoding="utf-8", newline="\n")
            except OSError as error:
                raise AnchorError(f"{target} cannot be written: {error.strerror}") from error
        self._git("add", "--force", "--", file)
        if self._git("status", "--porcelain", "--", file):
            message = f"Checkpoint of {found.size} events\n\n{found.origin}\n"
            self._git(*_AUTHOR, "commit", "--quiet", "--message", message, "--", file)
        commit = self._git("log", "-1", "--format=%H", "--", file).strip()
        if self.push:
            self._git("push", "--quiet")
        return commit

    def verify(self, note: str, receipt: str) -> None:
        """Make sure that the commit has the note, and that the present branch has the commit."""
        if not _COMMIT.fullmatch(receipt):
            raise AnchorError(f"{receipt[:80]!r} is no commit")
        found, _ = checkpoint.read(note)
        if self._git("show", f"{receipt}:{_file_of(found.origin)}") != note:
            raise AnchorError(f"the commit {receipt} of {self.path} has another note")
        self._git("merge-base", "--is-ancestor", receipt, "HEAD")

    def notes(self, origin: str) -> Iterator[str]:
        """Every note of a log that the present branch has had."""
        file = _file_of(origin)
        for commit in self._git("log", "--reverse", "--format=%H", "--", file).split():
            yield self._git("show", f"{commit}:{file}")

    def _git(self, *arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
        try:
            done = subprocess.run(
                ["git", "-C", str(self.path), *arguments],
                capture_output=True,
                check=False,
                encoding="utf-8",
                errors="replace",
                env=environment | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                timeout=self._seconds,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AnchorError(f"git could not be run in {self.path}: {error}") from error
        if done.returncode:
            what = next(one for one in arguments if not one.startswith(("-", "user.")))
            said = done.stderr.strip() or f"it ended with {done.returncode}"
            raise AnchorError(f"git {what} failed in {self.path}: {said}")
        return done.stdout


def _file_of(origin: str) -> str:
    """The file of a log's notes; origins of other programs may hold anything."""
    plain = _PLAIN.fullmatch(origin) is not None
    name = origin if plain else f"other/{hashlib.sha256(origin.encode()).hexdigest()[:32]}"
    return f"{name}/checkpoint"


def anchor_of(text: str) -> FileAnchor | GitAnchor:
    """The anchor that ``file:PATH``, ``git:PATH`` or ``git+push:PATH`` names.

    Raises `InvalidValueError` for another text.
    """
    kind, _, path = text.partition(":")
    if path and kind == "file":
        return FileAnchor(path)
    if path and kind in ("git", "git+push"):
        return GitAnchor(path, push=kind == "git+push")
    raise InvalidValueError(f"{text!r} is no anchor: file:PATH, git:PATH or git+push:PATH")
