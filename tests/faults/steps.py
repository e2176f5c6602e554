"""What scenarios are made of, and the commands that take more than a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from checkpoint_support import a_key

from eventstore import Message, SessionStore, ToolCall, erasing, retention, snapshots, traces
from eventstore.backup import backup, restore
from eventstore.checkpoints import checkpoint, comparing, making, side_file
from eventstore.checkpoints.anchors import FileAnchor
from eventstore.doctor import examine
from eventstore.exports.runner import export
from eventstore.importers import import_paths
from eventstore.redaction import redact
from eventstore.salvage import salvage

#: What erasures and redactions are to leave no trace of.
WORD = "zanzibarine"
SECRET = "ghp_" + "a1B2" * 9

#: Who signs checkpoints, nobody where what makes signatures is not installed.
SIGNER = a_key() if find_spec("cryptography") is not None else None


class Step(NamedTuple):
    """A command, and whether what it appends is one transaction.

    When it answers that it is complete, none of the texts in `gone` is left in the file.
    """

    name: str
    run: Callable[[SessionStore], Any]
    atomic: bool = True
    gone: tuple[str, ...] = ()


class Scenario(NamedTuple):
    """Steps on one handle, on a copy of a file that lies beside the base, or (None) on no file.

    `files` are others to lie beside it, `options` those of the opening, `holds` says what does not
    hold of what was written beside the store. `derived` says that the steps damage what the doctor
    can mend. None of the texts in `never` is ever in the file.
    """

    name: str
    steps: tuple[Step, ...]
    base: str | None = "base.db"
    files: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    holds: Callable[[SessionStore, Path], list[str]] | None = None
    derived: bool = False
    never: tuple[str, ...] = ()


@cache
def text(size: int, seed: int) -> str:
    return "".join(chr(97 + (seed * 31 + i * i) % 26) for i in range(size))


def append_calls(store: SessionStore) -> None:
    call = ToolCall(id="call_9", name="search", arguments={"q": "needle"})
    store.session("root").append_many(
        [
            Message(role="assistant", tool_calls=(call,), reasoning="why", tokens=3),
            Message(role="tool", content="found", call_id="call_9", tool_name="search"),
        ]
    )


def import_transcript(store: SessionStore) -> None:
    folder = Path(store.path).parent / "transcripts"
    folder.mkdir(exist_ok=True)
    lines = [
        {
            "type": "user" if number % 2 == 0 else "assistant",
            "sessionId": "imported",
            "uuid": f"u{number}",
            "parentUuid": f"u{number - 1}" if number else None,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "message": {"role": "user" if number % 2 == 0 else "assistant", "content": "x" * 50},
        }
        for number in range(6)
    ]
    file = folder / "imported.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    list(import_paths(store, [file], format="claude-code"))


def consume(store: SessionStore) -> None:
    consumer = store.consumer("billing")
    for _ in consumer.follow(live=False):
        pass


def back_up(store: SessionStore) -> None:
    backup(store.path, Path(store.path).parent / "copy.db", overwrite=True)


def each(session: str, name: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
    return lambda store: getattr(store.session(session), name)(*arguments, **options)


def beside(store: SessionStore, name: str) -> Path:
    return Path(store.path).parent / name


def erase_expanded(store: SessionStore) -> Any:
    return erasing.erase(store, erasing.Selection(text=WORD), reason="r").erased


def erase_again_later(store: SessionStore) -> None:
    """Erase, and leave word as a process does that ends before it has looked at the file."""
    erased = store.session("root").erase_events([6], reason="r")
    store.log.transact(lambda tx: traces.due.add(tx.connection, erased.events), exclusive=True)


def retain(store: SessionStore) -> Any:
    policies = (
        retention.Policy(
            name="old words", do=retention.Action.ERASE_CONTENT, older_than=1, sources=("test",)
        ),
        retention.Policy(name="idle", do=retention.Action.CLOSE, older_than=1, kind="subagent"),
        retention.Policy(
            name="closed", do=retention.Action.ERASE, older_than=1, statuses=("closed",)
        ),
    )
    return retention.retain(store, policies, now=2_000_000_000_000_000)


def redact_stored(store: SessionStore) -> Any:
    return redact(store)


def make_note(store: SessionStore, signed: bool) -> None:
    making.make_note(
        store, SIGNER if signed else None, beside(store, "side.note"),
        [FileAnchor(beside(store, "anchor"))], "hand",
    )  # fmt: skip


def notes_hold(store: SessionStore, folder: Path) -> list[str]:
    """Every note that was handed out is one of this log: nothing was signed and then lost."""
    kept = side_file.read(folder / "side.note")
    known = [] if kept is None else [(kept, "the side file")]
    if (folder / "anchor").exists():
        for line in (folder / "anchor").read_text().splitlines():
            known.append((checkpoint.read(json.loads(line)["note"])[0], "the anchor"))
    if known:
        comparing.compare(store, known)
    return []


def prove(store: SessionStore) -> None:
    store.prove_inclusion(3).verify()
    store.prove_consistency(5).verify()


def export_log(store: SessionStore) -> None:
    export(store, "events-jsonl", beside(store, "out.jsonl"), recipient="auditor", force=True)


def export_bundle(store: SessionStore) -> None:
    export(store, "bundle", beside(store, "bundle"))


def exports_hold(store: SessionStore, folder: Path) -> list[str]:
    """What has its name is complete, and nothing else was left."""
    found = [f"left behind: {path.name}" for path in folder.glob(".*")]
    if (folder / "out.jsonl").exists():
        with SessionStore.open(":memory:") as copy:
            list(import_paths(copy, [folder / "out.jsonl"], format="events-jsonl"))
            found += [f"the export: {one}" for one in copy.verify()]
    if (folder / "bundle").exists() and not (folder / "bundle" / "checkpoint").exists():
        found.append("the bundle has no checkpoint")
    return found


def import_log(store: SessionStore) -> None:
    list(import_paths(store, [beside(store, "base.jsonl")], format="events-jsonl"))


def append_many_with_snapshots(store: SessionStore) -> None:
    with mock.patch.object(snapshots, "TAIL_MIN", 4):
        for number in range(6):
            store.session("root").append("user", f"message {number}")


def salvage_damaged(store: SessionStore) -> None:
    salvage(beside(store, "damaged.db"), beside(store, "saved.db"))


def salvaged_holds(store: SessionStore, folder: Path) -> list[str]:
    """The new store is there as a whole or not at all."""
    found = [f"left behind: {path.name}" for path in folder.glob("saved.db.partial*")]
    return found + _stands(folder / "saved.db")


def restored_holds(store: SessionStore, folder: Path) -> list[str]:
    """The store that was restored is the one before, or the one after."""
    found = [f"left behind: {path.name}" for path in folder.glob(".*partial*")]
    return found + _stands(folder / "restored.db")


def _stands(path: Path) -> list[str]:
    if not path.exists():
        return []
    with SessionStore.open(path) as store:
        found = [f"{path.name}: {one}" for one in store.check()]
        if store.head.position < 20:
            found.append(f"{path.name} has {store.head.position} events")
        store.create("it can be written")
    return found


def restore_copy(store: SessionStore) -> None:
    target = beside(store, "restored.db")
    restore(beside(store, "copy.db"), target, without_erasures=not target.exists())


def damage_derived(store: SessionStore) -> None:
    store.log.transact(
        lambda tx: tx.connection.execute("DELETE FROM messages WHERE seq = 1").fetchall(),
        exclusive=True,
    )


def fix(store: SessionStore) -> None:
    examine(store.path, fix=True)
