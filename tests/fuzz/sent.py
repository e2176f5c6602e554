"""What is fuzzed of files that somebody sends or keeps: bundles, notes, keys, lists, policies.

Like `targets`: an `EventStoreError` is a right answer to nonsense, anything else is a finding.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from seeds import SENT_KEY, SIGNED, sent_bundle, sent_store, small_store, store_bytes

from eventstore import SessionStore
from eventstore.backup.erasures import apply, read_from
from eventstore.checkpoints import checkpoint, keyfiles, note, side_file
from eventstore.checkpoints.anchors import FileAnchor
from eventstore.checkpoints.keys import VerifierKey
from eventstore.cli import main
from eventstore.cli.points import point_of
from eventstore.cli.times import time_of
from eventstore.errors import CheckpointError, EventStoreError, ReplayError
from eventstore.importers import import_paths
from eventstore.log.entry import ZEROS, commitment_of, leaf_of
from eventstore.replaying import scripts
from eventstore.retention import read_policies, retain
from eventstore.salvage import salvage as salvaged
from eventstore.session.runs import numbers_of
from eventstore.testing.fixtures import load, walk

#: When policies are carried out, in µs since 1970.
NOW = 1_800_000_000_000_000


class BrokenError(AssertionError):
    """A promise that does not hold for these bytes."""


# -- bundles ---------------------------------------------------------------------------------------

#: The list that takes down what is done to the file system, while it is watched.
_watched: list[list[str]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        _watched[0].append(f"{event} {arguments[0]}")
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link", "os.chmod",
                   "subprocess.Popen", "socket.connect"):  # fmt: skip
        _watched[0].append(f"{event} {arguments}")


@cache
def _audited() -> None:
    sys.addaudithook(_audit)


@cache
def _originals() -> tuple[frozenset[bytes], str]:
    """The lines of the bundle, and the root of its tree."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.tar"
        path.write_bytes(sent_bundle())
        with tarfile.open(path) as tar:
            lines = tar.extractfile("events.jsonl")
            assert lines is not None
            manifest = tar.extractfile("manifest.json")
            assert manifest is not None
            return frozenset(lines), json.load(manifest)["root"]


def bundle(data: bytes) -> None:
    """Both verifiers agree on a .tar, write nothing, and verify only what was written."""
    from bundle_support import verify

    _audited()
    lines, root = _originals()
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        path, older = Path(folder) / "b.tar", Path(folder) / "older.txt"
        path.write_bytes(data)
        older.write_bytes(_older())
        written: list[str] = []
        compiled, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # Python would, too
        _watched.append(written)
        try:
            answer = verify(path, [SENT_KEY], [older])
        finally:
            _watched.clear()
            sys.dont_write_bytecode = compiled
        if written:
            raise BrokenError(f"a verifier wrote something: {written}")
        if answer.exit not in (0, 5):
            return
        with tarfile.open(path, "r:") as tar:
            stream = tar.extractfile("events.jsonl")
            assert stream is not None
            found = stream.read().splitlines(keepends=True)
        if answer.told["root"] != root or not lines.issuperset(found):
            raise BrokenError("verified, but its events are not those that were signed")


@cache
def _older() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.tar"
        path.write_bytes(sent_bundle())
        with tarfile.open(path) as tar:
            name = next(one for one in tar.getnames() if one.startswith("anchors/"))
            stream = tar.extractfile(name)
            assert stream is not None
            return stream.read()


# -- a log as lines --------------------------------------------------------------------------------


def events_jsonl(data: bytes) -> None:
    """A log as lines, as it is and with its hashes made right, as a sender can make them."""
    for content in (data, rehashed(data)):
        with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
            file = Path(folder) / "log.jsonl"
            file.write_bytes(content)
            with SessionStore.open(":memory:") as store:
                try:
                    list(import_paths(store, [file], format="events-jsonl"))
                except EventStoreError:
                    if store.head.position:
                        raise BrokenError("a file that was refused left events") from None
                    continue
                head = store.head
                list(import_paths(store, [file], format="events-jsonl"))
                if store.head != head:
                    raise BrokenError("importing the same file again added something")
                if found := [*store.verify(), *store.check()]:
                    raise BrokenError(f"what was imported does not verify: {found}")
                _read(store)


def _read(store: SessionStore) -> None:
    """Whatever a log holds that was taken in can be read, or is refused by name."""
    list(store.events())
    for info in store.sessions(statuses=None):
        with suppress(EventStoreError):
            store.session(info.session_id).chat()


def rehashed(data: bytes) -> bytes:
    """The lines with commitments and leaves that fit them, where they can have some."""
    lines, last, leaves = [], 0, dict[Any, bytes]()
    head = ZEROS
    for line in data.splitlines():
        with suppress(Exception):  # a line that can have no hash stays as it is
            told = json.loads(line)
            if told["line"] == "event":
                if "body" in told:
                    salt, body = bytes.fromhex(told["salt"]), told["body"].encode()
                    told["commitment"] = commitment_of(salt, body).hex()
                commitment = told.get("commitment")
                head = leaf_of(
                    told["position"], told["version"], told["recorded_at"],
                    bytes.fromhex(told["uid"]), leaves.get(told["uid"], ZEROS),
                    None if commitment is None else bytes.fromhex(commitment), told["actor"],
                    told["schema"], told.get("key"), told["type"].encode("ascii"),
                    told["facts"].encode(),
                )  # fmt: skip
                told["leaf"], leaves[told["uid"]] = head.hex(), head
                last = told["position"]
            line = json.dumps(told, ensure_ascii=False).encode()  # noqa: PLW2901
        lines.append(line)
    with suppress(Exception):
        first = json.loads(lines[0])
        lines[0] = json.dumps({**first, "to_position": last, "head": head.hex()}).encode()
    return b"\n".join(lines) + b"\n"


# -- checkpoints and keys --------------------------------------------------------------------------


def notes(data: bytes) -> None:
    """A note has one form, verifies only as it was signed, and no file of notes raises oddly."""
    with suppress(EventStoreError):
        read = note.parse(data)
        if str(read).encode() != data:
            raise BrokenError("a note came back in another form")
    with suppress(EventStoreError):
        found, read = checkpoint.read(data)
        if found.text != read.text:
            raise BrokenError("a checkpoint came back in another form")
        note.verified(read, [VerifierKey.parse(SENT_KEY)])
        if read.text != SIGNED:
            raise BrokenError("a text verifies that nobody signed")
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        with suppress(CheckpointError):
            side_file.read(path)
        list(FileAnchor(path).notes("agent-eventstore/x"))


def keys(data: bytes) -> None:
    """Both readers of vkeys take the same ones; no error shows what may be a private key."""
    from bundle_support import script

    text = data.decode("utf-8", "surrogateescape")
    try:
        mine: VerifierKey | None = VerifierKey.parse(text)
    except EventStoreError:
        mine = None
    with suppress(ValueError, UnicodeError):
        name, number, public = script.key_of(text)
        if mine is not None and (mine.name, mine.key_id, mine.public) != (name, number, public):
            raise BrokenError("the two readers of vkeys read different keys")
    if mine is not None and str(mine) != text:
        raise BrokenError("a vkey came back in another form")
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        path = Path(folder) / "a.key"
        path.touch(mode=0o600)
        path.write_bytes(data)
        try:
            keyfiles.load(path)
        except EventStoreError as error:
            secrets = re.findall(r"[A-Za-z0-9+/]{24,}", text.rpartition("+")[2])
            if "PRIVATE" in text and any(one in str(error) for one in secrets):
                raise BrokenError(f"an error shows a private key: {error}") from error


# -- lists, policies, fixtures, times --------------------------------------------------------------


def erasure_list(data: bytes) -> None:
    """A list of erasures erases what it names and verifies afterwards, or is refused by name."""
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        path, db = Path(folder) / "list.json", Path(folder) / "s.db"
        path.write_bytes(data)
        db.write_bytes(sent_store())
        with SessionStore.open(db, durability="normal") as store:
            with suppress(EventStoreError):
                apply(store, read_from(path))
            if store.verify() or store.check():
                raise BrokenError("after the list was applied the store does not verify")


@cache
def _small() -> SessionStore:
    return small_store(":memory:")


def policies(data: bytes) -> None:
    """Policies are read and can be planned with, or are refused by name."""
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        path = Path(folder) / "policies.toml"
        path.write_bytes(data)
        with suppress(EventStoreError):
            retain(_small(), read_policies(path), dry_run=True, now=NOW)


def fixture(data: bytes) -> None:
    """A fixture is walked to its end, or refused by name; read again it is the same."""
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        path = Path(folder) / "replay.json"
        path.write_bytes(data)
        try:
            script = scripts.load(path)
        except ReplayError:
            return
        if scripts.decode(scripts.encode(script), "again") != script:
            raise BrokenError("a fixture came back as another one")
        with suppress(EventStoreError), load(path) as recording:
            walk(recording)


def times(data: bytes) -> None:
    """Whatever is typed for a point in time is a usage error or finds a past, in the command."""
    text = data.decode("utf-8", "surrogateescape")
    with suppress(ValueError, OverflowError):
        time_of(text)
    with suppress(click.UsageError):
        point = point_of(text)
        with suppress(EventStoreError):
            _small().session("a").messages(at=point)
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        db = Path(folder) / "s.db"
        db.write_bytes(sent_store())
        for words in (["show", "a", f"--at={text}"], ["log", f"--since={text}"]):
            done = CliRunner().invoke(main, [*words, "--db", str(db)])
            if done.exit_code not in (0, 1, 2) or (
                done.exception and not isinstance(done.exception, SystemExit)
            ):
                raise BrokenError(f"{words}: {done.exit_code} {done.exception!r}")


# -- salvage ---------------------------------------------------------------------------------------


@cache
def _whole() -> tuple[bytes, frozenset[str]]:
    data = store_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        path.write_bytes(data)
        with SessionStore.open(path, readonly=True) as store:
            return data, frozenset(one.leaf.hex() for one in store.events())


def salvage(data: bytes) -> None:
    """Of a damaged file only what was in it is saved, and the rest is told; it is left alone."""
    whole, leaves = _whole()
    content = bytearray(whole)
    for at in range(0, len(data) - 4, 5):
        content[int.from_bytes(data[at : at + 4], "big") % len(content)] = data[at + 4]
    if data and data[-1] % 16 == 0:
        del content[int.from_bytes(data[:3], "big") % len(content) :]
    with tempfile.TemporaryDirectory(prefix="eventstore-fuzz-") as folder:
        path, new = Path(folder) / "s.db", Path(folder) / "new.db"
        path.write_bytes(content)
        try:
            report = salvaged(path, new)
        except EventStoreError:
            if new.exists():
                raise BrokenError("a salvage that failed left a file") from None
            return
        finally:
            if path.read_bytes() != content:
                raise BrokenError("the damaged file was changed")
        told_of = set(numbers_of([*report.lost, *report.unproven]))
        with SessionStore.open(new, readonly=True) as store:
            name = report.session_id
            own = None if name is None else store.session(name).stream
            for one in store.events():
                known = one.leaf.hex() in leaves or one.position in told_of
                if not known and one.stream != own:
                    raise BrokenError(f"event {one.position} was made up")
