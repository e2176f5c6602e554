"""Foreign bytes: every past finding, and some thousand changes of good inputs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from engine_support import budget
from seeds import seeds
from targets import TARGETS

#: Targets that sign or verify.
SIGNING = ("bundle", "notes", "keys")


@pytest.fixture(autouse=True)
def signing(request: pytest.FixtureRequest) -> None:
    """What these targets need is installed."""
    name = (
        request.node.callspec.params.get("name") or request.node.callspec.params["path"].parent.name
    )
    if name in SIGNING:
        pytest.importorskip("cryptography", reason="the extra [sign] is not installed")


FINDINGS = sorted(path for path in (Path(__file__).parent / "findings").glob("*/*"))


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_broke_it_does_no_more(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_is_taken(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_input_breaks_nothing(name: str) -> None:
    chance = random.Random(name)
    originals = seeds(name)
    for _ in range(budget(20)):
        TARGETS[name](changed(chance.choice(originals), chance))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_much_changed_input_breaks_nothing(name: str) -> None:
    chance = random.Random(f"slow {name}")
    originals = seeds(name)
    for _ in range(budget(600)):
        TARGETS[name](changed(chance.choice(originals), chance))


def changed(data: bytes, chance: random.Random) -> bytes:
    """The bytes, flipped, cut, repeated, moved or put in, a few times over."""
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at, length = chance.randrange(len(content) + 1), chance.randrange(1, 64)
        piece = content[at : at + length]
        match chance.randrange(6):
            case 0:
                content[at : at + 1] = chance.randbytes(1)
            case 1:
                del content[at : at + length]
            case 2:
                content[at:at] = piece
            case 3:
                del content[at:]
            case 4:
                other = chance.randrange(len(content) + 1)
                content[other : other + length] = piece
            case _:
                content[at:at] = chance.choice((b'"', b"{", b"[", b"\0", b"\n", b"\xff", b"1e999",
                                                b"null", b"\\ud800", b"9" * 30))  # fmt: skip
    return bytes(content)
