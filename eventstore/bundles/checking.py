"""Checking a bundle, as `docs/verify/verify_bundle.py` does, with this package's own parts.

Both come to the same verdict on everything; that they share no code is what makes either worth
something. Whatever is wrong with a bundle is a finding, and none is an error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct, field

from eventstore.bundles import layout
from eventstore.bundles.entries import Scan
from eventstore.bundles.files import BundleError, BundleFiles
from eventstore.bundles.tree import BundleTree
from eventstore.checkpoints import checkpoint, note
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.keys import VerifierKey
from eventstore.errors import MissingExtraError, NoteError, UnverifiedNoteError

FINDINGS_MAX = 20


class Verdict(StrEnum):
    """What can be said of a bundle."""

    VERIFIED = "VERIFIED"
    NOT_VERIFIED = "NOT VERIFIED"
    UNSIGNED = "UNSIGNED"
    UNANCHORED = "UNANCHORED"


#: The exit code of each verdict.
EXITS = {
    Verdict.VERIFIED: 0,
    Verdict.NOT_VERIFIED: 3,
    Verdict.UNSIGNED: 4,
    Verdict.UNANCHORED: 5,
}


class Report(Struct, kw_only=True):
    """What a check found. `compared` are the sizes of the older checkpoints that it agrees with.

    What is None could not be told.
    """

    verdict: Verdict = Verdict.NOT_VERIFIED
    origin: str | None = None
    size: int | None = None
    root: bytes | None = None
    signed_by: str | None = None
    compared: list[int] = field(default_factory=list)
    mode: str | None = None
    sessions: int | None = None
    shown: int | None = None
    erased: int | None = None
    withheld: int | None = None
    findings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The verdict, with what is erased and withheld."""
        if self.verdict is Verdict.NOT_VERIFIED or not (self.erased or self.withheld):
            return self.verdict.value
        return f"{self.verdict.value} with {self.erased} erased and {self.withheld} withheld"

    def fault(self, holds: bool, message: str) -> None:
        """Note a finding unless something holds."""
        if not holds and len(self.findings) < FINDINGS_MAX:
            self.findings.append(message)


def check_bundle(
    path: str | Path, keys: Sequence[str] = (), older: Sequence[tuple[str, bytes]] = ()
) -> Report:
    """Check the bundle at `path`: a folder or a .tar.

    `keys` are the verifier keys that are trusted, `older` are names and bytes of checkpoints that
    were kept elsewhere. Both must not come from the bundle. Raises `MissingExtraError` where
    a signature is to be verified and the package for it is not installed, and nothing else.
    """
    report = Report()
    try:
        _check(report, Path(path), keys, older)
    except MissingExtraError:
        raise
    except BundleError as error:
        report.fault(False, str(error))
    except Exception as error:  # whatever it is, the bundle is not verified
        report.fault(False, f"unreadable: {str(error) or repr(error)}")
    report.verdict = _verdict(report)
    return report


def _verdict(report: Report) -> Verdict:
    if report.findings:
        return Verdict.NOT_VERIFIED
    if report.signed_by is None:
        return Verdict.UNSIGNED
    return Verdict.VERIFIED if report.compared else Verdict.UNANCHORED


def _check(
    report: Report, path: Path, texts: Sequence[str], older: Sequence[tuple[str, bytes]]
) -> None:
    files = BundleFiles(path)
    keys = [VerifierKey.parse(text) for text in texts]
    at, report.signed_by = _checkpoint(files.read(layout.CHECKPOINT), keys)
    report.origin, report.size, report.root = at.origin, at.size, at.root
    whole = layout.ENTRIES not in files.parts
    known = [(layout.CHECKPOINT, at)]
    for name in files.names(layout.ANCHORS):
        one, _ = _checkpoint(files.read(name), keys)
        if name != f"{layout.ANCHORS}{one.size}":
            raise BundleError(f"{name} is a checkpoint of {one.size} events")
        known.append((name, one))
    outside = [(name, _checkpoint(data, keys)[0]) for name, data in older]
    for name, one in (*known, *outside):
        if one.origin != at.origin:
            raise BundleError(f"{name} is of another log, {one.origin}")
        if one.size > at.size:
            raise BundleError(
                f"{name} has {one.size} events and the bundle {at.size}: it is older than that "
                "checkpoint, or its end was cut off"
            )
    tree = BundleTree(files, at.size, whole, report.fault)
    for name, one in known:
        _compare(report, tree, name, one)
    for name, one in outside:
        if tree.has_end(one.size):
            _compare(report, tree, name, one)
            report.compared += [one.size] if one.size else []
    scan = Scan(files, tree, report.fault)
    scan.run()
    scan.check_states()
    report.mode = "log" if whole else "sessions"
    report.sessions = len(scan.chains)
    _account(report, files, scan)


def _checkpoint(data: bytes, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, str | None]:
    """A checkpoint and the name of the first trusted key that signed it."""
    try:
        at, written = checkpoint.read(data)
        if at.extensions:
            raise BundleError("a checkpoint has three lines, this has more")
        signed = {one.name for one in note.verified(written, keys)}
    except UnverifiedNoteError as error:
        if any(
            (one.name, one.key_id) == (key.name, key.key_id)
            for one in written.signatures
            for key in keys
        ):
            raise BundleError(str(error)) from error
        signed = set()
    except NoteError as error:
        raise BundleError(str(error)) from error
    return at, next((key.name for key in keys if key.name in signed), None)


def _compare(report: Report, tree: BundleTree, name: str, one: Checkpoint) -> None:
    report.fault(tree.root(one.size) == one.root, f"{name}: the tree has another root")


def _account(report: Report, files: BundleFiles, scan: Scan) -> None:
    """The blobs, the manifest, and that there is nothing else."""
    for digest in sorted(scan.blobs):
        name = f"{layout.BLOBS}{digest}"
        report.fault(layout.digest(files.read(name)) == digest, f"{name} has other bytes")
    counts = {state: len(found) for state, found in scan.states.items()}
    report.shown = counts[layout.SHOWN]
    report.erased = counts[layout.ERASED]
    report.withheld = counts[layout.WITHHELD]
    loose = [
        name
        for name in files.parts
        if name in (layout.CHECKPOINT, layout.README) or name.startswith(layout.ANCHORS)
    ]
    expected = layout.manifest(
        whole=report.mode == "log",
        origin=report.origin or "",
        size=report.size or 0,
        root=report.root or b"",
        sessions=report.sessions or 0,
        counts=counts,
        files={name: layout.digest(files.read(name)) for name in loose},
    )
    report.fault(
        files.read(layout.MANIFEST) == expected, "the manifest says something else than is here"
    )
    others = sorted(set(files.parts) - files.used)
    report.fault(not others, f"no part of the bundle: {others[:FINDINGS_MAX]}")


def key_text(text: str) -> str:
    """A verifier key that is given as such, or as the name of a file that holds one."""
    return Path(text).read_text(encoding="utf-8").strip() if os.path.exists(text) else text.strip()
