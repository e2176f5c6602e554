"""Keys as texts, in the encodings of Go's sumdb/note, and what they do.

A verifier key is ``name+id+base64``, a signer key ``PRIVATE+KEY+name+id+base64``. What is in base64
is a byte that says Ed25519, and 32 bytes. The id is made of the name and the public key. Signing
and verifying need the package ``cryptography``: ``pip install 'agent-eventstore[sign]'``.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, NamedTuple

from eventstore.checkpoints import note
from eventstore.checkpoints.note import KEY_ID_BYTES, Note, Signature
from eventstore.errors import MissingExtraError, NoteError

#: The byte that stands for Ed25519.
ED25519 = b"\x01"
KEY_BYTES = 32

_PRIVATE = "PRIVATE+KEY+"
_ID = re.compile("[0-9a-f]{8}", re.ASCII)


def key_id_of(name: str, public: bytes) -> bytes:
    """The first four bytes of SHA-256(name || newline || 0x01 || public key)."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:KEY_ID_BYTES]


class VerifierKey(NamedTuple):
    """A public key, with the name that its owner gave it."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read ``name+id+base64``; raises `NoteError`."""
        name, key_id, data = _parts(text, "a verifier key is name+id+base64")
        key = cls(name, data)
        if key.key_id.hex() != key_id:
            raise NoteError(
                f"the verifier key {name!r} has the id {key.key_id.hex()}, not {key_id}"
            )
        return key

    @property
    def key_id(self) -> bytes:
        """The four bytes that identify the key in notes."""
        return key_id_of(self.name, self.public)

    def __str__(self) -> str:
        """``name+id+base64``."""
        return f"{self.name}+{self.key_id.hex()}+{note.encode(ED25519 + self.public)}"

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether this is the key's signature of the text; raises `MissingExtraError`."""
        ed25519 = _ed25519()
        from cryptography.exceptions import InvalidSignature

        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            return False
        return True


class SignerKey:
    """A private key. Nothing prints it: its text is only in `secret`."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Raises `NoteError` for a name that no key can have, and `MissingExtraError`."""
        note.check_name(name)
        self._seed = seed
        self._key = _ed25519().Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def new(cls, name: str) -> SignerKey:
        """A fresh key."""
        return cls(name, os.urandom(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> SignerKey:
        """Read ``PRIVATE+KEY+name+id+base64``; raises `NoteError`, which never shows the key."""
        if not text.startswith(_PRIVATE):
            raise NoteError("a signer key begins with PRIVATE+KEY+, this does not")
        name, key_id, data = _parts(
            text.removeprefix(_PRIVATE), "a signer key is PRIVATE+KEY+name+id+base64"
        )
        key = cls(name, data)
        if key.verifier.key_id.hex() != key_id:
            raise NoteError(f"the signer key {name!r} does not have the id {key_id}")
        return key

    @property
    def name(self) -> str:
        """The key's name."""
        return self.verifier.name

    @property
    def key_id(self) -> bytes:
        """The four bytes that identify the key in notes."""
        return self.verifier.key_id

    @property
    def secret(self) -> str:
        """``PRIVATE+KEY+name+id+base64``, for the key's file and nothing else."""
        return f"{_PRIVATE}{self.name}+{self.key_id.hex()}+{note.encode(ED25519 + self._seed)}"

    def __repr__(self) -> str:
        return f"<SignerKey {self.name}+{self.key_id.hex()}>"

    def sign(self, text: str) -> Note:
        """The note of a text with this key's signature."""
        value: bytes = self._key.sign(text.encode())
        return note.signed(text, [Signature(self.name, self.key_id, value)])


def _parts(text: str, form: str) -> tuple[str, str, bytes]:
    """Name, id and the 32 bytes; no error shows the last part, which may be private."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError(form)
    name, key_id, coded = parts
    note.check_name(name)
    try:
        data = note.decode(coded)
    except NoteError:
        raise NoteError(f"{form}; what stands for the key {name!r} is not base64") from None
    if not _ID.fullmatch(key_id) or data[:1] != ED25519 or len(data) != 1 + KEY_BYTES:
        raise NoteError(f"{form}; the key {name!r} is not an Ed25519 key of {KEY_BYTES} bytes")
    return name, key_id, data[1:]


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtraError(
            "signing and verifying need the package cryptography: "
            "pip install 'agent-eventstore[sign]'"
        ) from error
    return ed25519
