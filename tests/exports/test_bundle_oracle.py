"""A bundle's root, tiles and signature by what others wrote: pymerkle, cryptography."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from eventstore import Message, SessionStore
from eventstore.bundles.writing import write_bundle
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.checkpoints.keys import SignerKey

pymerkle: Any = pytest.importorskip(
    "pymerkle", reason="pymerkle is not installed (tests/exports/validators.txt)"
)
pytest.importorskip("cryptography", reason="the extra [sign] is not installed")

COUNT = 300


def test_the_root_of_a_bundle_is_pymerkles_over_its_entries(tmp_path: Path) -> None:
    key = SignerKey("example.com/log", bytes(32))
    with SessionStore.open(tmp_path / "s.db") as store:
        texts = [Message(role="user", content=str(number)) for number in range(COUNT)]
        store.create("a").append_many(texts)
        head = store.tree_head()
        folder = tmp_path / "b"
        folder.mkdir()
        text = Checkpoint("agent-eventstore/x", head.size, head.root).text
        write_bundle(store, folder, str(key.sign(text)))
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for name in ("tile/entries/000", f"tile/entries/001.p/{head.size - 256}"):
        data = (folder / name).read_bytes()
        while data:
            length = int.from_bytes(data[:2])
            tree.append_entry(data[2 : 2 + length])
            data = data[2 + length :]
    origin, size, root, blank, signature, _ = (folder / "checkpoint").read_text().split("\n")
    assert (origin, int(size), blank) == ("agent-eventstore/x", tree.get_size(), "")
    assert base64.b64decode(root) == tree.get_root()
    tile = (folder / "tile/0/000").read_bytes()
    assert tile == b"".join(tree.get_leaf(number) for number in range(1, 257))
    assert (folder / "tile/1/000.p/1").read_bytes() == tree.get_root(256)
    # The signature is plain Ed25519 over the text before the empty line.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    dash, name, encoded = signature.split(" ")
    made = base64.b64decode(encoded)
    public.verify(made[4:], text.encode())
    named = b"example.com/log\n\x01" + public.public_bytes_raw()
    assert (dash, name, made[:4]) == ("—", key.name, hashlib.sha256(named).digest()[:4])
