"""Any change of a bundle, and bundles that are made to hurt: neither is ever verified."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from bundle_support import (
    Sample,
    files_of,
    framed,
    signed,
    tar_of,
    verify,
    with_manifest,
    write_files,
)
from engine_support import BIG, budget
from hypothesis import HealthCheck, given, settings

from eventstore import SessionStore
from eventstore.bundles import layout

#: What a manifest made anew cannot make right: all but what nothing proves.
UNPROVEN = (layout.README, layout.ANCHORS)


def small(store: SessionStore) -> None:
    """Two sessions, a blob, an erasure, an event without content."""
    a, b = store.create("a", title="Title"), store.create("b")
    a.append("user", "hello")
    b.append("user", BIG)
    a.advance_round(2)
    a.append("assistant", "there 🙂")
    b.append("user", "secret")
    b.erase_events([b.history()[-1].position])


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    made = Sample(tmp_path_factory.mktemp("mutations"), small)
    made.older(4)
    for mode, chosen in (("log", None), ("sessions", [made.store.session("b")])):
        folder = made.bundle(mode, sessions=chosen, older=[signed(made.store, 3)])
        tar_of(folder)
        assert verify(folder, older=[made.folder / "older.txt"]).exit == 0
    yield made
    made.store.close()


Files = dict[str, bytes]

#: Names that a bundle can have and these have not, and names that none has.
FREE = (
    "entries", "long/1", "anchors/5", "tile/0/000", "blobs/" + "0" * 64, "tile/1/000.p/1",
    "more.txt", "tile/entries/000", "sub/checkpoint",
)  # fmt: skip


@st.composite
def changed_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes flipped, dropped, repeated, reordered, inserted, or cut off."""
    at = draw(st.integers(0, max(0, len(data) - 1)))
    size = draw(st.sampled_from([1, 1, 2, 8, 32, 100, 512]))
    piece, rest = data[at : at + size], data[at + size :]
    match draw(st.sampled_from(["flip", "drop", "repeat", "swap", "insert", "cut", "double"])):
        case "flip" if data:
            return data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        case "drop":
            return data[:at] + rest
        case "repeat":
            return data[:at] + piece + piece + rest
        case "swap":
            return data[:at] + rest[:size] + piece + rest[size:]
        case "insert":
            return data[:at] + draw(st.binary(min_size=1, max_size=8)) + piece + rest
        case "cut":
            return data[:at]
    return data + data


@st.composite
def changed_lines(draw: st.DrawFn, data: bytes) -> bytes:
    """Lines dropped, repeated, or in another order."""
    lines = data.splitlines(keepends=True)
    one, two = (draw(st.integers(0, max(0, len(lines) - 1))) for _ in range(2))
    if not lines:
        return data
    match draw(st.sampled_from(["drop", "repeat", "swap"])):
        case "drop":
            del lines[one]
        case "repeat":
            lines.insert(two, lines[one])
        case "swap":
            lines[one], lines[two] = lines[two], lines[one]
    return b"".join(lines)


@st.composite
def changed_files(draw: st.DrawFn, files: Files) -> Files:
    """One or two changes of bytes, lines or files."""
    files = dict(files)
    for _ in range(draw(st.integers(1, 2))):
        names = sorted(files)
        name, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        match draw(st.sampled_from(["bytes", "bytes", "lines", "drop", "copy", "swap", "add"])):
            case "bytes":
                files[name] = draw(changed_bytes(files[name]))
            case "lines":
                files[name] = draw(changed_lines(files[name]))
            case "drop" if len(files) > 1:
                del files[name]
            case "copy":
                files[other] = files[name]
            case "swap":
                files[name], files[other] = files[other], files[name]
            case _:
                files[draw(st.sampled_from(FREE))] = files[name]
    return files


def put(folder: Path, files: Files) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return write_files(folder, files)


@pytest.mark.parametrize("mode", ["log", "sessions"])
@settings(max_examples=budget(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), again=st.booleans())
def test_no_change_of_a_bundle_is_ever_verified(
    sample: Sample, mode: str, data: st.DataObject, again: bool
) -> None:
    """`again`: whoever changed it wrote the manifest anew as well."""
    original = files_of(sample.folder / mode)
    files = data.draw(changed_files(original))
    if again and layout.MANIFEST in files:
        with suppress(ValueError, LookupError, AttributeError, TypeError):  # no manifest any more
            files = with_manifest(files)
    proven = {n: d for n, d in files.items() if not n.startswith((*UNPROVEN, layout.MANIFEST))}
    before = {n: d for n, d in original.items() if not n.startswith((*UNPROVEN, layout.MANIFEST))}
    if files == original or (again and proven == before):
        return
    try:
        folder = put(sample.folder / f"changed-{mode}", files)
    except OSError:  # a file stands where a folder should
        return
    answer = verify(folder, older=[sample.folder / "older.txt"])
    # A checkpoint whose signature nobody trusts is no proof any more, but no lie either.
    allowed = ("NOT VERIFIED", "UNSIGNED") if again else ("NOT VERIFIED",)
    assert answer.verdict.startswith(allowed)
    assert answer.exit != 0


@settings(max_examples=budget(80), deadline=None)
@given(data=st.data())
def test_no_change_of_a_tar_makes_it_hold_anything_else(
    sample: Sample, data: st.DataObject
) -> None:
    original = (sample.folder / "log.tar").read_bytes()
    changed = data.draw(changed_bytes(original))
    path = sample.folder / "changed.tar"
    path.write_bytes(changed)
    if verify(path, older=[sample.folder / "older.txt"]).exit == 0:
        with tarfile.open(path) as tar:
            found = {one.name: tar.extractfile(one) for one in tar}
            held = {name: file.read() for name, file in found.items() if file is not None}
        assert held == files_of(sample.folder / "log")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["log", "sessions"])
def test_every_byte_of_a_bundle_counts(sample: Sample, mode: str) -> None:
    original = files_of(sample.folder / mode)
    for name, data in original.items():
        step = max(1, int(len(data) / budget(150)))
        for at in range(0, len(data), step):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            folder = put(sample.folder / "byte", {**original, name: changed})
            answer = verify(folder, older=[sample.folder / "older.txt"])
            assert answer.verdict == "NOT VERIFIED", (name, at)


# -- made to hurt ----------------------------------------------------------------------------------


@pytest.fixture
def copy(sample: Sample, tmp_path: Path) -> Path:
    return put(tmp_path / "b", files_of(sample.folder / "log"))


def refused(path: Path, keys: Any = None) -> None:
    assert verify(path).verdict == "NOT VERIFIED"


def test_links_and_other_things_that_are_no_files_are_refused(copy: Path, tmp_path: Path) -> None:
    refused(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty")
    events = copy / layout.EVENTS
    moved = tmp_path / "events"
    shutil.move(events, moved)
    events.symlink_to(moved)
    refused(copy)
    events.unlink()
    os.link(moved, events)
    assert verify(copy).exit == 5, "a hard link is a file"
    events.unlink()
    os.mkfifo(events)
    refused(copy)
    events.unlink()
    events.mkdir()
    refused(copy)
    events.rmdir()
    shutil.move(moved, events)
    (copy / "tile" / "1").symlink_to(copy / "tile" / "0")
    refused(copy)


@pytest.mark.parametrize("size", [3 << 24, pytest.param(budget(3 << 28), marks=pytest.mark.slow)])
def test_a_huge_file_is_refused(copy: Path, size: int) -> None:
    for name in (layout.CHECKPOINT, layout.MANIFEST, layout.README, "tile/0/000.p/10"):
        path = next(iter(copy.glob(name)), None) or next(iter((copy / "tile/0/000.p").iterdir()))
        kept = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(size)
        refused(copy)
        path.write_bytes(kept)
    with (copy / layout.EVENTS).open("r+b") as file:
        file.truncate(1 << 42)
    refused(copy)


def test_a_size_that_no_tree_has_is_refused_at_once(copy: Path) -> None:
    for size in ("999999999999999999", "9999999999999999999", "00", "-1", "1e9", "٣", "0x1"):
        text = f"agent-eventstore/x\n{size}\n{'A' * 43}=\n"
        (copy / layout.CHECKPOINT).write_text(text)
        refused(copy)
        (copy / layout.ENTRIES).write_bytes(b"")
        refused(copy)
        (copy / layout.ENTRIES).unlink()


def test_deep_or_strange_json_is_refused(sample: Sample, tmp_path: Path) -> None:
    files = files_of(sample.folder / "log")
    line = next(one for one in files[layout.EVENTS].splitlines(True) if b'"content":' in one)
    begin, end = line.index(b',"content":') + 11, line.rindex(b',"salt":')
    deep = (b"[" * 200_000, b"[" * 200_000 + b"]" * 200_000, b"NaN", b"1" * 100_000, b"\xff\xfe",
            b'"\\ud800"', b"{}" * 10, b"")  # fmt: skip
    for number, body in enumerate(deep):
        changed = line[:begin] + body + line[end:]
        events = files[layout.EVENTS].replace(line, changed)
        refused(put(tmp_path / str(number), {**files, layout.EVENTS: events}))
        refused(put(tmp_path / f"m{number}", {**files, layout.MANIFEST: body}))
        name = next(name for name in files if name.startswith("tile/entries"))
        entry = files[name][: 2 + 151] + body[:60_000]
        refused(put(tmp_path / f"e{number}", {**files, name: framed([entry])}))


def test_notes_that_are_none_are_refused(sample: Sample, tmp_path: Path) -> None:
    files = files_of(sample.folder / "log")
    note = files[layout.CHECKPOINT]
    wrong = [
        b"", b"\n", b"\n\n", note[:-1], note + b"\n", note.replace(b"\n\n", b"\nmore\n\n"),
        note.replace(b"\n\n", b"\n\n\n"), note.replace(b"\n", b"\r\n"), b"\xff" + note, note * 2,
        note.replace("\u2014".encode(), b"--"), note + "\u2014 x\n".encode(), note[:-2] + b"*\n",
        note + "\u2014 a b AAAAAAAAAA==\n".encode(), note + "\u2014 a+b AAAAAAAAAA==\n".encode(),
        note + "\u2014 a AAAA\n".encode(), note + "\u2014 a AAAAAAAAAB==\n".encode(),
        note + "\u2014 a AAAAAAAA\n".encode() * 100, note.replace(b"=\n\n", b"\n\n"),
    ]  # fmt: skip
    for number, text in enumerate(wrong):
        changed = with_manifest({**files, layout.CHECKPOINT: text})
        refused(put(tmp_path / str(number), changed))
    extra = note + "\u2014 a AAAAAAAAAA==\n".encode() * 99
    right = put(tmp_path / "right", with_manifest({**files, layout.CHECKPOINT: extra}))
    assert verify(right).exit == 5


@pytest.mark.parametrize("key", ["", "x", "a+b+c", "n+00000000+AAAA", "n+zz+==", "\ud800+1+2"])
def test_a_key_that_is_none_verifies_nothing(sample: Sample, key: str) -> None:
    assert verify(sample.folder / "log", keys=[key]).verdict == "NOT VERIFIED"


def tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as out:
        for head, data in members:
            head.size = len(data) if head.isreg() else 0
            out.addfile(head, io.BytesIO(data) if head.isreg() else None)
    return path


def test_hostile_archives_are_refused(sample: Sample, tmp_path: Path) -> None:
    files = files_of(sample.folder / "log")
    members = [(tarfile.TarInfo(name), files[name]) for name in sorted(files)]
    assert verify(tar(tmp_path / "right.tar", members)).exit == 5
    names = (
        "/etc/passwd",
        "../checkpoint",
        "./checkpoint",
        "tile/../checkpoint",
        "checkpoint/",
        "",
    )
    for number, name in enumerate(names):
        refused(tar(tmp_path / f"n{number}.tar", [(tarfile.TarInfo(name), b"x"), *members]))
        refused(tar(tmp_path / f"m{number}.tar", [*members, (tarfile.TarInfo(name), b"x")]))
    refused(tar(tmp_path / "twice.tar", [members[0], *members]))
    refused(tar(tmp_path / "order.tar", members[::-1]))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
                 tarfile.CHRTYPE):  # fmt: skip
        link = tarfile.TarInfo("anchors/9")
        link.type, link.linkname = kind, "/etc/passwd"
        both = sorted([*members, (link, b"")], key=lambda one: one[0].name)
        refused(tar(tmp_path / f"k{kind!r}.tar", both))
    right = (tmp_path / "right.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(gzip.compress(right))
    refused(tmp_path / "b.tar")
    for cut in (0, 1, 511, 512, 513, 2000, len(right) // 2):
        (tmp_path / "b.tar").write_bytes(right[:cut])
        refused(tmp_path / "b.tar")
    for size in (b"77777777777\0", b"\x80" + b"\xff" * 11, b"-0000000001\0", b"           \0"):
        head = bytearray(right[:512])
        head[124:136] = size
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        (tmp_path / "b.tar").write_bytes(bytes(head) + right[512:])
        refused(tmp_path / "b.tar")


def test_a_tar_that_unpacks_to_something_else_than_was_checked_is_refused(
    sample: Sample, tmp_path: Path
) -> None:
    """Sparse and extended headers, a damaged header with more behind it, more after the end."""
    files = files_of(sample.folder / "log")
    right = (sample.folder / "log.tar").read_bytes()
    more = io.BytesIO()
    with tarfile.open(fileobj=more, mode="w") as out:
        head = tarfile.TarInfo(layout.EVENTS)
        head.size = 5
        out.addfile(head, io.BytesIO(b"false"))
    end = len(right.rstrip(b"\0")) + 511 & -512
    path = tmp_path / "b.tar"
    for changed in (
        right + more.getvalue(),
        right[:end] + b"damaged header".ljust(512, b"\0") + more.getvalue(),
        right[:end] + bytes(1 << 15),
        right[:end],
    ):
        path.write_bytes(changed)
        refused(path)
    members = [(tarfile.TarInfo(name), files[name]) for name in sorted(files)]
    for header in ({"comment": "x"}, {"GNU.sparse.size": "3", "GNU.sparse.map": "0,3"}):
        for head, _ in members:
            head.pax_headers = header if head.name == layout.EVENTS else {}
        refused(tar(path, members, format=tarfile.PAX_FORMAT))
    refused(tar(path, members[:0] + members, format=tarfile.PAX_FORMAT, pax_headers={"a": "b"}))
    for kind in (tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, tarfile.AREGTYPE):
        for head, _ in members:
            head.pax_headers, head.type = {}, tarfile.REGTYPE
            if head.name == layout.EVENTS:
                head.type = kind
        refused(tar(path, members))
