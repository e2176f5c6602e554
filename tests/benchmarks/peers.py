"""Other people's stores; what is not installed is absent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines import Engine
from peer_events import Application, Eventsource, Recorder
from peer_sessions import Hermes, PowerLoop

PEERS: tuple[type[Engine], ...] = (PowerLoop, Hermes, Recorder, Application, Eventsource)


def present(folder: Path, told: Callable[[str, str], None]) -> list[type[Engine]]:
    """The peers that can be used here; `told` hears of each other one, and why."""
    found = []
    for peer in PEERS:
        try:
            store = peer(folder / f"try-{peer.__name__}.db", "normal")
            store.append_one("Hello")
            store.close()
        except Exception as error:
            told(peer.name, f"{type(error).__name__}: {error}")
        else:
            found.append(peer)
    return found
