"""The keys of this user, each in a file that only its owner can read. Never in a store.

A key is chosen by a file that is named, by the environment variable ``EVENTSTORE_KEY`` (a file as
well), or it is the only one in the user's folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec import Struct

from eventstore.checkpoints.keys import SignerKey, VerifierKey
from eventstore.errors import SigningError
from eventstore.files import make_private, sync_names

VARIABLE = "EVENTSTORE_KEY"

_SUFFIX = ".key"


class KeyFile(Struct, frozen=True, kw_only=True):
    """A key that is kept in a file; the private part is only in the file."""

    path: str
    verifier: VerifierKey


def config_folder() -> Path:
    """Where the platform keeps a user's settings."""
    return _folder("XDG_CONFIG_HOME", ".config", "APPDATA", "Roaming")


def state_folder() -> Path:
    """Where the platform keeps what a user's programs remember."""
    return _folder("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA", "Local")


def _folder(variable: str, usual: str, windows: str, windows_usual: str) -> Path:
    home = Path.home()
    if sys.platform == "win32":
        folder = Path(os.environ.get(windows) or home / "AppData" / windows_usual)
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        named = Path(os.environ.get(variable, ""))
        folder = named if named.is_absolute() else home / usual
    return folder / "agent-eventstore"


def keys_folder() -> Path:
    """The folder of this user's keys."""
    return config_folder() / "keys"


def create(name: str, file: str | Path | None = None) -> KeyFile:
    """Make a new key with this name, in a file that is not there yet.

    Raises `SigningError` when it is, `NoteError` for a name that no key can have, and
    `MissingExtraError`.
    """
    key = SignerKey.new(name)
    if file is None:
        folder = keys_folder()
        make_private(folder)
        path = folder / f"{key.key_id.hex()}{_SUFFIX}"
    else:
        path = Path(file).expanduser()
    try:
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise SigningError(f"{path} exists already; a key is never written over") from error
    with os.fdopen(number, "w", encoding="utf-8") as stream:
        stream.write(f"{key.secret}\n")
        stream.flush()
        os.fsync(stream.fileno())
    sync_names(path.absolute().parent)
    return KeyFile(path=str(path), verifier=key.verifier)


def load(file: str | Path) -> SignerKey:
    """The key in a file.

    Raises `SigningError` when there is none or others than its owner can read it, and `NoteError`
    for a file that holds no key.
    """
    path = Path(file).expanduser()
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SigningError(f"there is no key at {path}; `eventstore keys new` makes one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SigningError(f"the key at {path} cannot be read: {error}") from error
    if os.name == "posix" and mode & 0o077:
        raise SigningError(f"others can read the key at {path}: run chmod 600 on it, or replace it")
    return SignerKey.parse(text.rstrip("\n"))


def listed() -> list[KeyFile]:
    """The keys in the user's folder."""
    return [KeyFile(path=str(path), verifier=load(path).verifier) for path in _paths()]


def where(file: str | Path | None = None) -> Path | None:
    """The file of the key to sign with, None when this user has none; see the module's docstring.

    Raises `SigningError` when there are several and none is named.
    """
    named = file or os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    paths = _paths()
    if len(paths) > 1:
        raise SigningError(
            f"there are {len(paths)} keys in {keys_folder()}: name one with --key FILE or "
            f"${VARIABLE}"
        )
    return paths[0] if paths else None


def chosen(file: str | Path | None = None) -> SignerKey | None:
    """The key to sign with, None when this user has none; raises what `where` and `load` do."""
    path = where(file)
    return None if path is None else load(path)


def _paths() -> list[Path]:
    folder = keys_folder()
    return sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else []
