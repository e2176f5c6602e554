"""Looking after the checkpoints of an open store: compare at open, make notes when it is time.

No append waits for a note. Closing a session or erasing only asks for one; a thread of the store
makes it, after the commit, at most one a second. Closing the store waits for what was asked for.
What goes wrong is a `RuntimeWarning`, and kept in `failure` until a note is made again.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from eventstore.checkpoints import checkpoint, comparing, making, side_file
from eventstore.checkpoints.anchors import Anchor
from eventstore.checkpoints.keys import SignerKey, VerifierKey
from eventstore.checkpoints.making import Made
from eventstore.log.engine import MEMORY
from eventstore.store.session_store import SessionStore

#: Seconds between two notes that nobody waits for.
PAUSE = 1.0

#: Stands for the side file in the user's state folder.
DEFAULT = "default"


class Checkpoints:
    """How a store is to make checkpoints: its key, side file and anchors.

    With a `signer` a note is made after a session is closed and after an erasure, without anybody
    waiting for it; without one only when it is asked for, and nobody signs it. `side_file` is a
    path, None for none, or by default a file in the user's state folder. Opening compares the store
    with the side file, and with the note `expect` if one is given; `trusted` are the keys of which
    `expect` must have a signature.
    """

    def __init__(
        self,
        signer: SignerKey | None = None,
        *,
        side_file: str | Path | None = DEFAULT,
        anchors: Sequence[Anchor] = (),
        expect: bytes | str | None = None,
        trusted: Sequence[VerifierKey] = (),
    ) -> None:
        self.signer = signer
        self.side_file = side_file
        self.anchors = tuple(anchors)
        self.expect = expect
        self.trusted = tuple(trusted)

    def side_path(self, store: SessionStore) -> Path | None:
        """The side file of this store; one in memory has none."""
        if self.side_file is None or store.path == MEMORY:
            return None
        if self.side_file == DEFAULT:
            return side_file.default_for(store.path)
        return Path(self.side_file).expanduser()

    def begin(self, store: SessionStore) -> Keeper:
        """Compare a store that was just opened, and look after its checkpoints from now on.

        Raises what `eventstore.checkpoints.comparing.require` does.
        """
        return Keeper(store, self)


class Keeper:
    """The checkpoints of one open store; see the module's docstring."""

    def __init__(self, store: SessionStore, settings: Checkpoints) -> None:
        self.settings = settings
        self.failure: Exception | None = None
        self._store = store
        self._making = threading.Lock()
        self._condition = threading.Condition()
        self._wanted: str | None = None
        self._closing = False
        self._thread: threading.Thread | None = None
        self._compare()

    def _compare(self) -> None:
        known = []
        path = self.settings.side_path(self._store)
        kept = None if path is None else side_file.read(path)
        if kept is not None:
            known.append((kept, f"the side file {path}"))
        if self.settings.expect is not None:
            expected, written = checkpoint.read(self.settings.expect)
            comparing.signers(written, self.settings.trusted)
            known.append((expected, "the expected note"))
        if known:
            comparing.compare(self._store, known)

    def make(self, reason: str) -> Made:
        """Make a note now; raises what `making.make_note` does."""
        chosen = self.settings
        with self._making:
            made = making.make_note(
                self._store, chosen.signer, chosen.side_path(self._store), chosen.anchors, reason
            )
        self.failure = None
        return made

    def wanted(self, reason: str) -> None:
        """Have a note made soon, if there is a key to sign it with."""
        if self.settings.signer is None or self._store.log.readonly:
            return
        with self._condition:
            if self._closing:
                return
            self._wanted = reason
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="eventstore-checkpoints", daemon=True
                )
                self._thread.start()
            self._condition.notify()

    def _run(self) -> None:
        while (reason := self._next()) is not None:
            try:
                made = self.make(reason)
            except Exception as error:  # told below: there is no caller to raise to
                self.failure = error
                _warn(f"no checkpoint was made after: {reason}: {error}")
            else:
                for one in made.failures:
                    _warn(f"the checkpoint of {one.size} events waits for an anchor: {one.failure}")
            self._pause()

    def _next(self) -> str | None:
        """What a note is wanted for, None when the store is closed and all are made."""
        with self._condition:
            while self._wanted is None and not self._closing:
                self._condition.wait()
            reason, self._wanted = self._wanted, None
            return reason

    def _pause(self) -> None:
        deadline = time.monotonic() + PAUSE
        with self._condition:
            while not self._closing and (left := deadline - time.monotonic()) > 0:
                self._condition.wait(left)

    def close(self) -> None:
        """Make the note that is wanted still, and stop."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


def _warn(text: str) -> None:
    with suppress(RuntimeWarning):  # where warnings are errors, the log goes on all the same
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def make(store: SessionStore, reason: str = "hand") -> Made | None:
    """Make a note of a store now; None when it was opened without `checkpoints`.

    For whoever ends something that an outsider should be able to prove: an export, an erasure.
    Raises what `eventstore.checkpoints.making.make_note` does.
    """
    keeper = store.keeper
    return keeper.make(reason) if isinstance(keeper, Keeper) else None
