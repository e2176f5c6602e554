"""What is appended: texts of real transcripts where there are some, else ones of their sizes."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("EVENTSTORE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
FOLDERS = ("entire-claude-code", "claude-code-log/real_projects")
TEXTS_MAX = 4_000
#: Longer texts are cut: a few images would otherwise decide what is measured.
TEXT_CHARACTERS_MAX = 16_000

#: Quantiles of the texts' lengths in the real transcripts, from which made ones are drawn.
LENGTHS = (1, 33, 60, 96, 139, 191, 290, 495, 1020, 2560, 16_000)


def transcripts() -> list[Path]:
    """The real transcripts that are here."""
    found = [path for name in FOLDERS for path in (DATA / name).rglob("*.jsonl")]
    return sorted(path for path in found if path.is_file())


def texts_of(paths: Sequence[Path]) -> list[str]:
    """Message texts, in an order that is the same every time."""
    found: list[str] = []
    for path in paths:
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            found.extend(text[:TEXT_CHARACTERS_MAX] for text in _texts(line) if text)
    random.Random(1).shuffle(found)
    return found[:TEXTS_MAX] or made_texts(TEXTS_MAX)


def _texts(line: str) -> Iterator[str]:
    try:
        content: Any = json.loads(line)["message"]["content"]
    except (ValueError, KeyError, TypeError):
        return
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            text = part.get("text", part.get("content", part.get("input")))
            yield text if isinstance(text, str) else json.dumps(text)


def made_texts(count: int) -> list[str]:
    """Texts of the lengths that real ones have."""
    chance = random.Random(1)
    words = [f"word{number}" for number in range(500)]
    found = []
    for _ in range(count):
        decile = chance.randrange(len(LENGTHS) - 1)
        length = chance.randint(LENGTHS[decile], LENGTHS[decile + 1])
        found.append(" ".join(chance.choices(words, k=length // 7 + 1))[:length])
    return found


def made_transcript(path: Path, texts: Sequence[str]) -> None:
    """A transcript of Claude Code that says these texts."""
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            role = "user" if number % 2 == 0 else "assistant"
            record = {
                "type": role,
                "uuid": f"u-{number}",
                "parentUuid": f"u-{number - 1}" if number else None,
                "sessionId": path.stem,
                "timestamp": f"2026-01-05T10:{number // 60 % 60:02}:{number % 60:02}.000Z",
                "message": {"role": role, "content": text},
            }
            file.write(json.dumps(record) + "\n")
