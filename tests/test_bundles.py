"""Bundles: what is in them, always the same, and what both verifiers say of them."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle_support import (
    KEY,
    ORIGIN,
    SCRIPT,
    VKEY,
    Sample,
    files_of,
    script,
    signed,
    tar_of,
    verify,
)
from engine_support import BIG, budget
from merkle_support import mth

from eventstore import Message, SessionStore
from eventstore.bundles import layout
from eventstore.bundles.writing import write_bundle
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.errors import CorruptStoreError, ExportFailedError
from eventstore.events import stored
from eventstore.events.catalogue import CustomEvent


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Sample]:
    made = Sample(tmp_path)
    yield made
    made.store.close()


def leaves_of(store: SessionStore) -> list[bytes]:
    return [event.leaf for event in store.events()]


# -- the script ------------------------------------------------------------------------------------


def test_the_script_is_short_and_needs_nothing_but_the_standard_library() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        assert all(name.split(".")[0] in sys.stdlib_module_names for name in names), names


def test_the_script_runs_where_the_package_is_not(sample: Sample, tmp_path: Path) -> None:
    folder, older = sample.bundle("b"), sample.older(5)
    (tmp_path / "key.txt").write_text(VKEY + "\n")
    command = [sys.executable, "-I", str(SCRIPT), str(folder)]
    done = subprocess.run(
        [*command, "--key", str(tmp_path / "key.txt"), "--older", str(older)],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith('verdict: "VERIFIED')
    assert subprocess.run(command, capture_output=True, check=False).returncode == 4
    assert subprocess.run(command[:-1], capture_output=True, check=False).returncode == 2


# -- verdicts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["folder", "tar"])
@pytest.mark.parametrize("mode", ["log", "sessions"])
def test_each_verdict_of_a_right_bundle(sample: Sample, mode: str, form: str) -> None:
    store, older = sample.store, sample.older(5)
    chosen = None if mode == "log" else [store.session("root")]
    for key, name in ((KEY, "signed"), (None, "bare")):
        folder = sample.bundle(
            name, note=signed(store, key=key), sessions=chosen, older=[older.read_text()]
        )
        path = tar_of(folder) if form == "tar" else folder
        answer = verify(path, older=[older])
        assert answer.told["mode"] == mode
        assert answer.told["erased"] > 0
        assert answer.told["withheld"] == 0
        gaps = f" with {answer.told['erased']} erased and 0 withheld"
        if key is None:
            assert (answer.verdict, answer.exit) == ("UNSIGNED" + gaps, 4)
            continue
        assert (answer.verdict, answer.exit) == ("VERIFIED" + gaps, 0)
        assert answer.told["compared"] == [5]
        assert verify(path).verdict == "UNANCHORED" + gaps
        assert verify(path).exit == 5
        # Without a trusted key nothing is signed, whatever it is compared with.
        assert verify(path, keys=[], older=[older]).exit == 4


def test_a_bundle_without_gaps_is_verified_and_no_more(tmp_path: Path) -> None:
    made = Sample(tmp_path, lambda store: store.create("a").append("user", "hello"))
    answer = verify(made.bundle("b"), older=[made.older(1)])
    assert (answer.verdict, answer.exit) == ("VERIFIED", 0)
    made.store.close()


def test_an_empty_log_has_a_bundle(tmp_path: Path) -> None:
    made = Sample(tmp_path, lambda store: None)
    answer = verify(made.bundle("b"), older=[made.older(0)])
    assert answer.verdict == "UNANCHORED", "agreeing with no events proves nothing"
    made.store.close()


def test_what_is_withheld_is_counted_and_never_in_the_bundle(sample: Sample) -> None:
    folder = sample.bundle("b", withhold=lambda event: event.name != "title.set")
    answer = verify(folder, older=[sample.older(3)])
    assert answer.exit == 0
    assert answer.told["withheld"] > 0
    shown = [json.loads(line) for line in (folder / layout.EVENTS).read_bytes().splitlines()]
    assert {one["type"] for one in shown if "content" in one} == {"title.set"}
    assert answer.told["shown"] == sum("content" in one for one in shown)
    assert all(one["session"] is None for one in shown), "an id that was withheld is told"
    assert not (folder / "blobs").exists()
    text = b"".join(files_of(folder).values())
    assert b"hello" not in text
    assert BIG[:64].encode() not in text


def test_a_bundle_of_sessions_holds_no_text_of_others(sample: Sample) -> None:
    store = sample.store
    for name in ("root", "fork", "child", "other", "gone"):
        session = store.session(name)
        folder = sample.bundle(f"b-{name}", sessions=[session], older=[signed(store, 4)])
        assert verify(folder, older=[sample.older(4)]).exit == 0
        lines = [json.loads(line) for line in (folder / layout.EVENTS).read_bytes().splitlines()]
        own = [event.position for event in session.events()]
        assert [one["position"] for one in lines] == own
        assert {one["session"] for one in lines} == {name}


def test_an_erasure_in_another_session_comes_along(tmp_path: Path) -> None:
    """What was erased by an event elsewhere is erased here too, and provably."""

    def fill(store: SessionStore) -> None:
        a, b = store.create("a"), store.create("b")
        a.append("user", "secret")
        erased = a.history()[-1].position
        from eventstore.events.catalogue import ContentErased
        from eventstore.log import erasure
        from eventstore.log.port import NewEvent

        event = ContentErased(positions=((erased, 1),), by="desk")
        store.log.transact(lambda tx: tx.append(b.stream, [NewEvent(event)]))

        def wipe(tx: Any) -> None:
            tx.flush()
            erasure.wipe(tx.connection, [erased])

        store.log.transact(wipe, exclusive=True)

    made = Sample(tmp_path, fill)
    folder = made.bundle("b", sessions=[made.store.session("a")])
    answer = verify(folder, older=[])
    assert answer.verdict == "UNANCHORED with 1 erased and 0 withheld"
    assert answer.told["sessions"] == 1
    last = json.loads((folder / layout.EVENTS).read_bytes().splitlines()[-1])
    assert (last["type"], last["session"]) == ("content.erased", None)
    made.store.close()


def test_what_was_erased_after_the_checkpoint_is_withheld(sample: Sample) -> None:
    store = sample.store
    note = signed(store)
    before = verify(sample.bundle("b1", note=note)).told
    session = store.session("root")
    session.erase_events([session.history()[-1].position])
    after = verify(sample.bundle("b2", note=note)).told
    assert after["size"] == before["size"]
    assert after["withheld"] == before["withheld"] + 1
    assert after["erased"] == before["erased"]


def test_an_older_checkpoint_that_a_bundle_of_sessions_cannot_show_is_not_counted(
    tmp_path: Path,
) -> None:
    def fill(store: SessionStore) -> None:
        for name in ("a", "b", "c"):
            texts = [Message(role="user", content=f"{name}{n}") for n in range(300)]
            store.create(name).append_many(texts)

    made = Sample(tmp_path, fill)
    last = [made.store.session("c")]
    assert verify(made.bundle("b1", sessions=last), older=[made.older(100)]).exit == 5
    assert verify(made.bundle("b2", sessions=last), older=[made.older(256)]).exit == 0
    with_it = made.bundle("b3", sessions=last, older=[signed(made.store, 100)])
    assert verify(with_it, older=[made.older(100)]).exit == 0
    # The tiles of leaves that are not needed are not there.
    assert sorted(name for name in files_of(with_it) if name.startswith("tile/0")) == [
        "tile/0/000", "tile/0/002", "tile/0/003.p/135",
    ]  # fmt: skip
    made.store.close()


# -- what is written -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["log", "sessions"])
def test_the_same_log_options_and_checkpoint_give_the_same_bytes(sample: Sample, mode: str) -> None:
    chosen = None if mode == "log" else [sample.store.session("root")]
    note, older = signed(sample.store), [signed(sample.store, 3)]
    folders = [
        sample.bundle(name, note=note, sessions=chosen, older=older) for name in ("b1", "b2")
    ]
    assert files_of(folders[0]) == files_of(folders[1])
    assert tar_of(folders[0]).read_bytes() == tar_of(folders[1]).read_bytes()
    with tarfile.open(tar_of(folders[0])) as tar:
        assert {(one.mtime, one.mode, one.uid, one.uname) for one in tar} == {(0, 0o644, 0, "")}
        assert {one.name for one in tar} == files_of(folders[0]).keys()


def test_tiles_are_those_of_the_tree_and_entries_hash_to_its_leaves(tmp_path: Path) -> None:
    def fill(store: SessionStore) -> None:
        store.create("a").append_many([Message(role="user", content=str(n)) for n in range(700)])

    made = Sample(tmp_path, fill)
    files, leaves = files_of(made.bundle("b")), leaves_of(made.store)
    assert files["tile/0/000"] == b"".join(leaves[:256])
    assert files["tile/0/002.p/189"] == b"".join(leaves[512:])
    assert files["tile/1/000.p/2"] == mth(leaves[:256]) + mth(leaves[256:512])
    data, found = files["tile/entries/001"], []
    while data:
        length = int.from_bytes(data[:2])
        found.append(hashlib.sha256(b"\0" + data[2 : 2 + length]).digest())
        data = data[2 + length :]
    assert found == leaves[256:512]
    made.store.close()


def test_an_entry_too_long_for_its_length_stands_in_a_file_of_its_own(tmp_path: Path) -> None:
    def fill(store: SessionStore) -> None:
        session = store.create("a")
        for size in (10, 70_000, 65_000, 90_000):
            session.add_event(CustomEvent(name="x.test.long", data={"numbers": "1" * size}))

    made = Sample(tmp_path, fill)
    for name, chosen in (("b1", None), ("b2", [made.store.session("a")])):
        folder = made.bundle(name, sessions=chosen)
        assert sorted(path.name for path in (folder / "long").iterdir()) == ["1", "2"]
        assert verify(folder, older=[made.older(2)]).exit == 0
    made.store.close()


def test_text_that_looks_like_a_blob_needs_none(tmp_path: Path) -> None:
    def fill(store: SessionStore) -> None:
        session, digest = store.create("a"), "0" * 64
        for value in ({"$blob": digest}, {"$blob": BIG}, {"$literal": BIG}, {"$literal": digest}):
            session.append("user", "x", metadata={"value": value, "deep": [value, "\ud83d"]})

    made = Sample(tmp_path, fill)
    folder = made.bundle("b")
    digest = hashlib.sha256(BIG.encode()).hexdigest()
    assert [path.name for path in (folder / "blobs").iterdir()] == [digest]
    assert verify(folder, older=[made.older(2)]).exit == 0
    made.store.close()


def test_every_line_is_json_and_says_what_the_store_says(sample: Sample) -> None:
    folder = sample.bundle("b")
    lines = [json.loads(line) for line in (folder / layout.EVENTS).read_bytes().splitlines()]
    events = list(sample.store.events())
    assert [one["position"] for one in lines] == [event.position for event in events]
    assert [one["version"] for one in lines] == [event.version for event in events]
    assert [one["type"] for one in lines] == [stored.name_of(event.event) for event in events]
    assert ["content" in one for one in lines] == [
        event.event.content is not None for event in events
    ]


def test_a_checkpoint_that_is_not_of_this_log_is_refused(sample: Sample) -> None:
    store, head = sample.store, sample.store.tree_head()
    wrong = [
        str(KEY.sign(Checkpoint(ORIGIN, head.size, bytes(32)).text)),
        str(KEY.sign(Checkpoint(ORIGIN, head.size + 1, head.root).text)),
    ]
    for number, note in enumerate(wrong):
        with pytest.raises(ExportFailedError):
            sample.bundle(f"b{number}", note=note)
    with pytest.raises(ExportFailedError):
        sample.bundle("b9", older=[str(KEY.sign(Checkpoint("other", 1, head.root).text))])
    assert store.verify() == []


def test_a_log_that_was_changed_gives_no_bundle(sample: Sample) -> None:
    note = signed(sample.store)
    sample.store.close()
    import apsw

    with apsw.Connection(str(sample.path)) as connection:
        connection.execute("DROP TRIGGER events_are_immutable")
        connection.execute("UPDATE events SET recorded_at = recorded_at + 1 WHERE position = 2")
    connection.close()
    sample.store = SessionStore.open(sample.path)
    folder = sample.folder / "b"
    folder.mkdir()
    with pytest.raises(CorruptStoreError, match="event 2 cannot be proven"):
        write_bundle(sample.store, folder, note)


# -- Ed25519 and notes -----------------------------------------------------------------------------


def accepts(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        script.check_signature(public, message, signature)
    except ValueError:
        return False
    return True


def test_the_scripts_signatures_are_those_of_cryptography() -> None:
    """Right ones, and ones with a bit, a half, the message, the key or the number changed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

    chance = random.Random(8032)
    for _ in range(budget(12)):
        key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        public = key.public_key().public_bytes_raw()
        message = chance.randbytes(chance.randrange(200))
        good = key.sign(message)
        bit = 1 << chance.randrange(8)
        place = chance.randrange(64)
        flipped = good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :]
        number = int.from_bytes(good[32:], "little")
        cases = [
            (public, message, good), (public, message, flipped), (public, message + b"x", good),
            (public, message, good[:32] + (number + script.Q).to_bytes(32, "little")),
            (public, message, chance.randbytes(64)), (public, message, good[:63]),
            (public, message, bytes(64)), (chance.randbytes(32), message, good),
            (public, message, b"\xff" * 32 + good[32:]),
        ]  # fmt: skip
        for used, text, signature in cases:
            try:
                Ed25519PublicKey.from_public_bytes(used).verify(signature, text)
                expected = True
            except (InvalidSignature, ValueError):
                expected = False
            assert accepts(used, text, signature) is expected


def test_rfc_8032_test_1_and_3() -> None:
    """RFC 8032 §7.1: an empty message, and two bytes."""
    one = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert accepts(one, b"", bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    ))  # fmt: skip
    three = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    assert accepts(three, bytes.fromhex("af82"), bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    ))  # fmt: skip


def test_numbers_out_of_range_are_no_points() -> None:
    for data in ((script.P).to_bytes(32, "little"), (script.P + 1).to_bytes(32, "little"),
                 (1 | 1 << 255).to_bytes(32, "little"), b"\xff" * 32):  # fmt: skip
        with pytest.raises(ValueError, match="no point"):
            script.point_of(data)


def test_the_page_names_the_digest_of_the_script() -> None:
    page = SCRIPT.parent.parent / "auditing.md"
    text, digest = page.read_text(encoding="utf-8"), hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(re.sub(r"`[0-9a-f]{64}`", f"`{digest}`", text), encoding="utf-8")
    else:
        assert re.findall(r"`([0-9a-f]{64})`", text) == [digest], "run with UPDATE_DOCS=1"
