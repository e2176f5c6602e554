"""What the tests of checkpoints share: keys, settings and folders that are not the user's own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from eventstore import Checkpoints, SessionStore
from eventstore.checkpoints.keys import SignerKey

needs_cryptography = pytest.mark.skipif(
    find_spec("cryptography") is None, reason="cryptography is not installed (the extra [sign])"
)


def a_key(name: str = "example.com/log", fill: int = 7) -> SignerKey:
    return SignerKey(name, bytes([fill]) * 32)


def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and side files of the tests go where the tests' other files are."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "APPDATA", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("EVENTSTORE_KEY", raising=False)


def opened(path: Path, signer: SignerKey | None = None, **settings: Any) -> SessionStore:
    """A store with checkpoints; without a side file unless one is given."""
    settings.setdefault("side_file", None)
    return SessionStore.open(path, checkpoints=Checkpoints(signer, **settings))


def put_back(copy: Path, path: Path) -> None:
    """Put an older copy in the place of a store."""
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(copy.read_bytes())


def copied(path: Path, name: str) -> Path:
    """A copy of a store that nobody has open."""
    copy = path.with_name(name)
    copy.write_bytes(path.read_bytes())
    return copy
