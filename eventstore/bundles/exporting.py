"""The bundle as a format of `eventstore export`: a folder, or the same in one .tar.

A bundle ends with its checkpoint, which is made when the export begins. So it holds what the
export holds, the event that records the export, and whatever came in between.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from eventstore.bundles.files import write_tar
from eventstore.bundles.writing import Written, write_bundle
from eventstore.checkpoints import checkpoint, keyfiles, notes
from eventstore.checkpoints.keeping import Checkpoints, Keeper
from eventstore.errors import ExportFailedError
from eventstore.exports.registry import Request
from eventstore.log.headers import StoredEvent

#: Earlier checkpoints of the log that go along, the newest ones.
OLDER_MAX = 32

KEY, OLDER, TYPES, OF = "key", "older", "types", "of"


class Bundle:
    """A folder."""

    name = "bundle"
    description = "a folder that proves itself: an outsider checks it with one small script"
    suffix = ""
    lossless = True
    options: Mapping[str, str] = {
        KEY: "the file of the key that signs the checkpoint",
        OLDER: "a file with a checkpoint that the recipient has, so that it can be compared",
        TYPES: "disclose the content of these types of events only, separated by commas",
        OF: "disclose the content of these sessions only, separated by commas",
    }

    def export(self, request: Request) -> None:
        """Write the bundle into the folder."""
        write(request, request.directory())


class BundleTar(Bundle):
    """The same in one file."""

    name = "bundle-tar"
    description = "the same bundle in one .tar"
    suffix = ".tar"

    def export(self, request: Request) -> None:
        """Write the bundle into a folder beside, and that into the stream."""
        out = request.stream()
        with tempfile.TemporaryDirectory(prefix="eventstore-bundle-") as folder:
            write(request, Path(folder))
            write_tar(Path(folder), out)


def write(request: Request, folder: Path) -> Written:
    """Make or find a checkpoint, and write the bundle of it."""
    note = _note(request)
    written = write_bundle(
        request.store,
        folder,
        note,
        sessions=request.sessions,
        withhold=_withheld(request),
        older=_older(request, note),
        progress=request.progress,
    )
    if "\n\n" not in note:
        request.say(
            "the checkpoint is not signed: there is no key, `eventstore keys new` makes one"
        )
    return written


def _note(request: Request) -> str:
    """The checkpoint of the bundle: a new one, or of a read-only store the newest there is."""
    store = request.store
    if not store.log.readonly:
        keeper = store.keeper
        if not isinstance(keeper, Keeper):
            keeper = Keeper(store, Checkpoints(keyfiles.chosen(request.options.get(KEY))))
        return keeper.make("export").note.note
    with store.log.snapshot() as connection:
        origin = notes.origin(connection)
        newest = None if origin is None else notes.newest(connection, origin)
    if newest is None:
        raise ExportFailedError(
            f"{store.path} is open read-only and no checkpoint was made of it yet; make one with "
            "`eventstore checkpoint`, or export with a record"
        )
    if newest.size < request.to_position:
        request.say(
            f"the bundle ends where the newest checkpoint does, at event {newest.size} of "
            f"{request.to_position}"
        )
    return newest.note


def _older(request: Request, note: str) -> list[str]:
    """Earlier checkpoints of the same log."""
    at, _ = checkpoint.read(note)
    with request.store.log.snapshot() as connection:
        kept = [one for one in notes.listed(connection) if one.origin == at.origin]
    found = [one.note for one in kept if 0 < one.size < at.size][-OLDER_MAX:]
    named = request.options.get(OLDER)
    if named is not None:
        try:
            found.append(Path(named).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ExportFailedError(f"the checkpoint {named} cannot be read: {error}") from error
    return found


def _withheld(request: Request) -> Callable[[StoredEvent], bool]:
    if request.content == "none":
        return lambda event: True
    types, of = _listed(request, TYPES), _listed(request, OF)
    streams = None if of is None else {request.store.find(name).stream for name in of}

    def is_withheld(event: StoredEvent) -> bool:
        return (types is not None and event.name not in types) or (
            streams is not None and event.stream not in streams
        )

    return is_withheld


def _listed(request: Request, option: str) -> set[str] | None:
    value = request.options.get(option)
    return None if value is None else {name.strip() for name in value.split(",")}
