"""Writes `format_1.db`, a store of format 1, and `format_1.json`, what must be read from it.

Run once, when the format was released: the file stays as it is for ever. Clock and randomness are
fixed, so that a second run of the same code gives the same leaves.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from engine_support import populate, ticking  # noqa: E402

from eventstore import SessionStore  # noqa: E402


def described(store: SessionStore) -> dict[str, Any]:
    """Everything a reader of the store is promised, as plain JSON."""
    sessions = {}
    for info in sorted(store.sessions(statuses=None), key=lambda one: one.created_at):
        name = info.session_id + (f"~{info.incarnation}" if info.incarnation > 1 else "")
        session = store.get(name)
        assert session is not None
        sessions[name] = {
            "chat": session.chat(),
            "history": [[m.seq, m.role, m.state, short(m.text)] for m in session.history()],
            "title": session.title(),
            "status": info.status,
            "version": info.version,
            "usage": [session.usage().input, session.usage().output, session.usage().cost_nanos],
            "children": [child.name for child in session.children()],
        }
    return {
        "head": [store.head.position, store.head.leaf.hex()],
        "events": [
            [r.position, r.stream, r.version, r.recorded_at, r.actor, r.key, r.leaf.hex(),
             type(r.event).__name__]
            for r in store.events()
        ],
        "sessions": json.loads(json.dumps(sessions), object_hook=shortened),
    }  # fmt: skip


def short(text: str | None) -> str | None:
    if text is None or len(text) < 100:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def shortened(node: dict[str, Any]) -> dict[str, Any]:
    return {key: short(v) if isinstance(v, str) else v for key, v in node.items()}


def main() -> None:
    """Make both files."""
    path = HERE / "format_1.db"
    path.unlink(missing_ok=True)
    counter = itertools.count(1)

    def urandom(size: int) -> bytes:
        return hashlib.shake_256(next(counter).to_bytes(8, "big")).digest(size)

    with (
        mock.patch("eventstore.log.transaction.os.urandom", urandom),
        SessionStore.open(path, clock=ticking()) as store,
    ):
        made = populate(store)
        made["child"].erase_events([made["child"].messages()[0].position], by="a person")
        made["gone"].erase(reason="asked")
        described_store = described(store)
    text = json.dumps(described_store, indent=1, ensure_ascii=False) + "\n"
    (HERE / "format_1.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
