"""What the tests of bundles share: a store, keys, bundles, and both verifiers."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from engine_support import populate, ticking

from eventstore import SessionStore
from eventstore.bundles import layout
from eventstore.bundles.checking import EXITS, check_bundle
from eventstore.bundles.files import write_tar
from eventstore.bundles.writing import write_bundle
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.keys import SignerKey

pytest.importorskip("cryptography", reason="the extra [sign] is not installed")

SCRIPT = Path(__file__).parent.parent / "docs" / "verify" / "verify_bundle.py"
ORIGIN = "agent-eventstore/00112233445566778899aabbccddeeff"

KEY = SignerKey("example.com/log", bytes(range(32)))
OTHER_KEY = SignerKey("example.com/log", bytes(range(1, 33)))
VKEY = str(KEY.verifier)


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("verify_bundle", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = _load()

#: In Python a signature takes long to check, and most of those that are checked are the same ones.
script.check_signature = cache(script.check_signature)


class Answer(NamedTuple):
    """What both verifiers say."""

    verdict: str
    exit: int
    told: dict[str, Any]
    findings: tuple[str, ...]


def by_script(path: Path, keys: Iterable[str], older: Iterable[Path]) -> dict[str, Any]:
    """What the script says; it must neither raise nor write anything but its one object."""
    words = [str(path), "--json"]
    for key in keys:
        words += ["--key", key]
    for note in older:
        words += ["--older", str(note)]
    out, before = io.StringIO(), sys.argv
    try:
        sys.argv = ["verify_bundle.py", *words]
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it ends when it has its answer
            code = script.main()
    finally:
        sys.argv = before
    told: dict[str, Any] = json.loads(out.getvalue())
    assert told["exit"] == code
    return told


def verify(path: Path, keys: Sequence[str] = (VKEY,), older: Sequence[Path] = ()) -> Answer:
    """Both verifiers' answer, which must be one."""
    told = by_script(path, keys, older)
    report = check_bundle(path, keys, [(f"--older {one}", one.read_bytes()) for one in older])
    mine = (report.text, EXITS[report.verdict], bool(report.findings))
    assert mine == (told["verdict"], told["exit"], bool(told["findings"])), (
        report.findings,
        told["findings"],
    )
    if not report.findings:
        for name in ("origin", "size", "mode", "sessions", "shown", "erased", "withheld"):
            assert getattr(report, name) == told[name], name
        assert report.root is not None
        assert (report.root.hex(), report.signed_by) == (told["root"], told["signed_by"])
        assert sorted(report.compared) == sorted(told["compared"])
    findings = (*report.findings, *told["findings"])
    return Answer(report.text, EXITS[report.verdict], told, findings)


def signed(store: SessionStore, size: int | None = None, key: SignerKey | None = KEY) -> str:
    """The checkpoint note of a store at a size."""
    head = store.tree_head(size)
    text = Checkpoint(ORIGIN, head.size, head.root).text
    return text if key is None else str(key.sign(text))


def with_erasures(store: SessionStore) -> dict[str, Any]:
    """Every type of event; one message of `root` and all of `gone` are erased."""
    made = populate(store)
    made["root"].erase_events([made["root"].history()[0].position], by="desk")
    made["gone"].erase(by="desk")
    return made


class Sample:
    """A store with everything in it, and bundles of it."""

    def __init__(self, folder: Path, fill: Callable[[SessionStore], Any] = with_erasures) -> None:
        self.folder = folder
        self.path = folder / "s.db"
        self.store = SessionStore.open(self.path, durability="normal", clock=ticking())
        self.made = fill(self.store)

    def older(self, size: int, name: str = "older.txt", key: SignerKey | None = KEY) -> Path:
        """A checkpoint of the log's first events, as the auditor has it."""
        path = self.folder / name
        path.write_text(signed(self.store, size, key), encoding="utf-8")
        return path

    def bundle(self, name: str, *, note: str | None = None, **options: Any) -> Path:
        """A bundle of the log as it is."""
        folder = self.folder / name
        folder.mkdir()
        write_bundle(self.store, folder, note or signed(self.store), **options)
        return folder


def tar_of(folder: Path) -> Path:
    """The same bundle as one file."""
    path = folder.with_name(folder.name + ".tar")
    with path.open("wb") as out:
        write_tar(folder, out)
    return path


def copied(folder: Path, name: str) -> Path:
    target = folder.with_name(name)
    shutil.copytree(folder, target)
    return target


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def with_manifest(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The files with the manifest that somebody would write who changed them."""
    told = json.loads(files[layout.MANIFEST])
    told.update(changes)
    told["files"] = {name: layout.digest(files[name]) for name in told["files"] if name in files}
    text = json.dumps(told, indent=1, sort_keys=True) + "\n"
    return {**files, layout.MANIFEST: text.encode()}


def lines_of(files: dict[str, bytes]) -> list[bytes]:
    return files[layout.EVENTS].splitlines(keepends=True)


def entries_in(data: bytes) -> list[bytes]:
    """The entries of a bundle of entries."""
    found = []
    while data:
        length = int.from_bytes(data[:2])
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found


def framed(entries: Iterable[bytes]) -> bytes:
    return b"".join(len(one).to_bytes(2) + one for one in entries)
